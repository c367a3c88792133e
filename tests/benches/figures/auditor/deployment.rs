//! A healthy deployment in AWS in memory: the templates as they are, and what CloudFormation and
//! the provisioner make of them in one account.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, ensure};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use landfall_aws::config;
use landfall_core::bucket_notifications::Spec;
use landfall_core::chain::Side;
use landfall_core::lifecycle::token;
use landfall_core::roles::{Kind, Owner, RoleSpec};
use landfall_inspection::requested::{NOT_SHOWN, Requested, Resource};
use landfall_inspection::template::as_json;
use landfall_provisioning::{bucket_notifications, iam};
use landfall_stand_ins::{
    EventRule, IamRole, LambdaFunction, Stack, StackResource, StandIn, Table,
};
use landfall_tests::{ANALYTICS, DATA, root};
use serde_json::{Value, json};
use tokio::time::Instant;

/// The region of both stacks. IAM's events have to be forwarded there.
pub const REGION: &str = "eu-west-1";
pub const FINDINGS: &str = "landfall-findings";

const LEDGER: &str = "landfall-ledger";
const EXTERNAL_ID: &str = "external-id-7f3a";
/// How long a role or a bucket may take.
const SOON: Duration = Duration::from_secs(10);

/// What the routes have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One bucket, and one job with the stack's job role.
    Shared,
    /// Each route has a bucket of its own, which is encrypted with a key of its own, and a job with a role of its own.
    Apart,
}

impl Shape {
    /// Returns the numbers of routes to measure. IAM's limit for the policy of the reader role allows few more.
    pub fn sizes(self) -> [usize; 3] {
        match self {
            Self::Shared => [1, 10, 50],
            Self::Apart => [1, 10, 20],
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::Shared => "one bucket, one job",
            Self::Apart => "a bucket, a key, a job and its role each",
        }
    }
}

/// A deployment of this many routes.
#[derive(Debug, Clone, Copy)]
pub struct Deployment {
    pub shape: Shape,
    pub routes: usize,
}

/// An account with its half of a deployment, as it is being made.
struct Account {
    aws: StandIn,
    config: SdkConfig,
    requested: Requested,
    /// The keys that the reader role may decrypt with.
    keys: BTreeSet<String>,
}

impl Deployment {
    /// Makes one account's half.
    pub async fn make(self, side: Side) -> Result<StandIn> {
        let tables = [Table::ledger(LEDGER), Table::claims("landfall-claims")];
        let findings = Table::new(FINDINGS, "stack", Some("finding"));
        let aws = StandIn::start(tables.into_iter().chain([findings]).collect());
        let account = match side {
            Side::Data => self.data(aws).await?,
            Side::Analytics => self.analytics(aws).await?,
        };
        account.have_roles_made().await?;
        account.have_iam_events_forwarded();
        account.aws.clear_calls();
        Ok(account.aws)
    }

    async fn data(self, aws: StandIn) -> Result<Account> {
        let buckets: BTreeSet<String> = (0..self.routes).map(|at| self.bucket(at)).collect();
        let given = [
            ("LandingBucketNames", buckets.iter().cloned().collect::<Vec<_>>().join(",")),
            ("AnalyticsAccountId", ANALYTICS.to_owned()),
            ("OtherJobRoleArns", self.roles_of_jobs().join(",")),
            ("ExternalId", "****".to_owned()),
        ];
        let mut account = Account::new(aws, DATA, self.stack("data-account", &given)?)?;
        for bucket in buckets {
            let key = format!("arn:aws:kms:{REGION}:{DATA}:key/{bucket}");
            account.aws.make_bucket(&bucket, DATA);
            account.aws.keep_versions(&bucket);
            account.aws.encrypt_bucket(&bucket, &key);
            account.aws.put_key(&key, &admits_the_account().to_string());
            account.keys.insert(key);
        }
        for resource in account.requested.resources() {
            account.make(&resource)?;
        }
        account.have_notifications_made().await?;
        let reader = "landfall-reader-222222222222";
        account.put_analyzer(DATA, &format!("role/landfall/{reader}"), ANALYTICS);
        let millis = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis().to_string();
        for at in 0..self.routes {
            let item = json!({ "pk": { "S": format!("batch#{at}") }, "sk": { "S": "batch" },
                "route": { "S": name(at) }, "created_at": { "N": millis } });
            ensure!(account.aws.put_item(LEDGER, &item), "there is no ledger");
        }
        Ok(account)
    }

