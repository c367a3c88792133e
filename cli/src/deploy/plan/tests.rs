mod auditor;
mod bucket_policy;
mod provisioner;

use expect_test::{Expect, expect};

use super::*;
use crate::cloudformation;

const PROVISIONER: &str = "Parameters: { NamePrefix: { Default: landfall }, Architecture: { Default: arm64 }, PropagationSeconds: { Default: 15 }, TrustedAccountIds: {}, LandingBucketArns: {}, JobBucketArns: { Default: '*' }, JobArns: { Default: '*' } }\nResources: {}";
const ANALYTICS: &str = "
Parameters:
  NamePrefix: { Default: landfall }
  DataAccountId: {}
  DataRegion: { Default: '' }
  ExternalId: { NoEcho: true }
  PreviousExternalId: { NoEcho: true, Default: '' }
  JobName: { Default: csv-to-parquet }
  OtherJobNames: { Default: '' }
  OutputBucketName: {}
  ArtifactBucketName: {}
  LibraryKey: { Default: landfall/landfall_glue-0.2.0-py3-none-any.whl }
Resources: {}";
const DATA: &str = "
Parameters:
  LandingBucketNames: {}
  AnalyticsAccountId: {}
  OtherAnalyticsAccountIds: { Default: '' }
  AdmitsFormerBatches: { Default: 'true' }
  RunsBus: { Default: 'false' }
  ExternalId: { NoEcho: true }
  LogLevel: { Default: INFO }
Resources: {}";

fn templates() -> BTreeMap<TemplateName, Template> {
    [
        (TemplateName::Provisioner, PROVISIONER),
        (TemplateName::Analytics, ANALYTICS),
        (TemplateName::Data, DATA),
    ]
    .map(|(name, text)| (name, Template::read(text).expect("a template")))
    .into()
}

fn facts() -> Facts {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Facts {
        prefix: "landfall".to_owned(),
        data_account: "111111111111".to_owned(),
        analytics_account: "222222222222".to_owned(),
        other_accounts: names(&["333333333333"]),
        data_region: "eu-west-1".to_owned(),
        analytics_region: "eu-central-1".to_owned(),
        buckets: names(&["acme-landing", "acme-items"]),
        policy_buckets: BTreeSet::new(),
        input_buckets: BTreeSet::new(),
        has_former_batches: false,
        jobs: names(&["orders", "csv-to-parquet", "items"]),
        job_arns: names(&["arn:aws:glue:eu-central-1:222222222222:job/orders"]),
        announces: false,
        forwards_iam_events: true,
        reconciled: Reach::default(),
        partition: "aws".to_owned(),
        architecture: "arm64",
        artifacts: (
            "bucket".to_owned(),
            "landfall/".to_owned(),
            "landfall/x/landfall_glue-0.2.0-py3-none-any.whl".to_owned(),
        ),
        data_artifacts: "data-bucket".to_owned(),
    }
}

fn given(all: &[(TemplateName, &str, &str)]) -> Vec<GivenParameter> {
    let one = |(template, name, value): &(TemplateName, &str, &str)| GivenParameter {
        template: *template,
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    all.iter().map(one).collect()
}

type Stack<'a> = (Side, TemplateName, &'a [(&'a str, &'a str)]);

