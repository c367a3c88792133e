//! Makes text from outside harmless for a terminal.

/// The length limit of a value in text output. `--json` shows the whole value.
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

/// Returns the text as one word of a command for a shell: as it is, if it means nothing to a shell, and quoted otherwise.
pub fn in_shell(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Escapes a value, and cuts it if it is long.
pub fn shown(value: &str) -> String {
    match value.char_indices().nth(MAX_SHOWN_CHARS) {
        None => printable(value),
        Some((at, _)) => {
            let length = value.chars().count();
            format!("{}… ({length} characters, --json shows all)", printable(&value[..at]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_for_a_shell_is_quoted_if_it_has_to_be() {
        assert_eq!(in_shell("s3://acme/orders/dt=1/a.csv"), "s3://acme/orders/dt=1/a.csv");
        assert_eq!(in_shell(""), "''");
        assert_eq!(in_shell("a b"), "'a b'");
        assert_eq!(in_shell("it's $(x)"), r"'it'\''s $(x)'");
        assert_eq!(in_shell("ü"), "'ü'");
    }
}