    async fn analytics(self, aws: StandIn) -> Result<Account> {
        let jobs: BTreeSet<String> = (0..self.routes).map(|at| self.job(at)).collect();
        let jobs: Vec<String> = jobs.into_iter().collect();
        let given = [
            ("DataAccountId", DATA.to_owned()),
            ("OtherJobNames", jobs.join(",")),
            ("ExternalId", "****".to_owned()),
        ];
        let account = Account::new(aws, ANALYTICS, self.stack("analytics-account", &given)?)?;
        for (at, job) in jobs.iter().enumerate() {
            account.aws.job(job, 0);
            let role = match self.shape {
                Shape::Shared => "landfall/landfall-job".to_owned(),
                Shape::Apart => format!("acme-{job}"),
            };
            account.aws.job_role(job, &format!("arn:aws:iam::{ANALYTICS}:role/{role}"));
            if self.shape == Shape::Apart {
                account.aws.put_role(&format!("acme-{job}"), role_of_a_job(at));
            }
        }
        for resource in account.requested.resources() {
            account.make(&resource)?;
        }
        account.put_analyzer(ANALYTICS, "role/landfall/landfall-starter", DATA);
        Ok(account)
    }

    fn bucket(self, at: usize) -> String {
        match self.shape {
            Shape::Shared => "acme-landing".to_owned(),
            Shape::Apart => format!("acme-landing-{at:03}"),
        }
    }

    fn job(self, at: usize) -> String {
        match self.shape {
            Shape::Shared => "job".to_owned(),
            Shape::Apart => format!("job-{at:03}"),
        }
    }

    fn roles_of_jobs(self) -> Vec<String> {
        match self.shape {
            Shape::Shared => Vec::new(),
            Shape::Apart => (0..self.routes)
                .map(|at| format!("arn:aws:iam::{ANALYTICS}:role/acme-{}", self.job(at)))
                .collect(),
        }
    }

    fn routes(self) -> Value {
        let route = |at: usize| {
            json!({ "name": name(at), "bucket": self.bucket(at), "key": format!("{}/{{file}}.csv", name(at)),
                "start": { "target": "analytics", "job": self.job(at) } })
        };
        json!({
            "version": "1",
            "targets": { "analytics": { "account": ANALYTICS, "region": REGION,
                "starter_role": "landfall/landfall-starter", "external_id": "${EXTERNAL_ID}" } },
            "routes": (0..self.routes).map(route).collect::<Vec<_>>(),
        })
    }

    /// Returns the template with the routes, as CloudFormation keeps it, and the values of all parameters.
    fn stack(
        self,
        template: &str,
        given: &[(&str, String)],
    ) -> Result<(Value, BTreeMap<String, String>)> {
        let file = root().join("infra").join(template).with_extension("yaml");
        let text = fs::read_to_string(&file)
            .with_context(|| format!("failed to read `{}`", file.display()))?;
        let mut template = as_json(&text)?;
        let mut values = BTreeMap::new();
        for (name, about) in template["Parameters"].as_object().into_iter().flatten() {
            let given = given.iter().find(|(of, _)| of == name).map(|(_, value)| value.clone());
            let value = given.or_else(|| about["Default"].as_str().map(str::to_owned));
            let value = value.with_context(|| format!("parameter `{name}` has no value"))?;
            values.insert(name.clone(), value);
        }
        let unknown = given.iter().find(|(name, _)| !values.contains_key(*name));
        ensure!(unknown.is_none(), "there is no parameter `{unknown:?}`");
        include(&mut template, &self.routes());
        // Only CloudFormation knows the ARN of the role that the rule sends with, and no auditor reads it.
        let targets = template.pointer_mut("/Resources/JobStateRule/Properties/Targets");
        for target in targets.and_then(Value::as_array_mut).into_iter().flatten() {
            target.as_object_mut().and_then(|target| target.remove("RoleArn"));
        }
        // SAM makes a rule of the schedule.
        if template["Resources"]["Monitor"].is_object() {
            template["Resources"]["MonitorTick"] = json!({ "Type": "AWS::Events::Rule", "Properties": {
                "Targets": [{ "Arn": { "Fn::Sub": FUNCTION.replace("NAME", "monitor") } }] } });
        }
        Ok((template, values))
    }
}

const FUNCTION: &str =
    "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:${NamePrefix}-NAME";

fn name(at: usize) -> String {
    format!("route-{at:03}")
}

