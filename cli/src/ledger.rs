//! The ledger as the operator reaches it: the table and the region that are meant, and what to do if it
//! cannot be read.

use std::time::Duration;

use anyhow::{Context, anyhow};
use aws_config::{Region, SdkConfig};
use landfall_aws::claims::Claims;
use landfall_aws::config;
use landfall_aws::ledger::{Ledger, LedgerError};

use crate::args::batches::LedgerArgs;
use crate::aws;
use crate::terminal::printable;

/// How long a batch is kept after it is done. Nothing that is written from here is done.
const RETENTION: Duration = Duration::from_secs(30 * 86_400);

/// The ledger, and where it is.
pub struct Connection {
    pub ledger: Ledger,
    config: SdkConfig,
    table: String,
    region: String,
}

/// The ledger that `args` mean. Whether it is there is seen by the first call.
pub async fn connect(args: &LedgerArgs) -> anyhow::Result<Connection> {
    let loader = config::loader();
    let config = aws::load(match &args.region {
        Some(region) => loader.region(Region::new(region.clone())),
        None => loader,
    });
    let config = config.await?;
    let region = config.region().map(ToString::to_string).context(
        "no region is known: give that of the data account's stack with --region, or set AWS_REGION",
    )?;
    let client = aws_sdk_dynamodb::Client::new(&config);
    let table = args.table.clone();
    let ledger = Ledger::new(client, table.clone(), RETENTION);
    Ok(Connection { ledger, config, table, region })
}

impl Connection {
    /// The claims in the table of this ARN.
    pub fn claims(&self, table_arn: &str) -> Claims {
        Claims::new(&self.config, table_arn)
    }

    /// The error of a call, with what may help.
    pub fn explained(&self, error: LedgerError) -> anyhow::Error {
        let place = format!("region `{}`", self.region);
        let hint = match &error {
            LedgerError::Call { code, .. } => hint(code),
            LedgerError::Newer { .. } => Some("a newer `landfall` reads it"),
            LedgerError::Contended { .. }
            | LedgerError::OutOfTime { .. }
            | LedgerError::Unreadable { .. } => None,
        };
        match hint {
            Some(hint) => anyhow!("{error} ({place}; {hint})"),
            None => anyhow!("{error} ({place})"),
        }
    }

    /// Where the ledger is, as it can be printed.
    pub fn place(&self) -> String {
        printable(&format!("table `{}`, region `{}`", self.table, self.region))
    }

    /// There is no batch of this id.
    pub fn no_batch(&self, id: &str) -> String {
        format!("there is no batch `{id}` in {}", self.place())
    }
}

fn hint(code: &str) -> Option<&'static str> {
    match code {
        "ResourceNotFoundException" => Some(
            "the account of these credentials has no such table there: name another with --table or \
             LANDFALL_LEDGER_TABLE, another region with --region",
        ),
        "AccessDeniedException" => {
            Some("are the credentials for the data account? --help says what they need")
        }
        "UnrecognizedClientException" | "ExpiredTokenException" | "InvalidSignatureException" => {
            Some("the credentials are not valid, or not any more: get new ones")
        }
        "unknown" => Some("is that the region of the table, and is there a network?"),
        _ => None,
    }
}
