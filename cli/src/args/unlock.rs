//! The arguments of `unlock`.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::accept;
use super::roles::region;

/// Free a resource that the provisioner refuses to change, because it remembers a later request.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall unlock --stack-id arn:aws:cloudformation:eu-west-1:111111111111:stack/landfall/1 \\
    --logical-id ReaderRole --reason 'ticket 4711'

Shows what the provisioner remembers of the resource, without any answer, and asks before it writes. It
forgets when the last request was issued, and nothing else: what must not exist any more stays so. Who
did it, when and why is recorded in the item, and the provisioner logs it with the next request.

It needs your own credentials for the account of the stack, with dynamodb:GetItem and
dynamodb:UpdateItem on the provisioner's table and sts:GetCallerIdentity.

Exit status: 0 the resource is unlocked, 1 it is not: a request is at work on it, or you said no; 3
nothing is remembered of it, 2 wrong usage, or a table that cannot be read or written.")]
pub struct UnlockArgs {
    /// The id of the stack, which is its ARN.
    #[arg(long, value_name = "ARN", value_parser = stack_id)]
    pub stack_id: String,
    /// The logical ID of the resource in the stack's template.
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub logical_id: String,
    /// Why; for whoever reads the record later.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: String,
    /// The provisioner's table.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "landfall-provisioner",
        value_parser = NonEmptyStringValueParser::new(),
    )]
    pub table: String,
    /// The region of the stack. Default: that of its id.
    #[arg(long, value_name = "REGION", value_parser = region)]
    pub region: Option<String>,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

fn stack_id(text: &str) -> Result<String, &'static str> {
    let why = "a stack's id looks like arn:aws:cloudformation:eu-west-1:111111111111:stack/NAME/ID";
    accept(text, landfall_core::roles::Home::of_stack(text).is_some(), why)
}

/// The longest reason, in characters.
const MAX_CHARS: usize = 500;

fn reason(text: &str) -> Result<String, &'static str> {
    match text.trim() {
        "" => Err("say why"),
        reason if reason.chars().count() > MAX_CHARS => Err("a reason has at most 500 characters"),
        reason => Ok(reason.to_owned()),
    }
}
