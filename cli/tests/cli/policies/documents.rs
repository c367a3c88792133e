//! The documents, whole.

use std::fs;

use expect_test::{Expect, expect};
use serde_json::Value;

use super::policies;
use crate::infra;

#[track_caller]
fn example(options: &[&str], expected: Expect) {
    let routes = fs::read_to_string(infra("routes.yaml")).expect("the example");
    expected.assert_eq(&policies(&routes, options).all());
}

#[test]
fn the_policies_of_the_example_routes_are_those_of_three_roles() {
    example(
        &[],
        expect![[r#"
            starter role arn:aws:iam::222222222222:role/landfall/landfall-starter
              in account 222222222222, for target `analytics`
              permissions boundary arn:aws:iam::222222222222:policy/landfall-boundary
              trust policy
                {
                  "Statement": [
                    {
                      "Action": [
                        "sts:AssumeRole"
                      ],
                      "Condition": {
                        "ArnEquals": {
                          "aws:PrincipalArn": [
                            "arn:aws:iam::111111111111:role/landfall-monitor",
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
              permissions policy
                {
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
                        "arn:aws:glue:us-east-1:222222222222:job/csv-to-parquet"
                      ],
                      "Sid": "StartAndLookUpRuns"
                    }
                  ],
                  "Version": "2012-10-17"
                }

            job role arn:aws:iam::222222222222:role/landfall/landfall-job
              in account 222222222222, for target `analytics`
              permissions boundary arn:aws:iam::222222222222:policy/landfall-boundary
              trust policy
                {
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
              permissions policy
                {
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
                        "arn:aws:logs:us-east-1:222222222222:log-group:/aws-glue/*"
                      ],
                      "Sid": "Log"
                    }
                  ],
                  "Version": "2012-10-17"
                }

            reader role arn:aws:iam::111111111111:role/landfall/landfall-reader-222222222222
              in account 111111111111, for target `analytics`
              permissions boundary arn:aws:iam::111111111111:policy/landfall-boundary
              trust policy
                {
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
              permissions policy
                {
                  "Statement": [
                    {
                      "Action": [
                        "s3:GetObject",
                        "s3:GetObjectVersion"
                      ],
                      "Effect": "Allow",
                      "Resource": [
                        "arn:aws:s3:::acme-landing/weather/city=*"
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
                            "weather/city=*"
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
                    },
                    {
                      "Action": [
                        "s3:GetObject"
                      ],
                      "Effect": "Allow",
                      "Resource": [
                        "arn:aws:s3:::landfall-manifests-111111111111-us-east-1/manifests/222222222222/*/222222222222-*"
                      ],
                      "Sid": "ReadManifests"
                    },
                    {
                      "Action": [
                        "dynamodb:GetItem",
                        "dynamodb:UpdateItem"
                      ],
                      "Condition": {
                        "ForAllValues:StringLike": {
                          "dynamodb:LeadingKeys": [
                            "222222222222-*"
                          ]
                        },
                        "Null": {
                          "dynamodb:LeadingKeys": [
                            "false"
                          ]
                        }
                      },
                      "Effect": "Allow",
                      "Resource": [
                        "arn:aws:dynamodb:us-east-1:111111111111:table/landfall-claims"
                      ],
                      "Sid": "Claim"
                    }
                  ],
                  "Version": "2012-10-17"
                }

            note: `…` stands for external IDs, which are never printed
            note: no KMS key is given (--kms-key-arn): the reader role decrypts nothing
            --- stderr
            --- status 0
        "#]],
    );
}

#[test]
fn the_policies_are_printed_as_one_json_object() {
    example(
        &["--format", "json", "--account", "data"],
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
                  "permissions_boundary": "arn:aws:iam::111111111111:policy/landfall-boundary",
                  "trust_policy": {
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
                  },
                  "permissions_policy": {
                    "Statement": [
                      {
                        "Action": [
                          "s3:GetObject",
                          "s3:GetObjectVersion"
                        ],
                        "Effect": "Allow",
                        "Resource": [
                          "arn:aws:s3:::acme-landing/weather/city=*"
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
                              "weather/city=*"
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
                      },
                      {
                        "Action": [
                          "s3:GetObject"
                        ],
                        "Effect": "Allow",
                        "Resource": [
                          "arn:aws:s3:::landfall-manifests-111111111111-us-east-1/manifests/222222222222/*/222222222222-*"
                        ],
                        "Sid": "ReadManifests"
                      },
                      {
                        "Action": [
                          "dynamodb:GetItem",
                          "dynamodb:UpdateItem"
                        ],
                        "Condition": {
                          "ForAllValues:StringLike": {
                            "dynamodb:LeadingKeys": [
                              "222222222222-*"
                            ]
                          },
                          "Null": {
                            "dynamodb:LeadingKeys": [
                              "false"
                            ]
                          }
                        },
                        "Effect": "Allow",
                        "Resource": [
                          "arn:aws:dynamodb:us-east-1:111111111111:table/landfall-claims"
                        ],
                        "Sid": "Claim"
                      }
                    ],
                    "Version": "2012-10-17"
                  },
                  "notes": []
                }
              ],
              "bucket_policies": [],
              "notes": [
                "no KMS key is given (--kms-key-arn): the reader role decrypts nothing"
              ]
            }
            --- stderr
            --- status 0
        "#]],
    );
    let routes = fs::read_to_string(infra("routes.yaml")).expect("the example");
    let document = policies(&routes, &["--format", "json"]).stdout;
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let kinds: Vec<_> =
        document["roles"].as_array().expect("roles").iter().map(|r| &r["kind"]).collect();
    assert_eq!(kinds, ["starter", "job", "reader"]);
}

/// The properties of the templates' resources, with the parameters' defaults and the accounts of the
/// tests: what is printed follows from them, and there are no others.
#[test]
fn roles_are_composed_as_the_templates_compose_them() {
    let routes = fs::read_to_string(infra("routes.yaml")).expect("the example");
    for (template, resources, account) in [
        ("analytics-account.yaml", &["StarterRole", "JobRole"][..], "222222222222"),
        ("data-account.yaml", &["ReaderRole"], "111111111111"),
    ] {
        let template = fs::read_to_string(infra(template)).expect("a template");
        for resource in resources {
            let start = template.find(&format!("\n  {resource}:\n")).expect("the resource");
            let resource = template[start + 1..].split("\n\n").next().expect("its lines");
            let resource = [
                ("${AWS::Partition}", "aws"),
                ("${AWS::AccountId}", account),
                ("${AnalyticsAccountId}", "222222222222"),
                ("${DataAccountId}", "111111111111"),
                (",${OtherJobRoleArns}", ""),
                ("${RolePath}", "/"),
                ("${ProvisionedRolePath}", "/landfall/"),
                ("${NamePrefix}", "landfall"),
                ("${DataNamePrefix}", "landfall"),
                ("${AnalyticsNamePrefix}", "landfall"),
                ("${ProvisionerNamePrefix}", "landfall"),
            ]
            .iter()
            .fold(resource.to_owned(), |text, (name, value)| text.replace(name, value));
            let known = [
                "ServiceToken",
                "ServiceTimeout",
                "Version",
                "PermissionsBoundary",
                "RoleName",
                "Path",
                "Routes",
                "TrustedRoleArns",
                "ReaderRoleArns",
                "DataAccountId",
                "ExternalId",
                "PreviousExternalId",
                "KmsKeyArns",
                "ManifestsBucketName",
                "ClaimsTableArn",
                "AdmitsFormerBatches",
                // It is empty, unless somebody repairs the role, and decides nothing.
                "Repair",
            ];
            let of_properties =
                |line: &&str| line.starts_with("      ") && !line.starts_with("       ");
            for line in resource.lines().filter(of_properties) {
                let name = line.trim().split(':').next().unwrap_or_default();
                assert!(
                    name.starts_with('#') || known.contains(&name),
                    "`landfall policies` does not compose the property {name}"
                );
            }
            let shown = policies(&routes, &[]).stdout;
            let mut found = 0;
            for line in resource.lines().filter(|line| line.contains("!Sub")) {
                let value = line.split("!Sub ").nth(1).expect("a value");
                if value.contains(":lambda:") {
                    continue;
                }
                assert!(shown.contains(value), "{value} is not in\n{shown}");
                found += 1;
            }
            assert!(found >= 3, "{resource}");
        }
    }
}
