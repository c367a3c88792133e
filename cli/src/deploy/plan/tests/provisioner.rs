//! What provisioners are told, and whether their boundaries can list it.

use std::fs;
use std::path::Path;

use super::*;

/// The steps of the provisioners, with what they are told.
#[track_caller]
fn check_provisioners(
    given: &[GivenParameter],
    known: &KnownStacks,
    narrow: bool,
    expected: &Expect,
) {
    let [output] = &super::given(&[OUTPUT])[..] else { panic!("one") };
    let given = [given, std::slice::from_ref(output)].concat();
    let order = Order::AnalyticsFirst;
    let steps = steps(&facts(), &templates(), &given, known, &ExternalId::Kept, order, narrow);
    let steps = match steps {
        Err(problems) => problems.join("\n") + "\n",
        Ok(steps) => {
            let own = |step: &&Step| step.template == TemplateName::Provisioner;
            steps.iter().filter(own).map(shown).collect()
        }
    };
    expected.assert_eq(&steps);
}

const SECRETS: &[(&str, &str)] = &[("ExternalId", "****")];

/// Both provisioners with these parameters, beside stacks that stand.
fn standing(data: &[(&str, &str)], analytics: &[(&str, &str)]) -> KnownStacks {
    known(&[
        (Side::Data, TemplateName::Provisioner, data),
        (Side::Analytics, TemplateName::Provisioner, analytics),
        (Side::Analytics, TemplateName::Analytics, SECRETS),
        (Side::Data, TemplateName::Data, SECRETS),
    ])
}

