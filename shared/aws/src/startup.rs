//! How the process of a function begins that works on batches.

use aws_config::SdkConfig;

use crate::metrics::Metrics;
use crate::settings::{Settings, SettingsError};
use crate::traces::Traces;
use crate::{config, telemetry};

/// What such a function builds its context from.
#[derive(Debug)]
pub struct Startup {
    /// `None` if the environment names no place for spans.
    pub traces: Option<Traces>,
    pub settings: Settings,
    pub config: SdkConfig,
    pub metrics: Metrics,
}

impl Startup {
    /// Sets the log up and reads the environment. If the function cannot work with it, the log says why.
    pub fn from_env() -> Option<Self> {
        let traces = telemetry::init_with_traces();
        let settings = Settings::from_env(|name| std::env::var(name).ok());
        let settings =
            settings.inspect_err(|errors| errors.iter().for_each(SettingsError::log)).ok()?;
        let metrics = Metrics::new(std::io::stdout(), &settings.ledger_table);
        Some(Self { traces, settings, config: config::of_function(), metrics })
    }
}
