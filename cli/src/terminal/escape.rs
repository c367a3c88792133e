//! Makes text from outside harmless for a terminal.

/// The length limit of a value in text output. `--format json` shows the whole value.
const MAX_SHOWN_CHARS: usize = 1_000;

/// Escapes whatever could move the cursor or the text around it. Object keys are data, and so are AWS's messages.
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

/// Escapes a value, and cuts it if it is long.
pub fn shown(value: &str) -> String {
    match value.char_indices().nth(MAX_SHOWN_CHARS) {
        None => printable(value),
        Some((at, _)) => {
            let length = value.chars().count();
            format!("{}… ({length} characters, --format json shows all)", printable(&value[..at]))
        }
    }
}
