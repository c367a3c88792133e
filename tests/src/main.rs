//! The program `local-cloud`: runs the demo and whatever the Makefile needs of the local cloud.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use landfall_tests::demo::{self, Scene};
use landfall_tests::{interrupt, keeper, node, python};

#[derive(Parser)]
#[command(about = "An emulated AWS with two accounts, and Landfall deployed into it")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run the demo: a file lands in one account and starts a Glue job in the other
    Demo {
        /// What to show
        #[arg(long, value_enum, default_value = "file-lands")]
        scene: Scene,
        /// Leave the local cloud running until Ctrl-C
        #[arg(long)]
        keep: bool,
    },
    /// Set up the Python environment and print its path
    Python,
    /// Set up the Python environment of the template scanners and print its path
    Scanners,
    /// Set up the Python environment of Spark and print its path
    Spark,
    /// Set up Node's packages and print their path
    Node,
}

fn main() -> ExitCode {
    keeper::run_if_asked();
    match interrupt::handle().and_then(|()| run(Arguments::parse().command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Demo { scene, keep } => demo::run(scene, keep),
        Task::Python => {
            println!("{}", python::environment()?.folder().display());
            Ok(())
        }
        Task::Scanners => {
            println!("{}", python::scanners()?.folder().display());
            Ok(())
        }
        Task::Spark => {
            println!("{}", python::spark()?.folder().display());
            Ok(())
        }
        Task::Node => {
            println!("{}", node::environment()?.folder().display());
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scene_that_does_not_exist_is_refused_with_the_list_of_scenes() {
        let parse =
            |scene: &str| Arguments::try_parse_from(["local-cloud", "demo", "--scene", scene]);
        assert!(parse("role-deleted").is_ok());
        let refused = parse("role-gone").map(drop).expect_err("there is no such scene").to_string();
        for expected in ["role-gone", "file-lands", "role-deleted"] {
            assert!(refused.contains(expected), "{refused}");
        }
    }
}
