//! Says where to read more about a job run: its logs, its page in the console, and the commands that show both. It calls
//! nothing: the ledger knows the run, and Glue's names for logs are fixed.

use std::fmt::{self, Write};

use landfall_core::batch::{Batch, Start};
use landfall_core::{partition, shell};
use serde::Serialize;

use crate::state;
use crate::terminal::printable;

/// Where Glue writes the errors and the output of Spark jobs.
const SPARK: [&str; 2] = ["/aws-glue/jobs/error", "/aws-glue/jobs/output"];

/// Where Glue writes those of Python shell jobs.
const PYTHON_SHELL: [&str; 2] = ["/aws-glue/python-jobs/error", "/aws-glue/python-jobs/output"];

/// Where to read more about a run. The ledger doesn't know what kind of job it is.
#[derive(Debug, Serialize)]
pub struct Logs<'a> {
    run_id: &'a str,
    account: &'a str,
    region: &'a str,
    log_groups: [&'static str; 2],
    log_groups_of_python_shell: [&'static str; 2],
    /// Each attempt that Glue itself makes of a run has an ID, and so a stream, of its own.
    log_stream: &'a str,
    /// `null` if the console of the region's partition is unknown.
    console: Option<String>,
    /// Prints why the run failed.
    get_run: String,
    /// Prints the log of a Spark job.
    get_log: String,
}

/// Returns where to read more about the run that the batch's state is about, or else about its latest run; `None` if it
/// has none.
pub fn logs(batch: &Batch) -> Option<Logs<'_>> {
    let failed = || state::failed_run(batch).or(batch.runs.last()).map(|run| run.run_id.as_str());
    let run_id = state::run_id(&batch.state).or_else(failed)?;
    let Start { account, region, job, .. } = &batch.start;
    let [error, _] = SPARK;
    let (in_region, run, name) = (shell::word(region), shell::word(run_id), shell::word(job));
    Some(Logs {
        run_id,
        account,
        region,
        log_groups: SPARK,
        log_groups_of_python_shell: PYTHON_SHELL,
        log_stream: run_id,
        console: console(region, job, run_id),
        get_run: format!(
            "aws glue get-job-run --region {in_region} --job-name {name} --run-id {run}"
        ),
        get_log: format!(
            "aws logs tail {error} --region {in_region} --log-stream-names {run} --since 7d"
        ),
    })
}

/// Returns the address of a run's page in the console.
pub fn console(region: &str, job: &str, run_id: &str) -> Option<String> {
    let domain = match partition::of_region(region)? {
        "aws" => "console.aws.amazon.com",
        "aws-cn" => "console.amazonaws.cn",
        "aws-us-gov" => "console.amazonaws-us-gov.com",
        _ => return None,
    };
    let (job, run_id) = (in_url(job), in_url(run_id));
    Some(format!(
        "https://{region}.{domain}/gluestudio/home?region={region}#/job/{job}/run/{run_id}"
    ))
}

/// Encodes a part of a URL.
fn in_url(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

impl Logs<'_> {
    /// Writes it as a section of the text.
    pub fn write(&self, out: &mut String) -> fmt::Result {
        let Self { run_id, account, log_stream, console, get_run, get_log, .. } = self;
        let ([error, output], [python, _]) = (self.log_groups, self.log_groups_of_python_shell);
        let account = printable(account);
        writeln!(out, "\nmore about run {}, in account {account}", printable(run_id))?;
        writeln!(out, "  logs     {error} and {output}, stream {}", printable(log_stream))?;
        writeln!(out, "           (of a Spark job; a Python shell job has {python} and so on)")?;
        writeln!(out, "  log      {}", printable(get_log))?;
        writeln!(out, "  run      {}", printable(get_run))?;
        match console {
            Some(console) => writeln!(out, "  console  {}", printable(console)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use landfall_core::batch::RunState;

    use super::*;
    use crate::fixtures as made;

    #[track_caller]
    fn check(batch: &Batch, expected: Expect) {
        let mut out = String::new();
        logs(batch).expect("it has a run").write(&mut out).expect("a string");
        expected.assert_eq(&out);
    }

    fn of(job: &str, region: &str) -> Batch {
        let mut batch = made::started();
        job.clone_into(&mut batch.start.job);
        region.clone_into(&mut batch.start.region);
        batch
    }

    #[test]
    fn a_run_has_logs_a_page_and_commands() {
        check(
            &made::ended(RunState::Failed),
            expect![[r#"

            more about run jr_1, in account 222222222222
              logs     /aws-glue/jobs/error and /aws-glue/jobs/output, stream jr_1
                       (of a Spark job; a Python shell job has /aws-glue/python-jobs/error and so on)
              log      aws logs tail /aws-glue/jobs/error --region eu-west-1 --log-stream-names jr_1 --since 7d
              run      aws glue get-job-run --region eu-west-1 --job-name orders-to-parquet --run-id jr_1
              console  https://eu-west-1.console.aws.amazon.com/gluestudio/home?region=eu-west-1#/job/orders-to-parquet/run/jr_1
        "#]],
        );
        assert!(logs(&made::sealed()).is_none(), "it has no run");
    }

    #[test]
    fn a_parked_batch_tells_of_its_last_run_and_a_repeat_by_its_own_id() {
        let mut batch = made::given_up(RunState::Timeout);
        batch.runs[0].run_id = "jr_1_attempt_2".to_owned();
        let logs = logs(&batch).expect("it has a run");
        assert_eq!((logs.run_id, logs.log_stream), ("jr_1_attempt_2", "jr_1_attempt_2"));
    }

    #[test]
    fn the_console_is_that_of_the_partition() {
        let page = |region| console(region, "a/b c", "jr_1");
        expect![[r#"
            [
                Some(
                    "https://eu-west-1.console.aws.amazon.com/gluestudio/home?region=eu-west-1#/job/a%2Fb%20c/run/jr_1",
                ),
                Some(
                    "https://cn-north-1.console.amazonaws.cn/gluestudio/home?region=cn-north-1#/job/a%2Fb%20c/run/jr_1",
                ),
                Some(
                    "https://us-gov-west-1.console.amazonaws-us-gov.com/gluestudio/home?region=us-gov-west-1#/job/a%2Fb%20c/run/jr_1",
                ),
                None,
                None,
            ]
        "#]].assert_debug_eq(
            &["eu-west-1", "cn-north-1", "us-gov-west-1", "us-iso-east-1", "nowhere"].map(page),
        );
    }

    #[test]
    fn names_from_outside_are_quoted_for_the_shell_and_escaped_for_the_terminal() {
        check(
            &of("or'ders $(rm)\u{1b}[2J", "eu-west-1"),
            expect![[r#"

            more about run jr_1, in account 222222222222
              logs     /aws-glue/jobs/error and /aws-glue/jobs/output, stream jr_1
                       (of a Spark job; a Python shell job has /aws-glue/python-jobs/error and so on)
              log      aws logs tail /aws-glue/jobs/error --region eu-west-1 --log-stream-names jr_1 --since 7d
              run      aws glue get-job-run --region eu-west-1 --job-name 'or'\''ders $(rm)\u{1b}[2J' --run-id jr_1
              console  https://eu-west-1.console.aws.amazon.com/gluestudio/home?region=eu-west-1#/job/or%27ders%20%24%28rm%29%1B%5B2J/run/jr_1
        "#]],
        );
    }
}
