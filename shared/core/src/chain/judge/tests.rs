mod blind;
mod faults;
mod healthy;
mod object;

use std::collections::BTreeSet;

use expect_test::expect;

use self::healthy::{both_transports, healthy};
use super::*;
use crate::bucket_access::Comparison;
use crate::chain::{first_broken, request_to_owners};

fn lines(checks: &[Check]) -> String {
    let line = |check: &Check| {
        let Check { link, status, resource, account, evidence, problem } = check;
        let problem = problem.as_ref().map_or("", |problem| problem.code);
        let status = status.name();
        format!("{} {status} {account} {resource}: {evidence} {problem}", link.code())
            .trim()
            .to_owned()
    };
    checks.iter().map(|check| line(check) + "\n").collect()
}

#[test]
fn a_healthy_chain_is_all_right_from_the_bucket_to_the_last_run() {
    let checks = judge(&healthy());
    expect![[r#"
        LF001 ok 111111111111 landfall: its status is UPDATE_COMPLETE
        LF002 ok 111111111111 landfall: the stack was deployed with these routes
        LF003 ok 111111111111 acme-landing: it is there, in eu-west-1
        LF004 ok 111111111111 acme-landing: versioning is on
        LF005 ok 111111111111 acme-landing: the setting is BucketOwnerEnforced
        LF034 ok 111111111111 acme-landing: public access is blocked
        LF006 ok 111111111111 acme-landing: it denies reading to nobody who matters here
        LF035 ok 111111111111 acme-landing: no route reads by the bucket's policy
        LF007 ok 111111111111 arn:aws:kms:eu-west-1:111111111111:key/1: the key of `acme-landing` is Enabled
        LF008 ok 111111111111 acme-landing: S3 sends what the routes need to `arn:aws:sqs:eu-west-1:111111111111:landfall-arrivals`
        LF010 ok 111111111111 arn:aws:sqs:eu-west-1:111111111111:landfall-arrivals: its policy admits everybody who must send
        LF011 ok 111111111111 arn:aws:sqs:eu-west-1:111111111111:landfall-arrivals: 0 messages wait, and 0 are being worked on
        LF012 ok 111111111111 arn:aws:sqs:eu-west-1:111111111111:landfall-arrivals-dlq: it is empty
        LF013 ok 111111111111 landfall-trigger: its state is Active
        LF042 ok 111111111111 landfall-trigger: it runs in no VPC
        LF014 ok 111111111111 landfall-trigger: no concurrency is reserved
        LF015 ok 111111111111 arn:aws:sqs:eu-west-1:111111111111:landfall-arrivals: mapping `uuid-of-landfall-trigger` on `arn:aws:sqs:eu-west-1:111111111111:landfall-arrivals` is Enabled
        LF016 ok 111111111111 landfall-ledger: its status is ACTIVE, and expired items go
        LF044 ok 111111111111 landfall: the functions may put the events
        LF036 ok 111111111111 orders: its newest batch began at 1970-01-01T00:00:00Z
        LF017 ok 222222222222 landfall: its status is CREATE_COMPLETE
        LF018 ok 222222222222 arn:aws:iam::222222222222:role/landfall/landfall-starter: it is as the routes and the stack want it
        LF019 ok 222222222222 orders-to-parquet: it is there and may run 10 times at once
        LF020 ok 222222222222 s3://acme-scripts/orders.py: the script of job `orders-to-parquet` is there
        LF021 ok 222222222222 arn:aws:iam::222222222222:role/landfall/landfall-job: it is the role of job `orders-to-parquet` and trusts Glue
        LF021 ok 222222222222 arn:aws:iam::222222222222:role/landfall/landfall-job: it is as the routes and the stack want it
        LF047 ok 222222222222 orders-vpc: job `orders-to-parquet` uses it: its subnet `subnet-1` has 250 free addresses, and reaches S3 by `vpce-s3`, STS by `vpce-sts`, DynamoDB by `vpce-dynamodb`
        LF038 ok 222222222222 IAM Access Analyzer: it knows of nobody but those whom the routes and the stack let in
        LF046 ok 222222222222 landfall-iam-events: it is on in us-east-1 and sends to `arn:aws:events:eu-west-1:222222222222:event-bus/default`
        LF022 ok 111111111111 arn:aws:iam::111111111111:role/landfall/landfall-reader-222222222222: it is as the routes and the stack want it
        LF023 ok 111111111111 arn:aws:iam::111111111111:role/landfall/landfall-reader-222222222222: it trusts `arn:aws:iam::222222222222:role/landfall/landfall-job`, the role of job `orders-to-parquet`
        LF024 ok 111111111111 landfall-claims: its status is ACTIVE, and expired items go
        LF037 ok 111111111111 IAM Access Analyzer: it knows of nobody but those whom the routes and the stack let in
        LF045 ok 111111111111 landfall-iam-events: it is on in us-east-1 and sends to `arn:aws:events:eu-west-1:111111111111:event-bus/default`
        LF025 ok 222222222222 landfall-job-state: it is on and sends to `arn:aws:sqs:eu-west-1:111111111111:landfall-runs`
        LF026 ok 111111111111 arn:aws:sqs:eu-west-1:111111111111:landfall-runs: its policy admits everybody who must send
        LF027 ok 111111111111 arn:aws:sqs:eu-west-1:111111111111:landfall-runs: 0 messages wait, and 0 are being worked on
        LF028 ok 111111111111 arn:aws:sqs:eu-west-1:111111111111:landfall-runs-dlq: it is empty
        LF029 ok 111111111111 landfall-monitor: its state is Active
        LF043 ok 111111111111 landfall-monitor: it runs in no VPC
        LF030 ok 111111111111 landfall-monitor: no concurrency is reserved
        LF031 ok 111111111111 arn:aws:sqs:eu-west-1:111111111111:landfall-runs: mapping `uuid-of-landfall-monitor` on `arn:aws:sqs:eu-west-1:111111111111:landfall-runs` is Enabled
        LF032 ok 111111111111 landfall-MonitorTick: it is on and runs `landfall-monitor`
        LF033 ok 222222222222 orders-to-parquet: none of the newest runs failed
    "#]].assert_eq(&lines(&checks));
    assert_eq!(first_broken(&checks), None);
}

#[test]
fn each_link_is_judged_in_the_direction_of_the_data() {
    let chain = both_transports();
    let mut all = BTreeSet::new();
    for checks in [judge(&chain), judge_object(&object::lost(), Some(&chain))] {
        let links: Vec<Link> = checks.iter().map(|check| check.link).collect();
        assert!(links.is_sorted(), "{links:?}");
        all.extend(links);
    }
    assert_eq!(all, Link::ALL.iter().copied().collect());
}

/// A link that comes later gets the next number, wherever its place is.
#[test]
fn each_link_has_a_code_of_its_own_and_no_number_is_left_out() {
    let codes: BTreeSet<String> = Link::ALL.iter().map(|link| link.code().to_owned()).collect();
    let numbers = 1..=Link::ALL.len();
    assert_eq!(codes, numbers.map(|number| format!("LF{number:03}")).collect());
}

#[test]
fn a_half_that_nobody_looked_at_is_unknown_once_for_each_link_and_the_other_half_is_judged() {
    for side in [Side::Data, Side::Analytics] {
        let mut observations = both_transports();
        match side {
            Side::Data => observations.data = Err("no credentials".to_owned()),
            Side::Analytics => observations.analytics = Err("no credentials".to_owned()),
        }
        let checks = judge(&observations);
        for link in Link::ALL.iter().copied().filter(|link| !link.is_of_object()) {
            let of_link: Vec<&Check> = checks.iter().filter(|check| check.link == link).collect();
            if link.side() == side {
                assert_eq!(of_link.len(), 1, "{link:?}");
                assert_eq!(of_link[0].status, Status::Unknown, "{link:?}");
                assert!(of_link[0].evidence.contains("no credentials"), "{:?}", of_link[0]);
            } else {
                let is_known = |check: &&Check| check.status == Status::Ok;
                // Only the analytics account says with which roles the jobs run.
                let needs_both = link == Link::ReaderTrust;
                assert!(needs_both || of_link.iter().all(is_known), "{of_link:?}");
            }
        }
        assert_eq!(first_broken(&checks), None);
    }
}

#[test]
fn without_a_stack_only_the_stack_is_broken_and_what_it_makes_is_skipped() {
    let mut observations = healthy();
    let data = observations.data.as_mut().expect("data");
    data.stack.look = Look::Missing;
    data.routes_are_deployed = Look::Missing;
    for queue in [&mut data.arrivals, &mut data.arrivals_dlq, &mut data.runs, &mut data.runs_dlq] {
        queue.look = Look::Missing;
    }
    for function in [&mut data.trigger, &mut data.monitor] {
        function.state = Look::Missing;
        function.reserved_concurrency = Look::Missing;
        function.mappings.iter_mut().for_each(|mapping| mapping.look = Look::Missing);
    }
    (data.ledger.look, data.claims.look) = (Look::Missing, Look::Missing);
    (data.schedule.look, data.reader.look) = (Look::Missing, Look::Missing);
    let checks = judge(&observations);
    let broken: Vec<Link> =
        checks.iter().filter(|it| it.status == Status::Broken).map(|it| it.link).collect();
    assert_eq!(broken, [Link::DataStack]);
    let of = |link| checks.iter().find(|check| check.link == link).expect("a check");
    for link in
        [Link::Routes, Link::Notifications, Link::ArrivalsPolicy, Link::Trigger, Link::Reader]
    {
        assert_eq!(of(link).status, Status::Skipped, "{link:?}");
    }
    assert!(of(Link::Ledger).evidence.contains("LF001"), "{:?}", of(Link::Ledger));
    assert_eq!(of(Link::Versioning).status, Status::Ok);
}

#[test]
fn routes_that_read_by_the_buckets_policy_need_no_reader_role() {
    let mut observations = healthy();
    observations.routes.iter_mut().for_each(|route| route.by_bucket_policy = true);
    let data = observations.data.as_mut().expect("data");
    data.reader.look = Look::Missing;
    let bucket = data.buckets.get_mut("acme-landing").expect("the bucket");
    bucket.statements = Look::Seen(Some(Comparison::AsDesired));
    let checks = judge(&observations);
    assert_eq!(first_broken(&checks), None);
    let readers = checks.iter().filter(|it| [Link::Reader, Link::ReaderTrust].contains(&it.link));
    assert!(readers.into_iter().all(|check| check.status == Status::Skipped), "{checks:?}");
}

#[test]
fn the_right_to_announce_is_needed_only_if_a_route_announces() {
    let mut observations = healthy();
    observations.data.as_mut().expect("data").announces = Look::Seen(false);
    assert_eq!(first_broken(&judge(&observations)).map(|check| check.link), Some(Link::Announcing));
    observations.routes[0].announces = false;
    let checks = judge(&observations);
    assert!(checks.iter().all(|check| check.link != Link::Announcing), "{}", lines(&checks));
    assert_eq!(first_broken(&checks), None);
}

/// Its bucket is judged as any other.
#[test]
fn a_route_without_a_job_needs_no_job_and_no_role_that_reads() {
    let mut observations = healthy();
    // Nobody asked how the routes are used.
    observations.data.as_mut().expect("data").usage = None;
    let all = judge(&observations);
    let told = RouteFacts { name: "told".to_owned(), job: None, ..observations.routes[0].clone() };
    observations.routes.push(told.clone());
    assert_eq!(lines(&judge(&observations)), lines(&all));
    observations.routes = vec![told];
    let alone = judge(&observations);
    assert!(alone.iter().all(|check| check.status != Status::Broken), "{}", lines(&alone));
    let links = [Link::Job, Link::Script, Link::LastRun, Link::ReaderTrust, Link::Notifications];
    let of = |link| alone.iter().filter(move |it| it.link == link).map(|it| it.status);
    let seen = links.map(|link| of(link).collect::<Vec<_>>());
    assert_eq!(seen, [vec![], vec![], vec![], vec![Status::Skipped], vec![Status::Ok]]);
}

#[test]
fn a_rule_that_another_tool_keeps_for_landfall_is_as_good_as_landfalls_own() {
    let mut observations = healthy();
    let bucket = observations.data.as_mut().expect("data").buckets.get_mut("acme-landing");
    let notifications = &mut bucket.expect("the bucket").notifications;
    let Look::Seen(configuration) = notifications else { panic!("seen") };
    let rule = &mut configuration.queues[0];
    rule.id = Some("tf-s3-queue".to_owned());
    rule.filter_rules.clear();
    rule.events = ["Put", "Post", "Copy", "CompleteMultipartUpload"]
        .map(|kind| format!("s3:ObjectCreated:{kind}"))
        .to_vec();
    assert_eq!(first_broken(&judge(&observations)), None);
}

#[test]
fn the_owners_of_an_account_that_nobody_saw_are_told_what_to_run_and_which_facts_to_send() {
    let mut observations = healthy();
    assert_eq!(request_to_owners(&observations), []);
    let data = std::mem::replace(&mut observations.data, Err("no credentials".to_owned()));
    let [(Side::Data, text)] = &request_to_owners(&observations)[..] else { panic!("one request") };
    expect![[r#"
        We are looking for the reason why files that land in your account start no job in ours (routes: orders). Our analytics account is 222222222222. We can't look into your account. Please run this command with credentials of your account and the routes file that we send along, and send us what it prints. It only reads:

          landfall doctor --routes routes.yaml --only data

        `landfall doctor --print-policy data --routes routes.yaml` prints the least policy that it needs. If you don't have Landfall, please send us the output of these commands instead:

          aws s3api get-bucket-notification-configuration --bucket acme-landing
          aws s3api get-bucket-policy --bucket acme-landing --query Policy --output text
          aws lambda list-event-source-mappings --query 'EventSourceMappings[].[FunctionArn,State]'
          aws iam list-roles --path-prefix /landfall/
    "#]].assert_eq(text);
    observations.data = data;
    observations.analytics = Err("no credentials".to_owned());
    let [(Side::Analytics, text)] = &request_to_owners(&observations)[..] else {
        panic!("one request")
    };
    expect![[r#"
        We are looking for the reason why your Glue jobs don't run for files that land in our account (routes: orders). Our data account is 111111111111. We can't look into your account. Please run this command with credentials of your account and the routes file that we send along, and send us what it prints. It only reads:

          landfall doctor --routes routes.yaml --only analytics

        `landfall doctor --print-policy analytics --routes routes.yaml` prints the least policy that it needs. If you don't have Landfall, please send us the output of these commands instead:

          aws glue get-job --job-name orders-to-parquet
          aws glue get-job-runs --job-name orders-to-parquet --max-items 5
          aws iam list-roles --path-prefix /landfall/
    "#]].assert_eq(text);
}
