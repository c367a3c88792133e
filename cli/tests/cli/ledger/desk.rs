//! A ledger in memory, filled through the library, and `landfall` beside it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::process::{Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use landfall_aws::ledger::{Held, Ledger};
use landfall_core::batch::{
    Batch, Bounds, ClaimMode, Closing, Draft, Member, RefusalReason, RunState, Scope, Seen, Start,
    Step, Unprepared, next,
};
use landfall_core::moment::{Moment, Time};

use landfall_stand_ins::{Act, StandIn, Table};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::json;
use tempfile::TempDir;

use crate::{Shown, command};

/// 2026-01-31T12:00:00Z.
pub const NOON: Time = Time(1_769_860_800_000);

pub struct Desk {
    pub stand_in: StandIn,
    pub client: aws_sdk_dynamodb::Client,
    pub ledger: Ledger,
}

pub fn id(number: u64) -> String {
    format!("{number:032x}")
}

pub fn member(key: &str) -> Member {
    Member {
        key: key.to_owned(),
        version_id: Some("v1".to_owned()),
        etag: None,
        size: Some(512),
        sequencer: None,
        event_time: None,
        listing: None,
        again: false,
    }
}

impl Desk {
    pub fn new() -> Self {
        Self::with(vec![
            Table::ledger("landfall-ledger"),
            Table::claims("landfall-claims"),
            Table::new("landfall-provisioner", "id", None),
        ])
    }

    pub fn with(tables: Vec<Table>) -> Self {
        let stand_in = StandIn::start(tables);
        let credentials = Credentials::new("id", "key", None, None, "test");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .endpoint_url(stand_in.endpoint())
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(landfall_aws::config::http_client())
            .build();
        let client = aws_sdk_dynamodb::Client::new(&config);
        let ledger =
            Ledger::new(client.clone(), "landfall-ledger".to_owned(), Duration::from_secs(86_400));
        let desk = Self { stand_in, client, ledger };
        desk.ticked(Some(60));
        desk
    }

    /// Has CloudWatch know that the monitor last ticked so many seconds ago, or never.
    pub fn ticked(&self, ago: Option<u64>) {
        self.stand_in.answer("GetMetricData", move |call, _| {
            let metric = &call.body["MetricDataQueries"][0]["MetricStat"]["Metric"];
            if metric["MetricName"] != "BatchesDue" {
                return Act::Serve;
            }
            let number = |name: &str| call.body[name].as_u64().expect("a number of seconds");
            let at = ago.map(|ago| number("EndTime") - ago);
            let at: Vec<u64> = at.into_iter().filter(|at| *at >= number("StartTime")).collect();
            let body = json!({ "MetricDataResults": [{
                "Id": "m0", "Timestamps": at, "Values": at.iter().map(|_| 1).collect::<Vec<_>>() }] });
            Act::Answer { status: 200, body: body.to_string() }
        });
    }

    /// Puts an object into a bucket at noon, of which no event comes.
    pub fn put(&self, bucket: &str, key: &str, content: &[u8]) {
        let noon = UNIX_EPOCH + Duration::from_millis(NOON.0);
        self.stand_in.put_object(bucket, key, content, noon);
    }

    /// What an invocation brought so many seconds after noon, as a batch of its own; sealed.
    pub async fn sealed(&self, number: u64, route: &str, after: u64, members: &[Member]) -> Batch {
        self.recorded(number, route, after, members, &[], Closing::default()).await
    }

    pub async fn recorded(
        &self,
        number: u64,
        route: &str,
        after: u64,
        members: &[Member],
        markers: &[Member],
        closing: Closing,
    ) -> Batch {
        let draft = Draft {
            route: route.to_owned(),
            bucket: "acme-landing".to_owned(),
            group: BTreeMap::from([("dt".to_owned(), "2026-01-31".to_owned())]),
            start: start(),
            closing,
            listing: None,
            members: members.to_vec(),
            markers: markers.to_vec(),
        };
        let deadline = SystemTime::now() + Duration::from_secs(10);
        let recorded = self.ledger.record(&draft, |_| id(number), || moment(after), deadline).await;
        recorded.expect("recorded arrivals").batches.pop().expect("a batch")
    }

    /// Parked at its first start.
    pub async fn parked(&self, number: u64, route: &str, after: u64) -> Batch {
        let key = format!("orders/{number}.csv");
        let batch = self.sealed(number, route, after, &[member(&key)]).await;
        let argument = "--dt".to_owned();
        let refused = Unprepared::Refused(RefusalReason::LeadingDash { argument });
        self.advanced(batch, after, [Seen::Prepared(Err(refused))]).await
    }

