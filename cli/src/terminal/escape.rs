//! Text from outside, made harmless for a terminal.

/// A value that is longer is cut; `--json` has all of it.
const MAX_SHOWN_CHARS: usize = 1_000;

/// Escapes whatever would move the cursor or the text around it: keys of objects are data, and so are AWS's messages.
pub fn printable(text: &str) -> String {
    let changes_direction = |c| matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().fold(String::new(), |mut out, c| {
        if c.is_control() || changes_direction(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        out
    })
}

/// The value escaped, and cut if it is long.
pub fn shown(value: &str) -> String {
    match value.char_indices().nth(MAX_SHOWN_CHARS) {
        None => printable(value),
        Some((at, _)) => {
            let length = value.chars().count();
            format!("{}… ({length} characters, --json shows all)", printable(&value[..at]))
        }
    }
}
