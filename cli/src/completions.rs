//! `landfall completions` and the manual pages, which clap's own crates make from the arguments.

use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::terminal::output::{Output, Printed};

/// Returns the script that lets a shell complete commands and options.
pub fn script(shell: Shell) -> Output {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "landfall", &mut script);
    Output::success(String::from_utf8_lossy(&script).into_owned())
}

/// Writes a page for `landfall` and one for each command.
pub fn man_pages(folder: &Path) -> Printed {
    let what = || format!("failed to write the manual pages to `{}`", folder.display());
    clap_mangen::generate_to(Cli::command(), folder).with_context(what)?;
    Ok(Output::default())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shells_script_knows_the_commands() {
        for shell in Shell::value_variants() {
            let script = script(*shell).stdout;
            for command in ["landfall", "explain", "data-profile"] {
                assert!(script.contains(command), "{shell}: {command}");
            }
        }
    }

    #[test]
    fn each_command_that_help_shows_has_a_page() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        man_pages(folder.path()).map_err(|_| anyhow::anyhow!("the pages can't be written"))?;
        let command = Cli::command();
        let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
        let names = shown.map(|command| format!("landfall-{}", command.get_name()));
        for name in names.chain(["landfall".to_owned()]) {
            let page = fs::read_to_string(folder.path().join(format!("{name}.1")))?;
            assert!(page.contains(".SH SYNOPSIS"), "{name}");
        }
        assert!(!folder.path().join("landfall-man-pages.1").exists());
        Ok(())
    }
}
