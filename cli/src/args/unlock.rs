//! The arguments of `unlock`.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::accept;
use super::roles::region;

/// Unlock a resource that the provisioner refuses to change because it remembers a later request.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall unlock --stack-id arn:aws:cloudformation:eu-west-1:111111111111:stack/landfall/1 \\
    --logical-id ReaderRole --reason 'ticket 4711'

`unlock` shows what the provisioner remembers about the resource, without its answers, and asks before
it writes. It makes the provisioner forget when the last request was issued, and nothing else: what
must no longer exist stays that way. The item records who unlocked the resource, when and why, and the
provisioner logs that with the next request.

`unlock` uses your own credentials for the stack's account. They need dynamodb:GetItem and
dynamodb:UpdateItem on the provisioner's table, and sts:GetCallerIdentity.

Exit status: 0 the resource is unlocked; 1 it isn't, because a request is at work on it or you
declined; 3 the provisioner remembers nothing about it; 2 wrong usage, or the table can't be read or
written.")]
pub struct UnlockArgs {
    /// The ID of the stack, which is its ARN.
    #[arg(long, value_name = "ARN", value_parser = stack_id)]
    pub stack_id: String,
    /// The logical ID of the resource in the stack's template.
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub logical_id: String,
    /// The reason, for whoever reads the record later.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: String,
    /// The name of the provisioner's table.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "landfall-provisioner",
        value_parser = NonEmptyStringValueParser::new(),
    )]
    pub table: String,
    /// The profile that the credentials come from. Default: AWS_PROFILE, or the environment's credentials.
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<String>,
    /// The region of the stack. Default: the region in its ID.
    #[arg(long, value_name = "REGION", value_parser = region)]
    pub region: Option<String>,
    /// Don't ask for confirmation.
    #[arg(long)]
    pub yes: bool,
}

fn stack_id(text: &str) -> Result<String, &'static str> {
    let why = "a stack's ID looks like arn:aws:cloudformation:eu-west-1:111111111111:stack/NAME/ID";
    accept(text, landfall_core::roles::Home::of_stack(text).is_some(), why)
}

/// The length limit of a reason, in characters.
const MAX_CHARS: usize = 500;

fn reason(text: &str) -> Result<String, &'static str> {
    match text.trim() {
        "" => Err("give a reason"),
        reason if reason.chars().count() > MAX_CHARS => Err("a reason has at most 500 characters"),
        reason => Ok(reason.to_owned()),
    }
}
