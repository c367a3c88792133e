//! The provisioner's own policy and the boundary of the roles that it makes, as
//! `infra/provisioner.yaml` has them for several sets of parameters: what must be allowed, and what
//! not.

mod boundary;
mod own;

use std::sync::OnceLock;

use anyhow::Result;
use landfall_tests::judge::Request;
use landfall_tests::{ANALYTICS, DATA, REGION};
use serde_json::{Value, json};

use self::own::Names;
use super::{policies_of, statement, wrong};

/// The account in which the provisioner is judged. It trusts the other one.
pub const HERE: &str = DATA;
pub const TRUSTED: &str = ANALYTICS;
pub const FOREIGN: &str = "999999999999";

/// The number of sets of parameters. Verdicts are in this order: everything named; nothing named;
/// everything named, with a boundary that goes by the account; a data account; an analytics
/// account.
const SETS: usize = 5;
const NAMED: usize = 0;
const ANY: usize = 1;
const BY_ACCOUNT: usize = 2;

/// Whether a request must be allowed, for each set.
pub type Verdicts = [bool; SETS];

pub const ALWAYS: Verdicts = [true; SETS];
pub const NEVER: Verdicts = [false; SETS];

/// The name of a request, the sets with which it must be allowed, and the request without the
/// policy.
pub type Row = (&'static str, Verdicts, Request);

/// The set of a stack that has names of its own, and a role of another account to make roles with.
fn set_of_its_own() -> Value {
    let Names { prefix, path, boundary, provisioning_role } = own::OF_ITS_OWN;
    json!([{
        "TrustedAccountIds": "*", "LandingBucketArns": "arn:aws:s3:::acme-landing",
        "PolicyBucketArns": "arn:aws:s3:::acme-landing",
        "NamePrefix": prefix, "ProvisionedRolePath": format!("/{path}/"),
        "PermissionsBoundaryArn": boundary, "ProvisioningRoleArn": provisioning_role,
        "Table.Arn": format!("arn:aws:dynamodb:{REGION}:{HERE}:table/{prefix}-provisioner"),
    }])
}

fn sets() -> Value {
    let named = json!({
        "TrustedAccountIds": TRUSTED,
        "LandingBucketArns": "arn:aws:s3:::acme-landing,arn:aws:s3:::acme-items",
        "PolicyBucketArns": "arn:aws:s3:::acme-landing",
        "JobBucketArns": "arn:aws:s3:::acme-out,arn:aws:s3:::acme-assets",
        "JobBucketAccountIds": TRUSTED,
        "JobInputBucketArns": "arn:aws:s3:::acme-input",
        "JobArns": format!("arn:aws:glue:{REGION}:{HERE}:job/orders"),
        "ConnectionArns": format!("arn:aws:glue:{REGION}:{HERE}:connection/warehouse"),
        "StreamArns": format!("arn:aws:kinesis:{REGION}:{HERE}:stream/clicks"),
        "MetricNamespaces": "Glue,Acme",
        "LakeFormationAccess": "true",
        "NetworkInterfaces": "true",
    });
    let with = |set: &Value, more: Value| {
        let mut set = set.clone();
        let known = json!({
            "Boundary.Ref": format!("arn:aws:iam::{HERE}:policy/landfall-boundary"),
            "Table.Arn": format!("arn:aws:dynamodb:{REGION}:{HERE}:table/landfall-provisioner"),
        });
        for more in [more, known] {
            let all = set.as_object_mut().expect("an object");
            all.extend(more.as_object().expect("an object").clone());
        }
        set
    };
    let any = json!({ "TrustedAccountIds": "*", "LandingBucketArns": "*" });
    let data = json!({
        "TrustedAccountIds": TRUSTED, "LandingBucketArns": "arn:aws:s3:::acme-landing",
        "JobBucketArns": "none", "JobArns": "none",
    });
    let analytics = json!({ "TrustedAccountIds": TRUSTED, "LandingBucketArns": "none" });
    json!([
        with(&named, json!({})),
        with(&any, json!({})),
        with(&named, json!({ "BoundaryByAccount": "true" })),
        with(&data, json!({})),
        with(&analytics, json!({})),
    ])
}

/// Returns the policies of each set, by logical ID.
fn policies() -> &'static [Value] {
    static POLICIES: OnceLock<Vec<Value>> = OnceLock::new();
    POLICIES.get_or_init(|| resolved(&sets()).expect("the template is resolved"))
}

