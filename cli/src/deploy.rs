//! `landfall deploy`: deploys both accounts from a routes file, through change sets that it shows first.
//!
//! [`plan`] decides on the stacks, their order and their parameters. This module carries the plan out.

mod artifacts;
mod external_id;
mod former_batches;
pub mod iam_events;
mod make;
mod plan;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use landfall_core::routes::Routes;
use landfall_stacks::Value;
use landfall_stacks::change_set::TemplateAt;
use landfall_stacks::stack::{Observed, Standing, has_moved_on};

use self::make::{Made, Wanted, make};
use self::plan::{ExternalId, Facts, Known, KnownStacks, Step};
use crate::accounts::target::{self, DeploymentTarget};
use crate::accounts::{Account, Accounts, Side, stacks};
use crate::args::Color;
use crate::args::deploy::{DeployArgs, TemplateName};
use crate::cloudformation::template::Template;
use crate::package::{Artifact, Package, file_of};
use crate::terminal::consent::{Stopped, can_ask};
use crate::terminal::output::{Output, Printed};
use crate::terminal::printable;
use crate::terminal::progress::say;
use crate::{aws, repair};

/// The template of the artifacts bucket. It is deployed without an upload, because it creates the bucket to upload to.
const ARTIFACTS: &str = include_str!("../../infra/artifacts.yaml");
const ARTIFACTS_STACK: &str = "landfall-artifacts";
/// How long to wait for another deployment that changes that stack. A bucket and its policy take a minute or two.
const ARTIFACTS_LIMIT: Duration = Duration::from_secs(900);
/// How often to look at it again because another deployment was faster.
const ARTIFACTS_ATTEMPTS: u32 = 10;

/// The last message of a dry run.
const NOTHING_CHANGED: &str = "\
This was a dry run. No stack was changed. For a stack that doesn't exist, it read only the template. It didn't \
check what transforms add, whether names are taken, or whether the credentials suffice. Each change set shows the \
stack as it is now, without the changes that come before it.
";

/// Deploys, or shows what it would deploy.
pub fn run(args: &DeployArgs, color: Color) -> Printed {
    if args.repair {
        return repair::run(args, color);
    }
    let target =
        target::find(args.place.routes(), &args.place.stacks, Routes::parse_to_deploy, color)?;
    if let Some(problem) = &target.external_id_problem {
        return Err(anyhow!("{problem}").into());
    }
    can_ask(args.yes || args.dry_run, "`landfall deploy` asks before it changes anything")?;
    aws::wait(async { Deployment::new(args, &target).await?.run().await })?;
    Ok(Output::done(if args.dry_run { NOTHING_CHANGED } else { "deployed\n" }))
}

struct Deployment<'a> {
    args: &'a DeployArgs,
    target: &'a DeploymentTarget,
    accounts: Accounts,
    package: Package,
}

impl<'a> Deployment<'a> {
    async fn new(args: &'a DeployArgs, target: &'a DeploymentTarget) -> anyhow::Result<Self> {
        let accounts = Accounts::find(&args.place.stacks, &target.account, &target.region).await?;
        let package = Package::find(args.package.as_deref(), args.architecture, &target.text)?;
        Ok(Self { args, target, accounts, package })
    }

    async fn run(&self) -> anyhow::Result<()> {
        // This finds everything that can be wrong before it changes anything.
        let templates = self.templates()?;
        let observed = self.observed().await?;
        let steps = self.steps(&templates, &observed).await?;
        for warning in steps.iter().flat_map(|step| &step.warnings) {
            say(&format!("warning: {warning}"));
        }
        for side in Side::BOTH {
            self.artifacts(side).await?;
        }
        for step in &steps {
            let template = templates.get(&step.template).context("a template is missing")?;
            self.step(step, template).await?;
            if step.template == TemplateName::Auditor
                && let Some(place) = self.place_of_iam_events(step.side)
            {
                let home = &self.accounts.of(step.side).region;
                iam_events::deploy(self.args, &place, step, home).await?;
            }
        }
        if !self.args.dry_run && steps.iter().any(Step::admits_former_batches) {
            say(&former_batches::note(&self.ledger_table()));
        }
        Ok(())
    }