fn known(all: &[Stack<'_>]) -> KnownStacks {
    let of = |parameters: &[(&str, &str)]| Known {
        parameters: parameters.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
    };
    all.iter().map(|(side, name, parameters)| ((*side, *name), of(parameters))).collect()
}

#[track_caller]
fn check(
    given: &[GivenParameter],
    known: &KnownStacks,
    external_id: &ExternalId,
    order: Order,
    expected: &Expect,
) {
    let planned = match steps(&facts(), &templates(), given, known, external_id, order, false) {
        Err(problems) => problems.join("\n") + "\n",
        Ok(steps) => steps.iter().map(shown).collect(),
    };
    assert!(!planned.contains("hunter2"), "a secret is shown: {planned}");
    expected.assert_eq(&planned);
}

fn shown(step: &Step) -> String {
    let purpose = step.purpose.as_ref().map(|purpose| format!(" ({purpose})")).unwrap_or_default();
    let warnings = step.warnings.iter().map(|warning| format!("  warning: {warning}\n"));
    let head = format!("{} in the {}{purpose}\n", step.stack, step.side.name());
    let head = head + &warnings.collect::<String>();
    let lines = step
        .parameters
        .iter()
        .map(|(name, value)| format!("  {name}: {}\n", cloudformation::shown(value)));
    head + &lines.collect::<String>()
}

const OUTPUT: (TemplateName, &str, &str) = (TemplateName::Analytics, "OutputBucketName", "out");

fn new() -> ExternalId {
    ExternalId::New(Secret::new("hunter2"))
}

#[test]
fn new_stacks_get_what_follows_from_the_routes_and_defaults_for_the_rest() {
    check(
        &given(&[OUTPUT]),
        &known(&[]),
        &new(),
        Order::AnalyticsFirst,
        &expect![[r#"
            landfall-provisioner in the data account (its roles may trust 222222222222, 333333333333; data lands in acme-items, acme-landing)
              Architecture: arm64
              JobArns: none
              JobBucketArns: none
              LandingBucketArns: arn:aws:s3:::acme-items,arn:aws:s3:::acme-landing
              NamePrefix: landfall
              TrustedAccountIds: 222222222222,333333333333
            landfall-provisioner in the analytics account (its roles may trust 111111111111; data lands in no bucket)
              Architecture: arm64
              JobArns: arn:aws:glue:eu-central-1:222222222222:job/orders
              LandingBucketArns: none
              NamePrefix: landfall
              TrustedAccountIds: 111111111111
            landfall in the analytics account
              ArtifactBucketName: bucket
              DataAccountId: 111111111111
              DataRegion: eu-west-1
              ExternalId: (not shown)
              LibraryKey: landfall/x/landfall_glue-0.2.0-py3-none-any.whl
              NamePrefix: landfall
              OtherJobNames: items,orders
              OutputBucketName: out
            landfall in the data account
              AdmitsFormerBatches: false
              AnalyticsAccountId: 222222222222
              ExternalId: (not shown)
              LandingBucketNames: acme-items,acme-landing
              OtherAnalyticsAccountIds: 333333333333
              RunsBus: true
        "#]],
    );
}

#[test]
fn a_stack_keeps_what_is_not_given_again_and_what_is_no_parameter_any_more_is_not_sent() {
    let analytics: &[(&str, &str)] = &[
        ("OutputBucketName", "out"),
        ("ExternalId", "****"),
        ("JobName", "orders"),
        ("GoneParameter", "x"),
    ];
    let data: &[(&str, &str)] = &[("ExternalId", "****"), ("LogLevel", "DEBUG")];
    let known = known(&[
        (Side::Analytics, TemplateName::Analytics, analytics),
        (Side::Data, TemplateName::Data, data),
    ]);
    check(
        &[],
        &known,
        &ExternalId::Kept,
        Order::DataFirst,
        &expect![[r#"
            landfall-provisioner in the data account (its roles may trust 222222222222, 333333333333; data lands in acme-items, acme-landing)
              Architecture: arm64
              JobArns: none
              JobBucketArns: none
              LandingBucketArns: arn:aws:s3:::acme-items,arn:aws:s3:::acme-landing
              NamePrefix: landfall
              TrustedAccountIds: 222222222222,333333333333
            landfall-provisioner in the analytics account (its roles may trust 111111111111; data lands in no bucket)
              Architecture: arm64
              JobArns: arn:aws:glue:eu-central-1:222222222222:job/orders
              LandingBucketArns: none
              NamePrefix: landfall
              TrustedAccountIds: 111111111111
            landfall in the data account
              AdmitsFormerBatches: true
              AnalyticsAccountId: 222222222222
              ExternalId: (as it is)
              LandingBucketNames: acme-items,acme-landing
              LogLevel: (as it is)
              OtherAnalyticsAccountIds: 333333333333
              RunsBus: true
            landfall in the analytics account
              ArtifactBucketName: bucket
              DataAccountId: 111111111111
              DataRegion: eu-west-1
              ExternalId: (as it is)
              JobName: (as it is)
              LibraryKey: landfall/x/landfall_glue-0.2.0-py3-none-any.whl
              NamePrefix: landfall
              OtherJobNames: csv-to-parquet,items
              OutputBucketName: (as it is)
        "#]],
    );
}

#[test]
fn all_that_is_missing_or_unknown_is_told_at_once() {
    let wrong =
        [(TemplateName::Data, "LogLevl", "DEBUG"), (TemplateName::Provisioner, "Nonsense", "1")];
    check(
        &given(&wrong),
        &known(&[]),
        &new(),
        Order::AnalyticsFirst,
        &expect![[r#"
            the analytics template needs a value: pass --parameter analytics:OutputBucketName=…
            the data template has no parameter `LogLevl`; did you mean `LogLevel`?
            the provisioner template has no parameter `Nonsense`; it has Architecture, JobArns, JobBucketArns, LandingBucketArns, NamePrefix, PropagationSeconds, TrustedAccountIds
        "#]],
    );
}

#[test]
fn a_new_external_id_is_admitted_beside_the_old_one_before_it_is_presented() {
    let all: &[(&str, &str)] = &[("ExternalId", "****"), ("OutputBucketName", "out")];
    let known = known(&[
        (Side::Analytics, TemplateName::Analytics, all),
        (Side::Data, TemplateName::Data, all),
    ]);
    let [new, previous] = ["hunter2-new", "hunter2-old"].map(Secret::new);
    let rotated = ExternalId::Rotated { new, previous };
    let steps = steps(&facts(), &templates(), &[], &known, &rotated, Order::DataFirst, false);
    let steps = steps.expect("nothing is missing");
    let ids = |step: &Step| {
        let ids = step.parameters.iter().filter(|(name, _)| name.ends_with("ExternalId"));
        let ids = ids
            .map(|(name, value)| format!(" {name}={}", cloudformation::shown(value)))
            .collect::<String>();
        format!("{}: {}{ids}\n", step.side.name(), step.purpose.clone().unwrap_or_default())
    };
    expect![[r#"
        data account: its roles may trust 222222222222, 333333333333; data lands in acme-items, acme-landing
        analytics account: its roles may trust 111111111111; data lands in no bucket
        analytics account: accepts both external IDs ExternalId=(not shown) PreviousExternalId=(not shown)
        data account: presents the new external ID ExternalId=(not shown)
        analytics account: accepts only the new external ID ExternalId=(as it is) PreviousExternalId=
    "#]]
    .assert_eq(&steps.iter().map(ids).collect::<String>());
}

/// The steps for routes that start these jobs, with an analytics template that has an example job.
fn example(
    jobs: &[&str],
    given: &[GivenParameter],
) -> Result<BTreeMap<String, String>, Vec<String>> {
    let text = ANALYTICS.replace(
        "OutputBucketName: {}",
        "OutputBucketName: { Default: '' }\n  ExampleJob: { Default: 'true' }",
    );
    let mut templates = templates();
    let template = Template::read(&text).expect("a template");
    templates.insert(TemplateName::Analytics, template);
    let facts = Facts { jobs: jobs.iter().map(|job| (*job).to_owned()).collect(), ..facts() };
    let new = ExternalId::New(Secret::new("hushhush"));
    let known = KnownStacks::new();
    let steps = steps(&facts, &templates, given, &known, &new, Order::AnalyticsFirst, false)?;
    let its = |step: &Step| step.template == TemplateName::Analytics;
    Ok(steps.into_iter().find(its).expect("the analytics account's").values)
}

#[test]
fn the_example_job_is_made_if_a_route_starts_it_and_then_needs_a_bucket() {
    let values = example(&["orders"], &[]).expect("steps");
    assert_eq!((&*values["ExampleJob"], &*values["OtherJobNames"]), ("false", "orders"));
    let problems = example(&["orders", "csv-to-parquet"], &[]).expect_err("no bucket");
    assert_eq!(problems, [NO_OUTPUT_BUCKET]);
    let bucket = given(&[(TemplateName::Analytics, "OutputBucketName", "acme-lake")]);
    let values = example(&["orders", "csv-to-parquet"], &bucket).expect("steps");
    assert_eq!((&*values["ExampleJob"], &*values["OtherJobNames"]), ("true", "orders"));
    let left_out = given(&[(TemplateName::Analytics, "ExampleJob", "false")]);
    let values = example(&["orders", "csv-to-parquet"], &left_out).expect("steps");
    assert_eq!(&*values["OtherJobNames"], "csv-to-parquet,orders");
}

/// What the data account's stack has for `AdmitsFormerBatches`, and whether that admits them.
fn admitted(facts: &Facts, known: &KnownStacks, given: &[GivenParameter]) -> (String, bool) {
    let given = [given, &self::given(&[OUTPUT])].concat();
    let steps = steps(facts, &templates(), &given, known, &new(), Order::AnalyticsFirst, false);
    let steps = steps.expect("nothing is missing");
    let mut steps = steps.iter().filter(|step| step.template == TemplateName::Data);
    let step = steps.next().expect("the data account's");
    let value = step.parameters.get("AdmitsFormerBatches").map(cloudformation::shown);
    (value.unwrap_or_default(), step.admits_former_batches())
}

/// Batches of a route that announced them may still be open.
#[test]
fn the_functions_may_put_events_once_a_route_announces_and_keep_that() {
    let data = "Parameters: { AnnouncesBatches: { Default: 'false' } }\nResources: {}";
    let template = Template::read(data).expect("a template");
    let templates = BTreeMap::from([(TemplateName::Data, template)]);
    let planned = |announces: bool, known: &KnownStacks, given: &[GivenParameter]| {
        let facts = Facts { announces, ..facts() };
        let order = Order::AnalyticsFirst;
        let steps = steps(&facts, &templates, given, known, &ExternalId::Kept, order, false);
        let steps = steps.expect("nothing is missing");
        let value = steps[0].parameters.get("AnnouncesBatches").map(cloudformation::shown);
        value.unwrap_or_else(|| "the default".to_owned())
    };
    let none = KnownStacks::new();
    let has = known(&[(Side::Data, TemplateName::Data, &[("AnnouncesBatches", "true")])]);
    assert_eq!(planned(false, &none, &[]), "the default");
    assert_eq!(planned(true, &none, &[]), "true");
    assert_eq!(planned(false, &has, &[]), "(as it is)");
    let told = given(&[(TemplateName::Data, "AnnouncesBatches", "false")]);
    assert_eq!(planned(false, &has, &told), "false");
}

#[test]
fn there_is_a_reconciler_for_the_buckets_of_routes_that_ask_for_it_as_long_as_one_does() {
    let data = "Parameters: { ReconciledBucketArns: { Default: '' }, ReconciledPrefixes: { Default: '' }, \
                ReconciledInventoryArns: { Default: '' } }\nResources: {}";
    let template = Template::read(data).expect("a template");
    let templates = BTreeMap::from([(TemplateName::Data, template)]);
    let names = |of: &[&str]| of.iter().map(|name| (*name).to_owned()).collect();
    let planned = |reconciled: Reach, known: &KnownStacks| {
        let facts = Facts { reconciled, ..facts() };
        let order = Order::AnalyticsFirst;
        let steps = steps(&facts, &templates, &[], known, &ExternalId::Kept, order, false);
        let steps = steps.expect("nothing is missing");
        ["ReconciledBucketArns", "ReconciledPrefixes", "ReconciledInventoryArns"].map(|name| {
            let value = steps[0].parameters.get(name).map(cloudformation::shown);
            value.expect("it follows from the routes")
        })
    };
    let arns = "arn:aws:s3:::acme-items,arn:aws:s3:::acme-landing";
    assert_eq!(planned(Reach::default(), &KnownStacks::new()), ["", "", ""]);
    let reach = Reach {
        buckets: names(&["acme-landing", "acme-items"]),
        prefixes: names(&["orders/*", "items/*"]),
        inventories: names(&["acme-items/acme-landing/all/*"]),
    };
    let inventories = "arn:aws:s3:::acme-items/acme-landing/all/*";
    let expected = [arns, "items/*,orders/*", inventories];
    assert_eq!(planned(reach.clone(), &KnownStacks::new()), expected);
    let long = (0..100).map(|number| format!("a-prefix-of-many/{number}/*"));
    let many = Reach { prefixes: long.collect(), ..reach };
    assert_eq!(planned(many, &KnownStacks::new()), [arns, "", inventories], "they don't fit");
    let has = known(&[(Side::Data, TemplateName::Data, &[("ReconciledBucketArns", arns)])]);
    assert_eq!(planned(Reach::default(), &has), ["", "", ""]);
}

#[test]
fn a_new_data_stack_admits_no_former_batches_and_one_of_the_version_before_does_until_it_is_told_not_to()
 {
    let of = |value: &str, admits| (value.to_owned(), admits);
    let stack =
        |parameters: &[(&str, &str)]| known(&[(Side::Data, TemplateName::Data, parameters)]);
    let none = KnownStacks::new();
    assert_eq!(admitted(&facts(), &none, &[]), of("false", false));
    // The ledger of a stack that was deleted is taken in by the new one.
    let taken_in = Facts { has_former_batches: true, ..facts() };
    assert_eq!(admitted(&taken_in, &none, &[]), of("true", true));
    assert_eq!(admitted(&facts(), &stack(&[("LogLevel", "DEBUG")]), &[]), of("true", true));
    for (value, admits) in [("true", true), ("false", false)] {
        let now = stack(&[("AdmitsFormerBatches", value)]);
        assert_eq!(admitted(&facts(), &now, &[]), of("(as it is)", admits));
    }
    let told = given(&[(TemplateName::Data, "AdmitsFormerBatches", "false")]);
    let admits = stack(&[("AdmitsFormerBatches", "true")]);
    assert_eq!(admitted(&facts(), &admits, &told), of("false", false));
}
