//! `landfall diff`, against an IAM that answers over HTTP.

mod iam;

use std::fs;

use expect_test::{Expect, expect};
use serde_json::Value;
use tempfile::TempDir;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer};

use self::iam::Iam;
use crate::{ROUTES, Shown, command, landfall};

const DATA: [&str; 2] = ["--data-account", "111111111111"];

fn routes() -> String {
    ROUTES.replace("starter_role: ", "starter_role: landfall/")
}

/// What `diff` shows of `iam`, with `external_id` in the environment.
async fn diff(iam: &Iam, routes: &str, external_id: Option<&str>, options: &[&str]) -> Shown {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(iam.clone()).mount(&server).await;
    let folder = TempDir::new().expect("a temporary folder");
    fs::write(folder.path().join("f"), routes).expect("a written file");
    let args = [&["diff", "--routes", "f"][..], &DATA, options].concat();
    let mut command = command(folder.path(), &args);
    command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", folder.path());
    command.env("AWS_ACCESS_KEY_ID", "id").env("AWS_SECRET_ACCESS_KEY", "key");
    command.env("AWS_ENDPOINT_URL_IAM", server.uri());
    command.envs(external_id.map(|id| ("LANDFALL_EXTERNAL_ID", id)));
    let output = command.output().expect("an ended landfall");
    let shown = Shown {
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        status: output.status.code().expect("an exit status"),
    };
    assert!(!shown.all().contains("s3cr3t"), "{}", shown.all());
    shown
}

#[track_caller]
fn check(shown: &Shown, expected: Expect) {
    expected.assert_eq(&shown.all());
}

const ANALYTICS: [&str; 2] = ["--account", "analytics"];