fn resolved(sets: &Value) -> Result<Vec<Value>> {
    policies_of("provisioner.yaml", sets)
}

const EVERY_SET: [usize; SETS] = [0, 1, 2, 3, 4];

fn documents(policy: &str) -> Vec<Value> {
    policies().iter().map(|set| set[policy].clone()).collect()
}

/// Makes the resource belong to another account whose policy admits this one, so that only our
/// policies can deny the request.
pub fn of_a_friend(request: Request, account: &str, action: &str) -> Request {
    let admits = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
        "Principal": { "AWS": format!("arn:aws:iam::{HERE}:root") }, "Action": action, "Resource": "*" }] });
    request.owned_by(account).resource_policy(admits)
}

fn without(document: &mut Value, sid: &str) {
    let statements = document["Statement"].as_array_mut().expect("statements");
    let before = statements.len();
    statements.retain(|statement| statement["Sid"] != sid);
    assert_eq!(statements.len() + 1, before, "there is no statement `{sid}`");
}

/// A change that makes a policy wider than it may be.
type Widening = (&'static str, usize, fn(&mut Value));

/// Fails unless the rows detect each widening.
#[track_caller]
fn finds(
    rows: &[Row],
    documents: &[Value],
    widenings: &[Widening],
    given: impl Fn(Request, &Value) -> Request,
) {
    for (what, set, widen) in widenings {
        let mut documents = documents.to_vec();
        widen(&mut documents[*set]);
        let found = wrong(rows, &[*set], &documents, &given);
        assert!(!found.is_empty(), "no row detects: {what}");
    }
}

#[test]
fn the_boundary_admits_what_readers_starters_and_jobs_need_and_nothing_beside_it() {
    let found = wrong(&boundary::rows(), &EVERY_SET, &documents("Boundary"), boundary::given);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_provisioners_own_policy_admits_what_it_does_and_nothing_beside_it() {
    let rows = own::rows(&own::BY_DEFAULT);
    let found = wrong(&rows, &EVERY_SET, &documents("ProvisionerRole"), own::given);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// This set names its buckets, so the verdicts are those of [`NAMED`].
#[test]
fn a_provisioner_with_names_of_its_own_is_held_to_them_and_makes_roles_elsewhere_with_one_role() {
    let mut policies = resolved(&set_of_its_own()).expect("the template is resolved");
    assert_eq!(policies[NAMED].get("Boundary"), None);
    let documents = [policies[NAMED]["ProvisionerRole"].take()];
    let rows = own::rows(&own::OF_ITS_OWN);
    let found = wrong(&rows, &[NAMED], &documents, own::given);
    assert!(found.is_empty(), "{}", found.join("\n"));
    finds(&rows, &documents, &own::WIDENINGS_OF_ITS_OWN, own::given);
}

#[test]
fn the_matrix_finds_boundaries_and_own_policies_that_are_too_wide() {
    finds(&boundary::rows(), &documents("Boundary"), &boundary::WIDENINGS, boundary::given);
    let rows = own::rows(&own::BY_DEFAULT);
    finds(&rows, &documents("ProvisionerRole"), &own::WIDENINGS, own::given);
}

/// The command line measures the boundary by its own reading of the template. Its tests compare
/// with these figures.
#[test]
fn a_boundary_is_as_long_as_the_command_line_takes_it_to_be() {
    let chars = |policy: &Value| {
        policy["Boundary"].to_string().chars().filter(|c| !c.is_whitespace()).count()
    };
    let lengths: Vec<usize> = policies().iter().map(chars).collect();
    assert_eq!(lengths, [5386, 3559, 5117, 1189, 3325]);
}
