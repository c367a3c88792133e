//! One thing at a time is wrong with a chain that is otherwise healthy.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::healthy::{JOB_ROLE, QUEUE, RUNS, both_transports, document, key_policy};
use super::object;
use crate::bucket_access::{Comparison, Conflict};
use crate::bucket_notifications::Configuration;
use crate::chain::drift::{Difference, Kind};
use crate::chain::observed::*;
use crate::chain::problems::Fault;
use crate::chain::{Check, Link, Status, first_broken, judge};
use crate::moment::Time;

use Status::{Broken, Unknown, Warn};

/// What is expected, and the change that leads to it.
type Case = (&'static str, Status, fn(&mut Observations));

fn data(observations: &mut Observations) -> &mut DataAccount {
    observations.data.as_mut().expect("data")
}

fn analytics(observations: &mut Observations) -> &mut AnalyticsAccount {
    observations.analytics.as_mut().expect("analytics")
}

fn bucket(observations: &mut Observations) -> &mut Bucket {
    data(observations).buckets.get_mut("acme-landing").expect("the bucket")
}

fn job(observations: &mut Observations) -> &mut Job {
    analytics(observations).jobs.get_mut("orders-to-parquet").expect("the job")
}

fn notifications(observations: &mut Observations) -> &mut Configuration {
    seen(&mut bucket(observations).notifications)
}

fn seen<T>(look: &mut Look<T>) -> &mut T {
    match look {
        Look::Seen(it) => it,
        _ => panic!("nothing was seen"),
    }
}

fn key_is(state: &str, observations: &mut Observations) {
    key(observations).state = state.to_owned();
}

fn key(observations: &mut Observations) -> &mut Key {
    seen(bucket(observations).key.as_mut().expect("a key"))
}

fn key_policy_is(policy: &str, observations: &mut Observations) {
    key(observations).policy = Some(Look::Seen(policy.to_owned()));
}

fn events_of_iam(observations: &mut Observations) -> &mut Forwarding {
    data(observations).iam_events.as_mut().expect("what forwards them")
}

fn watch(observations: &mut Observations) -> &mut Watch {
    data(observations).usage.as_mut().expect("a watch")
}

const ANALYZER: &str = "arn:aws:access-analyzer:eu-west-1:111111111111:analyzer/landfall";

fn lets_in(resource: &str, principal: &str, observations: &mut Observations) {
    let findings = &mut data(observations).analysis.as_mut().expect("asked").findings;
    let findings = seen(findings);
    findings.push(External {
        analyzer: ANALYZER.to_owned(),
        id: (findings.len() + 1).to_string(),
        resource: resource.to_owned(),
        principals: vec![principal.to_owned()],
        is_public: false,
    });
}

fn statements_are(comparison: Comparison, observations: &mut Observations) {
    observations.routes[0].by_bucket_policy = true;
    bucket(observations).statements = Look::Seen(Some(comparison));
}

fn uploads(observations: &mut Observations) -> &mut Rule {
    match &mut data(observations).transport {
        Transport::Both(rule) => seen(&mut rule.look),
        Transport::S3 | Transport::EventBridge(_) => panic!("both"),
    }
}

fn differs(kind: Kind, observations: &mut Observations) {
    let reader = seen(&mut data(observations).reader.look);
    reader.differences = vec![Difference { kind, text: "set something".to_owned() }];
}

fn connection(observations: &mut Observations) -> &mut Connection {
    seen(&mut job(observations).network.as_mut().expect("looked")[0].look)
}

fn subnet(observations: &mut Observations) -> &mut Subnet {
    seen(&mut connection(observations).subnet.as_mut().expect("a subnet").look)
}

fn endpoints(observations: &mut Observations) -> &mut Vec<Endpoint> {
    seen(&mut subnet(observations).endpoints)
}

/// Removes the endpoints of a service, and gives the subnet this way out instead.
fn way_out(service: &str, target: Option<&str>, observations: &mut Observations) {
    endpoints(observations).retain(|it| !it.service.ends_with(service));
    seen(&mut subnet(observations).table).way_out = target.map(str::to_owned);
}

/// Gives the endpoint of S3 a policy with this statement.
fn endpoint_policy(statement: serde_json::Value, observations: &mut Observations) {
    let mut policy =
        json!({ "Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*" });
    policy
        .as_object_mut()
        .expect("an object")
        .extend(statement.as_object().expect("an object").clone());
    endpoints(observations)[0].policy =
        Some(document(&json!({ "Version": "2012-10-17", "Statement": [policy] })));
}

fn job_facts(observations: &mut Observations) -> &mut JobFacts {
    seen(&mut job(observations).job)
}

fn fails(is_newest: bool, observations: &mut Observations) {
    job(observations).last_failure = Look::Seen(Some(Failure {
        run_id: "jr_1".to_owned(),
        state: "FAILED".to_owned(),
        message: Some("ConcurrentRunsExceededException: too many".to_owned()),
        is_newest,
    }));
}

const CASES: &[Case] = &[
    ("could_not_look", Unknown, |all| {
        data(all).ledger.look = Look::Denied("dynamodb:DescribeTable".to_owned())
    }),
    ("stack_missing", Broken, |all| {
        analytics(all).stack.look = Look::Missing;
        analytics(all).starter.look = Look::Missing;
        analytics(all).rule_of_runs.look = Look::Missing;
    }),
    ("stack_missing", Broken, |all| {
        analytics(all).stack.look = Look::Seen("ROLLBACK_COMPLETE".to_owned())
    }),
    ("stack_in_progress", Warn, |all| {
        data(all).stack.look = Look::Seen("UPDATE_IN_PROGRESS".to_owned())
    }),
    ("stack_unsettled", Warn, |all| {
        data(all).stack.look = Look::Seen("UPDATE_ROLLBACK_COMPLETE".to_owned())
    }),
    ("routes_not_deployed", Broken, |all| data(all).routes_are_deployed = Look::Seen(false)),
    ("could_not_look", Unknown, |all| data(all).routes_are_deployed = Look::Missing),
    ("announcing_is_off", Broken, |all| data(all).announces = Look::Seen(false)),
    ("could_not_look", Unknown, |all| watch(all).routes.clear()),
    ("connection_missing", Broken, |all| {
        job(all).network.as_mut().expect("looked")[0].look = Look::Missing
    }),
    ("connection_subnet_missing", Broken, |all| {
        connection(all).subnet.as_mut().expect("a subnet").look = Look::Missing
    }),
    ("connection_subnet_full", Broken, |all| subnet(all).free_addresses = 0),
    ("connection_group_missing", Broken, |all| connection(all).groups = Look::Missing),
    ("connection_group_closed", Broken, |all| {
        seen(&mut connection(all).groups)[0].admits_itself = false
    }),
    ("connection_group_closed", Broken, |all| connection(all).groups = Look::Seen(Vec::new())),
    ("network_lacks_gateway", Broken, |all| way_out("s3", None, all)),
    ("network_lacks_gateway", Broken, |all| way_out("dynamodb", Some("igw-1"), all)),
    ("network_lacks_gateway", Broken, |all| endpoints(all)[0].is_available = false),
    ("network_lacks_gateway", Broken, |all| endpoints(all)[0].tables = Some(Vec::new())),
    ("network_lacks_sts", Broken, |all| way_out("sts", None, all)),
    ("network_lacks_sts", Broken, |all| endpoints(all)[2].has_private_dns = false),
    ("network_unclear", Warn, |all| way_out("sts", Some("tgw-1"), all)),
    ("endpoint_refuses_bucket", Broken, |all| {
        endpoint_policy(json!({ "Resource": "arn:aws:s3:::acme-other/*" }), all)
    }),
    // The batch's manifest is in a bucket of its own.
    ("endpoint_refuses_bucket", Broken, |all| {
        endpoint_policy(json!({ "Resource": "arn:aws:s3:::acme-landing/*" }), all)
    }),
    ("endpoint_refuses_bucket", Broken, |all| {
        endpoint_policy(json!({ "Action": ["s3:ListBucket", "s3:PutObject"] }), all)
    }),
    ("endpoint_policy_unclear", Warn, |all| {
        let condition = json!({ "StringEquals": { "aws:PrincipalAccount": "222222222222" } });
        endpoint_policy(json!({ "Condition": condition }), all)
    }),
    ("endpoint_policy_unclear", Warn, |all| {
        endpoint_policy(json!({ "Principal": { "AWS": "arn:aws:iam::222222222222:root" } }), all)
    }),
    ("could_not_look", Unknown, |all| {
        subnet(all).endpoints = Look::Denied("ec2:DescribeVpcEndpoints".to_owned())
    }),
    ("could_not_look", Unknown, |all| {
        subnet(all).table = Look::Failed("DescribeRouteTables: a time-out".to_owned())
    }),
    ("access_analyzer", Warn, |all| lets_in("arn:aws:s3:::acme-landing", "333333333333", all)),
    ("access_analyzer", Warn, |all| lets_in(QUEUE, "arn:aws:iam::333333333333:role/x", all)),
    ("access_analyzer", Warn, |all| lets_in(RUNS, "*", all)),
    ("access_analyzer", Warn, |all| {
        let role = External {
            analyzer: ANALYZER.to_owned(),
            id: "1".to_owned(),
            resource: JOB_ROLE.to_owned(),
            principals: vec!["111111111111".to_owned()],
            is_public: true,
        };
        seen(&mut analytics(all).analysis.as_mut().expect("asked").findings).push(role);
    }),
    ("grant_unused", Warn, |all| all.at = Time(90 * 24 * 3_600_000)),
    ("grant_unused", Warn, |all| {
        seen(watch(all).routes.get_mut("orders").expect("a route")).newest = None;
        watch(all).unused_after = Duration::ZERO;
    }),
    ("bucket_missing", Broken, |all| bucket(all).region = Look::Missing),
    ("bucket_in_other_region", Broken, |all| {
        bucket(all).region = Look::Seen("us-east-1".to_owned())
    }),
    ("bucket_versioning_off", Warn, |all| bucket(all).versioning = Look::Seen(false)),
    ("bucket_owner_not_enforced", Warn, |all| {
        bucket(all).ownership = Look::Seen("ObjectWriter".to_owned())
    }),
    ("bucket_owner_not_enforced", Warn, |all| bucket(all).ownership = Look::Missing),
    ("bucket_public_access_open", Warn, |all| {
        bucket(all).public_access_block = Look::Seen(vec!["BlockPublicPolicy".to_owned()])
    }),
    ("bucket_public_access_open", Warn, |all| bucket(all).public_access_block = Look::Missing),
    ("bucket_policy_denies", Warn, |all| {
        bucket(all).policy = Look::Seen(document(
            &json!({ "Statement": { "Sid": "OnlyOurNetwork", "Effect": "Deny",
            "Principal": "*", "Action": "s3:*", "Resource": "*",
            "Condition": { "StringNotEquals": { "aws:SourceVpce": "vpce-1" } } } }),
        ));
    }),
    ("bucket_policy_unique_id", Warn, |all| {
        bucket(all).policy = Look::Seen(document(
            &json!({ "Statement": { "Effect": "Allow", "Action": "s3:*",
            "Principal": { "AWS": ["AROAEXAMPLEEXAMPLE1", "AROALIVINGLIVING0001"] }, "Resource": "*" } }),
        ));
    }),
    ("bucket_statements_not_deployed", Broken, |all| all.routes[0].by_bucket_policy = true),
    ("bucket_statements_missing", Broken, |all| statements_are(Comparison::Missing, all)),
    ("bucket_statements_changed", Broken, |all| statements_are(Comparison::Changed, all)),
    ("bucket_statements_wider", Warn, |all| statements_are(Comparison::Wider, all)),
    ("bucket_statements_stuck", Broken, |all| {
        statements_are(Comparison::Stuck(Conflict::OldVersion), all)
    }),
    ("key_missing", Broken, |all| bucket(all).key = Some(Look::Missing)),
    ("key_disabled", Broken, |all| key_is("Disabled", all)),
    ("key_pending_deletion", Broken, |all| key_is("PendingDeletion", all)),
    ("key_unavailable", Broken, |all| key_is("Unavailable", all)),
    ("key_of_other_account", Warn, |all| {
        let other = "arn:aws:kms:eu-west-1:333333333333:key/1";
        key(all).arn = other.to_owned();
        seen(&mut data(all).reader.look).keys.insert(other.to_owned());
    }),
    ("bucket_key_changed", Broken, |all| key(all).arn.push('2')),
    ("key_does_not_admit", Broken, |all| key_policy_is(&key_policy("333333333333"), all)),
    ("key_does_not_admit", Broken, |all| {
        // The jobs of the other account read with their own role, which the policy doesn't admit.
        statements_are(Comparison::AsDesired, all);
        bucket(all).job_roles.insert(JOB_ROLE.to_owned());
    }),
    ("key_denies", Broken, |all| {
        let policy = key_policy("111111111111").replace("Allow", "Deny");
        key_policy_is(&policy, all);
    }),
    ("key_policy_unclear", Warn, |all| {
        let policy = key_policy("111111111111").replace(
            r#""Effect""#,
            r#""Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}},"Effect""#,
        );
        key_policy_is(&policy, all);
    }),
    ("notification_missing", Broken, |all| notifications(all).queues.clear()),
    ("notification_missing", Broken, |all| {
        notifications(all).queues[0].filter_rules[0].value = "days/".to_owned()
    }),
    ("notification_missing", Broken, |all| {
        notifications(all).queues[0].events = vec!["s3:ObjectRemoved:*".to_owned()];
    }),
    ("notification_narrower", Broken, |all| {
        notifications(all).queues[0].filter_rules[0].value = "orders/2026/".to_owned();
    }),
    ("notification_narrower", Broken, |all| {
        notifications(all).queues[0].events = vec!["s3:ObjectCreated:Put".to_owned()];
    }),
    ("notification_foreign_overlap", Broken, |all| {
        notifications(all).queues[0].arn = QUEUE.replace("landfall", "other");
    }),
    ("notification_foreign_overlap", Broken, |all| {
        let mut rule = notifications(all).queues.remove(0);
        rule.arn = "arn:aws:lambda:eu-west-1:111111111111:function:f".to_owned();
        notifications(all).functions.push(rule);
    }),
    ("eventbridge_off", Broken, |all| notifications(all).event_bridge = false),
    ("rule_missing", Broken, |all| data(all).schedule.look = Look::Missing),
    ("rule_missing", Warn, |all| analytics(all).rule_of_runs.look = Look::Missing),
    ("rule_of_uploads_disabled", Broken, |all| uploads(all).is_enabled = false),
    ("rule_of_runs_disabled", Warn, |all| {
        seen(&mut analytics(all).rule_of_runs.look).is_enabled = false
    }),
    ("schedule_disabled", Broken, |all| seen(&mut data(all).schedule.look).is_enabled = false),
    ("rule_target_gone", Broken, |all| uploads(all).targets.clear()),
    ("rule_target_gone", Broken, |all| {
        seen(&mut data(all).schedule.look).targets =
            vec!["arn:aws:lambda:eu-west-1:111111111111:function:f".to_owned()];
    }),
    ("rule_target_gone", Warn, |all| {
        seen(&mut analytics(all).rule_of_runs.look).targets = vec![RUNS.replace("1111", "3333")];
    }),
    ("iam_events_not_forwarded", Warn, |all| events_of_iam(all).stack.look = Look::Missing),
    ("iam_events_not_forwarded", Warn, |all| {
        let of_analytics = analytics(all).iam_events.as_mut().expect("a stack");
        of_analytics.stack.look = Look::Seen("ROLLBACK_COMPLETE".to_owned());
    }),
    ("iam_events_rule_changed", Warn, |all| events_of_iam(all).rule.look = Look::Missing),
    ("iam_events_rule_changed", Warn, |all| {
        seen(&mut events_of_iam(all).rule.look).targets = vec![RUNS.to_owned()];
    }),
    ("iam_events_rule_disabled", Warn, |all| {
        seen(&mut events_of_iam(all).rule.look).is_enabled = false
    }),
    ("could_not_look", Unknown, |all| {
        events_of_iam(all).rule.look = Look::Denied("events:DescribeRule".to_owned())
    }),
    ("rule_lacks_bucket", Broken, |all| {
        uploads(all).pattern = Some(json!({ "detail": { "bucket": { "name": ["acme-other"] } } }));
    }),
    ("rule_lacks_job", Warn, |all| {
        seen(&mut analytics(all).rule_of_runs.look).pattern =
            Some(json!({ "detail": { "jobName": ["other"] } }));
    }),
    ("queue_missing", Broken, |all| data(all).arrivals.look = Look::Missing),
    ("queue_missing", Broken, |all| data(all).runs_dlq.look = Look::Missing),
    ("queue_policy_changed", Broken, |all| seen(&mut data(all).arrivals.look).policy = None),
    ("queue_policy_changed", Warn, |all| seen(&mut data(all).runs.look).policy = None),
    ("queue_policy_changed", Warn, |all| {
        seen(&mut data(all).arrivals.look).policy = Some(document(
            &json!({ "Statement": { "Effect": "Allow",
            "Principal": { "Service": ["s3.amazonaws.com", "events.amazonaws.com"] }, "Action": "sqs:*",
            "Resource": "*", "Condition": { "StringEquals": { "aws:SourceOrgID": "o-1" } } } }),
        ));
    }),
    ("queue_policy_denies", Warn, |all| {
        let policy = &mut seen(&mut data(all).arrivals.look).policy;
        let mut value = policy.as_ref().expect("a policy").value().clone();
        let deny =
            json!({ "Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": "*" });
        value["Statement"].as_array_mut().expect("statements").push(deny);
        *policy = Some(document(&value));
    }),
    ("queue_policy_unique_id", Warn, |all| {
        seen(&mut data(all).runs.look).policy = Some(document(
            &json!({ "Statement": { "Effect": "Allow",
            "Principal": { "AWS": "AROAEXAMPLEEXAMPLE1" }, "Action": "sqs:SendMessage", "Resource": "*" } }),
        ));
    }),
    ("queue_backlog", Warn, |all| seen(&mut data(all).arrivals.look).visible = 3),
    ("dead_letters", Warn, |all| seen(&mut data(all).arrivals_dlq.look).visible = 3),
    ("dead_letters", Warn, |all| seen(&mut data(all).runs_dlq.look).in_flight = 1),
    ("function_missing", Broken, |all| data(all).trigger.state = Look::Missing),
    ("function_failed", Broken, |all| {
        seen(&mut data(all).monitor.state).state = "Failed".to_owned()
    }),
    ("function_not_active", Warn, |all| {
        seen(&mut data(all).trigger.state).state = "Inactive".to_owned()
    }),
    ("denied_by_organization", Unknown, |all| {
        data(all).trigger.reserved_concurrency =
            Look::DeniedByOrganization("lambda:GetFunctionConcurrency".to_owned());
    }),
    ("function_in_vpc", Warn, |all| {
        seen(&mut data(all).trigger.state).vpc = Some("vpc-0a1b".to_owned());
    }),
    ("function_in_vpc", Warn, |all| {
        seen(&mut data(all).monitor.state).vpc = Some("vpc-0a1b".to_owned());
    }),
    ("function_concurrency_zero", Broken, |all| {
        data(all).trigger.reserved_concurrency = Look::Seen(Some(0))
    }),
    ("function_concurrency_zero", Broken, |all| {
        data(all).monitor.reserved_concurrency = Look::Seen(Some(0))
    }),
    ("mapping_missing", Broken, |all| data(all).trigger.mappings[0].look = Look::Missing),
    ("mapping_disabled", Broken, |all| {
        seen(&mut data(all).trigger.mappings[0].look).state = "Disabled".to_owned()
    }),
    ("mapping_disabled", Broken, |all| {
        seen(&mut data(all).monitor.mappings[0].look).state = "Disabling".to_owned()
    }),
    ("mapping_unsettled", Warn, |all| {
        seen(&mut data(all).trigger.mappings[0].look).state = "Enabling".to_owned()
    }),
    ("mapping_fails", Warn, |all| {
        seen(&mut data(all).trigger.mappings[0].look).last_result =
            Some("PROBLEM: Function call failed".to_owned());
    }),
    ("could_not_look", Unknown, |all| data(all).trigger.mappings.clear()),
    ("table_missing", Broken, |all| data(all).ledger.look = Look::Missing),
    ("table_not_active", Broken, |all| {
        data(all).claims.look = Look::Seen("INACCESSIBLE_ENCRYPTION_CREDENTIALS".to_owned());
    }),
    ("table_items_stay", Warn, |all| data(all).ledger_expiry = Look::Seen(false)),
    ("table_items_stay", Warn, |all| data(all).claims_expiry = Look::Seen(false)),
    ("role_missing", Broken, |all| data(all).reader.look = Look::Missing),
    ("role_missing", Broken, |all| analytics(all).starter.look = Look::Missing),
    ("role_narrower", Broken, |all| differs(Kind::Narrower, all)),
    ("role_changed", Broken, |all| differs(Kind::Other, all)),
    ("role_wider", Warn, |all| differs(Kind::Wider, all)),
    ("boundary_missing", Warn, |all| differs(Kind::BoundaryMissing, all)),
    ("boundary_other", Warn, |all| differs(Kind::BoundaryOther, all)),
    ("role_not_ours", Warn, |all| differs(Kind::NotOurs, all)),
    ("role_details_differ", Warn, |all| differs(Kind::Details, all)),
    ("trust_unique_id", Broken, |all| {
        let starter = seen(&mut analytics(all).starter.look);
        starter.trust =
            Some(document(&json!({ "Statement": { "Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": { "AWS": "AROAEXAMPLEEXAMPLE1" } } })));
        starter.differences =
            vec![Difference { kind: Kind::Other, text: "set the trust policy".to_owned() }];
    }),
    ("session_revoked", Warn, |all| {
        seen(&mut data(all).reader.look).brakes = vec!["AWSRevokeOlderSessions".to_owned()];
    }),
    ("role_denied_everything", Broken, |all| {
        seen(&mut analytics(all).starter.look).brakes =
            vec!["arn:aws:iam::aws:policy/AWSDenyAll".to_owned()];
    }),
    ("reader_does_not_admit_job_role", Broken, |all| {
        job_facts(all).role = JOB_ROLE.replace("landfall-job", "own")
    }),
    ("job_missing", Broken, |all| job(all).job = Look::Missing),
    ("job_max_retries", Broken, |all| job_facts(all).max_retries = 2),
    ("job_concurrency_low", Warn, |all| job_facts(all).max_concurrent_runs = 3),
    ("job_role_missing", Broken, |all| job(all).role_trusts_glue = Look::Missing),
    ("job_role_distrusts_glue", Broken, |all| job(all).role_trusts_glue = Look::Seen(false)),
    ("script_missing", Broken, |all| job(all).script = Some(Look::Missing)),
    ("run_failed", Broken, |all| fails(true, all)),
    ("run_failed", Warn, |all| fails(false, all)),
];

fn code(check: &Check) -> Option<&'static str> {
    check.problem.as_ref().map(|problem| problem.code)
}

