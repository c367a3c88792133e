//! Compares the version of this command line with the one that a stack records in its output `LandfallVersion`.
//!
//! Nothing depends on it but a warning, so it never fails, and never keeps a command waiting for long.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use landfall_inspection::{Clients, cloudformation};

use crate::terminal::printable;

/// The version of this command line, and of the templates that it is built with.
pub const OWN: &str = env!("CARGO_PKG_VERSION");

/// The time limit for asking CloudFormation.
const LIMIT: Duration = Duration::from_secs(3);

/// Asks for the version that a stack records, and returns the warning if it isn't that of this command line. Returns
/// `None` if the versions agree, if the stack records none, and if nobody can tell.
pub async fn look(config: &SdkConfig, stack: &str) -> Option<String> {
    let config = config.to_builder().retry_config(RetryConfig::disabled()).build();
    let clients = Clients::new(&config);
    let version = tokio::time::timeout(LIMIT, cloudformation::version(&clients, stack)).await;
    warning(stack, version.ok()?.ok()?.as_deref())
}

/// Asks for the version of the stack that a ledger belongs to, as [`look`] does.
pub async fn of_ledger(config: &SdkConfig, table: &str) -> Option<String> {
    look(config, stack_of(table)?).await
}

/// Returns the name of the stack that a ledger belongs to, if the table's name tells it. All names that the templates
/// give begin with the stack's prefix, and `landfall deploy` names the stack after it.
pub fn stack_of(table: &str) -> Option<&str> {
    table.strip_suffix("-ledger")
}

/// Returns the warning about a stack that records this version; `None` if it records none, or this command line's.
pub fn warning(stack: &str, recorded: Option<&str>) -> Option<String> {
    let recorded = recorded.filter(|recorded| *recorded != OWN)?;
    Some(printable(&format!(
        "warning: this is `landfall` {OWN}, but stack `{stack}` was deployed with version {recorded}: use that version, \
         or deploy the stack with this one"
    )))
}

#[cfg(test)]
mod tests {
    use landfall_inspection::cloudformation::VERSION;
    use landfall_inspection::template::tree::{self, Node};

    use super::*;
    use crate::args::deploy::TemplateName;
    use crate::package::file_of;

    #[test]
    fn only_another_version_is_warned_of() {
        assert_eq!(warning("landfall", None), None);
        assert_eq!(warning("landfall", Some(OWN)), None);
        let warning = warning("landfall", Some("9.0\u{1b}.0")).expect("a warning");
        assert_eq!(
            warning,
            format!(
                "warning: this is `landfall` {OWN}, but stack `landfall` was deployed with version 9.0\\u{{1b}}.0: \
                 use that version, or deploy the stack with this one"
            )
        );
    }

    #[test]
    fn a_ledger_tells_the_stack_that_it_belongs_to() {
        assert_eq!(stack_of("billing-ledger"), Some("billing"));
        assert_eq!(stack_of("orders"), None);
    }

    #[test]
    fn every_template_records_the_version_that_it_belongs_to() {
        let deployed = TemplateName::ALL.map(file_of);
        for file in deployed.into_iter().chain(["target.yaml"]) {
            let text = std::fs::read_to_string(format!("../infra/{file}")).expect("a template");
            let template = tree::read(&text).expect("YAML");
            let version = template.at(&["Outputs", VERSION, "Value"]).and_then(Node::text);
            assert_eq!(version, Some(OWN), "{file}");
        }
    }
}
