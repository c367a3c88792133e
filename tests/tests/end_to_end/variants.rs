//! A deployment with what the others leave out: EventBridge as transport, a key of its own for
//! everything that is stored, a landing bucket that the stack creates, paths and a boundary for the
//! roles, a bus in front of the queue of run ends, and a topic for alarms.
//!
//! The emulator evaluates no key policies, and few policies of queues and topics. The IAM engine
//! judges them as they are deployed. The emulator doesn't store the bus's policy. The engine
//! doesn't know the encryption context with which the key admits the logs.

use anyhow::{Context, Result, anyhow, ensure};
use aws_sdk_sqs::types::QueueAttributeName;
use landfall_core::batch::State;
use landfall_core::roles::Observed;
use landfall_provisioning::iam::observe;
use landfall_tests::cloud::{LANDING_BUCKET, LocalCloud, Setup, wait_until};
use landfall_tests::judge::{Judge, Request};
use landfall_tests::shared::Shared;
use landfall_tests::{ANALYTICS, DATA, REGION, node, root};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::stage::{SOON, csv, ledger};

const FURTHER: &str = "333333333333";
const STRANGER: &str = "444444444444";
const CREATED_BUCKET: &str = "acme-created";
const SENDER: &str = "arn:aws:iam::222222222222:role/acme/landfall-job-state-events";

const PARAMETERS: [&str; 13] = [
    "data:Transport=EventBridge",
    "data:EncryptionKey=create",
    "data:CreateLandingBucket=acme-created",
    "data:AlarmEmail=nobody@example.com",
    "data:RunsBus=true",
    "data:RolePath=/acme/",
    "data:ProvisionedRolePath=/acme/made/",
    "data:FunctionBoundaryArn=arn:aws:iam::aws:policy/AdministratorAccess",
    "analytics:RolePath=/acme/",
    "analytics:ProvisionedRolePath=/acme/made/",
    "analytics:FunctionBoundaryArn=arn:aws:iam::aws:policy/AdministratorAccess",
    "provisioner:RolePath=/acme/",
    "provisioner:ProvisionedRolePath=/acme/made/",
];

pub fn trials() -> Vec<Trial> {
    let shared: Shared<LocalCloud> = Shared::default();
    let trial = |name: &str, run: fn(&LocalCloud) -> Result<()>| {
        shared.trial(name, deploy, move |cloud| {
            run(cloud).map_err(|error| anyhow!("{error:#}\n{}", cloud.hints()))
        })
    };
    macro_rules! trials {
        ($($test:ident),+ $(,)?) => { vec![$(trial(stringify!($test), $test)),+] };
    }
    trials![
        by_eventbridge_with_a_key_and_paths_of_ones_own_each_object_reaches_its_run,
        a_further_analytics_account_gets_a_reader_role_that_reads_what_its_routes_take,
        the_policies_of_queues_key_buckets_and_topic_let_in_whom_they_name_and_nobody_else,
    ]
}

fn deploy() -> Result<LocalCloud> {
    LocalCloud::start(&Setup {
        routes: root().join("tests/fixtures/variant-routes.yaml"),
        routes_of_policies: None,
        parameters: PARAMETERS.to_vec(),
        target: Some("analytics"),
        minute: None,
    })
}

