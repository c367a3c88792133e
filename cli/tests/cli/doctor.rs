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
    expect![[r#"
        the caller's own policy [denied_by_caller]
          action   sts:AssumeRole
          resource arn:aws:iam::111111111111:role/landfall/landfall-reader-222222222222
          why      No policy of the calling role or user allows the action on this resource.
          do       If the role is one of Landfall's, deploy again and see what `landfall diff` shows. If it is yours, add the action for this resource to its policy.

        the reader role, in the data account [reader_not_assumed]
          action   sts:AssumeRole
          resource arn:aws:iam::111111111111:role/landfall/landfall-reader-222222222222
          why      The job's role may not assume the reader role, or the reader role doesn't trust it. Often the job runs with another role than you think.
          do       Give the job the role that Landfall made, or name its role in `OtherJobRoleArns`, and let it assume the reader role.
        --- stderr
        --- status 0
    "#]].assert_eq(&from_text.all());
    let from_file = landfall(&[("job.log", DENIED)], &["doctor", "--explain", "job.log"]);
    assert_eq!(from_file.all(), from_text.all());
    let from_pipe = landfall_with(&[], &["doctor", "--explain", "-"], DENIED.as_bytes());
    assert_eq!(from_pipe.all(), from_text.all());
}

#[test]
fn an_explanation_is_one_json_document() {
    let shown = landfall(&[], &["doctor", "--json", "--explain", "SystemExit: 0"]);
    expect![[r#"
        {
          "version": 1,
          "explanations": [
            {
              "code": "exit_in_spark",
              "layer": "the job's script",
              "action": null,
              "resource": null,
              "cause": "The script called `sys.exit()`. Glue's Spark counts that as a failure, even with 0.",
              "fix": "Let the script end by itself: `return` from a function, and use `landfall.batch(exit=False)`."
            }
          ]
        }
        --- stderr
        --- status 0
    "#]].assert_eq(&shown.all());
}

#[test]
fn an_error_that_nobody_knows_exits_with_3() {
    let shown = landfall(&[], &["doctor", "--explain", "the moon is in the wrong place"]);
    expect![[r#"
        --- stderr
        nothing is known about this text: AWS's documentation of the error code, and the CloudTrail of the account that owns the resource, may say more
        --- status 3
    "#]].assert_eq(&shown.all());
}