    /// As many others like a batch that is parked, from this number on, each opened a second before the
    /// one after it; the last a second before that batch.
    pub async fn others_like(&self, parked: &Batch, numbers: std::ops::Range<u64>) {
        let end = numbers.end;
        for number in numbers {
            let opened_at = parked.opened_at - Duration::from_secs(end - number);
            let other = Batch { id: id(number), revision: 0, opened_at, ..parked.clone() };
            self.ledger.write(other).await.expect("a ledger").expect("a batch");
        }
    }

    /// The batch after all of this was seen of it, each a second after the one before.
    pub async fn advanced(
        &self,
        mut batch: Batch,
        after: u64,
        seen: impl IntoIterator<Item = Seen>,
    ) -> Batch {
        let settings = Bounds {
            reconciliation: Duration::from_secs(900),
            manifests_kept: Duration::from_secs(90 * 86_400),
        };
        for (seconds, seen) in (after + 1..).zip(seen) {
            let written = match next(&batch, &seen, &moment(seconds), &settings) {
                Step::Assume(batch) => Ok(Some(*batch)),
                Step::Write { batch, .. } => self.ledger.write(*batch).await,
                Step::Begin { batch, slot } => {
                    self.ledger.begin(*batch, slot).await.map(|held| match held {
                        Held::Yes(batch) => Some(*batch),
                        Held::OtherBatch | Held::OtherSlot => None,
                    })
                }
                step => panic!("{seen:?}: {step:?}"),
            };
            batch = written.expect("a ledger").expect("a written batch");
        }
        batch
    }

    /// What `landfall` shows, with the ledger as its environment tells; how long ago something was is
    /// left out, since the clock is the real one.
    pub fn landfall(&self, args: &[&str]) -> Shown {
        run(args, &self.environment())
    }

    /// The same with this typed at a terminal.
    pub fn landfall_at_terminal(&self, args: &[&str], typed: &str) -> Shown {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&terminal).and_then(|()| unlockpt(&terminal)).expect("a terminal to use");
        let path = ptsname(&terminal, Vec::new()).expect("a name");
        let path = path.to_str().expect("UTF-8").to_owned();
        let stdin = File::options().read(true).write(true).open(path).expect("its other side");
        File::from(terminal.try_clone().expect("a terminal"))
            .write_all(typed.as_bytes())
            .expect("typed text");
        // `terminal` is open until it has ended: else what it reads from is gone.
        run_with(args, &self.environment(), stdin.into())
    }

    /// What `landfall` finds in its environment.
    pub fn environment(&self) -> Vec<(&str, &str)> {
        let endpoint = [("AWS_ENDPOINT_URL", self.stand_in.endpoint())];
        let region = [("AWS_REGION", "eu-west-1")];
        [&endpoint[..], &region, &CREDENTIALS].concat()
    }
}

pub const CREDENTIALS: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "key")];

/// Runs `landfall` with nothing but this in its environment.
pub fn run(args: &[&str], environment: &[(&str, &str)]) -> Shown {
    run_with(args, environment, Stdio::null())
}

fn run_with(args: &[&str], environment: &[(&str, &str)], stdin: Stdio) -> Shown {
    let folder = TempDir::new().expect("a temporary folder");
    let mut command = command(folder.path(), args);
    command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", folder.path());
    command.envs(environment.iter().copied()).stdin(stdin);
    let Output { stdout, stderr, status } = command.output().expect("an ended landfall");
    let text = |bytes| without_ages(&String::from_utf8(bytes).expect("UTF-8"));
    let status = status.code().expect("an exit status");
    Shown { stdout: text(stdout), stderr: text(stderr), status }
}

/// With `long ago` for `298 days ago`.
fn without_ages(text: &str) -> String {
    let mut parts = text.split(" ago");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = |c: char| c.is_ascii_digit();
        let age = out.trim_end_matches(char::is_alphabetic).trim_end_matches(' ');
        let length = age.trim_end_matches(digits).len();
        if length == age.len() {
            out.push_str(" ago");
        } else {
            out.truncate(length);
            out.push_str("long ago");
        }
        out.push_str(part);
    }
    out
}

/// So many seconds after noon.
pub fn moment(after: u64) -> Moment {
    let now = NOON + Duration::from_secs(after);
    Moment { now, lease: now + Duration::from_secs(120), jitter: 0 }
}

fn start() -> Start {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Start {
        target: "analytics".to_owned(),
        account: "222222222222".to_owned(),
        region: "eu-west-1".to_owned(),
        starter_role_arn: "arn:aws:iam::222222222222:role/landfall-starter".to_owned(),
        job: "orders-to-parquet".to_owned(),
        arguments: BTreeMap::from([pair("--dt", "{dt}")]),
        values: BTreeMap::from([pair("dt", "2026-01-31")]),
        max_concurrent_runs: None,
        max_runs_per_hour: None,
        attempts: 3,
        retry_states: vec![RunState::Failed],
        scope: Scope::Job,
        claim: ClaimMode::Required,
        announce: false,
        listing_limit: None,
    }
}