fn by_eventbridge_with_a_key_and_paths_of_ones_own_each_object_reaches_its_run(
    cloud: &LocalCloud,
) -> Result<()> {
    let ledger = ledger(cloud);
    // EventBridge doesn't encode keys, so this one must not be decoded.
    let key = "in/50%25 +ä.csv";
    cloud.wait(async {
        for bucket in [LANDING_BUCKET, CREATED_BUCKET] {
            cloud.put(bucket, key, csv(3)).await?;
        }
        for bucket in [LANDING_BUCKET, CREATED_BUCKET] {
            wait_until(&format!("no run succeeded for `{bucket}`"), SOON, async || {
                let found = ledger.find(bucket, key).await?;
                ensure!(found.len() <= 1, "an object is in one batch");
                let Some(found) = found.into_iter().next() else { return Ok(None) };
                let batch = ledger.batch(&found.batch).await?.context("the batch is gone")?;
                ensure!(!matches!(batch.state, State::Parked { .. }), "parked: {batch:?}");
                Ok(matches!(batch.state, State::Succeeded { .. }).then_some(()))
            })
            .await?;
        }
        let versioning = cloud.data.s3.get_bucket_versioning().bucket(CREATED_BUCKET);
        let status = versioning.send().await?.status;
        ensure!(status.is_some_and(|status| status.as_str() == "Enabled"), "not versioned");
        Ok(())
    })
}

fn the_policies_of_queues_key_buckets_and_topic_let_in_whom_they_name_and_nobody_else(
    cloud: &LocalCloud,
) -> Result<()> {
    let deployed = Deployed { cloud };
    let requests: Vec<(bool, Request)> =
        [deployed.queues()?, deployed.key()?, deployed.buckets()?, deployed.topic()?]
            .into_iter()
            .flatten()
            .collect();
    ensure!(requests.iter().any(|(expected, _)| *expected) && requests.len() > 40);
    judged_as_expected(&requests)
}

fn judged_as_expected(requests: &[(bool, Request)]) -> Result<()> {
    let all: Vec<Request> = requests.iter().map(|(_, request)| request.clone()).collect();
    let verdicts = Judge::new(&node::environment()?).ask(&all)?;
    let wrong: Vec<String> = requests
        .iter()
        .zip(verdicts)
        .filter(|((expected, _), verdict)| *expected != verdict.allowed)
        .map(|((_, request), verdict)| format!("{request:?}: {verdict:?}"))
        .collect();
    ensure!(wrong.is_empty(), "judged otherwise:\n{}", wrong.join("\n"));
    Ok(())
}

fn a_further_analytics_account_gets_a_reader_role_that_reads_what_its_routes_take(
    cloud: &LocalCloud,
) -> Result<()> {
    let cli = &cloud.data.cli;
    cli.make_bucket("acme-further-artifacts")?;
    let parameters = [
        ("AnalyticsAccountId", FURTHER),
        ("ProvisionedRolePath", "/acme/made/"),
        ("AdmitsFormerBatches", "false"),
    ];
    cli.deploy("landfall-further", "target.yaml", "acme-further-artifacts", &parameters)?;
    let role = |name: &str| format!("arn:aws:iam::{DATA}:role/acme/{name}");
    let job = format!("arn:aws:iam::{FURTHER}:role/acme/made/landfall-job");
    let starter = format!("arn:aws:iam::{FURTHER}:role/acme/made/landfall-starter");
    let reader = format!("landfall-reader-{FURTHER}");
    let reader_arn = role(&format!("made/{reader}"));
    let found =
        cloud.wait(observe(&cloud.data.iam, &reader))?.context("there is no reader role")?;
    let trust = found.trust.as_ref().context("no trust policy")?.to_json();
    let mut requests = Vec::new();
    let policies = |role: &Observed| -> Vec<Value> {
        role.policies.values().flatten().map(|policy| policy.to_json().into()).collect()
    };
    for (key, may) in [("further/a.csv", true), ("in/a.csv", false)] {
        let object = format!("arn:aws:s3:::{LANDING_BUCKET}/{key}");
        let mut get = Request::by_role(&reader_arn, "s3:GetObject", &object).owned_by(DATA);
        for policy in policies(&found) {
            get = get.identity(policy);
        }
        requests.push((may, get));
    }
    for account in [ANALYTICS, FURTHER] {
        let name = format!("landfall-reader-{account}");
        let found = cloud.wait(observe(&cloud.data.iam, &name))?.context("there is no reader")?;
        let policies = policies(&found);
        let arn = role(&format!("made/{name}"));
        for batch in [ANALYTICS, FURTHER, STRANGER] {
            requests.extend(of_batches(&arn, &policies, batch).map(|r| (batch == account, r)));
        }
    }
    let allowed = json!({ "Version": "2012-10-17", "Statement":
        [{ "Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*" }] });
    for (who, may) in [(job.as_str(), true), (&job.replace(FURTHER, ANALYTICS), false)] {
        let assume = Request::by_role(who, "sts:AssumeRole", &reader_arn);
        let assume = assume.identity(allowed.clone()).resource_policy(trust.clone());
        requests.push((may, assume));
    }
    let admits_all = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
        "Action": "sts:AssumeRole", "Principal": { "AWS": format!("arn:aws:iam::{DATA}:root") } }] });
    for function in ["landfall-trigger", "landfall-monitor"] {
        let own =
            cloud.wait(observe(&cloud.data.iam, function))?.context("the function has no role")?;
        let mut assume = Request::by_role(&role(function), "sts:AssumeRole", &starter)
            .resource_policy(admits_all.clone());
        for policy in policies(&own) {
            assume = assume.identity(policy);
        }
        requests.push((true, assume));
    }
    judged_as_expected(&requests)
}

