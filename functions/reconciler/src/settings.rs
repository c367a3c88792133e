//! Reads the function's settings from its environment, and the routes file beside its binary.

use landfall_aws::settings::{SettingsError, routes_from_env};
use landfall_core::arn::QueueArn;
use landfall_core::routes::Routes;

/// The settings of the reconciler.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The routes.
    pub routes: Routes,
    /// The name of the ledger's table.
    pub ledger_table: String,
    /// The ARN of the queue whose messages may say what a listing found.
    pub backfill_queue: String,
    /// The name of the data account's stack.
    pub stack: String,
    /// The account's ID.
    pub account: String,
    /// The region.
    pub region: String,
}

impl Settings {
    /// Reads the settings. `variable` returns the value of an environment variable.
    ///
    /// # Errors
    /// Returns everything that is wrong, together.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<SettingsError>> {
        let mut errors = Vec::new();
        let routes = routes_from_env(&variable).map_err(|error| errors.push(error)).ok();
        let mut required = |name: &'static str, what: &'static str| {
            let value = variable(name).filter(|value| !value.is_empty());
            if value.is_none() {
                errors.push(SettingsError::Missing { variable: name, what });
            }
            value.unwrap_or_default()
        };
        let ledger_table = required("LANDFALL_LEDGER_TABLE", "the table of the ledger");
        let backfill_queue = required("LANDFALL_BACKFILL_QUEUE_ARN", "the queue of backfills");
        let stack = required("LANDFALL_STACK", "the stack");
        let account = required("LANDFALL_ACCOUNT_ID", "the account's ID");
        let region = required("AWS_REGION", "the region");
        if !backfill_queue.is_empty() && QueueArn::parse(&backfill_queue).is_none() {
            let variable = "LANDFALL_BACKFILL_QUEUE_ARN";
            errors.push(SettingsError::Malformed { variable, expected: "the ARN of a queue" });
        }
        match routes {
            Some(routes) if errors.is_empty() => {
                Ok(Self { routes, ledger_table, backfill_queue, stack, account, region })
            }
            _ => Err(errors),
        }
    }
}
