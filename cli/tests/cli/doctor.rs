//! `landfall doctor`.

use expect_test::expect;

use crate::{landfall, landfall_with};

const DENIED: &str = "An error occurred while calling o304.load.\n  User: \
    arn:aws:sts::222222222222:assumed-role/etl/GlueJobRunnerSession is not authorized to perform: \
    sts:AssumeRole on resource: arn:aws:iam::111111111111:role/landfall/landfall-reader-222222222222 \
    because no identity-based policy allows the sts:AssumeRole action";

#[test]
fn an_error_is_explained_from_a_text_a_file_or_a_pipe() {
    let from_text = landfall(&[], &["doctor", "--explain", DENIED]);
    expect![[r#""#]].assert_eq(&from_text.all());
    let from_file = landfall(&[("job.log", DENIED)], &["doctor", "--explain", "job.log"]);
    assert_eq!(from_file.all(), from_text.all());
    let from_pipe = landfall_with(&[], &["doctor", "--explain", "-"], DENIED.as_bytes());
    assert_eq!(from_pipe.all(), from_text.all());
}

#[test]
fn an_explanation_is_one_json_document() {
    let shown = landfall(&[], &["doctor", "--json", "--explain", "SystemExit: 0"]);
    expect![[r#""#]].assert_eq(&shown.all());
}

#[test]
fn an_error_that_nobody_knows_exits_with_3() {
    let shown = landfall(&[], &["doctor", "--explain", "the moon is in the wrong place"]);
    expect![[r#""#]].assert_eq(&shown.all());
}
