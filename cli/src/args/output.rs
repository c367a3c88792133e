//! How commands print what they found.

use clap::{Args, ValueEnum};

/// The format of a command's output.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// Selects the format of the output.
#[derive(Args, Clone, Default)]
pub struct OutputArgs {
    /// The output format.
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
    /// The same as `--format json`.
    #[arg(long, hide = true, conflicts_with = "format")]
    json: bool,
}

impl OutputArgs {
    /// Returns `true` if the output is one JSON document.
    pub fn is_json(&self) -> bool {
        self.json || self.format == OutputFormat::Json
    }
}
