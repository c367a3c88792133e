//! Starts the process of a function that works on batches: the trigger or the monitor.

use aws_config::SdkConfig;

use crate::metrics::Metrics;
use crate::settings::{Settings, SettingsError};
use crate::traces::Traces;
use crate::{config, telemetry};

/// What the trigger and the monitor build their contexts from.
#[derive(Debug)]
pub struct Startup {
    /// The collector of spans; `None` if the environment does not ask for them.
    pub traces: Option<Traces>,
    /// The settings from the environment.
    pub settings: Settings,
    /// The SDK configuration.
    pub config: SdkConfig,
    /// The metrics, which go to standard output.
    pub metrics: Metrics,
}

impl Startup {
    /// Sets up the log and reads the environment. If the function cannot work with it, logs why and
    /// returns `None`.
    pub fn from_env() -> Option<Self> {
        let traces = telemetry::init_with_traces();
        let settings = Settings::from_env(|name| std::env::var(name).ok());
        let settings =
            settings.inspect_err(|errors| errors.iter().for_each(SettingsError::log)).ok()?;
        let metrics = Metrics::new(std::io::stdout(), &settings.ledger_table);
        Some(Self { traces, settings, config: config::of_function(), metrics })
    }
}
