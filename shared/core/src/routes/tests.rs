mod announce;
mod batch;
mod deploy;
mod packaged;
mod reconcile;
mod wide;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

/// A valid routes file, for tests to change.
pub(crate) const VALID: &str = r#"version: 1
targets:
  analytics:
    account: "222222222222"
    region: eu-west-1
    starter_role: landfall-starter
    external_id: ${LANDFALL_EXTERNAL_ID}
routes:
  - name: orders
    bucket: acme-landing
    key: "orders/dt={dt}/{file}.csv"
    where: { min_bytes: 1 }
    batch: { by: [dt] }
    start:
      target: analytics
      job: orders-to-parquet
      arguments: { "--dt": "{dt}" }
"#;

#[track_caller]
fn check(text: &str, expected: Expect) {
    let problems = Routes::parse(text).problems;
    let lines: Vec<String> = problems.iter().map(|problem| format!("{problem}\n")).collect();
    expected.assert_eq(&lines.concat());
}

/// Returns [`VALID`] with one text replaced by another.
#[track_caller]
fn check_with(from: &str, to: &str, expected: Expect) {
    assert!(VALID.contains(from), "{from}");
    check(&VALID.replacen(from, to, 1), expected);
}

#[test]
fn a_valid_file_has_no_problems_and_is_resolved() {
    let parsed = Routes::parse(VALID);
    assert_eq!(parsed.problems, []);
    let routes = parsed.routes.expect("valid");
    let target = &routes.targets["analytics"];
    assert_eq!(target.starter_role_arn, "arn:aws:iam::222222222222:role/landfall-starter");
    assert_eq!(target.external_id, Some(ExternalId::Variable("LANDFALL_EXTERNAL_ID".to_owned())));
    assert_eq!(routes.finder().find("acme-landing", "orders/dt=1/a.csv"), [0]);
}

