//! What the auditors' stacks are given: what follows from the routes, and what follows the other stacks of the account.

use super::*;

const AUDITOR: &str = "
Parameters:
  NamePrefix: { Default: landfall }
  StackName: { Default: landfall }
  Side: {}
  AuditMinutes: { Default: 15 }
  LandingBucketArns: { Default: '*' }
  JobArns: { Default: '*' }
  Repair: { Default: 'off' }
  ProvisionerNamePrefix: { Default: landfall }
  ArtifactBucketName: { Default: '' }
  ArtifactPrefix: { Default: landfall/ }
  ForwardsIamEvents: { Default: 'true' }
  RolePath: { Default: / }
  FunctionBoundaryArn: { Default: '' }
  AlarmTopicArn: { Default: '' }
  EncryptionKeyArn: { Default: '' }
Resources: {}";

const BOUNDARY: &str = "arn:aws:iam::111111111111:policy/company";
const TOPIC: &str = "arn:aws:sns:eu-west-1:111111111111:on-call";
const MADE_TOPIC: &str = "arn:aws:sns:eu-west-1:111111111111:landfall-alarms";
const KEY: &str = "arn:aws:kms:eu-west-1:111111111111:key/1";

/// The templates, with what the auditors follow.
fn all_templates() -> BTreeMap<TemplateName, Template> {
    let with = |text: &str, more: &str| text.replacen("Parameters:\n", more, 1);
    let provisioner = PROVISIONER.replacen(
        "Parameters: {",
        "Parameters: { RolePath: { Default: / }, FunctionBoundaryArn: { Default: '' },",
        1,
    );
    let data = with(
        DATA,
        "Parameters:\n  AlarmTopicArn: { Default: '' }\n  AlarmEmail: { Default: '' }\n  \
         EncryptionKey: { Default: '' }\n",
    );
    let read = |text: &str| Template::read(text).expect("a template");
    BTreeMap::from([
        (TemplateName::Provisioner, read(&provisioner)),
        (TemplateName::Analytics, read(ANALYTICS)),
        (TemplateName::Data, read(&data)),
        (TemplateName::Auditor, read(AUDITOR)),
    ])
}

fn planned(
    facts: &Facts,
    parameters: &[(TemplateName, &str, &str)],
    known: &KnownStacks,
) -> Vec<Step> {
    let given = given(&[parameters, &[OUTPUT]].concat());
    let order = Order::DataFirst;
    let steps = steps(facts, &all_templates(), &given, known, &new(), order, true);
    steps.expect("nothing is missing")
}

/// The value that the auditor of an account gets for a parameter.
fn value(steps: &[Step], side: Side, parameter: &str) -> String {
    let is_its = |step: &&Step| step.template == TemplateName::Auditor && step.side == side;
    let step = steps.iter().find(is_its).expect("an auditor");
    step.parameters.get(parameter).map(crate::cloudformation::shown).unwrap_or_default()
}

