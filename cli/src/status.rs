//! `landfall status`: one look at what goes on in the data account, and at what needs a person.
//!
//! [`look`] makes the calls, [`judge`](judge::judge) decides what needs a person, and [`report`] prints.

mod judge;
mod look;
mod report;

use landfall_aws::clock::now;

use self::report::Report;
use crate::args::status::StatusArgs;
use crate::terminal::output::{Output, Printed};
use crate::{aws, terminal, version};

/// Shows the status of the stack that `args` name.
pub fn run(args: &StatusArgs) -> Printed {
    let seen = aws::wait(look::look(args))?;
    let judgement = judge::judge(&seen);
    let now = now();
    let report = Report { seen: &seen, judgement: &judgement, now };
    let mut output = Output::success(if args.output.is_json() {
        report.json()
    } else {
        report.text(terminal::width(std::io::stdout()))
    });
    for stack in &seen.stacks {
        output.warn(version::warning(&stack.name, stack.version.as_deref()));
    }
    output.worsen(judgement.status());
    Ok(output)
}

#[cfg(test)]
mod tests;