/// Puts the routes where the template includes them.
fn include(part: &mut Value, routes: &Value) {
    match part {
        Value::Object(entries) if entries.contains_key("Fn::Transform") => *part = routes.clone(),
        Value::Object(entries) => entries.values_mut().for_each(|it| include(it, routes)),
        Value::Array(items) => items.iter_mut().for_each(|it| include(it, routes)),
        _ => {}
    }
}

fn admits_the_account() -> Value {
    json!({ "Version": "2012-10-17", "Statement": [{ "Sid": "Enable IAM User Permissions", "Effect": "Allow",
        "Principal": { "AWS": format!("arn:aws:iam::{DATA}:root") }, "Action": "kms:*", "Resource": "*" }] })
}

/// Returns a role as users make it for a job of theirs. AWS's managed policy for Glue isn't
/// attached, because the stand-in attaches none.
fn role_of_a_job(at: usize) -> IamRole {
    let trust = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
        "Principal": { "Service": "glue.amazonaws.com" }, "Action": "sts:AssumeRole" }] });
    let reads = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "sts:AssumeRole",
        "Resource": format!("arn:aws:iam::{DATA}:role/landfall/landfall-reader-{ANALYTICS}") }] });
    IamRole {
        path: "/".to_owned(),
        description: format!("The role of job {at}"),
        trust: trust.to_string(),
        max_session_secs: "3600".to_owned(),
        policies: BTreeMap::from([("reads".to_owned(), reads.to_string())]),
        ..IamRole::default()
    }
}

impl Account {
    fn new(
        aws: StandIn,
        account: &str,
        (template, values): (Value, BTreeMap<String, String>),
    ) -> Result<Self> {
        let id = format!("arn:aws:cloudformation:{REGION}:{account}:stack/landfall/0f1e2d3c");
        let template_text = template.to_string();
        let all = template["Resources"].as_object().context("the template has no resources")?;
        let ids = all.iter().map(|(logical_id, resource)| {
            (logical_id.clone(), physical_id(logical_id, resource, account))
        });
        let requested = Requested::new(&template_text, &id, &values, ids.collect())?;
        let resource = |it: Resource| {
            StackResource::new(&it.logical_id, &it.physical_id, &it.kind, "UPDATE_COMPLETE")
        };
        let stack = Stack {
            status: "UPDATE_COMPLETE".to_owned(),
            resources: requested.resources().into_iter().map(resource).collect(),
            parameters: values,
            template: template_text,
            ..Stack::default()
        };
        aws.stack(&id, stack);
        let credentials = Credentials::new("id", "key", None, None, "bench");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(aws.endpoint())
            .http_client(config::http_client())
            .build();
        Ok(Self { aws, config, requested, keys: BTreeSet::new() })
    }

    /// Makes what CloudFormation makes itself and an auditor looks at.
    fn make(&self, Resource { logical_id, kind, physical_id }: &Resource) -> Result<()> {
        let queue = |name: &str| format!("arn:aws:sqs:{REGION}:{DATA}:landfall-{name}");
        match kind.as_str() {
            "AWS::SQS::Queue" => {
                self.aws.put_queue(physical_id.rsplit('/').next().unwrap_or_default(), "");
            }
            "AWS::SQS::QueuePolicy" => {
                let properties = self.requested.properties(logical_id)?;
                for queue in properties["Queues"].as_array().into_iter().flatten() {
                    let name = queue.as_str().and_then(|url| url.rsplit('/').next());
                    let policy = properties["PolicyDocument"].to_string();
                    self.aws.put_queue(name.context("a policy names no queue")?, &policy);
                }
            }
            "AWS::Events::Rule" => {
                let properties = self.requested.properties(logical_id)?;
                let targets = properties["Targets"].as_array().into_iter().flatten();
                let arn = |target: &Value| target["Arn"].as_str().map(str::to_owned);
                let pattern = &properties["EventPattern"];
                let rule = EventRule {
                    pattern: pattern.is_object().then(|| pattern.to_string()),
                    targets: targets.filter_map(arn).collect(),
                };
                self.aws.put_rule(physical_id, rule);
            }
            "AWS::Serverless::Function" => {
                let queues: &[&str] = match logical_id.as_str() {
                    "Trigger" => &["arrivals", "backfill"],
                    "Monitor" => &["runs", "work"],
                    _ => &[],
                };
                let external_id = ("LANDFALL_EXTERNAL_ID".to_owned(), EXTERNAL_ID.to_owned());
                let function = LambdaFunction {
                    variables: BTreeMap::from([external_id]),
                    reserved: None,
                    queues: queues.iter().map(|name| queue(name)).collect(),
                };
                self.aws.put_function(physical_id, function);
            }
            "AWS::S3::Bucket" => self.aws.make_bucket(physical_id, DATA),
            _ => {}
        }
        Ok(())
    }

