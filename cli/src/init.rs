//! `landfall init`: writes a routes file with a first route, from an example of an object.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IsTerminal, Write};

use anyhow::{Context, bail};
use landfall_core::pattern::Pattern;
use landfall_core::problem::Problem;
use landfall_core::routes::Routes;
use landfall_core::shell;
use serde_json::Value;

use crate::args::init::InitArgs;
use crate::args::{Color, Format};
use crate::input;
use crate::terminal::output::{Output, Printed, Status};
use crate::terminal::{printable, problems};

/// What the route says.
struct Answers {
    object: String,
    account: String,
    region: String,
    job: String,
}

/// Writes the file, and says what to do next.
pub fn run(args: &InitArgs, color: Color) -> Printed {
    let file = args.file.as_os_str();
    if !input::is_stdin(file) && args.file.exists() {
        return Err(exists(file).into());
    }
    let answers = Answers::of(args)?;
    let text = answers.routes(args.uses_library)?;
    let problems = Routes::parse_to_deploy(&text).problems;
    if problems.iter().any(Problem::is_error) {
        let style =
            problems::Style { format: Format::Full, color: color.applies_to(&io::stderr()) };
        let stderr = problems::render("what you answered", &text, &problems, style);
        let mut output = Output { stderr, ..Output::default() };
        output.fail("these routes can't be deployed, so nothing was written", Status::Unusable);
        return Err(output);
    }
    if input::is_stdin(file) {
        return Ok(Output::success(text));
    }
    write(file, &text)?;
    Ok(Output::done(&answers.next(file, args.uses_library)))
}

/// Writes a file that does not exist yet.
fn write(file: &OsStr, text: &str) -> anyhow::Result<()> {
    let opened = File::create_new(file);
    let mut opened = opened.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(file),
        _ => anyhow::Error::new(error).context(failed(file)),
    })?;
    opened.write_all(text.as_bytes()).with_context(|| failed(file))
}

fn failed(file: &OsStr) -> String {
    format!("failed to write `{}`", input::display_name(file))
}

fn exists(file: &OsStr) -> anyhow::Error {
    anyhow::anyhow!("{}: the file exists; give another name", failed(file))
}

impl Answers {
    /// Takes the answers from the arguments, and asks for those that are not given.
    fn of(args: &InitArgs) -> anyhow::Result<Self> {
        let InitArgs { object, account, region, job, .. } = args;
        let questions = [
            ("--object", object, "An object that is to start the job (s3://bucket/key)"),
            ("--account", account, "The account ID that the job runs in"),
            ("--region", region, "The region that the job runs in"),
            ("--job", job, "The name of the Glue job"),
        ];
        let missing = questions.iter().filter(|(_, given, _)| given.is_none());
        let missing: Vec<&str> = missing.map(|(option, ..)| *option).collect();
        if !missing.is_empty() && !io::stdin().is_terminal() {
            bail!("standard input isn't a terminal to ask at: give {}", missing.join(", "));
        }
        let [object, account, region, job] = questions.map(|(_, given, question)| match given {
            Some(given) => Ok(given.clone()),
            None => ask(question),
        });
        Ok(Self { object: object?, account: account?, region: region?, job: job? })
    }

    /// Returns the text of the routes file.
    fn routes(&self, uses_library: bool) -> anyhow::Result<String> {
        let (bucket, key) = input::object(&self.object)?;
        let pattern = Pattern::of_example(key)
            .with_context(|| format!("failed to make a key pattern of `{key}`"))?;
        let folder = key.split_once('/').map_or("", |(folder, _)| folder);
        let name: String = folder
            .to_ascii_lowercase()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let name = match name.trim_matches('-') {
            "" => "first",
            name => name,
        };
        let [bucket, account, region, job] =
            [bucket, &self.account, &self.region, &self.job].map(quoted);
        let start = if uses_library {
            let folders: Vec<&str> = pattern.folder_capture_names().collect();
            let by = match folders.is_empty() {
                true => String::new(),
                false => format!(
                    "      by: [{}]  # objects with the same values share a job run\n",
                    folders.join(", ")
                ),
            };
            format!(
                r"    batch:
{by}      window: 5m  # closes this long after the first object of a batch
    start:
      target: analytics
      job: {job}  # it claims its batch: `with landfall.batch() as batch:`
"
            )
        } else {
            format!(
                r#"    batch: {{ max_objects: 1 }}  # one run for each object
    start:
      target: analytics
      job: {job}
      claim: optional  # the job knows nothing of Landfall
      access: bucket_policy  # it reads with its own role
      arguments:
        "--input": "{{object_path}}"  # the object's URI, as Spark reads it; for boto3, {{object_uri}}
"#
            )
        };
        Ok(format!(
            "\
# Which objects start which job. `landfall check` reports every problem in this file.
version: 1

targets:
  analytics:
    account: {account}
    region: {region}
    starter_role: landfall/landfall-starter
    external_id: ${{LANDFALL_EXTERNAL_ID}}  # never printed or logged

routes:
  - name: {name}
    bucket: {bucket}
    # {{name}} captures within one segment, * matches within one, ** across several.
    key: {key}
    where: {{ min_bytes: 1 }}  # leaves empty objects alone
{start}",
            key = quoted(&pattern.to_string()),
            name = quoted(name),
        ))
    }

    /// Returns what to do next.
    fn next(&self, file: &OsStr, uses_library: bool) -> String {
        let shown = input::display_name(file);
        let [file, object] = [&file.to_string_lossy(), self.object.as_str()]
            .map(|text| printable(&shell::word(text)));
        // The job reads with its own role, so the bucket's policy must name that role.
        let role = match uses_library {
            true => String::new(),
            false => format!(
                " \\\n      --parameter data:OtherJobRoleArns=arn:aws:iam::{}:role/ROLE_OF_THE_JOB",
                printable(&self.account)
            ),
        };
        format!(
            "Wrote `{shown}`. Look at it, and then run:\n\
             \x20 landfall check {file}\n\
             \x20 landfall explain --routes {file} {object}\n\
             \x20 landfall deploy {file} --data-profile PROFILE --analytics-profile PROFILE{role}\n"
        )
    }
}

/// Asks on standard error, until there is an answer.
fn ask(question: &str) -> anyhow::Result<String> {
    loop {
        eprint!("{question}: ");
        io::stderr().flush().context("failed to ask")?;
        let mut answer = String::new();
        if io::stdin().read_line(&mut answer).context("failed to read the answer")? == 0 {
            bail!("there is no answer to: {question}");
        }
        match answer.trim() {
            "" => {}
            answer => return Ok(answer.to_owned()),
        }
    }
}

/// Returns the text as YAML's quoted text, which is JSON's.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
