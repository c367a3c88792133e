//! Tests of what a job role reads without a reader role.

use super::*;

/// Returns the properties of a job role whose routes read by these ways, the first by the bucket's policy.
fn job(access: &[&str]) -> Value {
    let mut routes = routes();
    for (route, access) in routes["routes"].as_array_mut().expect("routes").iter_mut().zip(access) {
        route["start"]["access"] = json!(access);
    }
    json!({
        "RoleName": "landfall-job",
        "ReaderRoleArns": ["arn:aws:iam::111111111111:role/landfall/landfall-reader-222222222222"],
        "Routes": routes,
        "DataAccountId": "111111111111",
        "ManifestsBucketName": "landfall-manifests-111111111111-eu-west-1",
    })
}

const POLICY: &str = "bucket_policy";

#[test]
fn a_job_role_reads_itself_what_routes_to_its_account_take_by_bucket_policy() {
    // The last route leads to another account.
    let properties = job(&[POLICY, "role", POLICY, "role", POLICY]);
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
                    "arn:aws:iam::111111111111:role/landfall/landfall-reader-222222222222"
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
                },
                {
                  "Action": [
                    "s3:GetObject",
                    "s3:GetObjectVersion"
                  ],
                  "Condition": {
                    "Bool": {
                      "aws:SecureTransport": [
                        "true"
                      ]
                    },
                    "StringEquals": {
                      "aws:ResourceAccount": [
                        "111111111111"
                      ]
                    }
                  },
                  "Effect": "Allow",
                  "Resource": [
                    "arn:aws:s3:::acme-landing/orders/dt=*",
                    "arn:aws:s3:::acme-landing/sta${?}s/${$}x/*"
                  ],
                  "Sid": "ReadRouted"
                },
                {
                  "Action": [
                    "s3:ListBucket",
                    "s3:ListBucketVersions"
                  ],
                  "Condition": {
                    "Bool": {
                      "aws:SecureTransport": [
                        "true"
                      ]
                    },
                    "StringEquals": {
                      "aws:ResourceAccount": [
                        "111111111111"
                      ]
                    },
                    "StringLike": {
                      "s3:prefix": [
                        "orders/dt=*",
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
                    "s3:GetObject"
                  ],
                  "Condition": {
                    "Bool": {
                      "aws:SecureTransport": [
                        "true"
                      ]
                    },
                    "StringEquals": {
                      "aws:ResourceAccount": [
                        "111111111111"
                      ]
                    }
                  },
                  "Effect": "Allow",
                  "Resource": [
                    "arn:aws:s3:::landfall-manifests-111111111111-eu-west-1/manifests/222222222222/*/222222222222-*"
                  ],
                  "Sid": "ReadManifests"
                },
                {
                  "Action": [
                    "kms:Decrypt"
                  ],
                  "Condition": {
                    "StringLike": {
                      "kms:EncryptionContext:aws:s3:arn": [
                        "arn:aws:s3:::acme-landing",
                        "arn:aws:s3:::acme-landing/orders/dt=*",
                        "arn:aws:s3:::acme-landing/sta${?}s/${$}x/*",
                        "arn:aws:s3:::landfall-manifests-111111111111-eu-west-1",
                        "arn:aws:s3:::landfall-manifests-111111111111-eu-west-1/manifests/*"
                      ],
                      "kms:ViaService": [
                        "s3.*"
                      ]
                    }
                  },
                  "Effect": "Allow",
                  "Resource": [
                    "arn:aws:kms:*:111111111111:key/*"
                  ],
                  "Sid": "Decrypt"
                }
              ],
              "Version": "2012-10-17"
            }
        "#]],
    );
}

#[test]
fn a_job_role_without_such_a_route_is_as_it_was_before() {
    let mut before = job(&[]);
    for name in ["Routes", "DataAccountId", "ManifestsBucketName"] {
        before.as_object_mut().expect("properties").remove(name);
    }
    let before = role(Kind::Job, &before, STACK, &[]).expect("a role");
    let mut without_account = job(&[]);
    without_account["DataAccountId"] = json!("");
    for now in [job(&[]), job(&["role", "role", "role", "role", POLICY]), without_account] {
        assert_eq!(role(Kind::Job, &now, STACK, &[]).expect("a role"), before);
    }
}

#[test]
fn a_job_role_that_reads_itself_must_know_whose_buckets_they_are() {
    let mut properties = job(&[POLICY]);
    for (account, why) in [
        (json!(""), "`DataAccountId` is missing"),
        (Value::Null, "`DataAccountId` is missing"),
        (json!("1"), "DataAccountId: this is not an account ID"),
    ] {
        properties["DataAccountId"] = account;
        let refused = role(Kind::Job, &properties, STACK, &[]).expect_err("refused").to_string();
        assert!(refused.contains(why), "{refused}");
    }
}

#[test]
fn what_a_job_role_reads_beyond_its_routes_is_told() {
    let mut properties = job(&[POLICY]);
    properties["Routes"]["routes"][0]["key"] = json!("{file}.csv");
    let home = Home::of_stack(STACK).expect("a stack's ID");
    let spec = RoleSpec::read(Kind::Job, &properties, &home).expect("valid");
    let [note] = &spec.notes[..] else { panic!("{:?}", spec.notes) };
    assert!(note.contains("route `orders`") && note.contains("s3://acme-landing/*"), "{note}");
    assert_eq!(spec.unrequested["acme-landing"], "orders");
}
