//! `landfall doctor --object`: follows one object into the ledger.

use std::ffi::OsStr;

use anyhow::{Context, ensure};
use aws_config::SdkConfig;
use landfall_aws::clock::now;
use landfall_aws::ledger::{Found, Ledger, LedgerError};
use landfall_aws::sdk_error::chain;
use landfall_core::chain::object::{Object as Facts, Recorded};
use landfall_core::chain::observed::{Look, Observations, RouteFacts};
use landfall_core::chain::{Check, judge_object};
use landfall_core::routes::Routes;
use landfall_core::shell;
use landfall_inspection::cloudformation::Deployed;
use landfall_inspection::{Clients, Place, Seen, cloudformation, head};

use super::look::{Connected, Question};
use super::report::{ArrivalEntry, ObjectDocument, Report};
use crate::accounts::target;
use crate::accounts::{Side, stack_name};
use crate::args::Color;
use crate::args::access::AccessArgs;
use crate::args::deploy::{StackArgs, TemplateName};
use crate::args::doctor::DoctorArgs;
use crate::object::{self, Known, Object};
use crate::terminal::output::{Output, Printed};
use crate::terminal::printable;
use crate::terminal::progress::say;
use crate::{aws, input, ledger, version};

/// Follows the object with this URI, and reports the verdict.
pub fn run(args: &DoctorArgs, uri: &str, color: Color) -> Printed {
    let (bucket, key) = input::object(uri)?;
    let file = args.task.routes.as_deref();
    let known = match file {
        Some(file) => {
            let (text, (routes, _)) = input::read_routes(file, Routes::parse, color)?;
            Some(object::from_file(file, routes, text)?)
        }
        None => None,
    };
    let (object, facts, checks) = aws::wait(async {
        let DataAccount { config, place, caller } = connect(&args.stacks).await?;
        let ledger = ledger::of(&config, format!("{}-ledger", args.stacks.name_prefix));
        let connected = Connected { clients: Clients::new(&config), place, caller };
        let at = At { stacks: &args.stacks, file, connected };
        at.follow(&ledger, (bucket, key), known).await
    })?;
    let recorded = facts.recorded();
    let arrivals = recorded.iter().map(|it| ArrivalEntry {
        route: &it.route,
        batch: &it.batch,
        recorded_at: it.at.to_string(),
    });
    let document = ObjectDocument { uri, entry: object.entry(), arrivals: arrivals.collect() };
    let report = Report { checks: &checks, requests: &[], object: Some(document) };
    let text = || match recorded[..] {
        [] => report.text(),
        [..] => format!("{}\nto see what became of it, run: {}\n", report.text(), find(args, uri)),
    };
    let mut output = Output::success(if args.output.is_json() { report.json() } else { text() });
    output.worsen(report.status());
    Ok(output)
}

/// The data account, whatever the routes say.
pub struct DataAccount {
    pub config: SdkConfig,
    pub place: Place,
    /// The ARN of whoever the credentials belong to.
    pub caller: String,
}

/// Connects to the data account.
pub async fn connect(stacks: &StackArgs) -> anyhow::Result<DataAccount> {
    let region = stacks.data_region.as_deref().or(stacks.region.as_deref());
    let config = aws::of_profile(stacks.data_profile(), region).await?;
    let of = || format!("failed to reach the {}", Side::Data.name());
    let identity = aws::identity(&config).await.with_context(of)?;
    config
        .region()
        .context("no region is set: name the region of the data account's stack with --region")?;
    let place = aws::place(&identity, &config)?;
    let caller = identity.arn().context("STS returned no ARN")?.to_owned();
    Ok(DataAccount { config, place, caller })
}

/// Where the object should be.
struct At<'a> {
    stacks: &'a StackArgs,
    file: Option<&'a OsStr>,
    connected: Connected,
}

impl At<'_> {
    async fn follow(
        &self,
        ledger: &Ledger,
        (bucket, key): (&str, &str),
        known: Option<Known>,
    ) -> anyhow::Result<(Object, Facts, Vec<Check>)> {
        let Connected { clients, place, .. } = &self.connected;
        let stack = stack_name(&self.stacks.name_prefix, TemplateName::Data);
        say(&format!("looking at the data account ({})", place.account));
        let routes = async {
            match known {
                Some(known) => Ok(known),
                None => object::deployed(clients, &stack).await,
            }
        };
        let (routes, deployed, head, found) = tokio::join!(
            routes,
            cloudformation::stack(clients, &stack),
            head(clients, bucket, key),
            ledger.find(bucket, key),
        );
        if let Ok(deployed) = &deployed
            && let Some(warning) = version::warning(&deployed.name, deployed.version.as_deref())
        {
            say(&warning);
        }
        if let Ok(known) = &routes {
            let is_target = known.routes.targets.values().any(|it| it.account == place.account);
            ensure!(
                !is_target,
                "the credentials belong to account `{}`, which is the analytics account: name the data account's \
                 profile with --data-profile",
                place.account
            );
        }
        let object = Object::new(bucket, key, head, routes);
        let facts = Facts {
            account: place.account.clone(),
            region: place.region.clone(),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            at: now(),
            head: object.head.clone(),
            answers: object.answers(),
            arrivals: arrivals(found),
        };
        let chain = match facts.is_lost() {
            true => self.chain(&object, &deployed).await?,
            false => None,
        };
        let checks = judge_object(&facts, chain.as_ref());
        Ok((object, facts, checks))
    }

    /// Looks at the links on the way of an object that a route takes.
    async fn chain(
        &self,
        object: &Object,
        deployed: &Seen<Deployed>,
    ) -> anyhow::Result<Option<Observations>> {
        let (Ok(Known { routes, text, .. }), Some(first)) =
            (&object.routes, object.takers().next())
        else {
            return Ok(None);
        };
        let prefix = &self.stacks.name_prefix;
        let target = target::of(routes, Some(&first.target), prefix, text.clone())?;
        let facts: Vec<RouteFacts> = object.takers().map(RouteFacts::from).collect();
        let file = self.file.unwrap_or(OsStr::new("routes.yaml"));
        let question = Question::of_object(self.stacks, file, &target, routes.clone(), facts);
        Ok(Some(question.look_at_data(&self.connected, deployed).await))
    }
}

fn arrivals(found: Result<Vec<Found>, LedgerError>) -> Look<Vec<Recorded>> {
    let recorded = |it: Found| Recorded { route: it.route, batch: it.batch, at: it.recorded_at };
    match found {
        Ok(found) => Look::Seen(found.into_iter().map(recorded).collect()),
        Err(LedgerError::Call { source, .. }) if source.code() == "ResourceNotFoundException" => {
            Look::Missing
        }
        Err(LedgerError::Call { source, .. }) if source.code() == "AccessDeniedException" => {
            Look::Denied("dynamodb:Query".to_owned())
        }
        Err(error) => Look::Failed(chain(&error)),
    }
}

/// Returns the command that shows what became of the object.
fn find(args: &DoctorArgs, uri: &str) -> String {
    let mut command = format!("landfall find {}", shell::word(uri));
    let StackArgs { name_prefix, region, data_region, .. } = &args.stacks;
    let profile = args.stacks.data_profile().map(ToOwned::to_owned);
    let access = AccessArgs { profile, region: data_region.clone().or(region.clone()) };
    if name_prefix != "landfall" {
        command.push_str(&format!(" --table {name_prefix}-ledger"));
    }
    command.push_str(&access.options());
    printable(&command)
}
