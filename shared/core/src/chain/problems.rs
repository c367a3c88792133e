//! What can be wrong with the chain: a table, and the texts that it fills in.

mod table;

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

pub(super) use self::table::Fault;
use self::table::Row;
use super::link::Link;
use crate::shell;

/// How bad a problem is, by what can happen.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::VariantArray,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody should know.
    Info,
    /// It makes mistakes of others more likely or more expensive.
    Low,
    /// Work can be late, or stop at the next change.
    Medium,
    /// Work stops.
    High,
    /// Somebody can have access who shouldn't.
    Critical,
}

impl Severity {
    /// All severities, the least first.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// Returns the word for it, such as `high`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// What is wrong with a resource, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A stable identifier, such as `role_missing`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it means and what follows. One or more sentences.
    pub cause: &'static str,
    /// What to do. One or more sentences.
    pub fix: String,
    /// The command that does it, or that shows what you need to do it. Run it with credentials of the check's account.
    pub command: Option<String>,
}

impl Fault {
    /// Returns the stable identifier.
    pub(super) fn code(self) -> &'static str {
        self.row().code
    }

    /// Returns the problem, with `values` filled in.
    pub(super) fn problem(self, values: &[(&str, &str)]) -> Problem {
        let Row { code, severity, cause, fix, command } = self.row();
        Problem {
            code,
            severity,
            cause,
            fix: filled(fix, values, str::to_owned),
            command: command.map(|command| filled(command, values, shell::word)),
        }
    }
}

/// Fills in the identifiers. A name that `values` doesn't have stays as it is.
fn filled(template: &str, values: &[(&str, &str)], show: fn(&str) -> String) -> String {
    let (mut text, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let found = values.iter().find_map(|(name, value)| {
            Some((*name, *value, after.strip_prefix(name)?.strip_prefix('}')?))
        });
        rest = match found {
            // This is a command itself.
            Some(("deploy", value, behind)) => {
                text.push_str(value);
                behind
            }
            Some((_, value, behind)) => {
                text.push_str(&show(value));
                behind
            }
            None => {
                text.push('{');
                after
            }
        };
    }
    text + rest
}

/// Returns all links and problems as a page of the documentation, in Markdown.
pub fn page() -> String {
    let mut page = String::from(
        "# What `landfall doctor` checks\n\n\
         `landfall doctor` looks at each link of the chain from an object to a job run, in the direction of the data, and \
         names the first one that is broken. It only reads. The page is generated from the tables that it works by.\n\n\
         ## The links\n\n| code | link | account |\n|---|---|---|\n",
    );
    for link in Link::ALL {
        // Writing to a string can't fail.
        let _ = writeln!(page, "| `{}` | {} | {} |", link.code(), link.name(), link.side().name());
    }
    page.push_str("\n## The problems\n");
    for fault in Fault::ALL {
        let Row { code, severity, cause, fix, command } = fault.row();
        let (severity, fix) = (severity.name(), shown(fix));
        let _ = writeln!(
            page,
            "\n### `{code}`\n\nSeverity: {severity}. {cause}\n\n**What to do:** {fix}"
        );
        if let Some(command) = command {
            let _ = writeln!(page, "\n```sh\n{}\n```", shown(command));
        }
    }
    page.push_str(&super::permissions::section());
    page
}

/// Writes identifiers as the documentation does: `{name}` becomes `NAME`.
fn shown(template: &str) -> String {
    let (mut text, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        rest = match after.split_once('}') {
            Some(("deploy", behind)) => {
                text.push_str("landfall deploy ROUTES");
                behind
            }
            Some((name, behind)) if name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') => {
                text.push_str(&name.to_ascii_uppercase());
                behind
            }
            _ => {
                text.push('{');
                after
            }
        };
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_filled_in_once_and_quotes_what_a_shell_would_read() {
        let values =
            [("deploy", "landfall deploy a.yaml"), ("resource", "it's {region}"), ("region", "r")];
        expect_test::expect![[r"landfall deploy a.yaml 'it'\''s {region}' r {x}"]]
            .assert_eq(&filled("{deploy} {resource} {region} {x}", &values, shell::word));
    }

    #[test]
    fn codes_are_unique_and_texts_are_whole_sentences() {
        let codes: std::collections::BTreeSet<&str> =
            Fault::ALL.iter().map(|fault| fault.row().code).collect();
        assert_eq!(codes.len(), Fault::ALL.len());
        for fault in Fault::ALL {
            let Row { code, cause, fix, .. } = fault.row();
            assert!(cause.ends_with('.') && !cause.contains('{'), "{code}");
            assert!(fix.ends_with('.') || fix.ends_with('}'), "{code}");
        }
    }

    #[test]
    fn the_page_of_checks_is_what_is_checked() {
        expect_test::expect_file!["../../../../docs/checks.md"].assert_eq(&page());
    }
}
