//! What an invocation borrows, and when it must be done with what.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use landfall_aws::clock;
use landfall_aws::metrics::Metrics;
use landfall_provisioning::lifecycle_table::Table;
use tokio::time::Instant;

use crate::guard::CLOCK_SKEW;
use crate::settings::Settings;

/// The time kept for sending the answer; a quarter of what is left if that is less.
const TO_SEND: Duration = Duration::from_secs(10);

/// The time kept for recording the answer before it is sent; an eighth of what is left if that is less.
const TO_RECORD: Duration = Duration::from_secs(5);

/// What an invocation borrows.
#[derive(Debug)]
pub struct Context {
    pub(crate) settings: Settings,
    pub(crate) table: Table,
    pub(crate) config: SdkConfig,
    pub(crate) http: SharedHttpConnector,
    pub(crate) metrics: Metrics,
}

impl Context {
    /// Builds the clients once; makes no call.
    pub fn new(settings: Settings, config: SdkConfig, http: SharedHttpConnector) -> Self {
        let dynamodb = aws_sdk_dynamodb::Client::new(&config);
        let table = Table::new(dynamodb, settings.table.clone());
        let metrics = Metrics::of_provisioner(std::io::stdout(), &settings.table);
        Self { settings, table, config, http, metrics }
    }

    pub(crate) fn s3(&self) -> aws_sdk_s3::Client {
        aws_sdk_s3::Client::new(&self.config)
    }
}

/// When an invocation must be done with what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    /// With the side effects.
    pub work: Instant,
    /// With the record of the answer.
    pub record: Instant,
    /// With everything.
    pub end: Instant,
    /// For how long a lock must be held that outlasts the invocation.
    pub lease: Duration,
}

impl Deadlines {
    pub(crate) fn new(deadline: SystemTime) -> Self {
        let left = clock::left(deadline);
        let end = Instant::now() + left;
        let record = end - TO_SEND.min(left / 4);
        Self { work: record - TO_RECORD.min(left / 8), record, end, lease: left + CLOCK_SKEW }
    }
}
