//! The properties of `Custom::LandfallBucketAccess`, first as written, then valid.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Desired, LIST, PRINCIPAL_ARN, READ, own_sid};
use crate::arn::{KeyArn, RoleArn};
use crate::at::At;
use crate::policy::{Document, Statement, literal};
use crate::problem::Problem;
use crate::properties;
use crate::reach::{Reach, listed_prefixes, object_arns};
use crate::reaches::Reaches;
use crate::repair;
use crate::roles::Home;
use crate::routes::Access;
use crate::routes::resolve::{self, is_bucket};
use crate::routes::written::RoutesFile;

const LISTS: [&[&str]; 3] = [&["JobRoleArns"], &["BucketNames"], &["KmsKeyArns"]];

/// `Custom::LandfallBucketAccess`, in the data account. Adds statements to the policies of the buckets of routes with
/// `access: bucket_policy`, so that the job roles may read what those routes take. Other statements stay as they are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[schemars(title = "Custom::LandfallBucketAccess")]
struct Written {
    /// The version of these properties. Default: 1.
    #[schemars(range(min = 1, max = 1))]
    version: Option<u32>,
    /// The time of the last repair: at most 64 letters, digits and `-:.`. With another value, CloudFormation asks
    /// for an Update, which puts right what differs from the other properties. The value itself means nothing.
    #[schemars(length(max = 64), regex(pattern = "^[0-9A-Za-z:.-]*$"))]
    repair: Option<String>,
    /// The routes file, included with `AWS::Include`.
    #[schemars(required)]
    routes: Option<RoutesFile>,
    /// The ARNs of the job roles that may read, of any analytics accounts. Each may read what the routes to its own
    /// account take. The roles don't have to exist yet.
    #[schemars(required, length(min = 1))]
    job_role_arns: Option<Vec<String>>,
    /// The buckets whose policies get statements. They must exist. Default: all buckets of those routes.
    bucket_names: Option<Vec<String>>,
    /// The ARNs of the KMS keys that objects are encrypted with. The provisioner doesn't change their policies, but says
    /// what to add to them. Default: the keys of the buckets' default encryption.
    kms_key_arns: Option<Vec<String>>,
    /// A reference to something that the stack must make first, such as a bucket's policy. The value means nothing.
    #[expect(dead_code, reason = "CloudFormation alone uses the reference")]
    after: Option<String>,
}

/// The valid properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The partition of the stack, such as `aws` or `aws-cn`.
    pub partition: String,
    /// The job roles by account.
    pub roles: BTreeMap<String, BTreeSet<String>>,
    /// What the job roles of each account may read of each bucket. No reach of an account includes another one.
    pub buckets: BTreeMap<String, BTreeMap<String, BTreeSet<Reach>>>,
    /// The KMS keys, if the properties give them.
    pub keys: Option<BTreeSet<String>>,
    /// A sentence for each permission that is wider than the routes say, and for each account that gets none.
    pub notes: Vec<String>,
    /// The buckets that job roles may read entirely although no route takes every key or says `wide: true`, each with
    /// one such route.
    pub unrequested: BTreeMap<String, String>,
}

impl Spec {
    /// Reads and checks the properties of a resource in a stack at `home`.
    ///
    /// # Errors
    /// Returns all problems together, each with the path of its property before it.
    pub fn read(properties: &Value, home: &Home) -> Result<Self, Vec<String>> {
        let properties::Read { written, root, mut problems } =
            properties::read::<Written>(properties, &LISTS);
        let spec =
            written.and_then(|written| resolve(&written, home, At::new(&root, &mut problems)));
        problems.retain(Problem::is_error);
        problems.sort_by_key(|problem| problem.place.bytes.start);
        match spec.filter(|_| problems.is_empty()) {
            Some(spec) => Ok(spec),
            None => Err(problems.iter().map(|p| properties::describe(&root, p)).collect()),
        }
    }

    /// Returns the buckets that properties name, even if the properties are otherwise invalid or of another version:
    /// statements that were put into their policies must still be found and removed. Buckets of routes with
    /// `access: role` aren't among them, because the provisioner may not look at their policies.
    pub fn buckets_of(properties: &Value) -> BTreeSet<String> {
        let routes = properties["Routes"]["routes"].as_array();
        let is_ours = |route: &&Value| route["start"]["access"] == Access::BucketPolicy.as_str();
        let of_routes = routes.into_iter().flatten().filter(is_ours).map(|it| &it["bucket"]);
        let selected = properties["BucketNames"].as_array();
        let is_selected = |name: &&Value| selected.is_none_or(|names| names.contains(name));
        let names = of_routes.filter(is_selected).filter_map(Value::as_str);
        names.filter(|name| is_bucket(name)).map(str::to_owned).collect()
    }

    /// Returns what each bucket should have. `owner` becomes part of the Sids.
    pub fn all_desired(&self, owner: &str) -> BTreeMap<String, Desired> {
        let of_bucket = |(bucket, accounts): (&String, &BTreeMap<_, _>)| {
            let statements =
                accounts.iter().flat_map(|of| self.statements(owner, bucket, of)).collect();
            (bucket.clone(), Desired { owner: owner.to_owned(), statements })
        };
        self.buckets.iter().map(of_bucket).collect()
    }

