//! Connects to the ledger with the operator's credentials, and says what to do if it cannot be read.

use std::time::Duration;

use anyhow::{Context, anyhow};
use aws_config::SdkConfig;
use landfall_aws::claims::Claims;
use landfall_aws::ledger::{Ledger, LedgerError};
use landfall_aws::sdk_error::chain;

use crate::args::access::AccessArgs;
use crate::args::batches::LedgerArgs;
use crate::aws;
use crate::terminal::printable;

/// How long the ledger keeps a batch that is done. The command line writes no batch that is done.
const RETENTION: Duration = Duration::from_secs(30 * 86_400);

/// The ledger and its place.
pub struct Connection {
    pub ledger: Ledger,
    config: SdkConfig,
    table: String,
    region: String,
}

/// Connects to the ledger that `args` select. Only the first call shows whether the table exists.
pub async fn connect(args: &LedgerArgs) -> anyhow::Result<Connection> {
    connect_to(&args.access, &args.table).await
}

/// Connects to the ledger in the table of this name.
pub async fn connect_to(access: &AccessArgs, table: &str) -> anyhow::Result<Connection> {
    let config = aws::of_access(access).await?;
    let region = config.region().map(ToString::to_string).context(
        "no region is set: name the region of the data account's stack with --region, or set AWS_REGION",
    )?;
    let ledger = of(&config, table.to_owned());
    Ok(Connection { ledger, config, table: table.to_owned(), region })
}

/// Makes the client of the ledger in the table of this name.
pub fn of(config: &SdkConfig, table: String) -> Ledger {
    Ledger::new(aws_sdk_dynamodb::Client::new(config), table, RETENTION)
}

impl Connection {
    /// Returns the configuration of calls with the operator's credentials in the ledger's region.
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// Returns the name of the ledger's table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Returns the claims in the table with this ARN.
    pub fn claims(&self, table_arn: &str) -> Claims {
        Claims::new(&self.config, table_arn)
    }

    /// Adds the region and a hint to the error of a call.
    pub fn explained(&self, error: LedgerError) -> anyhow::Error {
        let place = format!("region `{}`", self.region);
        let hint = match &error {
            LedgerError::Call { source, .. } => hint(source.code()),
            LedgerError::Newer { .. } => Some("a newer `landfall` can read it"),
            LedgerError::Contended { .. }
            | LedgerError::OutOfTime { .. }
            | LedgerError::Unreadable { .. } => None,
        };
        let error = chain(&error);
        match hint {
            Some(hint) => anyhow!("{error} ({place}; {hint})"),
            None => anyhow!("{error} ({place})"),
        }
    }

    /// Returns the ledger's table and region, ready to print.
    pub fn place(&self) -> String {
        printable(&format!("table `{}`, region `{}`", self.table, self.region))
    }

    /// Returns the message that there is no batch with this ID.
    pub fn no_batch(&self, id: &str) -> String {
        format!("there is no batch `{id}` in {}", self.place())
    }
}

fn hint(code: &str) -> Option<&'static str> {
    match code {
        "ResourceNotFoundException" => Some(
            "the account of these credentials has no such table there: name the table with --table or \
             LANDFALL_LEDGER_TABLE, and the region with --region",
        ),
        "AccessDeniedException" => Some(
            "are these credentials for the data account? --help lists the permissions they need",
        ),
        "UnrecognizedClientException" | "ExpiredTokenException" | "InvalidSignatureException" => {
            Some("the credentials are invalid or have expired: get new ones")
        }
        "unknown" => Some("is the table in that region, and is the network up?"),
        _ => None,
    }
}