    /// Returns `true` if no stack of this template is deployed.
    fn leaves_out(&self, template: TemplateName) -> bool {
        template == TemplateName::Auditor && self.args.without_auditor
    }

    /// Returns where the stack belongs that forwards IAM's events to the auditor of this account, if there is to be one.
    fn place_of_iam_events(&self, side: Side) -> Option<Account> {
        let is_left_out = self.args.without_auditor || self.args.without_iam_events;
        let place = || iam_events::place(self.accounts.of(side), &self.target.partition);
        (!is_left_out).then(place)?
    }

    fn ledger_table(&self) -> String {
        format!("{}-ledger", self.args.place.stacks.name_prefix)
    }

    fn templates(&self) -> anyhow::Result<BTreeMap<TemplateName, Template>> {
        let mut templates = BTreeMap::new();
        for name in TemplateName::ALL {
            if self.leaves_out(name) {
                continue;
            }
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
        for (side, name, stack) in stacks(&self.args.place.stacks.name_prefix, self.args.order) {
            let account = self.accounts.of(side);
            if let Some(found) = account.stacks.find(&stack).await? {
                if self.leaves_out(name) {
                    let place = &account.stacks.place;
                    say(&format!("--without-auditor: stack `{stack}` in {place} stays as it is"));
                    continue;
                }
                found.can_change(&stack)?;
                self.accounts.check_owner(side, name, &stack, &found).await?;
                observed.insert((side, name), found);
            }
        }
        for place in Side::BOTH.into_iter().filter_map(|side| self.place_of_iam_events(side)) {
            let prefix = &self.args.place.stacks.name_prefix;
            if let Some(found) = iam_events::find(&place, prefix).await? {
                found.can_change(&iam_events::stack_name(prefix))?;
            }
        }
        Ok(observed)
    }

    async fn steps(
        &self,
        templates: &BTreeMap<TemplateName, Template>,
        observed: &BTreeMap<(Side, TemplateName), Observed>,
    ) -> anyhow::Result<Vec<Step>> {
        let is_there = |(_, stack): &(_, &Observed)| stack.standing() == Standing::Updatable;
        let known: KnownStacks = observed
            .iter()
            .filter(is_there)
            .map(|(key, stack)| (*key, Known { parameters: stack.parameters.clone() }))
            .collect();
        // A new stack adopts the ledger that an earlier stack left.
        let has_former_batches = !known.contains_key(&(Side::Data, TemplateName::Data))
            && former_batches::may_be_in(&self.accounts.data, &self.ledger_table()).await;
        let external_id = self.external_id(&known)?;
        let prefix = self.key_prefix();
        let facts = Facts {
            prefix: self.args.place.stacks.name_prefix.clone(),
            data_account: self.accounts.data.id.clone(),
            analytics_account: self.accounts.analytics.id.clone(),
            other_accounts: self.target.other_accounts.clone(),
            data_region: self.accounts.data.region.clone(),
            analytics_region: self.accounts.analytics.region.clone(),
            buckets: self.target.buckets.clone(),
            policy_buckets: self.target.policy_buckets.clone(),
            input_buckets: self.target.input_buckets.clone(),
            has_former_batches,
            jobs: self.target.jobs.clone(),
            job_arns: self.target.job_arns.clone(),
            announces: self.target.announces,
            forwards_iam_events: !self.args.without_iam_events,
            reconciled: self.target.reconciled.clone(),
            partition: self.target.partition.clone(),
            architecture: self.package.architecture.name(),
            artifacts: (
                self.bucket(Side::Analytics),
                prefix.clone(),
                self.package.library()?.key(&prefix),
            ),
            data_artifacts: self.bucket(Side::Data),
        };
        let given = &self.args.parameters;
        let DeployArgs { order, narrow_provisioner: narrow, .. } = *self.args;
        let steps = plan::steps(&facts, templates, given, &known, &external_id, order, narrow);
        steps.map_err(|problems| anyhow!("{}", problems.join("; ")))
    }

    fn external_id(&self, known: &KnownStacks) -> anyhow::Result<ExternalId> {
        let situation = external_id::Situation {
            written: self.target.external_id.as_ref(),
            rotate: self.args.rotate_external_id,
            has_data_stack: known.contains_key(&(Side::Data, TemplateName::Data)),
            has_analytics_stack: known.contains_key(&(Side::Analytics, TemplateName::Analytics)),
        };
        external_id::choose(&situation, |name| std::env::var(name).ok())
    }

    /// Returns the prefix of the keys of all uploads.
    fn key_prefix(&self) -> String {
        format!("{}/", self.args.place.stacks.name_prefix)
    }

    fn bucket(&self, side: Side) -> String {
        let given = match side {
            Side::Data => &self.args.data_artifacts,
            Side::Analytics => &self.args.analytics_artifacts,
        };
        given.clone().unwrap_or_else(|| self.accounts.of(side).default_artifacts())
    }

    /// Creates or updates the stack of the bucket to upload to. All deployments of an account share that stack, so two
    /// that begin at the same time meet there. The one that comes second waits, and looks again.
    async fn artifacts(&self, side: Side) -> anyhow::Result<()> {
        let stacks = &self.accounts.of(side).stacks;
        let mut attempt = 1;
        loop {
            let found =
                stacks.settled(ARTIFACTS_STACK, ARTIFACTS_LIMIT, |it| say(&printable(it))).await?;
            let before = stacks.revision(ARTIFACTS_STACK).await?;
            let error = match self.artifacts_from(side, found).await {
                Err(error) if !error.is::<Stopped>() && attempt < ARTIFACTS_ATTEMPTS => error,
                done => return done,
            };
            // If nobody else changed the stack, a second attempt would fail for the same reason.
            let now = stacks.revision(ARTIFACTS_STACK).await?;
            if !has_moved_on(before.as_ref(), now.as_ref()) {
                return Err(error);
            }
            say(&format!(
                "another deployment changed stack {ARTIFACTS_STACK} in {} at the same time: looking at it again",
                stacks.place
            ));
            attempt += 1;
        }
    }

    /// Creates or updates the stack of the bucket to upload to, which was `found` so. Leaves a bucket without that stack
    /// as it is.
    async fn artifacts_from(&self, side: Side, found: Option<Observed>) -> anyhow::Result<()> {
        let account = self.accounts.of(side);
        let bucket = self.bucket(side);
        if let Some(found) = &found {
            found.can_change(ARTIFACTS_STACK)?;
        }
        let is_default = bucket == account.default_artifacts();
        let is_made_here = is_default && (found.is_some() || !account.has_bucket(&bucket).await?);
        if !is_made_here {
            let is_there = account.has_bucket(&bucket).await?;
            ensure!(is_there, "there is no bucket `{bucket}` in {}", account.stacks.place);
            return Ok(());
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
        make(self.args, account, &wanted, Some(TemplateAt::Body(text))).await.map(drop)
    }

    async fn step(&self, step: &Step, template: &Template) -> anyhow::Result<()> {
        let account = self.accounts.of(step.side);
        let Step { stack, parameters, purpose, .. } = step;
        let wanted = Wanted { stack, purpose: purpose.as_deref(), template, parameters };
        let bucket = self.bucket(step.side);
        let uploaded = if self.can_upload(account, stack, &bucket).await? {
            Some(self.uploaded(account, &bucket, step, template).await?)
        } else {
            None
        };
        let made = make(self.args, account, &wanted, uploaded).await?;
        let has_roles = matches!(step.template, TemplateName::Analytics | TemplateName::Data);
        if made == Made::Unchanged && has_roles {
            repair::warn(account, stack).await;
        }
        Ok(())
    }

    /// Returns `true` if the command may upload. A dry run creates no bucket, and uploads only for a change set.
    async fn can_upload(
        &self,
        account: &Account,
        stack: &str,
        bucket: &str,
    ) -> anyhow::Result<bool> {
        if !self.args.dry_run {
            return Ok(true);
        }
        let found = account.stacks.find(stack).await?;
        let is_there = found.is_some_and(|found| found.standing() == Standing::Updatable);
        Ok(is_there && account.has_bucket(bucket).await?)
    }

    /// Uploads the template and all files that it names.
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
        let artifact = Artifact::new(file_of(step.template), text.into_bytes());
        let key = account.upload(bucket, &prefix, &artifact).await?;
        Ok(account.template_at(bucket, &key))
    }
}
