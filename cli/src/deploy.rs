//! `landfall deploy`: both accounts from a routes file, by change sets that are shown before they are made.
//!
//! What is done in which order with which parameters is decided by [`plan`]; here it is carried out.

pub mod account;
pub mod change;
mod external_id;
mod make;
mod package;
pub mod plan;
pub mod stack;
pub mod target;
pub mod template;
pub mod words;

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use landfall_core::routes::Routes;

use self::account::{Account, Accounts};
pub use self::make::delete;
use self::make::{Wanted, make};
use self::package::{Artifact, Package};
use self::plan::{ExternalId, Facts, Known, KnownStacks, Side, Step, Value};
use self::stack::{Observed, Standing, TemplateAt};
use self::target::Meant;
use self::template::Template;
pub use self::words::{say, show};
use crate::args::Color;
use crate::args::deploy::{Architecture, DeployArgs, TemplateName};
use crate::aws;
use crate::output::{Output, Status};

/// The template of the artifacts bucket, which is deployed before there is anything to upload to.
const ARTIFACTS: &str = include_str!("../../infra/artifacts.yaml");
const ARTIFACTS_STACK: &str = "landfall-artifacts";

/// What a dry run ends with.
const NOTHING_CHANGED: &str = "\
nothing was changed. Of a stack that is not there the template alone was looked at: not what its transforms \
add, whether names are taken, or whether the credentials suffice; and each change set was made as the stacks \
stand, without the changes before it
";

/// How it went.
pub enum Done {
    All,
    /// Somebody did not agree.
    Declined,
    /// A stack failed: what there is to say of it.
    Failed(String),
}

/// Deploys, or says what would be deployed.
pub fn run(args: &DeployArgs, color: Color) -> Output {
    let meant = match target::find(&args.place, Routes::parse_to_deploy, color) {
        Ok(meant) => meant,
        Err(output) => return output,
    };
    if let Some(problem) = &meant.external_id_problem {
        return anyhow::anyhow!("{problem}").into();
    }
    let done = match can_begin(args) {
        Ok(()) => aws::wait(deploy(args, &meant)),
        Err(error) => Err(error),
    };
    told(done, if args.dry_run { NOTHING_CHANGED } else { "deployed\n" })
}

/// How a command ends.
pub fn told(done: anyhow::Result<Done>, success: &str) -> Output {
    let (stderr, status) = match done {
        Ok(Done::All) => (success.to_owned(), Status::Success),
        Ok(Done::Declined) => {
            ("not agreed to: nothing more is done\n".to_owned(), Status::Problems)
        }
        Ok(Done::Failed(why)) => (format!("error: {why}\n"), Status::Problems),
        Err(error) => return error.into(),
    };
    Output { stderr, status, ..Output::default() }
}

fn can_begin(args: &DeployArgs) -> anyhow::Result<()> {
    if args.dry_run { Ok(()) } else { words::can_ask(args.yes, "landfall deploy") }
}

async fn deploy(args: &DeployArgs, meant: &Meant) -> anyhow::Result<Done> {
    let accounts = Accounts::find(&args.place, &meant.account, &meant.region).await?;
    let mut package = match &args.package {
        Some(folder) => Package::read(folder, args.architecture)?,
        None => Package::build(args.architecture.unwrap_or(Architecture::Arm64))?,
    };
    package.set_routes(&meant.text);
    let deployment = Deployment { args, meant, accounts, package };
    deployment.run().await
}

struct Deployment<'a> {
    args: &'a DeployArgs,
    meant: &'a Meant,
    accounts: Accounts,
    package: Package,
}

