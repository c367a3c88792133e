//! The arguments of `landfall status`.

use clap::Args;

use super::access::AccessArgs;
use super::output::OutputArgs;
use super::roles::name_prefix;

/// Show what goes on in the data account: alarms, queues, unfinished batches and the monitor, and what needs a person.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall status
  landfall status --region eu-west-1 --name-prefix billing
  landfall status --format json || page-somebody

`status` looks once at the stacks PREFIX, PREFIX-provisioner and PREFIX-auditor of the data account, and
changes nothing. Its first lines say what needs a person: an alarm, messages in a dead-letter queue, parked
batches, a monitor that doesn't tick, and what `landfall doctor` would call broken in a queue, a function,
an event source mapping or the schedule, and objects that S3 doesn't announce, if a route has `reconcile`. Of unfinished batches, it reads up to 2,000 that are due and up to
2,000 that are parked.

`landfall doctor` also looks at buckets, roles, jobs and the analytics account. The analytics account has
alarms of its own, which `status` doesn't see.

`status` uses your own credentials for the data account, and finds them as `diff` does. They need
cloudformation:DescribeStacks, cloudformation:ListStackResources, cloudwatch:DescribeAlarms,
cloudwatch:GetMetricData, sqs:GetQueueAttributes, lambda:GetFunctionConfiguration,
lambda:GetFunctionConcurrency, lambda:ListEventSourceMappings, events:DescribeRule and
events:ListTargetsByRule, and for the ledger what `batches` needs. What they may not look at is named.

Exit status: 0 nothing needs a person; 1 something does; 2 nothing is known to, but `status` couldn't look
at something; 2 also for wrong usage.")]
pub struct StatusArgs {
    /// The NamePrefix of the data account's stack, which is also its name.
    #[arg(long, value_name = "PREFIX", value_parser = name_prefix, default_value = "landfall")]
    pub name_prefix: String,
    #[command(flatten)]
    pub access: AccessArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}
