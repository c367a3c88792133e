use std::collections::BTreeSet;

use expect_test::expect_file;
use proptest::prelude::*;

use super::*;

fn all() -> impl Iterator<Item = &'static Row> {
    LAYERS.iter().chain(&SYMPTOMS)
}

#[test]
fn each_error_that_is_known_is_found_by_its_example_wherever_in_a_text_it_stands() {
    for row in all() {
        let wrapped = format!(
            "An error occurred while calling o304.load. {}\n\tat a.b(C.java:1)",
            row.example
        );
        for text in [row.example, &wrapped] {
            let found: Vec<&str> = explain(text).iter().map(|found| found.row.code).collect();
            assert!(found.contains(&row.code), "{}: {found:?}", row.code);
        }
    }
}

#[test]
fn codes_are_unique_and_texts_are_whole_sentences() {
    let codes: BTreeSet<&str> = all().map(|row| row.code).collect();
    assert_eq!(codes.len(), all().count());
    for Row { code, cause, fix, patterns, .. } in all() {
        assert!(cause.ends_with('.') && fix.ends_with('.'), "{code}");
        assert!(patterns.iter().all(|pattern| *pattern == pattern.to_lowercase()), "{code}");
    }
}

#[test]
fn a_denial_says_which_layer_refused_which_action_and_what_it_is_known_for() {
    let text = "AccessDenied: User: arn:aws:sts::111111111111:assumed-role/landfall-trigger/t is not \
                authorized to perform: sts:AssumeRole on resource: \
                arn:aws:iam::222222222222:role/landfall/landfall-starter because no identity-based policy \
                allows the sts:AssumeRole action";
    let found = explain(text);
    let codes: Vec<&str> = found.iter().map(|found| found.row.code).collect();
    assert_eq!(codes, ["denied_by_caller", "starter_not_assumed"]);
    assert_eq!(found[0].action, Some("sts:AssumeRole"));
    assert_eq!(found[0].resource, Some("arn:aws:iam::222222222222:role/landfall/landfall-starter"));
}

#[test]
fn what_nobody_knows_is_not_explained() {
    assert_eq!(explain("the moon is in the wrong place"), []);
    assert_eq!(explain(""), []);
}

#[test]
fn the_page_of_errors_is_what_is_known() {
    expect_file!["../../../../docs/errors.md"].assert_eq(&page());
}

proptest! {
    #[test]
    fn no_text_makes_explaining_panic(text in "\\PC*|.*(perform: |on resource: )\\PC*") {
        let _ = explain(&text);
    }
}