#[test]
fn auditors_come_last_and_each_learns_which_half_it_looks_at() {
    let parameters = [
        (TemplateName::Provisioner, "FunctionBoundaryArn", BOUNDARY),
        (TemplateName::Provisioner, "RolePath", "/acme/"),
        (TemplateName::Data, "AlarmEmail", "somebody@example.com"),
        (TemplateName::Data, "EncryptionKey", KEY),
        (TemplateName::Auditor, "AuditMinutes", "60"),
        (TemplateName::Auditor, "Repair", "missing"),
    ];
    let steps = planned(&facts(), &parameters, &known(&[]));
    expect![[r#"
        landfall-auditor in the data account
          AlarmTopicArn: arn:aws:sns:eu-west-1:111111111111:landfall-alarms
          ArtifactBucketName: data-bucket
          ArtifactPrefix: landfall/
          AuditMinutes: 60
          EncryptionKeyArn: arn:aws:kms:eu-west-1:111111111111:key/1
          ForwardsIamEvents: true
          FunctionBoundaryArn: arn:aws:iam::111111111111:policy/company
          LandingBucketArns: arn:aws:s3:::acme-items,arn:aws:s3:::acme-landing
          NamePrefix: landfall
          ProvisionerNamePrefix: landfall
          Repair: missing
          RolePath: /acme/
          Side: data
          StackName: landfall
        landfall-auditor in the analytics account
          ArtifactBucketName: bucket
          ArtifactPrefix: landfall/
          AuditMinutes: 60
          ForwardsIamEvents: true
          FunctionBoundaryArn: arn:aws:iam::111111111111:policy/company
          JobArns: arn:aws:glue:eu-central-1:222222222222:job/orders
          NamePrefix: landfall
          ProvisionerNamePrefix: landfall
          Repair: missing
          RolePath: /acme/
          Side: analytics
          StackName: landfall
    "#]]
    .assert_eq(&steps[4..].iter().map(shown).collect::<String>());
}

#[test]
fn an_auditor_follows_the_other_stacks_of_its_account_until_it_is_given_something_else() {
    let topic = |before: &str, own: Option<&str>, parameters: &[(TemplateName, &str, &str)]| {
        let data = [("AlarmTopicArn", before), ("AlarmEmail", ""), ("ExternalId", "****")];
        let own: Vec<(&str, &str)> = own.into_iter().map(|own| ("AlarmTopicArn", own)).collect();
        let known = known(&[
            (Side::Data, TemplateName::Data, &data),
            (Side::Data, TemplateName::Auditor, &own),
        ]);
        value(&planned(&facts(), parameters, &known), Side::Data, "AlarmTopicArn")
    };
    let data = |name, value| [(TemplateName::Data, name, value)];
    let other = "arn:aws:sns:eu-west-1:111111111111:other";
    // A new auditor has the topic of the stack that is there, and an old one follows it.
    assert_eq!(topic(TOPIC, None, &[]), TOPIC);
    assert_eq!(topic(TOPIC, Some(TOPIC), &data("AlarmTopicArn", other)), other);
    assert_eq!(topic(TOPIC, Some(TOPIC), &data("AlarmTopicArn", "")), "");
    assert_eq!(topic("", Some(""), &data("AlarmEmail", "somebody@example.com")), MADE_TOPIC);
    // What somebody gave the auditor itself stays.
    assert_eq!(topic(TOPIC, Some(other), &[]), "(as it is)");
    assert_eq!(topic(TOPIC, Some(""), &data("AlarmTopicArn", "")), "(as it is)");
    assert_eq!(
        topic(TOPIC, Some(TOPIC), &[(TemplateName::Auditor, "AlarmTopicArn", other)]),
        other
    );
}

#[test]
fn the_ends_of_what_a_parameter_holds_are_an_asterisk_and_a_key_that_the_stack_makes_is_not_known()
{
    let many = (0..200).map(|number| format!("acme-landing-{number}")).collect();
    let facts = Facts { buckets: many, ..facts() };
    let parameters = [
        (TemplateName::Data, "EncryptionKey", "create"),
        (TemplateName::Provisioner, "LandingBucketArns", "*"),
    ];
    let steps = planned(&facts, &parameters, &known(&[]));
    assert_eq!(value(&steps, Side::Data, "LandingBucketArns"), "*");
    assert_eq!(value(&steps, Side::Data, "EncryptionKeyArn"), "");
}

#[test]
fn auditors_that_are_left_out_take_no_parameter() {
    let mut templates = all_templates();
    templates.remove(&TemplateName::Auditor);
    let of = |given: &[GivenParameter]| {
        let known = known(&[]);
        steps(&facts(), &templates, given, &known, &new(), Order::AnalyticsFirst, false)
    };
    let steps = of(&given(&[OUTPUT])).expect("nothing is missing");
    assert!(steps.iter().all(|step| step.template != TemplateName::Auditor), "{steps:?}");
    let problems = of(&given(&[OUTPUT, (TemplateName::Auditor, "AuditMinutes", "5")]));
    let expected = "`auditor:AuditMinutes` has no effect, because that stack is left out";
    assert_eq!(problems.expect_err("no such stack"), [expected]);
}

#[test]
fn an_auditor_expects_iams_events_unless_the_deployment_goes_without() {
    for forwards_iam_events in [true, false] {
        let steps = planned(&Facts { forwards_iam_events, ..facts() }, &[], &known(&[]));
        for side in Side::BOTH {
            let expected = forwards_iam_events.to_string();
            assert_eq!(value(&steps, side, "ForwardsIamEvents"), expected, "{side:?}");
        }
    }
}
