//! Commands that people copy into a shell.

/// Returns the text as one word of a command: as it is, if it means nothing to a shell, and quoted otherwise.
pub fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn a_word_for_a_shell_is_quoted_if_it_has_to_be() {
        assert_eq!(word("s3://acme/orders/dt=1/a.csv"), "s3://acme/orders/dt=1/a.csv");
        assert_eq!(word(""), "''");
        assert_eq!(word("a b"), "'a b'");
        assert_eq!(word("it's"), r"'it'\''s'");
        assert_eq!(word("it's $(x)"), r"'it'\''s $(x)'");
        assert_eq!(word("ü"), "'ü'");
    }
}
