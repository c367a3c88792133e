//! The arguments of `landfall audit`.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use landfall_core::chain::problems::Severity;

use super::deploy::PlaceArgs;
use super::output::OutputArgs;
use super::roles::WhichAccount;

/// Show what the auditors found: what is wrong with the chain, and since when.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall audit infra/routes.yaml --data-profile acme-data --analytics-profile acme-lake
  landfall audit infra/routes.yaml --data-profile acme-data --only data --now
  landfall audit infra/routes.yaml --data-profile acme-data --only data --fail-on medium --format json

Each account has an auditor. Every 15 minutes, it looks at its own half of the chain and keeps what it
finds in the table PREFIX-findings. `audit` shows these findings, the worst first. --now has the
auditors look at once. It also shows what reconciliation found to be in no batch, which the ledger keeps
in the table PREFIX-ledger: a pass of the reconciler finds it, and a later one resolves it.

`landfall doctor` looks itself, with your credentials, and also sees what takes both accounts. Use it to
find out why an object was not processed. Use `audit` to see since when something is wrong, and for
checks in CI. docs/checks.md explains each finding.

Exit status: 0 there is no finding that is bad enough; 1 there is at least one, or the routes file has
errors; 2 wrong usage, an account can't be read, or its auditor hasn't looked for two hours.")]
pub struct AuditArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Show the findings of this account only.
    #[arg(long, value_enum)]
    pub only: Option<WhichAccount>,
    /// Have the auditors look first. This invokes the functions PREFIX-auditor.
    #[arg(long)]
    pub now: bool,
    /// Show resolved findings too. They are kept for 90 days.
    #[arg(long)]
    pub all: bool,
    /// The severity from which on a finding makes the exit status 1.
    #[arg(long, value_name = "SEVERITY", value_parser = severity(), default_value = "high")]
    pub fail_on: Severity,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Reads a severity by its name.
fn severity() -> impl TypedValueParser<Value = Severity> {
    let names = PossibleValuesParser::new(Severity::ALL.iter().map(|it| it.name()));
    names.try_map(|name| {
        let found = Severity::ALL.iter().copied().find(|it| it.name() == name);
        found.ok_or("there is no such severity")
    })
}