    /// Returns the statements of one bucket for the job roles of one account: one for the objects, one for the lists.
    ///
    /// The principal is the account, and a condition names the roles. If a role were the principal, S3 would store its
    /// unique ID, which breaks when the role is created again, and would refuse a role that doesn't exist yet.
    fn statements(
        &self,
        owner: &str,
        bucket: &str,
        (account, reaches): (&String, &BTreeSet<Reach>),
    ) -> Vec<Value> {
        let partition = &self.partition;
        let roles = self.roles.get(account).into_iter().flatten();
        let for_roles = |about: &str, actions| {
            Statement::allow(&own_sid(owner, &format!("{about}\n{account}")), actions)
                .by("AWS", &format!("arn:{partition}:iam::{account}:root"))
                .when("ArnEquals", PRINCIPAL_ARN, roles.clone().map(|arn| literal(arn)))
                // Reads always use TLS, as with the reader role.
                .when("Bool", "aws:SecureTransport", ["true".to_owned()])
        };
        let read = for_roles("read", READ).on(object_arns(partition, bucket, reaches));
        let list = for_roles("list", LIST).on([format!("arn:{partition}:s3:::{bucket}")]);
        let list = match listed_prefixes(reaches) {
            None => list,
            Some(prefixes) => list.when("StringLike", "s3:prefix", prefixes),
        };
        let document = Document::new([read, list]);
        document.value()["Statement"].as_array().cloned().unwrap_or_default()
    }

    /// Returns the statements to add to the policies of KMS keys, one for each account: objects for the list
    /// `Statement` of a key policy. Landfall never changes a key's policy.
    pub fn key_statements(&self, owner: &str) -> Vec<Value> {
        let partition = &self.partition;
        let named = self.buckets.values().flat_map(BTreeMap::keys).collect::<BTreeSet<_>>();
        let statements = named.into_iter().map(|account| {
            let roles = self.roles.get(account).into_iter().flatten();
            let sid = own_sid(owner, &format!("decrypt\n{account}"));
            Statement::allow(&sid, ["kms:Decrypt"])
                .by("AWS", &format!("arn:{partition}:iam::{account}:root"))
                .on(["*".to_owned()])
                .when("ArnEquals", PRINCIPAL_ARN, roles.map(|arn| literal(arn)))
                // AWS sets the value, `s3.region.suffix`. The suffix differs between partitions.
                .when("StringLike", "kms:ViaService", ["s3.*".to_owned()])
        });
        let document = Document::new(statements);
        document.value()["Statement"].as_array().cloned().unwrap_or_default()
    }

    /// Returns the job roles that get statements.
    pub fn readers(&self) -> BTreeSet<&String> {
        let accounts: BTreeSet<&String> = self.buckets.values().flat_map(BTreeMap::keys).collect();
        accounts.into_iter().filter_map(|account| self.roles.get(account)).flatten().collect()
    }
}

fn resolve(written: &Written, home: &Home, mut at: At<'_>) -> Option<Spec> {
    if written.version.is_some_and(|version| version != 1) {
        at.key("Version").error("this version is unknown", "Landfall supports version 1");
    }
    repair::check(written.repair.as_deref(), &mut at);
    let roles = roles(written.job_role_arns.as_ref(), home, &mut at);
    for (index, arn) in written.kms_key_arns.iter().flatten().enumerate() {
        if KeyArn::parse(arn).is_none() {
            at.key("KmsKeyArns").index(index).error(
                "this is not the ARN of a KMS key",
                "it looks like arn:aws:kms:eu-west-1:111111111111:key/1234…; an alias isn't accepted",
            );
        }
    }
    let Some(routes) = &written.routes else {
        at.missing("Routes");
        return None;
    };
    let routes = resolve::resolve(routes, at.key("Routes"));
    for (index, name) in written.bucket_names.iter().flatten().enumerate() {
        if !routes.routes.iter().any(|route| route.bucket == *name) {
            at.key("BucketNames").index(index).error(
                format!("no route uses bucket `{}`", name.escape_debug()),
                "name only buckets that the routes use",
            );
        }
    }
    let is_selected =
        |bucket: &String| written.bucket_names.as_ref().is_none_or(|names| names.contains(bucket));
    let mut spec = Spec {
        partition: home.partition.clone(),
        roles,
        buckets: BTreeMap::new(),
        keys: written.kms_key_arns.as_ref().map(|keys| keys.iter().cloned().collect()),
        notes: Vec::new(),
        unrequested: BTreeMap::new(),
    };
    for account in spec.roles.keys() {
        let reaches =
            Reaches::of(routes.read_by_policy(account).filter(|route| is_selected(&route.bucket)));
        if reaches.buckets.is_empty() {
            spec.notes.push(format!(
                "no route with `access: bucket_policy` has a target in account `{account}`: its job roles may read nothing"
            ));
        }
        for (bucket, of_account) in reaches.buckets {
            spec.buckets.entry(bucket).or_default().insert(account.clone(), of_account);
        }
        spec.notes.extend(reaches.notes);
        spec.unrequested.extend(reaches.unrequested);
    }
    Some(spec)
}

/// Reads the ARNs of job roles, by account.
fn roles(
    arns: Option<&Vec<String>>,
    home: &Home,
    at: &mut At<'_>,
) -> BTreeMap<String, BTreeSet<String>> {
    const HINT: &str = "it looks like arn:aws:iam::222222222222:role/landfall/landfall-job";
    let mut roles: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let Some(arns) = arns else {
        at.missing("JobRoleArns");
        return roles;
    };
    let mut at = at.key("JobRoleArns");
    if arns.is_empty() {
        at.error("the list is empty", "name at least one role");
    }
    for (index, text) in arns.iter().enumerate() {
        match RoleArn::parse(text) {
            Some(arn) if arn.partition == home.partition => {
                roles.entry(arn.account.to_owned()).or_default().insert(text.clone());
            }
            Some(_) => at.index(index).error("the role is in another partition", HINT),
            None => at.index(index).error("this is not the ARN of a role", HINT),
        }
    }
    roles
}

/// Returns the JSON Schema of the properties.
pub fn json_schema() -> String {
    // A `Schema` is a JSON value, so printing it can't fail.
    format!("{:#}\n", json!(schemars::schema_for!(Written).to_value()))
}