#[test]
fn one_fault_is_found_by_its_name_and_nothing_else_is_broken() {
    for (number, (expected, status, change)) in CASES.iter().enumerate() {
        let mut observations = both_transports();
        change(&mut observations);
        let checks = judge(&observations);
        let found: Vec<&Check> = checks.iter().filter(|check| check.problem.is_some()).collect();
        let at = format!("case {number}, `{expected}`: {found:#?}");
        assert!(!found.is_empty(), "{at}");
        assert!(found.iter().all(|check| code(check) == Some(expected)), "{at}");
        assert!(found.iter().all(|check| check.status == *status), "{at}");
        let first = first_broken(&checks).map(|check| check.link);
        assert_eq!(first, (*status == Broken).then_some(found[0].link), "{at}");
    }
}

#[test]
fn each_row_of_the_table_is_found_by_some_case_and_all_its_identifiers_are_filled_in() {
    let mut codes = BTreeSet::new();
    let judged = CASES.iter().map(|(_, _, change)| {
        let mut observations = both_transports();
        change(&mut observations);
        judge(&observations)
    });
    for checks in judged.chain(object::CASES.iter().map(object::judged)) {
        for problem in checks.into_iter().filter_map(|check| check.problem) {
            codes.insert(problem.code);
            for text in [Some(&problem.fix), problem.command.as_ref()].into_iter().flatten() {
                let names =
                    text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0));
                let is_name =
                    |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                assert!(!names.into_iter().any(is_name), "{}: {text}", problem.code);
                assert!(!text.contains("''"), "{}: {text}", problem.code);
            }
        }
    }
    let rows: BTreeSet<&str> = Fault::ALL.iter().map(|fault| fault.problem(&[]).code).collect();
    assert_eq!(codes, rows);
}

