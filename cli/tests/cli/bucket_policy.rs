//! What the commands say about routes with `access: bucket_policy`.

use serde_json::Value;

use crate::{ROUTES, Shown, landfall};

/// [`ROUTES`], of which the route to job `items` reads by bucket policy.
fn routes() -> String {
    let routes = ROUTES.replace("job: items", "job: items, access: bucket_policy");
    assert_ne!(routes, ROUTES, "the fixture has another job");
    // This is the name that the stack gives the role.
    routes.replace("starter_role: landfall-starter", "starter_role: landfall/landfall-starter")
}

fn run(args: &[&str]) -> Shown {
    landfall(&[("f", &routes())], args)
}

#[test]
fn check_says_what_reading_by_bucket_policy_needs() {
    let shown = run(&["check", "f"]);
    assert_eq!(shown.status, 0, "{}", shown.all());
    let notes: Vec<&str> = shown.stderr.lines().filter(|line| line.contains("own role")).collect();
    let [note] = &notes[..] else { panic!("{}", shown.all()) };
    for part in ["note: ", "`acme-items`", "OtherJobRoleArns"] {
        assert!(note.contains(part), "{note}");
    }
    let none = landfall(&[("f", ROUTES)], &["check", "f"]);
    assert!(!none.all().contains("own role"), "{}", none.all());
}

#[test]
fn check_refuses_a_provisioner_that_may_change_any_policy_or_too_few() {
    for (value, why) in [
        ("*", "PolicyBucketArns=*: name the buckets"),
        ("none", "PolicyBucketArns lacks `acme-items`"),
        ("arn:aws:s3:::acme-landing", "PolicyBucketArns lacks `acme-items`"),
    ] {
        let parameter = format!("provisioner:PolicyBucketArns={value}");
        let shown = run(&["check", "f", "--parameter", &parameter]);
        assert!(shown.status == 1 && shown.stdout.contains(why), "{}", shown.all());
    }
    let shown =
        run(&["check", "f", "--parameter", "provisioner:PolicyBucketArns=arn:aws:s3:::acme-items"]);
    assert_eq!(shown.status, 0, "{}", shown.all());
}

#[test]
fn policies_prints_the_statements_and_the_job_roles_side() {
    let args = ["policies", "--routes", "f", "--data-account", "111111111111"];
    let json = |more: &[&str]| -> Value {
        let shown = run(&[&args[..], &["--format", "json"], more].concat());
        assert_eq!(shown.status, 0, "{}", shown.all());
        serde_json::from_str(&shown.stdout).expect("JSON")
    };
    let document = json(&[]);
    let [bucket] = &document["bucket_policies"].as_array().expect("a list")[..] else {
        panic!("{document:#}")
    };
    assert_eq!(
        (&bucket["bucket"], &bucket["account"]),
        (&"acme-items".into(), &"111111111111".into())
    );
    let text = bucket["statements"].to_string();
    assert!(text.contains("landfall-job") && text.contains("acme-items/"), "{text}");
    let roles = document["roles"].as_array().expect("a list");
    let job = roles.iter().find(|role| role["kind"] == "job").expect("a job role");
    let own = job["permissions_policy"].to_string();
    assert!(own.contains("acme-items/") && own.contains("aws:ResourceAccount"), "{own}");
    assert!(own.contains("landfall-manifests-111111111111-"), "{own}");

    let role = "arn:aws:iam::222222222222:role/team/plain-job";
    let named = json(&["--bucket-policy-job-role-arn", role])["bucket_policies"].to_string();
    assert!(named.contains(role) && !named.contains("landfall-job"), "{named}");
    let analytics = json(&["--account", "analytics"]);
    assert_eq!(analytics["bucket_policies"], Value::Array(vec![]));

    let text = run(&args).stdout;
    assert!(text.contains("statements in the policy of bucket acme-items\n"), "{text}");
    assert!(text.contains("`0000000000000000` in Sids stands for"), "{text}");
}

#[test]
fn explain_says_that_the_job_reads_with_its_own_role() {
    let json = |text: &str| -> Value { serde_json::from_str(text).expect("JSON") };
    let args = ["explain", "--routes", "f", "s3://acme-items/a", "--json"];
    let shown = run(&args);
    let plan = &json(&shown.stdout)["plan"]["requests"];
    assert_eq!(plan[0]["access"], "bucket_policy", "{}", shown.all());
    let shown = run(&args[..4]);
    let said = "with access `bucket_policy`: the job reads with its own role";
    assert!(shown.stdout.contains(said), "{}", shown.all());
}
