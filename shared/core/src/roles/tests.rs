//! Tests of the roles that follow from properties.

mod ledger;
mod narrow;
mod own;
mod steps;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;
use crate::policy::Document;

const STACK: &str = "arn:aws:cloudformation:eu-west-1:222222222222:stack/landfall/1";
const DATA_STACK: &str = "arn:aws:cloudformation:eu-west-1:111111111111:stack/landfall/2";

fn routes() -> Value {
    let route = |name: &str, bucket: &str, key: &str, target: &str, job: &str| {
        json!({ "name": name, "bucket": bucket, "key": key,
            "where": { "min_bytes": "1" },
            "start": { "target": target, "job": job } })
    };
    json!({
        "version": "1",
        "targets": {
            "lake": { "account": "222222222222", "region": "eu-west-1",
                "starter_role": "landfall/landfall-starter", "external_id": "${LANDFALL_EXTERNAL_ID}" },
            "elsewhere": { "account": "333333333333", "region": "eu-west-1",
                "starter_role": "landfall/landfall-starter", "external_id": "${LANDFALL_EXTERNAL_ID}" },
        },
        "routes": [
            route("orders", "acme-landing", "orders/dt={dt}/{file}.csv", "lake", "orders-to-parquet"),
            route("all-orders", "acme-landing", "orders/**", "lake", "count"),
            route("stars", "acme-landing", "sta?s/$x/**", "lake", "count"),
            route("unicode", "acme-raw", "dé/日本/{file}", "lake", "what*"),
            route("others", "acme-others", "in/{file}", "elsewhere", "others"),
        ],
    })
}

fn starter() -> Value {
    json!({
        "ServiceToken": "arn:aws:lambda:eu-west-1:222222222222:function:p",
        "RoleName": "landfall-starter",
        "PermissionsBoundary": "arn:aws:iam::222222222222:policy/landfall-boundary",
        "Routes": routes(),
        "TrustedRoleArns": ["arn:aws:iam::111111111111:role/landfall-trigger"],
        "ExternalId": "marked-secret",
    })
}

fn reader() -> Value {
    json!({
        "RoleName": "landfall-reader",
        "Routes": routes(),
        "TrustedRoleArns": ["arn:aws:iam::222222222222:role/landfall/landfall-job"],
    })
}

fn owner(stack_id: &str) -> Owner {
    Owner {
        stack_id: stack_id.to_owned(),
        logical_id: "Role".to_owned(),
        physical_id: "Role-1".to_owned(),
    }
}

fn role(kind: Kind, properties: &Value, stack: &str, keys: &[&str]) -> Result<Role, SpecError> {
    let home = Home::of_stack(stack).expect("a stack's id");
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    RoleSpec::read(kind, properties, &home)?.role(&owner(stack), &keys)
}

fn check(kind: Kind, properties: &Value, stack: &str, keys: &[&str], expect: Expect) {
    let text = match role(kind, properties, stack, keys) {
        Ok(role) => {
            let trust = role.trust.document().without_external_ids();
            format!(
                "{}\ntrust {:#}\npermissions {:#}\n",
                role.arn,
                trust.value(),
                role.permissions.value()
            )
        }
        Err(error) => error.to_string().replace("; ", "\n"),
    };
    expect.assert_eq(&text);
}