#[test]
fn the_command_that_mends_a_fault_has_its_identifiers() {
    let command = |code: &str| {
        let case = CASES.iter().find(|case| case.0 == code).expect("a case");
        let mut observations = both_transports();
        (case.2)(&mut observations);
        let problem = first_broken(&judge(&observations)).and_then(|check| check.problem.clone());
        problem.and_then(|problem| problem.command).unwrap_or_default() + "\n"
    };
    let codes = [
        "notification_missing",
        "role_missing",
        "mapping_disabled",
        "mapping_missing",
        "schedule_disabled",
        "function_concurrency_zero",
        "queue_policy_changed",
        "key_disabled",
        "key_pending_deletion",
        "bucket_key_changed",
        "key_does_not_admit",
        "role_denied_everything",
        "connection_group_closed",
        "network_lacks_gateway",
        "network_lacks_sts",
        "run_failed",
    ];
    expect_test::expect![[r#"
        landfall deploy routes.yaml --repair
        landfall deploy routes.yaml --repair
        aws lambda update-event-source-mapping --uuid uuid-of-landfall-trigger --enabled --region eu-west-1
        aws lambda create-event-source-mapping --function-name landfall-trigger --event-source-arn arn:aws:sqs:eu-west-1:111111111111:landfall-arrivals --function-response-types ReportBatchItemFailures --region eu-west-1
        aws events enable-rule --name landfall-MonitorTick --region eu-west-1
        aws lambda delete-function-concurrency --function-name landfall-trigger --region eu-west-1
        aws sqs get-queue-attributes --queue-url https://sqs.eu-west-1.amazonaws.com/111111111111/landfall-arrivals --attribute-names Policy --region eu-west-1
        aws kms enable-key --key-id arn:aws:kms:eu-west-1:111111111111:key/1 --region eu-west-1
        aws kms cancel-key-deletion --key-id arn:aws:kms:eu-west-1:111111111111:key/1 --region eu-west-1
        landfall deploy routes.yaml --repair
        aws kms get-key-policy --key-id arn:aws:kms:eu-west-1:111111111111:key/1 --policy-name default --query Policy --output text --region eu-west-1
        aws iam detach-role-policy --role-name landfall-starter --policy-arn arn:aws:iam::aws:policy/AWSDenyAll
        aws ec2 authorize-security-group-ingress --group-id sg-1 --protocol tcp --port 0-65535 --source-group sg-1 --region eu-west-1
        aws ec2 create-vpc-endpoint --vpc-id vpc-1 --service-name com.amazonaws.eu-west-1.s3 --route-table-ids rtb-1 --region eu-west-1
        aws ec2 create-vpc-endpoint --vpc-id vpc-1 --vpc-endpoint-type Interface --service-name com.amazonaws.eu-west-1.sts --subnet-ids subnet-1 --security-group-ids sg-1 --private-dns-enabled --region eu-west-1
        aws glue get-job-run --job-name orders-to-parquet --run-id jr_1 --region eu-west-1
    "#]].assert_eq(&codes.map(command).concat());
}

#[test]
fn a_run_that_failed_is_explained_by_what_is_known_of_its_error() {
    let mut observations = both_transports();
    fails(true, &mut observations);
    let checks = judge(&observations);
    let check = first_broken(&checks).expect("the run");
    let fix = &check.problem.as_ref().expect("a problem").fix;
    expect_test::expect![[r#"
        run `jr_1` ended FAILED: ConcurrentRunsExceededException: too many
        Read the run's error and its log. `job_busy`: The job has as many runs as its own `MaxConcurrentRuns` allows. The default is 1. Nothing: the batch waits and starts when a run ends. Raise `MaxConcurrentRuns` if you want more at once."#]].assert_eq(&format!("{}\n{fix}", check.evidence));
}

#[test]
fn a_key_that_aws_manages_needs_no_permission_of_the_reader_role() {
    let mut observations = both_transports();
    let key = key(&mut observations);
    key.is_of_aws = true;
    key.arn.push('2');
    assert_eq!(first_broken(&judge(&observations)), None);
}

#[test]
fn a_key_that_does_not_admit_a_role_comes_with_the_statement_that_does() {
    let mut observations = both_transports();
    key_policy_is(&key_policy("333333333333"), &mut observations);
    let checks = judge(&observations);
    let check = first_broken(&checks).expect("the key");
    let fix = &check.problem.as_ref().expect("a problem").fix;
    expect_test::expect![[r#"
        its policy doesn't admit `arn:aws:iam::111111111111:role/landfall/landfall-reader-222222222222`
        Add this statement to the key's policy: {"Action":["kms:Decrypt"],"Condition":{"ArnEquals":{"aws:PrincipalArn":["arn:aws:iam::111111111111:role/landfall/landfall-reader-222222222222"]},"StringLike":{"kms:ViaService":["s3.*"]}},"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::111111111111:root"]},"Resource":["*"],"Sid":"LandfallReader4f0c1f01"}"#]].assert_eq(&format!("{}\n{fix}", check.evidence));
}

#[test]
fn a_route_is_unused_once_its_time_is_over_and_not_before() {
    let mut observations = both_transports();
    observations.at = Time(90 * 24 * 3_600_000 - 1);
    assert!(judge(&observations).iter().all(|check| check.problem.is_none()));
    observations.at = Time(90 * 24 * 3_600_000);
    let checks = judge(&observations);
    let check = checks.iter().find(|check| check.problem.is_some()).expect("an unused route");
    expect_test::expect!["orders: its newest batch began at 1970-01-01T00:00:00Z, and the auditor has looked for 90 days or more"].assert_eq(&format!("{}: {}", check.resource, check.evidence));
    // Nobody but the auditor remembers when a route was used.
    data(&mut observations).usage = None;
    assert!(judge(&observations).iter().all(|check| check.problem.is_none()));
}

#[test]
fn whom_the_routes_name_and_what_is_not_landfalls_is_no_finding_of_access_analyzer() {
    let mut observations = both_transports();
    lets_in(RUNS, "arn:aws:iam::222222222222:root", &mut observations);
    lets_in("arn:aws:s3:::acme-landing", "222222222222", &mut observations);
    lets_in("arn:aws:s3:::payroll", "333333333333", &mut observations);
    assert!(judge(&observations).iter().all(|check| check.problem.is_none()));
    lets_in(RUNS, "333333333333", &mut observations);
    lets_in(RUNS, "444444444444", &mut observations);
    let checks = judge(&observations);
    let found: Vec<&Check> = checks.iter().filter(|check| check.problem.is_some()).collect();
    let [check] = found[..] else { panic!("{found:#?}") };
    let command = check.problem.as_ref().and_then(|it| it.command.as_deref()).unwrap_or_default();
    expect_test::expect![[r#"
        finding `4` says that it lets in `333333333333`; finding `5` says that it lets in `444444444444`, of `arn:aws:access-analyzer:eu-west-1:111111111111:analyzer/landfall`
        aws accessanalyzer get-finding --analyzer-arn arn:aws:access-analyzer:eu-west-1:111111111111:analyzer/landfall --id 4 --region eu-west-1"#]].assert_eq(&format!("{}\n{command}", check.evidence));
    // Without an analyzer, nobody knows. That is no fault, and nothing is said to be all right.
    data(&mut observations).analysis.as_mut().expect("asked").findings = Look::Missing;
    let checks = judge(&observations);
    let check = checks.iter().find(|check| check.link == Link::DataOutsiders).expect("a check");
    assert_eq!((check.status, &check.problem), (Status::Skipped, &None));
    // Nobody asked.
    data(&mut observations).analysis = None;
    assert!(judge(&observations).iter().all(|check| check.link != Link::DataOutsiders));
}

#[test]
fn a_nat_gateway_is_a_way_to_each_service_and_what_a_route_does_not_use_needs_none() {
    let mut observations = both_transports();
    for service in ["s3", "sts", "dynamodb"] {
        way_out(service, Some("nat-1"), &mut observations);
    }
    let evidence = |observations: &Observations| {
        let checks = judge(observations);
        assert_eq!(first_broken(&checks), None);
        let check = checks.iter().find(|it| it.link == Link::JobNetwork).expect("a check");
        format!("{} {}", check.status.name(), check.evidence)
    };
    let by_nat = evidence(&observations);
    seen(&mut subnet(&mut observations).table).way_out = None;
    endpoints(&mut observations).extend(endpoints(&mut both_transports()).drain(..1));
    let route = &mut observations.routes[0];
    (route.must_claim, route.by_bucket_policy) = (false, true);
    statements_are(Comparison::AsDesired, &mut observations);
    let alone = evidence(&observations);
    job(&mut observations).network = Some(Vec::new());
    let without = evidence(&observations);
    expect_test::expect![[r#"
        ok job `orders-to-parquet` uses it: its subnet `subnet-1` has 250 free addresses, and reaches S3 by `nat-1`, STS by `nat-1`, DynamoDB by `nat-1`
        ok job `orders-to-parquet` uses it: its subnet `subnet-1` has 250 free addresses, and reaches S3 by `vpce-s3`
        ok it has no connections, so it runs in no VPC of yours"#]].assert_eq(&[by_nat, alone, without].join("\n"));
    // Only the doctor looks.
    job(&mut observations).network = None;
    assert!(judge(&observations).iter().all(|check| check.link != Link::JobNetwork));
}