#[test]
fn what_routes_need_is_added_to_what_a_provisioner_was_told_and_narrowed_at_the_end() {
    let known = standing(
        &[
            ("TrustedAccountIds", "444444444444,222222222222"),
            ("LandingBucketArns", "arn:aws:s3:::older"),
            ("JobBucketArns", "none"),
            ("JobArns", "none"),
        ],
        &[
            ("TrustedAccountIds", "111111111111"),
            ("LandingBucketArns", "arn:aws:s3:::both-roles"),
            ("JobBucketArns", "arn:aws:s3:::out"),
            ("JobArns", "arn:aws:glue:eu-central-1:222222222222:job/older"),
        ],
    );
    check_provisioners(
        &[],
        &known,
        true,
        &expect![[r#"
        landfall-provisioner in the data account (its roles may trust 222222222222, 333333333333, 444444444444; data lands in acme-items, acme-landing, older)
          Architecture: arm64
          JobArns: none
          JobBucketArns: none
          LandingBucketArns: arn:aws:s3:::acme-items,arn:aws:s3:::acme-landing,arn:aws:s3:::older
          NamePrefix: landfall
          TrustedAccountIds: 222222222222,333333333333,444444444444
        landfall-provisioner in the analytics account (its roles may trust 111111111111; data lands in both-roles)
          Architecture: arm64
          JobArns: arn:aws:glue:eu-central-1:222222222222:job/older,arn:aws:glue:eu-central-1:222222222222:job/orders
          JobBucketArns: (as it is)
          LandingBucketArns: arn:aws:s3:::both-roles
          NamePrefix: landfall
          TrustedAccountIds: 111111111111
        landfall-provisioner in the data account (narrowed: its roles may trust 222222222222, 333333333333; data lands in acme-items, acme-landing)
          Architecture: (as it is)
          JobArns: (as it is)
          JobBucketArns: (as it is)
          LandingBucketArns: arn:aws:s3:::acme-items,arn:aws:s3:::acme-landing
          NamePrefix: (as it is)
          PropagationSeconds: (as it is)
          TrustedAccountIds: 222222222222,333333333333
        landfall-provisioner in the analytics account (narrowed: its roles may trust 111111111111; data lands in no bucket)
          Architecture: (as it is)
          JobArns: arn:aws:glue:eu-central-1:222222222222:job/orders
          JobBucketArns: (as it is)
          LandingBucketArns: none
          NamePrefix: (as it is)
          PropagationSeconds: (as it is)
          TrustedAccountIds: (as it is)
    "#]],
    );
}

#[test]
fn what_the_version_before_admitted_stays_until_it_is_narrowed_and_is_told() {
    let before: &[(&str, &str)] = &[("TrustedAccountIds", ""), ("LandingBucketArns", "")];
    check_provisioners(
        &[],
        &standing(before, before),
        false,
        &expect![[r#"
            landfall-provisioner in the data account (its roles may trust any account; data lands in any bucket)
              warning: stack `landfall-provisioner` in the data account has TrustedAccountIds = *, because the previous version had no limit there: roles may trust any account. `landfall deploy … --narrow-provisioner` sets it to 222222222222,333333333333 once all stacks are deployed.
              warning: stack `landfall-provisioner` in the data account has LandingBucketArns = *, because the previous version had no limit there: roles may read any bucket of the account, and any bucket may get notifications. `landfall deploy … --narrow-provisioner` sets it to arn:aws:s3:::acme-items,arn:aws:s3:::acme-landing once all stacks are deployed.
              Architecture: arm64
              JobArns: *
              JobBucketArns: *
              LandingBucketArns: *
              NamePrefix: landfall
              TrustedAccountIds: *
            landfall-provisioner in the analytics account (its roles may trust any account; data lands in any bucket)
              warning: stack `landfall-provisioner` in the analytics account has TrustedAccountIds = *, because the previous version had no limit there: roles may trust any account. `landfall deploy … --narrow-provisioner` sets it to 111111111111 once all stacks are deployed.
              warning: stack `landfall-provisioner` in the analytics account has LandingBucketArns = *, because the previous version had no limit there: roles may read any bucket of the account, and any bucket may get notifications. `landfall deploy … --narrow-provisioner` sets it to none once all stacks are deployed.
              Architecture: arm64
              JobArns: *
              LandingBucketArns: *
              NamePrefix: landfall
              TrustedAccountIds: *
        "#]],
    );
    check_provisioners(
        &[],
        &standing(before, before),
        true,
        &expect![[r#"
        landfall-provisioner in the data account (its roles may trust any account; data lands in any bucket)
          Architecture: arm64
          JobArns: *
          JobBucketArns: *
          LandingBucketArns: *
          NamePrefix: landfall
          TrustedAccountIds: *
        landfall-provisioner in the analytics account (its roles may trust any account; data lands in any bucket)
          Architecture: arm64
          JobArns: *
          LandingBucketArns: *
          NamePrefix: landfall
          TrustedAccountIds: *
        landfall-provisioner in the data account (narrowed: its roles may trust 222222222222, 333333333333; data lands in acme-items, acme-landing)
          Architecture: (as it is)
          JobArns: none
          JobBucketArns: none
          LandingBucketArns: arn:aws:s3:::acme-items,arn:aws:s3:::acme-landing
          NamePrefix: (as it is)
          PropagationSeconds: (as it is)
          TrustedAccountIds: 222222222222,333333333333
        landfall-provisioner in the analytics account (narrowed: its roles may trust 111111111111; data lands in no bucket)
          Architecture: (as it is)
          JobArns: arn:aws:glue:eu-central-1:222222222222:job/orders
          JobBucketArns: (as it is)
          LandingBucketArns: none
          NamePrefix: (as it is)
          PropagationSeconds: (as it is)
          TrustedAccountIds: 111111111111
    "#]],
    );
}

#[test]
fn an_asterisk_that_is_given_is_told_and_wins_over_what_follows_from_the_routes() {
    let any = [
        (TemplateName::Provisioner, "TrustedAccountIds", "*"),
        (TemplateName::Provisioner, "LandingBucketArns", "arn:aws:s3:::mine"),
    ];
    check_provisioners(
        &given(&any),
        &standing(SECRETS, SECRETS),
        true,
        &expect![[r#"
            landfall-provisioner in the data account (its roles may trust any account; data lands in mine)
              warning: stack `landfall-provisioner` in the data account has TrustedAccountIds = *, as you set it: roles may trust any account. Your routes need only 222222222222,333333333333.
              Architecture: arm64
              JobArns: *
              JobBucketArns: *
              LandingBucketArns: arn:aws:s3:::mine
              NamePrefix: landfall
              TrustedAccountIds: *
            landfall-provisioner in the analytics account (its roles may trust any account; data lands in mine)
              warning: stack `landfall-provisioner` in the analytics account has TrustedAccountIds = *, as you set it: roles may trust any account. Your routes need only 111111111111.
              Architecture: arm64
              JobArns: *
              LandingBucketArns: arn:aws:s3:::mine
              NamePrefix: landfall
              TrustedAccountIds: *
            landfall-provisioner in the data account (narrowed: its roles may trust any account; data lands in mine)
              Architecture: (as it is)
              JobArns: none
              JobBucketArns: none
              LandingBucketArns: (as it is)
              NamePrefix: (as it is)
              PropagationSeconds: (as it is)
              TrustedAccountIds: (as it is)
            landfall-provisioner in the analytics account (narrowed: its roles may trust any account; data lands in mine)
              Architecture: (as it is)
              JobArns: arn:aws:glue:eu-central-1:222222222222:job/orders
              JobBucketArns: (as it is)
              LandingBucketArns: (as it is)
              NamePrefix: (as it is)
              PropagationSeconds: (as it is)
              TrustedAccountIds: (as it is)
        "#]],
    );
}

#[test]
fn what_a_function_cannot_be_told_is_a_problem() {
    let long = vec!["arn:aws:s3:::a-bucket-with-a-name-that-is-long-enough"; 80].join(",");
    let long = [(TemplateName::Provisioner, "LandingBucketArns", long.as_str())];
    check_provisioners(
        &given(&long),
        &known(&[]),
        false,
        &expect![[r#"
            TrustedAccountIds, LandingBucketArns, PolicyBucketArns, NotificationTargetArns of stack `landfall-provisioner` in the analytics account have 4331 bytes together, but the function can take only 3500: split the routes between deployments, each with its own --name-prefix, or pass --parameter provisioner:LandingBucketArns=*
            TrustedAccountIds, LandingBucketArns, PolicyBucketArns, NotificationTargetArns of stack `landfall-provisioner` in the data account have 4344 bytes together, but the function can take only 3500: split the routes between deployments, each with its own --name-prefix, or pass --parameter provisioner:LandingBucketArns=*
            the analytics template needs a value: pass --parameter analytics:ExternalId=…
            the data template needs a value: pass --parameter data:ExternalId=…
        "#]],
    );
}

/// The provisioners' steps with the template as it is, for routes that start so many jobs.
fn with_jobs(
    jobs: usize,
    given: &[(TemplateName, &str, &str)],
    known: &KnownStacks,
    narrow: bool,
) -> Vec<Step> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/provisioner.yaml");
    let text = fs::read_to_string(file).expect("the template is there");
    let mut templates = templates();
    templates.insert(TemplateName::Provisioner, Template::read(&text).expect("a template"));
    let arn = |job| format!("arn:aws:glue:eu-central-1:222222222222:job/orders-to-parquet-{job}");
    let facts = Facts { job_arns: (0..jobs).map(arn).collect(), ..facts() };
    let given = super::given(&[&[OUTPUT], given].concat());
    let order = Order::AnalyticsFirst;
    let steps = steps(&facts, &templates, &given, known, &ExternalId::Kept, order, narrow);
    let is_its = |step: &Step| step.template == TemplateName::Provisioner;
    steps.expect("steps").into_iter().filter(is_its).collect()
}

fn by_account(step: &Step) -> &str {
    &step.values["BoundaryByAccount"]
}

#[test]
fn a_boundary_whose_lists_are_too_long_goes_by_the_account_and_says_so() {
    let known = standing(&[], &[]);
    let new = KnownStacks::from([
        (
            (Side::Analytics, TemplateName::Analytics),
            known[&(Side::Analytics, TemplateName::Analytics)].clone(),
        ),
        ((Side::Data, TemplateName::Data), known[&(Side::Data, TemplateName::Data)].clone()),
    ]);
    let few = with_jobs(30, &[], &new, false);
    assert!(few.iter().all(|step| by_account(step) == "false" && step.warnings.is_empty()));
    let many = with_jobs(50, &[], &new, false);
    let of = |side| many.iter().find(|step| step.side == side).expect("a step");
    let (data, analytics) = (of(Side::Data), of(Side::Analytics));
    assert_eq!((by_account(data), by_account(analytics)), ("false", "true"));
    let [warning] = &analytics.warnings[..] else { panic!("one warning") };
    assert!(warning.contains("goes by the account") && warning.contains("6144"), "{warning}");
    // What somebody asked for stays, be it short or long.
    let asked = (TemplateName::Provisioner, "BoundaryByAccount", "true");
    let asked = with_jobs(1, &[asked], &new, false);
    assert!(asked.iter().all(|step| by_account(step) == "true"));
}

#[test]
fn a_boundary_that_goes_by_the_account_lists_again_only_when_it_is_narrowed() {
    let told: &[(&str, &str)] = &[
        ("TrustedAccountIds", "111111111111,222222222222,333333333333"),
        ("LandingBucketArns", "arn:aws:s3:::acme-items,arn:aws:s3:::acme-landing"),
        ("JobBucketArns", "none"),
        ("JobArns", "none"),
        ("BoundaryByAccount", "true"),
    ];
    let known = standing(told, told);
    let kept = with_jobs(1, &[], &known, false);
    assert!(kept.len() == 2 && kept.iter().all(|step| by_account(step) == "true"));
    assert!(kept.iter().all(|step| step.warnings.len() == 1));
    let narrowed = with_jobs(1, &[], &known, true);
    let verdicts: Vec<&str> = narrowed.iter().map(by_account).collect();
    assert_eq!(verdicts, ["true", "true", "false", "false"]);
}

#[test]
fn buckets_of_jobs_that_the_version_before_named_keep_their_owners_until_somebody_says_who_they_are()
 {
    const OWNERS: &str = "JobBucketAccountIds";
    // Returns the value and the warnings of the analytics account's provisioner.
    let told = |analytics: &[(&str, &str)], given: &[&str], narrow| {
        let given: Vec<_> =
            given.iter().map(|value| (TemplateName::Provisioner, OWNERS, *value)).collect();
        let none: &[(&str, &str)] =
            &[("JobBucketArns", "none"), ("TrustedAccountIds", "222222222222")];
        let steps = with_jobs(1, &given, &standing(none, analytics), narrow);
        let step = steps.into_iter().rfind(|step| step.side == Side::Analytics).expect("a step");
        let about_owners = step.warnings.into_iter().filter(|warning| warning.contains(OWNERS));
        (step.values[OWNERS].clone(), about_owners.collect::<Vec<_>>())
    };
    let accounts = ("TrustedAccountIds", "111111111111");
    let named = ("JobBucketArns", "arn:aws:s3:::lake");
    let before: &[(&str, &str)] = &[accounts, ("LandingBucketArns", "none"), named];
    let (value, warnings) = told(before, &[], false);
    assert_eq!(value, "*");
    let [warning] = &warnings[..] else { panic!("one warning: {warnings:?}") };
    for part in ["because the previous version", "whoever owns", "--parameter provisioner:"] {
        assert!(warning.contains(part), "{warning}");
    }
    // Somebody says who owns them, or that they are all of this account.
    assert_eq!(told(before, &["444444444444"], false), ("444444444444".to_owned(), vec![]));
    assert_eq!(told(before, &[""], false), (String::new(), vec![]));
    // What is known stays, and an asterisk that stays is warned about again.
    let known = [before, &[(OWNERS, "444444444444")]].concat();
    assert_eq!(told(&known, &[], false), ("444444444444".to_owned(), vec![]));
    let (value, warnings) = told(&[before, &[(OWNERS, "*")]].concat(), &[], false);
    assert_eq!(value, "*");
    assert!(warnings.len() == 1 && warnings[0].contains("as before"), "{warnings:?}");
    // Routes don't say who owns the buckets, so nothing narrows that.
    assert_eq!(told(before, &[], true).0, "*");
    // A stack that named no bucket admitted only its own account's.
    for (name, value) in [("JobBucketArns", "*"), ("JobBucketArns", "none"), ("JobArns", "*")] {
        let none: &[(&str, &str)] = &[accounts, (name, value)];
        assert_eq!(told(none, &[], false), (String::new(), vec![]), "{name} {value}");
    }
    assert_eq!(told(&[], &[], false), (String::new(), vec![]));
}

#[test]
fn the_boundary_is_measured_as_iam_counts_it() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/provisioner.yaml");
    let template = Template::read(&fs::read_to_string(file).expect("the template is there"))
        .expect("a template");
    let defaults = template
        .parameters
        .iter()
        .filter_map(|(name, about)| Some((name.clone(), about.default.clone()?)));
    let defaults: BTreeMap<String, String> = defaults.collect();
    let chars = |given: &[(&str, &str)]| {
        let pseudo = [
            ("AWS::AccountId", "111111111111"),
            ("AWS::Region", "us-east-1"),
            ("AWS::Partition", "aws"),
            ("AWS::URLSuffix", "amazonaws.com"),
        ];
        let mut values = defaults.clone();
        values.extend(pseudo.iter().chain(given).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        template.policy_chars("Boundary", &values).expect("all is known")
    };
    let named: &[(&str, &str)] = &[
        ("TrustedAccountIds", "222222222222"),
        ("LandingBucketArns", "arn:aws:s3:::acme-landing,arn:aws:s3:::acme-items"),
        ("JobBucketArns", "arn:aws:s3:::acme-out,arn:aws:s3:::acme-assets"),
        ("JobBucketAccountIds", "222222222222"),
        ("JobArns", "arn:aws:glue:us-east-1:111111111111:job/orders"),
        ("ConnectionArns", "arn:aws:glue:us-east-1:111111111111:connection/warehouse"),
        ("JobInputBucketArns", "arn:aws:s3:::acme-input"),
        ("StreamArns", "arn:aws:kinesis:us-east-1:111111111111:stream/clicks"),
        ("MetricNamespaces", "Glue,Acme"),
        ("LakeFormationAccess", "true"),
        ("NetworkInterfaces", "true"),
    ];
    let by_account = [named, &[("BoundaryByAccount", "true")]].concat();
    let data: &[(&str, &str)] = &[
        ("TrustedAccountIds", "222222222222"),
        ("LandingBucketArns", "arn:aws:s3:::acme-landing"),
        ("JobBucketArns", "none"),
        ("JobArns", "none"),
    ];
    let any: &[(&str, &str)] = &[("TrustedAccountIds", "*"), ("LandingBucketArns", "*")];
    let analytics: &[(&str, &str)] =
        &[("TrustedAccountIds", "222222222222"), ("LandingBucketArns", "none")];
    // The same figures that the tests of the policies have, which read the template by themselves.
    assert_eq!(
        [named, any, &by_account, data, analytics].map(chars),
        [5386, 3559, 5117, 1189, 3325]
    );
    // Something that only a stack knows is not guessed.
    assert_eq!(template.policy_chars("Boundary", &BTreeMap::new()), None);
}