#[test]
fn the_starter_role_may_start_and_look_up_the_jobs_of_its_routes_only() {
    check(
        Kind::Starter,
        &starter(),
        STACK,
        &[],
        expect![[r#"
        arn:aws:iam::222222222222:role/landfall/landfall-starter
        trust {
          "Statement": [
            {
              "Action": [
                "sts:AssumeRole"
              ],
              "Condition": {
                "ArnEquals": {
                  "aws:PrincipalArn": [
                    "arn:aws:iam::111111111111:role/landfall-trigger"
                  ]
                },
                "StringEquals": {
                  "sts:ExternalId": [
                    "…"
                  ]
                }
              },
              "Effect": "Allow",
              "Principal": {
                "AWS": [
                  "arn:aws:iam::111111111111:root"
                ]
              },
              "Sid": "TheseRolesOnly"
            }
          ],
          "Version": "2012-10-17"
        }
        permissions {
          "Statement": [
            {
              "Action": [
                "glue:GetJob",
                "glue:GetJobRun",
                "glue:GetJobRuns",
                "glue:StartJobRun"
              ],
              "Effect": "Allow",
              "Resource": [
                "arn:aws:glue:eu-west-1:222222222222:job/count",
                "arn:aws:glue:eu-west-1:222222222222:job/orders-to-parquet",
                "arn:aws:glue:eu-west-1:222222222222:job/what${*}"
              ],
              "Sid": "StartAndLookUpRuns"
            }
          ],
          "Version": "2012-10-17"
        }
    "#]],
    );
}

#[test]
fn the_reader_role_may_read_the_prefixes_of_the_routes_to_its_account_only() {
    let key = "arn:aws:kms:eu-west-1:111111111111:key/k";
    check(
        Kind::Reader,
        &reader(),
        DATA_STACK,
        &[key],
        expect![[r#"
            arn:aws:iam::111111111111:role/landfall/landfall-reader
            trust {
              "Statement": [
                {
                  "Action": [
                    "sts:AssumeRole"
                  ],
                  "Condition": {
                    "ArnEquals": {
                      "aws:PrincipalArn": [
                        "arn:aws:iam::222222222222:role/landfall/landfall-job"
                      ]
                    }
                  },
                  "Effect": "Allow",
                  "Principal": {
                    "AWS": [
                      "arn:aws:iam::222222222222:root"
                    ]
                  },
                  "Sid": "TheseRolesOnly"
                }
              ],
              "Version": "2012-10-17"
            }
            permissions {
              "Statement": [
                {
                  "Action": [
                    "s3:GetObject",
                    "s3:GetObjectVersion"
                  ],
                  "Effect": "Allow",
                  "Resource": [
                    "arn:aws:s3:::acme-landing/orders/*",
                    "arn:aws:s3:::acme-landing/sta${?}s/${$}x/*",
                    "arn:aws:s3:::acme-raw/dé/*"
                  ],
                  "Sid": "ReadRouted"
                },
                {
                  "Action": [
                    "s3:*"
                  ],
                  "Condition": {
                    "Bool": {
                      "aws:SecureTransport": [
                        "false"
                      ]
                    }
                  },
                  "Effect": "Deny",
                  "Resource": [
                    "*"
                  ],
                  "Sid": "DenyWithoutTls"
                },
                {
                  "Action": [
                    "s3:ListBucket",
                    "s3:ListBucketVersions"
                  ],
                  "Condition": {
                    "StringLike": {
                      "s3:prefix": [
                        "orders/*",
                        "sta${?}s/${$}x/*"
                      ]
                    }
                  },
                  "Effect": "Allow",
                  "Resource": [
                    "arn:aws:s3:::acme-landing"
                  ],
                  "Sid": "ListRouted0"
                },
                {
                  "Action": [
                    "s3:ListBucket",
                    "s3:ListBucketVersions"
                  ],
                  "Condition": {
                    "StringLike": {
                      "s3:prefix": [
                        "dé/*"
                      ]
                    }
                  },
                  "Effect": "Allow",
                  "Resource": [
                    "arn:aws:s3:::acme-raw"
                  ],
                  "Sid": "ListRouted1"
                },
                {
                  "Action": [
                    "kms:Decrypt"
                  ],
                  "Condition": {
                    "StringEquals": {
                      "kms:ViaService": [
                        "s3.eu-west-1.amazonaws.com"
                      ]
                    },
                    "StringLike": {
                      "kms:EncryptionContext:aws:s3:arn": [
                        "arn:aws:s3:::acme-landing",
                        "arn:aws:s3:::acme-landing/orders/*",
                        "arn:aws:s3:::acme-landing/sta${?}s/${$}x/*",
                        "arn:aws:s3:::acme-raw",
                        "arn:aws:s3:::acme-raw/d*"
                      ]
                    }
                  },
                  "Effect": "Allow",
                  "Resource": [
                    "arn:aws:kms:eu-west-1:111111111111:key/k"
                  ],
                  "Sid": "Decrypt"
                },
                {
                  "Action": [
                    "s3:*"
                  ],
                  "Condition": {
                    "StringNotEquals": {
                      "aws:ResourceAccount": [
                        "111111111111"
                      ]
                    }
                  },
                  "Effect": "Deny",
                  "Resource": [
                    "*"
                  ],
                  "Sid": "DenyBucketsOfOthers"
                }
              ],
              "Version": "2012-10-17"
            }
        "#]],
    );
}

#[test]
fn the_job_role_may_assume_the_readers_and_log() {
    let properties = json!({
        "RoleName": "landfall-job",
        "ReaderRoleArns": ["arn:aws:iam::111111111111:role/landfall/landfall-reader"],
    });
    check(
        Kind::Job,
        &properties,
        STACK,
        &[],
        expect![[r#"
        arn:aws:iam::222222222222:role/landfall/landfall-job
        trust {
          "Statement": [
            {
              "Action": [
                "sts:AssumeRole"
              ],
              "Effect": "Allow",
              "Principal": {
                "Service": [
                  "glue.amazonaws.com"
                ]
              },
              "Sid": "ServiceOnly"
            }
          ],
          "Version": "2012-10-17"
        }
        permissions {
          "Statement": [
            {
              "Action": [
                "sts:AssumeRole"
              ],
              "Effect": "Allow",
              "Resource": [
                "arn:aws:iam::111111111111:role/landfall/landfall-reader"
              ],
              "Sid": "BecomeTheReader"
            },
            {
              "Action": [
                "logs:CreateLogGroup",
                "logs:CreateLogStream",
                "logs:PutLogEvents"
              ],
              "Effect": "Allow",
              "Resource": [
                "arn:aws:logs:eu-west-1:222222222222:log-group:/aws-glue/*"
              ],
              "Sid": "Log"
            }
          ],
          "Version": "2012-10-17"
        }
    "#]],
    );
}

#[test]
fn a_prefix_that_no_policy_can_hold_is_cut_and_the_widening_told() {
    let home = Home::of_stack(DATA_STACK).expect("a stack's id");
    let spec = RoleSpec::read(Kind::Reader, &reader(), &home).expect("valid properties");
    expect![
        "route `unicode`: the role may read `s3://acme-raw/dé/*`, because a policy can't contain the rest of its key's beginning"
    ]
    .assert_eq(&spec.notes.join("\n"));
}

#[test]
fn all_problems_of_properties_are_told_at_once_each_with_its_path() {
    let mut properties = starter();
    properties["RoleName"] = json!("a/b");
    properties["Pth"] = json!("/x/");
    properties["Path"] = json!("x");
    properties["MaxSessionDuration"] = json!("60");
    properties["ExternalId"] = json!("marked secret");
    properties["TrustedRoleArns"] =
        json!(["arn:aws:iam::111111111111:role/a", "arn:aws:iam::333333333333:role/a", "no"]);
    properties["Tags"] = json!({ "aws:x": "y" });
    properties["Routes"]["routes"][1]["start"]["job"] = json!("");
    properties["Routes"]["routes"][1]["where"]["min_bytes"] = json!("many");
    properties["Routes"]["routes"][2]["name"] = json!("orders");
    check(
        Kind::Starter,
        &properties,
        STACK,
        &[],
        expect![[r#"
            the properties are invalid: ExternalId: STS doesn't accept this external ID (use 2 to 1,224 letters, digits and `_+=,.@:/-`)
            MaxSessionDuration: 60 s is out of range (IAM allows 3,600 to 43,200)
            Path: `x` is not a path (a path begins and ends with `/`, and contains neither `*` nor `?`: /landfall/)
            the properties: unknown field `Pth` (did you mean `Path`?)
            RoleName: `a/b` is not a valid role name (a name has 1 to 64 letters, digits and `_+=,.@-`
            the path is a property of its own)
            Routes.routes[1].start.job: `` is not a valid job name (a name has 1 to 255 characters, and doesn't begin or end with white space)
            Routes.routes[1].where: `min_bytes` is not a whole number, 0 or more (write digits only: 1000)
            Routes.routes[2].name: a second route `orders` (an earlier route already has this name)
            Tags.aws…: this name is reserved (tag names must not begin with `landfall:` or `aws:`)
            TrustedRoleArns: the roles are in several accounts: `111111111111`, `333333333333` (name only roles of one account, and make a role for each account)
            TrustedRoleArns[2]: this is not the ARN of a role (it looks like arn:aws:iam::222222222222:role/landfall/landfall-job)"#]],
    );
}

#[test]
fn a_starter_role_that_no_route_names_is_refused() {
    let mut properties = starter();
    properties["RoleName"] = json!("another");
    check(
        Kind::Starter,
        &properties,
        STACK,
        &[],
        expect![
            "the properties are invalid: Routes: no route starts a job with role `arn:aws:iam::222222222222:role/landfall/another` (the targets' starter roles are `arn:aws:iam::222222222222:role/landfall/landfall-starter`, `arn:aws:iam::333333333333:role/landfall/landfall-starter`)"
        ],
    );
}

#[test]
fn a_policy_larger_than_iam_admits_is_refused_with_the_figure() {
    let mut properties = starter();
    let job = |n: usize| {
        json!({ "name": format!("r{n}"), "bucket": "acme-landing", "key": "a/{f}",
            "start": { "target": "lake", "job": format!("job-{n}-{}", "x".repeat(100)) } })
    };
    properties["Routes"]["routes"] = (0..80).map(job).collect();
    check(
        Kind::Starter,
        &properties,
        STACK,
        &[],
        expect![
            "the permissions policy of role `landfall-starter` has 12166 characters, but IAM allows at most 10240: give routes a common prefix, or split them between stacks"
        ],
    );
}

#[test]
fn properties_that_are_no_mapping_are_refused() {
    for properties in [json!(null), json!("x"), json!([1]), json!({ "Routes": [[[]]] })] {
        let error = role(Kind::Starter, &properties, STACK, &[]).expect_err("refused");
        assert_eq!(error.code(), "properties_invalid");
    }
}

#[test]
fn no_problem_and_no_debug_repeats_the_external_id() {
    for id in ["marked-secret", "marked secret"] {
        let mut properties = starter();
        properties["ExternalId"] = json!(id);
        properties["ProvisioningExternalId"] = json!(id);
        properties["PreviousExternalId"] = json!([id]);
        let home = Home::of_stack(STACK).expect("a stack's id");
        let said = format!("{:?}", RoleSpec::read(Kind::Starter, &properties, &home));
        assert!(!said.contains("marked"), "{said}");
        properties["PreviousExternalId"] = json!("");
        let said = format!("{:?}", RoleSpec::read(Kind::Starter, &properties, &home));
        assert!(!said.contains("marked"), "{said}");
    }
}

#[test]
fn two_external_ids_are_admitted_while_one_is_changed() {
    let mut properties = starter();
    properties["PreviousExternalId"] = json!("the-old-one");
    let role = role(Kind::Starter, &properties, STACK, &[]).expect("a role");
    let document = role.trust.document().to_json();
    assert!(document.contains(r#""sts:ExternalId":["marked-secret","the-old-one"]"#), "{document}");
    assert!(document.contains(r#""StringEquals""#), "{document}");
}

#[test]
fn a_role_in_another_account_is_named_there() {
    let mut properties = starter();
    properties["ProvisioningRoleArn"] =
        json!("arn:aws:iam::222222222222:role/landfall/provisioning");
    let role = role(Kind::Starter, &properties, DATA_STACK, &[]).expect("a role");
    assert_eq!(role.arn, "arn:aws:iam::222222222222:role/landfall/landfall-starter");
}

#[test]
fn a_role_is_told_from_properties_that_are_wrong_otherwise() {
    let home = Home::of_stack(STACK).expect("a stack's id");
    let identity = Identity::read(&json!({ "RoleName": "x", "Version": "9", "New": [] }), &home);
    assert_eq!(identity.map(|i| (i.account, i.name)), Some(("222222222222".into(), "x".into())));
    assert_eq!(Identity::read(&json!({ "RoleName": "a/b" }), &home), None);
    assert_eq!(Identity::read(&json!(null), &home), None);
}