impl Deployment<'_> {
    async fn run(&self) -> anyhow::Result<Done> {
        // All that can be wrong is found before anything is changed.
        let templates = self.templates()?;
        let observed = self.observed().await?;
        let has_former_batches = self.has_former_batches(&observed).await;
        let steps = self.steps(&templates, &observed, has_former_batches)?;
        for warning in steps.iter().flat_map(|step| &step.warnings) {
            say(&format!("warning: {warning}"));
        }
        for side in Side::BOTH {
            match self.artifacts(side).await? {
                Done::All => {}
                other => return Ok(other),
            }
        }
        for step in &steps {
            let template = templates.get(&step.template).context("a template is missing")?;
            match self.step(step, template).await? {
                Done::All => {}
                other => return Ok(other),
            }
        }
        if !self.args.dry_run && steps.iter().any(Step::admits_former_batches) {
            say(&former_batches(&self.ledger_table()));
        }
        Ok(Done::All)
    }

    fn ledger_table(&self) -> String {
        format!("{}-ledger", self.args.place.name_prefix)
    }

    /// Whether a new data account's stack takes in batches of the version before, with the ledger of a stack
    /// that is gone.
    async fn has_former_batches(
        &self,
        observed: &BTreeMap<(Side, TemplateName), Observed>,
    ) -> bool {
        let stack = observed.get(&(Side::Data, TemplateName::Data));
        let is_new = stack.is_none_or(|stack| stack.standing() != Standing::Updatable);
        is_new && self.accounts.data.has_former_batches(&self.ledger_table()).await
    }

    fn templates(&self) -> anyhow::Result<BTreeMap<TemplateName, Template>> {
        let mut templates = BTreeMap::new();
        for name in [TemplateName::Provisioner, TemplateName::Analytics, TemplateName::Data] {
            let of = || format!("failed to read the {} template", name.name());
            let template = Template::read(self.package.template(name)?).with_context(of)?;
            for path in template.local_paths() {
                self.package.artifact(path).with_context(of)?;
            }
            templates.insert(name, template);
        }
        Ok(templates)
    }

    async fn observed(&self) -> anyhow::Result<BTreeMap<(Side, TemplateName), Observed>> {
        let mut observed = BTreeMap::new();
        for (side, name, stack) in plan::stacks(&self.args.place.name_prefix, self.args.order) {
            if let Some(found) = self.accounts.of(side).stacks.find(&stack).await? {
                can_change(&stack, &found)?;
                self.accounts.is_meant(side, name, &stack, &found).await?;
                observed.insert((side, name), found);
            }
        }
        Ok(observed)
    }

    fn steps(
        &self,
        templates: &BTreeMap<TemplateName, Template>,
        observed: &BTreeMap<(Side, TemplateName), Observed>,
        has_former_batches: bool,
    ) -> anyhow::Result<Vec<Step>> {
        let is_there = |(_, stack): &(_, &Observed)| stack.standing() == Standing::Updatable;
        let known: KnownStacks = observed
            .iter()
            .filter(is_there)
            .map(|(key, stack)| (*key, Known { parameters: stack.parameters.clone() }))
            .collect();
        let external_id = self.external_id(&known)?;
        let prefix = self.key_prefix();
        let facts = Facts {
            prefix: self.args.place.name_prefix.clone(),
            data_account: self.accounts.data.id.clone(),
            analytics_account: self.accounts.analytics.id.clone(),
            other_accounts: self.meant.other_accounts.clone(),
            data_region: self.accounts.data.region.clone(),
            analytics_region: self.accounts.analytics.region.clone(),
            buckets: self.meant.buckets.clone(),
            has_former_batches,
            jobs: self.meant.jobs.clone(),
            job_arns: self.meant.job_arns.clone(),
            partition: self.meant.partition.clone(),
            architecture: self.package.architecture.name(),
            artifacts: (
                self.bucket(Side::Analytics),
                prefix.clone(),
                self.package.library()?.key(&prefix),
            ),
        };
        let given = &self.args.parameters;
        let DeployArgs { order, narrow_provisioner: narrow, .. } = *self.args;
        let steps = plan::steps(&facts, templates, given, &known, &external_id, order, narrow);
        steps.map_err(|problems| match &problems[..] {
            [problem] => anyhow::anyhow!("{problem}"),
            problems => {
                anyhow::anyhow!("parameters are missing or wrong:\n  {}", problems.join("\n  "))
            }
        })
    }

    fn external_id(&self, known: &KnownStacks) -> anyhow::Result<ExternalId> {
        let wish = external_id::Wish {
            written: self.meant.external_id.as_ref(),
            rotate: self.args.rotate_external_id,
            has_data_stack: known.contains_key(&(Side::Data, TemplateName::Data)),
            has_analytics_stack: known.contains_key(&(Side::Analytics, TemplateName::Analytics)),
        };
        external_id::choose(&wish, |name| std::env::var(name).ok())
    }

    /// What the keys of all that is uploaded begin with.
    fn key_prefix(&self) -> String {
        format!("{}/", self.args.place.name_prefix)
    }

    fn bucket(&self, side: Side) -> String {
        let given = match side {
            Side::Data => &self.args.data_artifacts,
            Side::Analytics => &self.args.analytics_artifacts,
        };
        given.clone().unwrap_or_else(|| self.accounts.of(side).default_artifacts())
    }

    /// The bucket to upload to. One that is there already is taken as it is, unless its stack is, too.
    async fn artifacts(&self, side: Side) -> anyhow::Result<Done> {
        let account = self.accounts.of(side);
        let bucket = self.bucket(side);
        let is_default = bucket == account.default_artifacts();
        let found = account.stacks.find(ARTIFACTS_STACK).await?;
        if let Some(found) = &found {
            can_change(ARTIFACTS_STACK, found)?;
        }
        let is_made_here = is_default && (found.is_some() || !account.has_bucket(&bucket).await?);
        if !is_made_here {
            if !account.has_bucket(&bucket).await? {
                bail!("there is no bucket `{bucket}` in {}", account.stacks.place);
            }
            return Ok(Done::All);
        }
        let template = Template::read(ARTIFACTS)?;
        let values = BTreeMap::from([("BucketName".to_owned(), bucket.clone())]);
        let text = template.rewritten(&BTreeMap::new(), &values)?;
        let before = found.iter().flat_map(|found| found.parameters.keys());
        let before = before.filter(|name| template.parameters.contains_key(*name));
        let mut parameters: BTreeMap<String, Value> =
            before.map(|name| (name.clone(), Value::Previous)).collect();
        parameters.insert("BucketName".to_owned(), Value::Text(bucket));
        let wanted = Wanted {
            stack: ARTIFACTS_STACK,
            purpose: None,
            template: &template,
            parameters: &parameters,
        };
        make(self.args, account, &wanted, Some(TemplateAt::Body(text))).await
    }

    async fn step(&self, step: &Step, template: &Template) -> anyhow::Result<Done> {
        let account = self.accounts.of(step.side);
        let Step { stack, parameters, purpose, .. } = step;
        let wanted = Wanted { stack, purpose: purpose.as_deref(), template, parameters };
        let bucket = self.bucket(step.side);
        // A dry run makes no bucket, and uploads for nothing but a change set.
        if self.args.dry_run {
            let found = account.stacks.find(stack).await?;
            let is_there = found.is_some_and(|found| found.standing() == Standing::Updatable);
            if !is_there || !account.has_bucket(&bucket).await? {
                return make(self.args, account, &wanted, None).await;
            }
        }
        let template = self.uploaded(account, &bucket, step, template).await?;
        make(self.args, account, &wanted, Some(template)).await
    }

    /// The template with all that it names, uploaded.
    async fn uploaded(
        &self,
        account: &Account,
        bucket: &str,
        step: &Step,
        template: &Template,
    ) -> anyhow::Result<TemplateAt> {
        let prefix = self.key_prefix();
        let mut uris = BTreeMap::new();
        for path in template.local_paths() {
            let artifact = self.package.artifact(path)?;
            let key = account.upload(bucket, &prefix, &artifact).await?;
            uris.insert(path.to_owned(), format!("s3://{bucket}/{key}"));
        }
        if step.template == TemplateName::Analytics {
            let library = self.package.library()?;
            account.upload(bucket, &prefix, &library).await?;
        }
        let mut values = step.values.clone();
        values.insert("AWS::AccountId".to_owned(), account.id.clone());
        values.insert("AWS::Region".to_owned(), account.region.clone());
        let text = template.rewritten(&uris, &values)?;
        let artifact = Artifact::new(package::file_of(step.template), text.into_bytes());
        let key = account.upload(bucket, &prefix, &artifact).await?;
        Ok(account.template_at(bucket, &key))
    }
}

/// What is left to do after an upgrade.
fn former_batches(table: &str) -> String {
    format!(
        "note: the reader roles still reach batches of the version before, whichever analytics account they are \
         for. Once `landfall batches --former --table {table}` lists none, run this command again with \
         --parameter data:AdmitsFormerBatches=false, and update stacks of target.yaml with the same value."
    )
}

/// # Errors
/// Nothing can be done with the stack as it stands.
fn can_change(stack: &str, found: &Observed) -> anyhow::Result<()> {
    match found.standing() {
        Standing::Absent | Standing::Updatable | Standing::FailedFirst => Ok(()),
        Standing::Busy => {
            bail!("stack `{stack}` is being changed ({}): wait until that has ended", found.status)
        }
        Standing::Broken(hint) => bail!("stack `{stack}` is {}: {hint}", found.status),
    }
}
