//! Compares the verdicts of the policy judge with what AWS documents. Other tests rest on the
//! judge.

mod access;
mod announcing;
mod auditor;
mod deploying;
mod iam_events;
mod matrix;
mod provisioner;
mod reconciler;
mod rendered;
mod repairer;
mod scope;

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use landfall_tests::judge::{Judge, Request};
use landfall_tests::{ANALYTICS, DATA, node, python, root};
use serde_json::{Value, json};

fn judge() -> &'static Judge {
    static JUDGE: OnceLock<Judge> = OnceLock::new();
    JUDGE.get_or_init(|| Judge::new(&node::environment().expect("Node's packages are there")))
}

/// Returns the policies of a template by logical ID, for each set of parameters.
fn policies_of(template: &str, sets: &Value) -> Result<Vec<Value>> {
    let python = python::environment()?;
    let mut child = Command::new(python.program("python"))
        .arg(root().join("tests/python/template_policies.py"))
        .arg(root().join("infra").join(template))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("failed to start Python")?;
    child
        .stdin
        .take()
        .context("the standard input is piped")?
        .write_all(sets.to_string().as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "failed to read the template's policies");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Checks requests, each with its name and whether it must be allowed.
#[track_caller]
fn check(expected: impl IntoIterator<Item = (&'static str, bool, Request)>) {
    let expected: Vec<_> = expected.into_iter().collect();
    let requests: Vec<Request> = expected.iter().map(|(_, _, request)| request.clone()).collect();
    let verdicts = judge().ask(&requests).expect("every request can be judged");
    let wrong: Vec<String> = expected
        .iter()
        .zip(verdicts)
        .filter(|((_, allowed, _), verdict)| *allowed != verdict.allowed)
        .map(|((name, _, _), verdict)| {
            format!("{name}: allowed: {}, for {}", verdict.allowed, verdict.because)
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns a line for each wrong verdict. A row has the name of a request, whether it must be allowed with each set of
/// parameters, and the request, to which `given` adds a policy of the set.
fn wrong<const SETS: usize>(
    rows: &[(&'static str, [bool; SETS], Request)],
    sets: &[usize],
    documents: &[Value],
    given: impl Fn(Request, &Value) -> Request,
) -> Vec<String> {
    let cases: Vec<_> =
        sets.iter().flat_map(|set| rows.iter().map(move |row| (*set, row))).collect();
    let requests: Vec<Request> = cases
        .iter()
        .map(|(set, (_, _, request))| given(request.clone(), &documents[*set]))
        .collect();
    let verdicts = judge().ask(&requests).expect("every request can be judged");
    cases
        .iter()
        .zip(verdicts)
        .filter(|((set, (_, expected, _)), verdict)| expected[*set] != verdict.allowed)
        .map(|((set, (what, _, request)), verdict)| {
            format!(
                "{what}, set {set}, {request:?}: allowed: {}, for {}",
                verdict.allowed, verdict.because
            )
        })
        .collect()
}

/// Finds a statement of a document by its SID.
fn statement<'d>(document: &'d mut Value, sid: &str) -> &'d mut Value {
    let statements = document["Statement"].as_array_mut().expect("statements");
    let found = statements.iter_mut().find(|statement| statement["Sid"] == sid);
    found.unwrap_or_else(|| panic!("there is no statement `{sid}`"))
}

/// Returns why a request can't be judged.
#[track_caller]
fn refusal(request: Request) -> String {
    let error = judge().ask(&[request]).expect_err("the request cannot be judged");
    format!("{error:#}")
}

fn policy(statement: Value) -> Value {
    json!({ "Version": "2012-10-17", "Statement": [statement] })
}

fn allow(action: &str, resource: &str) -> Value {
    policy(json!({ "Effect": "Allow", "Action": action, "Resource": resource }))
}

fn allow_if(action: &str, resource: &str, condition: Value) -> Value {
    let statement = json!({
        "Effect": "Allow", "Action": action, "Resource": resource, "Condition": condition,
    });
    policy(statement)
}

fn role(account: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:role/{name}")
}

fn trust(principal: Value, condition: Value) -> Value {
    let statement = json!({
        "Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", "Condition": condition,
    });
    policy(statement)
}

fn root_of(account: &str) -> Value {
    json!({ "AWS": format!("arn:aws:iam::{account}:root") })
}

/// Makes the request with which the trigger's role assumes a role of the other account, which has
/// this trust policy.
fn assume(trusted: Value) -> Request {
    let starter = role(ANALYTICS, "landfall/starter");
    Request::by_role(&role(DATA, "landfall/trigger"), "sts:AssumeRole", &starter)
        .identity(allow("sts:AssumeRole", &starter))
        .resource_policy(trusted)
}

#[test]
fn a_trust_policy_admits_the_named_role_with_the_external_id_only() {
    let trusting = |name: &str| {
        trust(
            root_of(DATA),
            json!({
                "ArnEquals": { "aws:PrincipalArn": role(DATA, name) },
                "StringEquals": { "sts:ExternalId": ["old", "new"] },
            }),
        )
    };
    let named = || assume(trusting("landfall/trigger"));
    let unnamed = |name: &str| assume(trusting(name)).with("sts:ExternalId", "new");
    check([
        ("the new external id", true, named().with("sts:ExternalId", "new")),
        ("the old external id", true, named().with("sts:ExternalId", "old")),
        ("a wrong external id", false, named().with("sts:ExternalId", "other")),
        ("no external id", false, named()),
        ("a role without the path", false, unnamed("trigger")),
        ("another role", false, unnamed("landfall/other")),
    ]);
}

#[test]
fn a_role_of_another_account_needs_both_sides() {
    let starter = role(ANALYTICS, "landfall/starter");
    let ask = |policy: Value, trusted: Value| {
        Request::by_role(&role(DATA, "landfall/trigger"), "sts:AssumeRole", &starter)
            .identity(policy)
            .resource_policy(trusted)
    };
    let both = allow("sts:AssumeRole", &starter);
    check([
        ("both", true, ask(both.clone(), trust(root_of(DATA), json!({})))),
        ("trust only", false, ask(allow("s3:GetObject", "*"), trust(root_of(DATA), json!({})))),
        ("identity only", false, ask(both.clone(), trust(root_of("333333333333"), json!({})))),
        (
            "the role itself as principal",
            true,
            ask(both, trust(json!({ "AWS": role(DATA, "landfall/trigger") }), json!({}))),
        ),
    ]);
}

#[test]
fn an_absent_key_passes_where_the_condition_says_if_exists() {
    let exists = |condition: Value| assume(trust(root_of(DATA), condition));
    check([
        ("absent", true, exists(json!({ "StringEqualsIfExists": { "sts:ExternalId": "x" } }))),
        (
            "another value",
            false,
            exists(json!({ "StringEqualsIfExists": { "sts:ExternalId": "x" } }))
                .with("sts:ExternalId", "y"),
        ),
        ("absent, negated", true, exists(json!({ "StringNotEquals": { "sts:ExternalId": "x" } }))),
        ("absent, plain", false, exists(json!({ "StringEquals": { "sts:ExternalId": "x" } }))),
        (
            "an empty set",
            true,
            exists(json!({ "ForAllValues:StringEquals": { "aws:TagKeys": ["a"] } })),
        ),
    ]);
}

#[test]
fn a_boundary_and_a_session_policy_only_take_away() {
    let read = || {
        Request::by_role(&role(DATA, "reader"), "s3:GetObject", "arn:aws:s3:::landing/in/key")
            .owned_by(DATA)
    };
    let everything = || read().identity(allow("s3:*", "*"));
    let bucket_policy = policy(json!({
        "Effect": "Allow", "Principal": { "AWS": role(DATA, "reader") },
        "Action": "s3:GetObject", "Resource": "arn:aws:s3:::landing/*",
    }));
    check([
        ("identity alone", true, everything()),
        ("boundary that allows", true, everything().boundary(allow("s3:Get*", "*"))),
        ("boundary that does not", false, everything().boundary(allow("sqs:*", "*"))),
        ("boundary alone", false, read().boundary(allow("s3:*", "*"))),
        ("session policy that does not", false, everything().session(allow("s3:PutObject", "*"))),
        (
            "one of two session policies",
            true,
            everything().session(allow("sqs:*", "*")).session(allow("s3:GetObject", "*")),
        ),
        ("the bucket's own policy", true, read().resource_policy(bucket_policy)),
    ]);
}

#[test]
fn a_role_is_made_with_the_right_boundary_and_path_only() {
    let boundary = format!("arn:aws:iam::{DATA}:policy/landfall/boundary");
    let may = allow_if(
        "iam:CreateRole",
        &role(DATA, "landfall/*"),
        json!({ "StringEquals": { "iam:PermissionsBoundary": boundary } }),
    );
    let create = |name: &str| {
        Request::by_role(&role(DATA, "provisioner"), "iam:CreateRole", &role(DATA, name))
            .identity(may.clone())
    };
    check([
        ("right", true, create("landfall/a").with("iam:PermissionsBoundary", boundary.as_str())),
        ("none", false, create("landfall/a")),
        ("other", false, create("landfall/a").with("iam:PermissionsBoundary", "arn:aws:iam::x")),
        ("no path", false, create("a").with("iam:PermissionsBoundary", boundary.as_str())),
    ]);
}

#[test]
fn an_escaped_star_means_itself() {
    let get = |resource: &str, key: &str| {
        Request::by_role(&role(DATA, "r"), "s3:GetObject", &format!("arn:aws:s3:::b/{key}"))
            .owned_by(DATA)
            .identity(allow("s3:GetObject", &format!("arn:aws:s3:::b/{resource}")))
    };
    check([
        ("star, star", true, get("a${*}c", "a*c")),
        ("star, other", false, get("a${*}c", "axc")),
        ("star, nothing", false, get("a${*}c", "ac")),
        ("question mark, itself", true, get("a${?}c", "a?c")),
        ("question mark, other", false, get("a${?}c", "axc")),
        ("wildcard, star", true, get("a*c", "a*c")),
        ("letter, star", false, get("axc", "a*c")),
        ("prefix", true, get("in/*", "in/+ ü/x")),
        ("prefix, with an end of line behind it", true, get("in/*", "in/a\nb")),
        ("letter, end of line", false, get("a c", "a\nc")),
        ("sibling of a prefix", false, get("in/*", "inside/x")),
    ]);
}

#[test]
fn a_key_needs_its_own_policy_to_admit_anyone() {
    let key = format!("arn:aws:kms:us-east-1:{DATA}:key/k");
    let decrypt = |trusted: Value| {
        let statement = json!({
            "Effect": "Allow", "Principal": trusted, "Action": "kms:Decrypt", "Resource": "*",
        });
        Request::by_role(&role(DATA, "reader"), "kms:Decrypt", &key)
            .resource_policy(policy(statement))
    };
    let may = || allow("kms:Decrypt", &key);
    let reader = json!({ "AWS": role(DATA, "reader") });
    check([
        ("the account, and identity", true, decrypt(root_of(DATA)).identity(may())),
        ("the account alone", false, decrypt(root_of(DATA))),
        ("the role alone", true, decrypt(reader)),
        ("identity alone", false, decrypt(root_of(ANALYTICS)).identity(may())),
    ]);
}

#[test]
fn the_encryption_context_of_s3_is_judged() {
    let key = format!("arn:aws:kms:us-east-1:{DATA}:key/k");
    let context = "kms:EncryptionContext:aws:s3:arn";
    let decrypt = |operator: &str| {
        let trusted = json!({ "Effect": "Allow", "Principal": root_of(DATA), "Action": "kms:*", "Resource": "*" });
        Request::by_role(&role(DATA, "reader"), "kms:Decrypt", &key)
            .resource_policy(policy(trusted))
            .identity(allow_if(
                "kms:Decrypt",
                &key,
                json!({ operator: { context: "arn:aws:s3:::b/in/*" } }),
            ))
    };
    let of = |object: &str| decrypt("StringLike").with(context, object);
    check([
        ("an object", true, of("arn:aws:s3:::b/in/x")),
        ("beside it", false, of("arn:aws:s3:::b/x")),
        ("no context", false, decrypt("StringLike")),
        ("no context, if it exists", true, decrypt("StringLikeIfExists")),
        ("denied", false, decrypt("StringNotLike").with(context, "arn:aws:s3:::b/in/x")),
    ]);
    let stand_in = decrypt("StringLike").with("kms:RequestAlias", "x");
    assert!(refusal(stand_in).contains("stands for another key"));
}

#[test]
fn a_service_is_admitted_where_it_is_named() {
    let glue = json!({ "Service": "glue.amazonaws.com" });
    let source = json!({ "StringEquals": { "aws:SourceAccount": ANALYTICS } });
    let assume = |service: &str| {
        Request::by_service(service, "sts:AssumeRole", &role(ANALYTICS, "job"))
            .resource_policy(trust(glue.clone(), source.clone()))
            .with("aws:SourceAccount", ANALYTICS)
    };
    let function = format!("arn:aws:lambda:us-east-1:{DATA}:function:provisioner");
    let invoke = |service: &str| {
        let statement = json!({
            "Effect": "Allow", "Principal": { "Service": "cloudformation.amazonaws.com" },
            "Action": "lambda:InvokeFunction", "Resource": function,
        });
        Request::by_service(service, "lambda:InvokeFunction", &function)
            .resource_policy(policy(statement))
    };
    check([
        ("glue", true, assume("glue.amazonaws.com")),
        ("lambda", false, assume("lambda.amazonaws.com")),
        (
            "for another account",
            false,
            assume("glue.amazonaws.com").with("aws:SourceAccount", DATA),
        ),
        ("cloudformation", true, invoke("cloudformation.amazonaws.com")),
        ("another", false, invoke("s3.amazonaws.com")),
    ]);
}

#[test]
fn what_aws_puts_into_a_request_is_there() {
    let read = |condition: Value| {
        Request::by_role(&role(DATA, "landfall/reader"), "s3:GetObject", "arn:aws:s3:::b/k")
            .owned_by(DATA)
            .identity(allow_if("s3:GetObject", "*", condition))
    };
    check([
        ("tls", true, read(json!({ "Bool": { "aws:SecureTransport": "true" } }))),
        ("account", true, read(json!({ "StringEquals": { "aws:PrincipalAccount": DATA } }))),
        ("owner", true, read(json!({ "StringEquals": { "aws:ResourceAccount": DATA } }))),
        (
            "the role, and no session",
            true,
            read(json!({ "ArnEquals": { "aws:PrincipalArn": role(DATA, "landfall/reader") } })),
        ),
        ("no service", true, read(json!({ "Bool": { "aws:PrincipalIsAWSService": "false" } }))),
    ]);
}

#[test]
fn what_cannot_be_judged_is_an_error_and_no_denial() {
    let get = |policy: Value| {
        Request::by_role(&role(DATA, "r"), "s3:GetObject", "arn:aws:s3:::b/k")
            .owned_by(DATA)
            .identity(policy)
    };
    let fine = || allow("s3:GetObject", "*");
    let condition = |condition: Value| get(allow_if("s3:GetObject", "*", condition));
    let without_owner =
        Request::by_role(&role(DATA, "r"), "s3:GetObject", "arn:aws:s3:::b/k").identity(fine());
    let unknown = Request::by_role(&role(DATA, "r"), "s3:GetObjekt", "arn:aws:s3:::b/k")
        .owned_by(DATA)
        .identity(fine());
    let no_trust = Request::by_role(&role(DATA, "r"), "sts:AssumeRole", &role(DATA, "x"))
        .identity(allow("sts:AssumeRole", "*"));
    let no_principal = get(fine()).resource_policy(fine());
    let wrong_resource =
        Request::by_role(&role(DATA, "r"), "s3:GetObject", &role(DATA, "x")).identity(fine());
    for (request, part) in [
        (get(json!("{")), "JSON"),
        (get(json!({ "Version": "2012-10-17", "Statement": [] })), "no statement"),
        (get(policy(json!({ "Effect": "Alow", "Action": "*", "Resource": "*" }))), "Effect"),
        (get(allow("s3:GetObjekt", "*")), "no action `s3:GetObjekt`"),
        (get(allow("s3:Fetch*", "*")), "no action `s3:Fetch*`"),
        (get(allow("s3:GetObject", "landing/*")), "no ARN"),
        (condition(json!({ "StringEqual": { "aws:PrincipalArn": "x" } })), "no operator"),
        (condition(json!({ "StringEquals": { "aws:PrincipalArm": "x" } })), "no context key"),
        (get(fine()).with("sts:ExternalId", "x"), "no context key sts:ExternalId"),
        (without_owner, "name the account"),
        (unknown, "invalid.action"),
        (no_trust, "none was given"),
        (assume(allow("sts:AssumeRole", "*")), "trust policy"),
        (no_principal, "no principal"),
        (wrong_resource, "no.resource.types"),
    ] {
        let refusal = refusal(request);
        assert!(refusal.contains(part), "`{part}` is not in: {refusal}");
    }
}
