//! Tests of the parameters that the stacks get for routes with `access: bucket_policy`.

use super::*;
use crate::cloudformation;

const PROVISIONER: &str = "Parameters: { TrustedAccountIds: {}, LandingBucketArns: {}, PolicyBucketArns: { Default: none }, JobInputBucketArns: { Default: none } }\nResources: {}";
const ANALYTICS: &str = "Parameters: {}\nResources: {}";
const DATA: &str = "Parameters: { OtherJobRoleArns: { Default: '' }, BucketPolicyJobRoleArns: { Default: '' }, ProvisionedRolePath: { Default: /landfall/ } }\nResources: {}";

/// Returns the values of the parameters that these routes concern, one line for each stack.
fn planned(
    policy: &[&str],
    input: &[&str],
    given: &[GivenParameter],
    known: &KnownStacks,
    narrow: bool,
) -> String {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let facts = Facts { policy_buckets: set(policy), input_buckets: set(input), ..facts() };
    let templates = [
        (TemplateName::Provisioner, PROVISIONER),
        (TemplateName::Analytics, ANALYTICS),
        (TemplateName::Data, DATA),
    ];
    let templates = templates.map(|(name, text)| (name, Template::read(text).expect("a template")));
    let order = Order::AnalyticsFirst;
    let steps = steps(&facts, &templates.into(), given, known, &ExternalId::Kept, order, narrow);
    let shown = |step: &Step| {
        let own = |name: &&&str| step.parameters.contains_key(**name);
        let names = ["PolicyBucketArns", "JobInputBucketArns", "BucketPolicyJobRoleArns"];
        let values = names
            .iter()
            .filter(own)
            .map(|name| format!(" {name}={}", cloudformation::shown(&step.parameters[*name])));
        let values: String = values.collect();
        (!values.is_empty()).then(|| format!("{} in the {}:{values}", step.stack, step.side.name()))
    };
    steps.expect("a plan").iter().filter_map(shown).collect::<Vec<_>>().join("\n")
}

#[test]
fn stacks_are_told_of_the_buckets_and_roles_of_such_routes_and_of_nothing_without() {
    let none = known(&[]);
    expect![[r#"
        landfall-provisioner in the data account: PolicyBucketArns=none JobInputBucketArns=none
        landfall-provisioner in the analytics account: PolicyBucketArns=none JobInputBucketArns=none
        landfall in the data account: BucketPolicyJobRoleArns="#]]
    .assert_eq(&planned(&[], &[], &[], &none, false));
    let (all, ours) = (&["acme-items", "acme-landing"], &["acme-landing"]);
    expect![[r#"
        landfall-provisioner in the data account: PolicyBucketArns=arn:aws:s3:::acme-items,arn:aws:s3:::acme-landing JobInputBucketArns=none
        landfall-provisioner in the analytics account: PolicyBucketArns=none JobInputBucketArns=arn:aws:s3:::acme-landing,arn:aws:s3:::landfall-manifests-111111111111-eu-west-1
        landfall in the data account: BucketPolicyJobRoleArns=arn:aws:iam::222222222222:role/landfall/landfall-job"#]].assert_eq(&planned(all, ours, &[], &none, false));
    // Of the roles of other accounts, only a person knows.
    expect![[r#"
        landfall-provisioner in the data account: PolicyBucketArns=arn:aws:s3:::acme-items,arn:aws:s3:::acme-landing JobInputBucketArns=none
        landfall-provisioner in the analytics account: PolicyBucketArns=none JobInputBucketArns=none"#]].assert_eq(&planned(all, &[], &[], &none, false));
}

#[test]
fn roles_that_somebody_gave_are_kept_until_no_route_needs_them() {
    let theirs = "arn:aws:iam::222222222222:role/plain-job";
    let stacks = |policy: &str, roles: &str| {
        known(&[
            (Side::Data, TemplateName::Provisioner, &[("PolicyBucketArns", policy)]),
            (Side::Data, TemplateName::Data, &[("BucketPolicyJobRoleArns", roles)]),
        ])
    };
    let ours = &["acme-landing"];
    let known = stacks("arn:aws:s3:::older", theirs);
    expect![[r#"
        landfall-provisioner in the data account: PolicyBucketArns=arn:aws:s3:::acme-landing,arn:aws:s3:::older JobInputBucketArns=none
        landfall-provisioner in the analytics account: PolicyBucketArns=none JobInputBucketArns=arn:aws:s3:::acme-landing,arn:aws:s3:::landfall-manifests-111111111111-eu-west-1
        landfall in the data account: BucketPolicyJobRoleArns=(as it is)
        landfall-provisioner in the data account: PolicyBucketArns=arn:aws:s3:::acme-landing JobInputBucketArns=(as it is)"#]].assert_eq(&planned(ours, ours, &[], &known, true));
    expect![[r#"
        landfall-provisioner in the data account: PolicyBucketArns=arn:aws:s3:::older JobInputBucketArns=none
        landfall-provisioner in the analytics account: PolicyBucketArns=none JobInputBucketArns=none
        landfall in the data account: BucketPolicyJobRoleArns=
        landfall-provisioner in the data account: PolicyBucketArns=none JobInputBucketArns=(as it is)"#]].assert_eq(&planned(&[], &[], &[], &known, true));
    let other = given(&[(TemplateName::Data, "OtherJobRoleArns", theirs)]);
    expect![[r#"
        landfall-provisioner in the data account: PolicyBucketArns=arn:aws:s3:::acme-landing JobInputBucketArns=none
        landfall-provisioner in the analytics account: PolicyBucketArns=none JobInputBucketArns=arn:aws:s3:::acme-landing,arn:aws:s3:::landfall-manifests-111111111111-eu-west-1
        landfall in the data account: BucketPolicyJobRoleArns=arn:aws:iam::222222222222:role/landfall/landfall-job,arn:aws:iam::222222222222:role/plain-job"#]].assert_eq(&planned(ours, ours, &other, &stacks("none", ""), false));
    let given = given(&[(TemplateName::Data, "BucketPolicyJobRoleArns", theirs)]);
    expect![[r#"
        landfall-provisioner in the data account: PolicyBucketArns=arn:aws:s3:::acme-landing JobInputBucketArns=none
        landfall-provisioner in the analytics account: PolicyBucketArns=none JobInputBucketArns=arn:aws:s3:::acme-landing,arn:aws:s3:::landfall-manifests-111111111111-eu-west-1
        landfall in the data account: BucketPolicyJobRoleArns=arn:aws:iam::222222222222:role/plain-job"#]].assert_eq(&planned(ours, ours, &given, &stacks("none", ""), false));
}
