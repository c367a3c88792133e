//! The arguments of `landfall doctor`.

use std::ffi::OsString;

use clap::{Args, ValueEnum};

use super::deploy::StackArgs;
use super::output::OutputArgs;
use super::roles::WhichAccount;

/// Find the first broken link between a bucket and its Glue job, or explain the text of an error.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall doctor --routes infra/routes.yaml --data-profile acme-data --analytics-profile acme-lake
  landfall doctor --routes infra/routes.yaml --only data --route orders --format json
  landfall doctor --object s3://acme-landing/orders/dt=2026-01-31/a.csv --data-profile acme-data
  landfall doctor --probe --data-profile acme-data
  landfall doctor --print-policy analytics --routes infra/routes.yaml
  landfall doctor --print-policy deploy --only data
  landfall doctor --explain \"ClientError: ... is not authorized to perform: kms:Decrypt ...\"
  landfall doctor --explain job.log
  aws logs tail /aws-glue/jobs/error | landfall doctor --explain -

With --routes, `doctor` looks at everything that an object passes on its way to a job run, in that order:
stacks, buckets, notifications, queues, functions, tables, roles, jobs and the way back. It names the
first link that is broken, why, and the command that mends it. It changes nothing.

With credentials for one account only, the other half is unknown. The output then ends with a paragraph
that you can send to the other account's owners. What `doctor` may not look at is unknown too, and it
names the permission. --print-policy prints the policy with all of them, and calls nothing. Give it the
routes to have their buckets named, and the jobs' scripts to let `doctor` see whether they are there.

With --object, `doctor` follows one object into the ledger: whether S3 has it, which route takes it or why
none does, and whether the ledger has its newest version. If the ledger lacks it, `doctor` looks at the
links on its way and names the first that is broken. It judges by the routes that the data account's stack
was deployed with, or by those of --routes. All of that is in the data account. In addition to what
`--print-policy data` prints, your credentials need s3:GetObject on the object and dynamodb:Query on the
ledger's table. The region is that of --data-region or --region, the profile or the environment.

With --probe, `doctor` invokes the trigger, which assumes the starter role of each target of the deployed
routes, and looks at each job. Only the trigger's own role can show that these calls work. It starts no run,
and writes nothing but its log. Your credentials need lambda:InvokeFunction on the function in the data
account. `doctor` says what it will do and asks first, unless you add --yes.

--print-policy deploy prints the policy for whoever runs `landfall deploy`, for the account that --only
names: what `deploy` calls itself, and what CloudFormation calls in its name. In IAM, it reaches the roles of
Landfall's functions and rules, the boundary, and one policy of the example job's role. Buckets that the stacks create besides their own,
such as OutputBucketName, need --bucket. The policy leaves out a KMS key (EncryptionKey=create), a secret
(LineageApiKey), a JobName of your own and paths other than the default: add what you use. It is too long
for a managed policy, so attach it to a role as an inline policy.

The external ID that the trigger presents is compared, and never printed.

With --explain, the text can hold anything else besides the error, such as a stack trace. docs/errors.md
lists what is known.

Exit status with --routes, --object and --probe: 0 everything works, perhaps with warnings; 1 something is broken, or the
routes file has errors; 2 nothing is known to be broken, but `doctor` couldn't look at something; 2 also
for wrong usage. With --explain: 0 explained; 3 nothing is known about the text; 2 wrong usage, or a file
can't be read.")]
pub struct DoctorArgs {
    #[command(flatten)]
    pub task: TaskArgs,
    #[command(flatten)]
    pub stacks: StackArgs,
    /// Look at this account only; with --print-policy deploy, the account to deploy to.
    #[arg(long, value_enum, conflicts_with = "explain")]
    pub only: Option<WhichAccount>,
    /// Look at what this route needs only.
    #[arg(long, value_name = "NAME", requires = "routes", conflicts_with = "explain")]
    pub route: Option<String>,
    /// A job's script, for the analytics account's policy. Repeat for further scripts.
    #[arg(long, value_name = "S3_URI", requires = "print_policy")]
    pub script: Vec<String>,
    /// A further bucket that the stacks create, for the policy to deploy. Repeat for further buckets.
    #[arg(long, value_name = "NAME", requires = "print_policy")]
    pub bucket: Vec<String>,
    /// With --probe, don't ask for confirmation.
    #[arg(long, conflicts_with_all = ["routes", "object", "explain", "print_policy"])]
    pub yes: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What a policy is for.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PolicyFor {
    /// To look at the data account.
    Data,
    /// To look at the analytics account.
    Analytics,
    /// To run `landfall deploy` for the account that --only names.
    Deploy,
}

/// What to do.
#[derive(Args)]
#[group(required = true, multiple = true)]
pub struct TaskArgs {
    /// Look at the chain of these routes; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub routes: Option<OsString>,
    /// Follow this object to the ledger, with `s3://bucket/key` as S3 has it: nothing is decoded.
    #[arg(
        long,
        value_name = "S3_URI",
        conflicts_with_all = ["explain", "print_policy", "only", "route", "target"]
    )]
    pub object: Option<String>,
    /// Have the trigger try with its own role what comes before a start. Asks for confirmation first.
    #[arg(
        long,
        conflicts_with_all = ["explain", "print_policy", "only", "route", "target", "object", "routes"]
    )]
    pub probe: bool,
    /// Explain the text, a file that holds it, or `-` for standard input.
    #[arg(
        long,
        value_name = "TEXT|FILE|-",
        allow_hyphen_values = true,
        conflicts_with_all = ["routes", "print_policy"]
    )]
    pub explain: Option<OsString>,
    /// Print the policy that allows to look at this account, or to deploy, and nothing more.
    #[arg(long, value_enum, value_name = "FOR", conflicts_with_all = ["json", "format"])]
    pub print_policy: Option<PolicyFor>,
}