/// Returns what a job does with a batch of `account`: it reads the manifest, claims the batch, and
/// reads the claim.
fn of_batches(reader: &str, policies: &[Value], account: &str) -> [Request; 3] {
    let id = format!("{account}-899bfd94d19c4ed05147d6815125b225");
    let bucket = format!("landfall-manifests-{DATA}-{REGION}");
    let manifest = format!("arn:aws:s3:::{bucket}/manifests/{account}/further/{id}.json");
    let claims = format!("arn:aws:dynamodb:{REGION}:{DATA}:table/landfall-claims");
    let by = |action: &str, resource: &str| {
        let request = Request::by_role(reader, action, resource).owned_by(DATA);
        policies.iter().fold(request, |request, policy| request.identity(policy.clone()))
    };
    let item = |action: &str| by(action, &claims).with("dynamodb:LeadingKeys", json!([id]));
    [by("s3:GetObject", &manifest), item("dynamodb:UpdateItem"), item("dynamodb:GetItem")]
}

/// The resource policies as they are deployed.
struct Deployed<'c> {
    cloud: &'c LocalCloud,
}

impl Deployed<'_> {
    fn json(&self, arguments: &[&str]) -> Result<Value> {
        self.cloud.data.cli.json(arguments)
    }

    fn queues(&self) -> Result<Vec<(bool, Request)>> {
        let sends =
            |policy: &Value, queue: &str, request: fn(&str, &str, &str) -> Request, by: &str| {
                let arn = format!("arn:aws:sqs:{REGION}:{DATA}:{queue}");
                request(by, "sqs:SendMessage", &arn).resource_policy(policy.clone())
            };
        let policy = |queue: &str| -> Result<Value> {
            let url = format!("{}/{DATA}/{queue}", self.cloud.emulator.endpoint());
            let get = self.cloud.data.sqs.get_queue_attributes().queue_url(url);
            let get = get.attribute_names(QueueAttributeName::Policy);
            let found = self.cloud.wait(get.send()).context("failed to read a policy")?;
            let policy = found.attributes().and_then(|a| a.get(&QueueAttributeName::Policy));
            Ok(policy.context("a queue has no policy")?.as_str().into())
        };
        let rule = |name: &str| format!("arn:aws:events:{REGION}:{DATA}:rule/{name}");
        let arrivals = policy("landfall-arrivals")?;
        let bucket = |bucket: &str, account: &str| {
            sends(&arrivals, "landfall-arrivals", Request::by_service, "s3.amazonaws.com")
                .with("aws:SourceArn", format!("arn:aws:s3:::{bucket}"))
                .with("aws:SourceAccount", account)
        };
        let by_rule = |policy: &Value, queue: &str, name: &str| {
            sends(policy, queue, Request::by_service, "events.amazonaws.com")
                .with("aws:SourceArn", rule(name))
        };
        let runs = policy("landfall-runs")?;
        let allowed = json!({ "Version": "2012-10-17", "Statement":
            [{ "Effect": "Allow", "Action": "sqs:*", "Resource": "*" }] });
        let by_role = |role: &str| {
            sends(&runs, "landfall-runs", Request::by_role, role).identity(allowed.clone())
        };
        let mut list = vec![
            (true, bucket("acme-landing", DATA)),
            (true, bucket(CREATED_BUCKET, DATA)),
            (false, bucket("other", DATA)),
            // Somebody else has taken the name of a bucket that was deleted.
            (false, bucket("acme-landing", ANALYTICS)),
            (true, by_rule(&arrivals, "landfall-arrivals", "landfall-arrivals")),
            (false, by_rule(&arrivals, "landfall-arrivals", "other")),
            (true, by_rule(&runs, "landfall-runs", "landfall-runs/landfall-runs")),
            (false, by_rule(&runs, "landfall-runs", "landfall-runs")),
            (true, by_role(SENDER)),
            (false, by_role(&SENDER.replace("/acme/", "/"))),
            (true, by_role(&SENDER.replace(ANALYTICS, FURTHER))),
            (false, by_role(&SENDER.replace(ANALYTICS, STRANGER))),
        ];
        // A principal that may use a queue by its own rights still needs TLS. Queues of other
        // accounts have no policy here.
        let own = format!("arn:aws:iam::{DATA}:role/admin");
        for queue in [
            "landfall-arrivals",
            "landfall-runs",
            "landfall-work",
            "landfall-arrivals-dlq",
            "landfall-runs-dlq",
        ] {
            let policy = policy(queue)?;
            let request = sends(&policy, queue, Request::by_role, &own).identity(allowed.clone());
            list.push((true, request.clone()));
            list.push((false, request.with("aws:SecureTransport", "false")));
            let stranger = format!("arn:aws:iam::{STRANGER}:role/x");
            let stranger = sends(&policy, queue, Request::by_role, &stranger);
            list.push((false, stranger.identity(allowed.clone())));
        }
        Ok(list)
    }

    fn key(&self) -> Result<Vec<(bool, Request)>> {
        let aliases = self.json(&["kms", "list-aliases"])?;
        let aliases = aliases["Aliases"].as_array().context("aliases")?;
        let alias = aliases.iter().find(|alias| alias["AliasName"] == "alias/landfall");
        let id = alias.and_then(|alias| alias["TargetKeyId"].as_str()).context("no alias")?;
        let name = ["--key-id", id, "--policy-name", "default"];
        let found = self.json(&[&["kms", "get-key-policy"][..], &name].concat())?;
        let policy = found["Policy"].clone();
        let arn = format!("arn:aws:kms:{REGION}:{DATA}:key/{id}");
        let service = |service: &str, action: &str, source: &str, account: &str| {
            Request::by_service(service, action, &arn)
                .resource_policy(policy.clone())
                .with("aws:SourceArn", source)
                .with("aws:SourceAccount", account)
        };
        let bucket = "arn:aws:s3:::acme-landing";
        let rule = format!("arn:aws:events:{REGION}:{DATA}:rule/landfall-arrivals");
        let alarm = format!("arn:aws:cloudwatch:{REGION}:{DATA}:alarm:landfall-oldest-due");
        let other_alarm = alarm.replace("landfall", "other");
        let mut list = Vec::new();
        for action in ["kms:GenerateDataKey", "kms:Decrypt"] {
            list.extend([
                (true, service("s3.amazonaws.com", action, bucket, DATA)),
                (false, service("s3.amazonaws.com", action, "arn:aws:s3:::other", DATA)),
                (false, service("s3.amazonaws.com", action, bucket, ANALYTICS)),
                (true, service("events.amazonaws.com", action, &rule, DATA)),
                (false, service("events.amazonaws.com", action, &format!("{rule}-2"), DATA)),
                (true, service("cloudwatch.amazonaws.com", action, &alarm, DATA)),
                (false, service("cloudwatch.amazonaws.com", action, &other_alarm, DATA)),
                (false, service("glue.amazonaws.com", action, bucket, DATA)),
            ]);
        }
        let own = |role: &str, service: &str, account: &str| {
            Request::by_role(role, "kms:Decrypt", &arn)
                .resource_policy(policy.clone())
                .with("kms:CallerAccount", account)
                .with("kms:ViaService", format!("{service}.{REGION}.amazonaws.com"))
        };
        let trigger = format!("arn:aws:iam::{DATA}:role/acme/landfall-trigger");
        let reader = format!("arn:aws:iam::{DATA}:role/acme/made/landfall-reader-{ANALYTICS}");
        for (role, via) in
            [(&trigger, "sqs"), (&trigger, "dynamodb"), (&reader, "s3"), (&reader, "dynamodb")]
        {
            list.push((true, own(role, via, DATA)));
        }
        let job = format!("arn:aws:iam::{ANALYTICS}:role/acme/made/landfall-job");
        let allowed = json!({ "Version": "2012-10-17", "Statement":
            [{ "Effect": "Allow", "Action": "kms:*", "Resource": "*" }] });
        list.extend([
            (false, own(&trigger, "ec2", DATA)),
            (true, own(SENDER, "sqs", ANALYTICS).identity(allowed.clone())),
            (false, own(SENDER, "s3", ANALYTICS).identity(allowed.clone())),
            (false, own(&job, "s3", ANALYTICS).identity(allowed.clone())),
            (false, own(&job, "sqs", ANALYTICS).identity(allowed)),
        ]);
        Ok(list)
    }

    fn buckets(&self) -> Result<Vec<(bool, Request)>> {
        let manifests = format!("landfall-manifests-{DATA}-{REGION}");
        let allowed = json!({ "Version": "2012-10-17", "Statement":
            [{ "Effect": "Allow", "Action": "s3:*", "Resource": "*" }] });
        let mut list = Vec::new();
        for bucket in [manifests.as_str(), CREATED_BUCKET] {
            let found = self.json(&["s3api", "get-bucket-policy", "--bucket", bucket])?;
            let gets = |role: &str| {
                Request::by_role(role, "s3:GetObject", &format!("arn:aws:s3:::{bucket}/x"))
                    .owned_by(DATA)
                    .identity(allowed.clone())
                    .resource_policy(found["Policy"].clone())
            };
            let own = gets(&format!("arn:aws:iam::{DATA}:role/admin"));
            list.extend([
                (true, own.clone()),
                (false, own.with("aws:SecureTransport", "false")),
                (false, gets(&format!("arn:aws:iam::{ANALYTICS}:role/admin"))),
            ]);
        }
        Ok(list)
    }

    fn topic(&self) -> Result<Vec<(bool, Request)>> {
        let arn = format!("arn:aws:sns:{REGION}:{DATA}:landfall-alarms");
        let found = self.json(&["sns", "get-topic-attributes", "--topic-arn", &arn])?;
        let policy = found["Attributes"]["Policy"].clone();
        let publishes = |alarm: &str| {
            Request::by_service("cloudwatch.amazonaws.com", "sns:Publish", &arn)
                .resource_policy(policy.clone())
                .with("aws:SourceArn", format!("arn:aws:cloudwatch:{REGION}:{DATA}:alarm:{alarm}"))
                .with("aws:SourceAccount", DATA)
        };
        Ok(vec![
            (true, publishes("landfall-oldest-due")),
            (false, publishes("other")),
            (false, publishes("landfall-oldest-due").with("aws:SourceAccount", ANALYTICS)),
        ])
    }
}