    /// Has the provisioner's code make the roles that the stack asks for.
    async fn have_roles_made(&self) -> Result<()> {
        let iam = aws_sdk_iam::Client::new(&self.config);
        for resource in self.requested.resources() {
            let Some(kind) = Kind::of_resource(&resource.kind) else { continue };
            let properties = self.requested.properties(&resource.logical_id)?.to_string();
            let properties = properties.replace(NOT_SHOWN, EXTERNAL_ID);
            let properties = serde_json::from_str(&properties)?;
            let spec = RoleSpec::read(kind, &properties, &self.requested.home)?;
            let role = spec.role(&self.owner(&resource), &self.keys)?;
            iam::converge(&iam, &role, Instant::now() + SOON).await?;
        }
        Ok(())
    }

    /// Has the provisioner's code add the notifications that the stack asks for.
    async fn have_notifications_made(&self) -> Result<()> {
        let s3 = aws_sdk_s3::Client::from_conf(config::s3(&self.config).build());
        for resource in self.requested.resources() {
            if resource.kind != "Custom::LandfallBucketNotifications" {
                continue;
            }
            let properties = self.requested.properties(&resource.logical_id)?;
            let spec = Spec::read(&properties).map_err(|problems| anyhow!(problems.join("; ")))?;
            let owner = token(&self.requested.id, &resource.logical_id);
            for (bucket, desired) in spec.all_desired(&owner) {
                let deadline = Instant::now() + SOON;
                bucket_notifications::converge(&s3, &bucket, DATA, &desired, deadline).await?;
            }
        }
        Ok(())
    }

    /// Puts what `iam-events.yaml` makes in IAM's region.
    fn have_iam_events_forwarded(&self) {
        let account = &self.requested.home.account;
        let name = "landfall-iam-events";
        let id = format!("arn:aws:cloudformation:us-east-1:{account}:stack/{name}/1a2b3c4d");
        let status = "CREATE_COMPLETE".to_owned();
        self.aws.stack(&id, Stack { status, ..Stack::default() });
        let bus = format!("arn:aws:events:{REGION}:{account}:event-bus/default");
        let pattern = Some(json!({ "source": ["aws.iam"] }).to_string());
        self.aws.put_rule(name, EventRule { pattern, targets: vec![bus] });
    }

    fn owner(&self, resource: &Resource) -> Owner {
        Owner {
            stack_id: self.requested.id.clone(),
            logical_id: resource.logical_id.clone(),
            physical_id: resource.physical_id.clone(),
        }
    }

    /// Puts an analyzer that knows that a role lets the other account in.
    fn put_analyzer(&self, account: &str, role: &str, other: &str) {
        let at = "2026-01-31T12:00:00Z";
        let finding = json!({ "id": "5f0d", "resource": format!("arn:aws:iam::{account}:{role}"),
            "resourceType": "AWS::IAM::Role", "resourceOwnerAccount": account, "principal": { "AWS": other },
            "isPublic": false, "condition": {}, "status": "ACTIVE",
            "createdAt": at, "analyzedAt": at, "updatedAt": at });
        let arn = format!("arn:aws:access-analyzer:{REGION}:{account}:analyzer/landfall");
        self.aws.put_analyzer(&arn, &[finding]);
    }
}

/// Returns the ID that a resource has in AWS: a queue's URL, the name that the template gives, or
/// one that CloudFormation makes up.
fn physical_id(logical_id: &str, resource: &Value, account: &str) -> String {
    let properties = &resource["Properties"];
    let names = ["QueueName", "TableName", "FunctionName", "BucketName", "Name"];
    let given = names.iter().find_map(|name| {
        let name = &properties[*name];
        name["Fn::Sub"].as_str().or(name.as_str())
    });
    let Some(given) = given else { return format!("landfall-{logical_id}-0A1B2C3D4E5F") };
    let name = given
        .replace("${NamePrefix}", "landfall")
        .replace("${AWS::AccountId}", account)
        .replace("${AWS::Region}", REGION);
    match resource["Type"].as_str() {
        Some("AWS::SQS::Queue") => format!("https://sqs.{REGION}.amazonaws.com/{account}/{name}"),
        _ => name,
    }
}