#[tokio::test]
async fn what_the_provisioner_made_is_no_difference() {
    let iam = Iam::provisioned(&routes(), r#"["s3cr3t"]"#);
    check(
        &diff(&iam, &routes(), Some("s3cr3t"), &ANALYTICS).await,
        expect![[r#"
        starter role arn:aws:iam::222222222222:role/landfall/landfall-starter
          in account 222222222222, for target `analytics`
          no difference

        job role arn:aws:iam::222222222222:role/landfall/landfall-job
          in account 222222222222, for target `analytics`
          no difference

        note: `…` stands for external IDs, which are never printed
        --- stderr
        --- status 0
    "#]],
    );
    check(
        &diff(&iam, &routes(), None, &["--account", "data", "--format", "json"]).await,
        expect![[r#"
            {
              "roles": [
                {
                  "kind": "reader",
                  "account": "111111111111",
                  "targets": [
                    "analytics"
                  ],
                  "arn": "arn:aws:iam::111111111111:role/landfall/landfall-reader-222222222222",
                  "differences": [],
                  "notes": []
                }
              ],
              "notes": [
                "no KMS key is given (--kms-key-arn): the reader role decrypts nothing"
              ]
            }
            --- stderr
            --- status 0
        "#]],
    );
}

#[tokio::test]
async fn each_difference_is_told_as_the_step_that_removes_it() {
    let mut iam = Iam::provisioned(&routes(), r#"["s3cr3t"]"#);
    let starter = iam.role("landfall-starter");
    starter.attached.push("arn:aws:iam::aws:policy/AdministratorAccess");
    starter.boundary = "arn:aws:iam::222222222222:policy/other".to_owned();
    starter.tags.push(("team", "x"));
    starter.policy = starter.policy.replace("glue:StartJobRun", "glue:*");
    iam.role("landfall-job").trust = "{}".to_owned();
    check(
        &diff(&iam, &routes(), Some("s3cr3t"), &ANALYTICS).await,
        expect![[r#"
        starter role arn:aws:iam::222222222222:role/landfall/landfall-starter
          in account 222222222222, for target `analytics`
          set permissions boundary `arn:aws:iam::222222222222:policy/landfall-boundary`
          detach policy `arn:aws:iam::aws:policy/AdministratorAccess`
          set inline policy `landfall` to {"Statement":[{"Action":["glue:GetJob","glue:GetJobRun","glue:GetJobRuns","glue:StartJobRun"],"Effect":"Allow","Resource":["arn:aws:glue:eu-west-1:222222222222:job/audit","arn:aws:glue:eu-west-1:222222222222:job/items","arn:aws:glue:eu-west-1:222222222222:job/orders-to-parquet"],"Sid":"StartAndLookUpRuns"}],"Version":"2012-10-17"}
          remove tags `team`

        job role arn:aws:iam::222222222222:role/landfall/landfall-job
          in account 222222222222, for target `analytics`
          set the trust policy to {"Statement":[{"Action":["sts:AssumeRole"],"Effect":"Allow","Principal":{"Service":["glue.amazonaws.com"]},"Sid":"ServiceOnly"}],"Version":"2012-10-17"}

        note: `…` stands for external IDs, which are never printed
        --- stderr
        --- status 1
    "#]],
    );
}

#[tokio::test]
async fn a_policy_that_only_denies_is_told_and_is_no_difference() {
    let mut iam = Iam::provisioned(&routes(), r#"["s3cr3t"]"#);
    let starter = iam.role("landfall-starter");
    let revoked = r#"{"Statement":[{"Effect":"Deny","Action":["*"],"Resource":["*"]}]}"#;
    starter.others.push(("AWSRevokeOlderSessions", revoked));
    starter.attached.push("arn:aws:iam::aws:policy/AWSDenyAll");
    let noted = |shown: &Shown| {
        let is_meant = |line: &&str| ["policy", "difference"].iter().any(|it| line.contains(it));
        let lines: Vec<&str> = shown.stdout.lines().filter(is_meant).collect();
        format!("{}\nstatus {}\n", lines.join("\n"), shown.status)
    };
    expect![[r#"
          no difference
          note: policy `AWSRevokeOlderSessions` only denies: the provisioner leaves it alone until it deletes the role
          note: policy `arn:aws:iam::aws:policy/AWSDenyAll` only denies: the provisioner leaves it alone until it deletes the role
          no difference
        status 0
    "#]]
    .assert_eq(&noted(&diff(&iam, &routes(), Some("s3cr3t"), &ANALYTICS).await));
    let hidden = "arn:aws:iam::222222222222:policy/Hidden";
    iam.role("landfall-starter").attached = vec![hidden];
    expect![[r#"
          detach policy `arn:aws:iam::222222222222:policy/Hidden`
          note: policy `AWSRevokeOlderSessions` only denies: the provisioner leaves it alone until it deletes the role
          note: policy `arn:aws:iam::222222222222:policy/Hidden` cannot be read (iam:GetPolicy, iam:GetPolicyVersion): if it only denies, the provisioner leaves it alone
          no difference
        status 1
    "#]]
    .assert_eq(&noted(&diff(&iam, &routes(), Some("s3cr3t"), &ANALYTICS).await));
}

#[tokio::test]
async fn an_external_id_that_is_not_known_is_not_compared_which_is_said() {
    let iam = Iam::provisioned(&routes(), r#"["s3cr3t","s3cr3t-2"]"#);
    let noted = |shown: &Shown| {
        let is_noted = |line: &&str| line.contains("external ID") || line.contains("difference");
        let lines: Vec<&str> = shown.stdout.lines().filter(is_noted).collect();
        format!("{}\nstatus {}\n", lines.join("\n"), shown.status)
    };
    expect![[r#"
          no difference
          note: external IDs are not compared: `LANDFALL_EXTERNAL_ID` is not set; 2 are admitted
          no difference
        note: `…` stands for external IDs, which are never printed
        status 0
    "#]]
    .assert_eq(&noted(&diff(&iam, &routes(), None, &ANALYTICS).await));
    expect![[r#"
          note: the trust policy admits 2 external IDs, that of `LANDFALL_EXTERNAL_ID` among them; the stack's PreviousExternalId is not known here, and counts as a difference
          no difference
        note: `…` stands for external IDs, which are never printed
        status 1
    "#]].assert_eq(&noted(&diff(&iam, &routes(), Some("s3cr3t"), &ANALYTICS).await));
    expect![[r#"
          note: the trust policy does not admit the external ID of `LANDFALL_EXTERNAL_ID`
          no difference
        note: `…` stands for external IDs, which are never printed
        status 1
    "#]]
    .assert_eq(&noted(&diff(&iam, &routes(), Some("s3cr3t-3"), &ANALYTICS).await));
    let literal = routes().replace("${LANDFALL_EXTERNAL_ID}", "s3cr3t-4");
    expect![[r#"
          note: the trust policy does not admit the external ID of the routes
          no difference
        note: `…` stands for external IDs, which are never printed
        status 1
    "#]]
    .assert_eq(&noted(&diff(&iam, &literal, Some("s3cr3t"), &ANALYTICS).await));
    let iam = Iam::provisioned(&routes(), "[]");
    expect![[r#"
          note: the trust policy demands no external ID
          no difference
        note: `…` stands for external IDs, which are never printed
        status 1
    "#]]
    .assert_eq(&noted(&diff(&iam, &routes(), None, &ANALYTICS).await));
}

#[tokio::test]
async fn a_role_without_owner_tags_is_told_with_all_else_that_differs() {
    let mut iam = Iam::provisioned(&routes(), r#"["s3cr3t"]"#);
    iam.role("landfall-starter").tags.remove(1);
    iam.roles.remove("landfall-job");
    check(
        &diff(&iam, &routes(), Some("s3cr3t"), &ANALYTICS).await,
        expect![[r#"
            starter role arn:aws:iam::222222222222:role/landfall/landfall-starter
              in account 222222222222, for target `analytics`
              it has no owner tags: the provisioner would leave it alone

            job role arn:aws:iam::222222222222:role/landfall/landfall-job
              in account 222222222222, for target `analytics`
              create the role at path `/landfall/`
              set inline policy `landfall` to {"Statement":[{"Action":["sts:AssumeRole"],"Effect":"Allow","Resource":["arn:aws:iam::111111111111:role/landfall/landfall-reader-222222222222"],"Sid":"BecomeTheReader"},{"Action":["logs:CreateLogGroup","logs:CreateLogStream","logs:PutLogEvents"],"Effect":"Allow","Resource":["arn:aws:logs:eu-west-1:222222222222:log-group:/aws-glue/*"],"Sid":"Log"}],"Version":"2012-10-17"}

            note: `…` stands for external IDs, which are never printed
            --- stderr
            --- status 1
        "#]],
    );
    let nothing = diff(&Iam::default(), &routes(), None, &["--account", "data"]).await;
    check(
        &nothing,
        expect![[r#"
            reader role arn:aws:iam::111111111111:role/landfall/landfall-reader-222222222222
              in account 111111111111, for target `analytics`
              create the role at path `/landfall/`
              set inline policy `landfall` to {"Statement":[{"Action":["s3:GetObject","s3:GetObjectVersion"],"Effect":"Allow","Resource":["arn:aws:s3:::acme-items/*","arn:aws:s3:::acme-landing/*"],"Sid":"ReadRouted"},{"Action":["s3:*"],"Condition":{"Bool":{"aws:SecureTransport":["false"]}},"Effect":"Deny","Resource":["*"],"Sid":"DenyWithoutTls"},{"Action":["s3:ListBucket","s3:ListBucketVersions"],"Effect":"Allow","Resource":["arn:aws:s3:::acme-items"],"Sid":"ListRouted0"},{"Action":["s3:ListBucket","s3:ListBucketVersions"],"Effect":"Allow","Resource":["arn:aws:s3:::acme-landing"],"Sid":"ListRouted1"},{"Action":["s3:*"],"Condition":{"StringNotEquals":{"aws:ResourceAccount":["111111111111"]}},"Effect":"Deny","Resource":["*"],"Sid":"DenyBucketsOfOthers"},{"Action":["s3:GetObject"],"Effect":"Allow","Resource":["arn:aws:s3:::landfall-manifests-111111111111-eu-west-1/manifests/222222222222/*/222222222222-*"],"Sid":"ReadManifests"},{"Action":["dynamodb:GetItem","dynamodb:UpdateItem"],"Condition":{"ForAllValues:StringLike":{"dynamodb:LeadingKeys":["222222222222-*"]},"Null":{"dynamodb:LeadingKeys":["false"]}},"Effect":"Allow","Resource":["arn:aws:dynamodb:eu-west-1:111111111111:table/landfall-claims"],"Sid":"Claim"}],"Version":"2012-10-17"}
              note: IAM does not say for which account the credentials are: is it 111111111111?

            note: no KMS key is given (--kms-key-arn): the reader role decrypts nothing
            --- stderr
            --- status 1
        "#]],
    );
}

#[tokio::test]
async fn who_could_not_look_is_not_told_that_there_is_no_difference() {
    let mut iam = Iam::provisioned(&routes(), r#"["s3cr3t"]"#);
    iam.denied.push("landfall-starter");
    check(
        &diff(&iam, &routes(), None, &ANALYTICS).await,
        expect![[r#"
            starter role arn:aws:iam::222222222222:role/landfall/landfall-starter
              in account 222222222222, for target `analytics`
              unknown

            job role arn:aws:iam::222222222222:role/landfall/landfall-job
              in account 222222222222, for target `analytics`
              no difference

            note: `…` stands for external IDs, which are never printed
            --- stderr
            error: failed to read the starter role: failed to GetRole role `landfall-starter`: AccessDenied: landfall-starter
            --- status 2
        "#]],
    );
    let shown = diff(&iam, &routes(), None, &["--account", "analytics", "--format", "json"]).await;
    let document: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    assert_eq!(document["roles"][0]["differences"], Value::Null);
    assert_eq!(document["roles"][1]["differences"], Value::Array(Vec::new()));
    assert_eq!(shown.status, 2);
    // A routes file that no role can be made from, or that has errors.
    for text in [ROUTES.to_owned(), ROUTES.replace("eu-west-1", "ireland")] {
        let shown = diff(&iam, &text, None, &ANALYTICS).await;
        assert_eq!(shown.status, 2, "{}", shown.all());
    }
}

#[tokio::test]
async fn credentials_of_another_account_are_refused() {
    let iam = Iam::provisioned(&routes(), r#"["s3cr3t"]"#);
    let iam_of_other = {
        let mut iam = iam.clone();
        let job = iam.role("landfall-job");
        job.arn = job.arn.replace("222222222222", "333333333333");
        iam
    };
    check(
        &diff(&iam_of_other, &routes(), None, &ANALYTICS).await,
        expect![[r#"
            --- stderr
            error: the credentials are for another account: they found role `arn:aws:iam::333333333333:role/landfall/landfall-job`, but the roles are in account `222222222222`
            --- status 2
        "#]],
    );
}

#[test]
fn what_cannot_be_compared_exits_with_2() {
    let text = routes().replace(
        "routes:\n",
        "  second: { account: \"333333333333\", region: eu-west-2, starter_role: landfall/landfall-starter, \
         external_id: \"${X}\" }\nroutes:\n",
    );
    let text = text.replace("target: analytics, job: items", "target: second, job: items");
    for (options, message) in [
        (&[][..], "--account <ACCOUNT>"),
        (&ANALYTICS, "the roles are in accounts `222222222222`, `333333333333`"),
    ] {
        let args = [&["diff", "--routes", "f"][..], &DATA, options].concat();
        let shown = landfall(&[("f", &text)], &args);
        assert_eq!((shown.status, shown.stdout.as_str()), (2, ""), "{}", shown.all());
        assert!(shown.stderr.contains(message), "{}", shown.stderr);
    }
    // Two stacks of one account have one reader role between them.
    let text = text.replace("333333333333", "222222222222");
    let text = text.replace(
        "eu-west-2, starter_role: landfall/landfall-starter",
        "eu-west-2, starter_role: landfall/acme-starter",
    );
    let args = [&["diff", "--routes", "f", "--account", "data"][..], &DATA].concat();
    let shown = landfall(&[("f", &text)], &args);
    assert_eq!((shown.status, shown.stdout.as_str()), (2, ""), "{}", shown.all());
    assert!(shown.stderr.contains("several stacks would create role"), "{}", shown.stderr);
    let folder = TempDir::new().expect("a temporary folder");
    fs::write(folder.path().join("f"), routes()).expect("a written file");
    let args = [&["diff", "--routes", "f"][..], &DATA, &ANALYTICS].concat();
    let mut command = command(folder.path(), &args);
    command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", folder.path());
    let output = command.output().expect("an ended landfall");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("name a profile that has some with --profile or AWS_PROFILE"),
        "{stderr}"
    );
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &[][..]));
}