#[test]
fn all_problems_are_reported_together_each_with_place_and_hint() {
    check(
        r#"version: 1
targets:
  analytics:
    account: 222222222222
    region: ireland
    starter_role: landfall-starter
    external_id: ${LANDFALL_EXTERNAL_ID}
    regoin: eu-west-1
routes:
  - name: orders
    bukket: acme-landing
    key: "orders/{dt/{file}.csv"
    start: { target: analytcs, job: a, arguments: { "dt": "1", "--JOB_NAME": "x" } }
  - name: orders
    bucket: Acme
    key: "items/{dt}/{file}"
    where: { min_bytes: lots }
    batch: { by: [day], window: 5 minutes }
    start: { target: analytics, job: b, arguments: { "--uri": "{object_uri}", "--x": "{fiel}" } }
"#,
        expect![[r#"
            4:14: error: `account` is not a string (put it in quotes)
            5:13: error: `ireland` is not a region (a region looks like `eu-west-1`)
            8:5: error: unknown field `regoin` (did you mean `region`?)
            11:5: error: unknown field `bukket` (did you mean `bucket`?)
            12:10: error: `{` is not closed (write `{{` and `}}` for braces that are part of the key)
            13:22: error: there is no target `analytcs` (did you mean `analytics`?)
            13:53: error: `dt`: not a valid argument name (write `--`, a letter, and then letters, digits, `-`, `_` or `.`: "--day")
            13:64: error: `--JOB_NAME`: Glue sets this argument itself (remove it)
            14:11: error: a second route `orders` (the route in line 10 already has this name)
            15:13: error: `Acme` is not a valid bucket name (a name has 3 to 63 lower-case letters, digits, `-` and `.`)
            17:25: error: `min_bytes` is not a whole number, 0 or more (write digits only: 1000)
            18:19: error: the key has no capture `day` (`by` lists captures of the key, such as `name` for `{name}`)
            18:33: error: `5 minutes` is not a length of time (write a number and s, m, h or d: 90s, 5m, 1h, 1d)
            19:63: error: `{object_uri}` differs between the objects of a batch (set `batch.max_objects: 1`; the job gets all objects in its manifest)
            19:86: error: `{fiel}` is unknown here (did you mean `file`?)
        "#]],
    );
}

#[test]
fn what_yaml_versions_read_differently_is_refused() {
    check(
        "version: 1\ntargets: {}\nroutes:\n  - name: on\n    key: 2024-01-01\n    bucket: 012\n    where: { min_bytes: 1_000, max_bytes: 5:30 }\n    yes: 1\n",
        expect![[r#"
            4:5: error: `start` is missing (add `start: …`)
            4:11: error: YAML 1.1 and YAML 1.2 read this differently (put it in quotes)
            5:10: error: YAML 1.1 and YAML 1.2 read this differently (put it in quotes)
            6:13: error: YAML 1.1 and YAML 1.2 read this differently (put it in quotes)
            7:25: error: YAML 1.1 and YAML 1.2 read this differently (put it in quotes)
            7:25: error: `min_bytes` is not a whole number, 0 or more (write digits only: 1000)
            7:43: error: YAML 1.1 and YAML 1.2 read this differently (put it in quotes)
            7:43: error: `max_bytes` is not a whole number, 0 or more (write digits only: 1000)
            8:5: error: YAML 1.1 and YAML 1.2 read this differently (put it in quotes)
            8:5: error: unknown field `yes` (the fields here are `name`, `bucket`, `key`, `wide`, `where`, `batch`, `start`, `reconcile`)
        "#]],
    );
}

#[test]
fn a_plain_scalar_passes_only_if_all_yaml_reads_it_alike() {
    let is_refused = |scalar: &str| {
        let text = VALID.replace("min_bytes: 1", &format!("min_bytes: {scalar}"));
        Routes::parse(&text).problems.iter().any(|p| p.message.starts_with("YAML 1.1"))
    };
    for scalar in [
        "on",
        "Off",
        "YES",
        "y",
        "0x_1F",
        "+0x1F",
        "0o17",
        "0b11",
        "012",
        "1_000",
        "1_000.5e+3",
        "190:20:30",
        "190:20:30.15",
        "685_230:10",
        ".5_0",
        "-.5",
        ".inf",
        "-.INF",
        ".NaN",
        "1e3",
        "1.5e3",
        "1.5e+3",
        "2026-01-31",
        "2026-1-1T00:00:00Z",
        "<<",
        "=",
    ] {
        assert!(is_refused(scalar), "{scalar}");
    }
    for scalar in [
        "1", "0", "-5", "+5", "1.5", "0.5", ".5", "01.5", "0x1F", "true", "null", "~", "a", "e3",
        "10.0.0.1", "1.2.3", "2026", "12ab", "1e", "10-20", "once", "0xyz", "none", "a:b", "1a:2",
    ] {
        assert!(!is_refused(scalar), "{scalar}");
    }
}

#[test]
fn keys_that_are_no_strings_are_refused() {
    check_with(
        "  analytics:\n",
        "  0x10: {}\n  true: {}\n  ~: {}\n  analytics:\n",
        expect![[r#"
        3:3: error: a key must be a string (put it in quotes)
        4:3: error: a key must be a string (put it in quotes)
        5:3: error: a key must be a string (put it in quotes)
    "#]],
    );
}

#[test]
fn yaml_that_cloudformation_cannot_read_is_refused() {
    check(
        "version: &v 1\ntargets: *v\nroutes: !!seq []\n",
        expect![[r#"
            1:1: error: `targets` is missing (add `targets: …`)
            1:10: error: YAML anchors are not supported (CloudFormation reads this file too and doesn't support aliases)
            2:10: error: YAML aliases are not supported (CloudFormation reads this file too and doesn't support them: write the value out)
            3:9: error: YAML tags are not supported (put the value in quotes if it is a string)
            3:9: error: there is no route (a file without routes starts nothing)
        "#]],
    );
    check(
        "version: 1\nversion: 1\ntargets: {}\nroutes: []\n",
        expect![[r#"
            2:1: error: duplicate key `version` (it is already in line 1)
            4:9: error: there is no route (a file without routes starts nothing)
        "#]],
    );
    check(
        "version: 1\n---\nversion: 2\n",
        expect![[r#"
            2:1: error: a second YAML document (a file can have only one document: remove everything after `---`)
        "#]],
    );
    check(
        "version: [1\n",
        expect![[r#"
            2:1: error: not valid YAML: while parsing a flow sequence, expected ',' or ']' (check the indentation, the quotes and the brackets before this place)
        "#]],
    );
    check(
        "",
        expect![[r#"
            1:1: error: the file is empty (start with `version: 1`)
        "#]],
    );
    check(
        "just text",
        expect![[r#"
            1:1: error: the file is not a mapping (write `field: value` in lines below it)
        "#]],
    );
}

#[test]
fn a_list_is_not_taken_for_a_mapping() {
    check_with(
        "    where: { min_bytes: 1 }",
        "    where: [1]",
        expect![[r#"
            12:12: error: `where` is a list (only `routes`, `by`, `states` are lists)
        "#]],
    );
    check_with(
        "  analytics:\n",
        "  routes: [\"222222222222\", eu-west-1]\n  analytics:\n",
        expect![[r#"
            3:11: error: `routes` is a list (only `routes`, `by`, `states` are lists)
        "#]],
    );
}

#[test]
fn arguments_that_glue_interprets_are_guarded() {
    check_with(
        r#"{ "--dt": "{dt}" }"#,
        r#"{ "--extra-py-files": "s3://x/{dt}", "--landfall-batch-id": "1", "--{dt}": "x", "--neg": "-1", "--conf": "x", "--TempDir": "s3://fine/", "--JOB": "x", "--job_name": "x", "--landfall": "x", "--python-modules-installer-option": "{dt}" }"#,
        expect![[r#"
            17:40: error: `--extra-py-files` must not depend on the object's key or size (Glue acts on it, so anyone who uploads could choose what runs: use a fixed value)
            17:55: error: `--landfall-batch-id`: arguments that begin with `--landfall` are reserved for Landfall (choose another name)
            17:83: error: `--{dt}`: argument names can't contain captures (use the capture in the value)
            17:107: error: the value of `--neg` begins with `-` (the job would read it as the name of another argument)
            17:113: error: `--conf`: Glue sets this argument itself (remove it)
            17:155: error: `--JOB`: a job could read this as an abbreviation of `--JOB_NAME` (choose another name)
            17:169: error: `--job_name`: Glue sets this argument itself (remove it)
            17:188: error: `--landfall`: arguments that begin with `--landfall` are reserved for Landfall (choose another name)
            17:244: error: `--python-modules-installer-option` must not depend on the object's key or size (Glue acts on it, so anyone who uploads could choose what runs: use a fixed value)
        "#]],
    );
}

#[test]
fn routes_that_do_the_same_are_warned_of_unless_their_sizes_differ() {
    let twin = VALID[VALID.find("  - name").unwrap()..].replace("name: orders", "name: twin");
    check(
        &format!("{VALID}{twin}"),
        expect![[r#"
        18:5: warning: routes `orders` and `twin` start the same job for the same keys (every object starts it twice: is one of them left over?)
    "#]],
    );
    let small = VALID.replace("min_bytes: 1", "min_bytes: 1, max_bytes: 10");
    check(&format!("{small}{}", twin.replace("min_bytes: 1", "min_bytes: 11")), expect![[""]]);
}

#[test]
fn keys_that_can_hardly_be_meant_are_reported() {
    check_with(
        "\"orders/dt={dt}/{file}.csv\"",
        "|\n      orders/dt={dt}/{file}.csv",
        expect![[r#"
            11:5: warning: the key begins or ends with white space, or contains a control character (keys in S3 rarely do: if you didn't intend this, quote the key on one line)
        "#]],
    );
}

#[test]
fn a_file_in_one_long_line_is_read_in_no_time() {
    let routes: Vec<String> = (0..2_000)
        .map(|n| {
            format!(
                "{{name: r{n}, bucket: landing, key: \"{n}/**\", start: {{target: a, job: j}}}}"
            )
        })
        .collect();
    let text = format!(
        "{{version: 1, targets: {{a: {{account: \"222222222222\", region: eu-west-1, starter_role: s, external_id: \"${{X}}\"}}}}, routes: [{}]}}",
        routes.join(", ")
    );
    assert_eq!(Routes::parse(&text).problems, []);
}

#[test]
fn roles_and_targets_are_checked() {
    check_with(
        "starter_role: landfall-starter",
        "starter_role: arn:aws:iam::333333333333:role/x",
        expect![[r#"
            6:19: error: the role is in account `333333333333`, but the target is another (the starter role and the jobs must be in the same account)
        "#]],
    );
    check_with(
        "starter_role: landfall-starter",
        "starter_role: arn:aws:s3:::x",
        expect![[r#"
        6:19: error: `arn:aws:s3:::x` is not the ARN of a role (it looks like arn:aws:iam::222222222222:role/landfall-starter)
    "#]],
    );
    check_with(
        "${LANDFALL_EXTERNAL_ID}",
        "a",
        expect![[r#"
            7:18: error: not an external ID (STS allows 2 to 1,224 letters, digits and `_+=,.@:/-`; or write ${LANDFALL_EXTERNAL_ID})
        "#]],
    );
    check_with(
        "    external_id: ${LANDFALL_EXTERNAL_ID}\n",
        "",
        expect![[r#"
        3:3: warning: target `analytics` has no `external_id` (with one, only someone who knows it can make the trigger's account assume the role: external_id: ${LANDFALL_EXTERNAL_ID})
    "#]],
    );
}

#[test]
fn an_external_id_in_the_file_is_warned_of_and_not_repeated() {
    // An external ID that can be guessed gets two warnings.
    for (external_id, warnings) in [("s3cr3t-value-012", 1), ("s3cr3t-value-01", 2)] {
        let text = VALID.replace("${LANDFALL_EXTERNAL_ID}", external_id);
        let parsed = Routes::parse(&text);
        assert_eq!(parsed.problems.len(), warnings);
        assert!(!parsed.problems.iter().any(Problem::is_error));
        assert!(!format!("{parsed:?}").contains("s3cr3t"));
    }
}

#[test]
fn no_problem_repeats_what_may_be_an_external_id() {
    for written in [
        "external_id: 12:34:56",
        "{external_id:12:34:56}",
        "external_id: [12:34:56]",
        "external_id: a b 12:34:56",
    ] {
        let text = VALID.replace("external_id: ${LANDFALL_EXTERNAL_ID}", written);
        let problems = format!("{:?}", Routes::parse(&text).problems);
        assert!(problems.contains("message") && !problems.contains("34:56"), "{problems}");
    }
}

#[test]
fn text_that_tools_split_into_lines_differently_is_refused() {
    check(
        "\u{feff}version: 1\n",
        expect![[r#"
        1:1: error: the file begins with a byte-order mark (save it as UTF-8 without one)
    "#]],
    );
    check(
        "version: 1\r\ntargets: {}\rroutes: []\n",
        expect![[r#"
        2:12: error: a carriage return without a line feed (end lines with a line feed)
    "#]],
    );
}

#[test]
fn a_file_full_of_problems_is_given_up_early() {
    let routes: String = (0..20_000).map(|n| format!("  - {{ nome: r{n} }}\n")).collect();
    let problems = Routes::parse(&format!("version: 1\ntargets: {{}}\nroutes:\n{routes}")).problems;
    assert_eq!(problems.len(), crate::yaml::MAX_PROBLEMS + 1);
}

#[test]
fn conditions_are_judged_and_an_unknown_size_passes() {
    let text = VALID.replace("min_bytes: 1", "min_bytes: 10, max_bytes: 20");
    let routes = Routes::parse(&text).routes.expect("valid");
    let mut arrival = crate::arrivals::tests::arrival("acme-landing", "orders/dt=1/a.csv");
    let mut judge = |size| {
        arrival.size = size;
        match routes.routes[0].judge(&arrival) {
            Verdict::Matches(_) => "matches".to_owned(),
            other => format!("{other:?}"),
        }
    };
    assert_eq!(judge(Some(9)), "TooSmall { bytes: 9, min_bytes: 10 }");
    assert_eq!(judge(Some(10)), "matches");
    assert_eq!(judge(Some(21)), "TooLarge { bytes: 21, max_bytes: 20 }");
    assert_eq!(judge(None), "matches");
}

#[test]
fn the_schema_knows_every_field_and_requires_what_is_required() {
    let schema: serde_json::Value = serde_json::from_str(&json_schema()).expect("JSON");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], serde_json::json!(["version", "routes"]));
    assert_eq!(
        schema["$defs"]["Route"]["required"],
        serde_json::json!(["name", "bucket", "key", "start"])
    );
    assert!(schema["$defs"]["Route"]["properties"]["where"].is_object());
}

proptest! {
    #[test]
    fn no_text_makes_parsing_panic(text in "\\PC{0,200}") {
        let _ = Routes::parse(&text);
    }

    #[test]
    fn no_bytes_make_parsing_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Routes::parse(&String::from_utf8_lossy(&bytes));
    }

    /// Cutting and joining valid text gets closer to the interesting cases.
    #[test]
    fn no_mutilated_file_makes_parsing_panic(
        cut in 0..VALID.len(), length in 0..40usize, paste in "[\\[\\]{}:,\\-&*!|>'\"#%@` \n\ta1ü]{0,6}",
    ) {
        let end = (cut + length).min(VALID.len());
        let text = format!("{}{paste}{}", &VALID[..cut], &VALID[end..]);
        let parsed = Routes::parse(&text);
        prop_assert!(parsed.routes.is_some() || parsed.problems.iter().any(Problem::is_error));
        for problem in &parsed.problems {
            prop_assert!(text.get(problem.place.bytes.clone()).is_some(), "{problem:?}");
        }
    }
}

#[test]
fn a_route_that_limits_sizes_leaves_an_object_of_unknown_size_in_question() {
    let limits = |condition: &str, key: &str, size: Option<u64>| {
        let text = VALID.replace("{ min_bytes: 1 }", condition);
        let text = text.replace("orders/dt={dt}/{file}.csv", "orders/dt={dt}/**");
        let routes = Routes::parse(&text).routes.expect("valid");
        let arrival = crate::arrivals::Arrival {
            size,
            ..crate::arrivals::tests::arrival("acme-landing", key)
        };
        let limits = routes.routes[0].size_in_question(&arrival);
        limits.map(|limits| (limits.min_bytes, limits.max_bytes))
    };
    let both = "{ min_bytes: 1, max_bytes: 9 }";
    assert_eq!(limits(both, "orders/dt=1/a", None), Some((Some(1), Some(9))));
    assert_eq!(limits(both, "orders/dt=1/a", Some(5)), None, "the size is known");
    assert_eq!(limits(both, "other/a", None), None, "it doesn't match anyway");
    let none = "{ min_bytes: 0 }";
    assert_eq!(limits(none, "orders/dt=1/a", None), None, "any size will do");
    assert_eq!(limits(none, "orders/dt=1/", None), Some((Some(1), None)), "it may mark a folder");
    let all = "{ directory_markers: true }";
    assert_eq!(limits(all, "orders/dt=1/", None), None);
}
