//! What invocations share, and the deadlines of an invocation.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use landfall_aws::clock;
use landfall_aws::metrics::Metrics;
use landfall_provisioning::lifecycle_table::Table;
use tokio::time::Instant;

use crate::guard::CLOCK_SKEW;
use crate::settings::Settings;

/// The time to keep for sending the answer, or a quarter of the time left if that is less.
const TO_SEND: Duration = Duration::from_secs(10);

/// The time to keep for recording the answer before it is sent, or an eighth of the time left if
/// that is less.
const TO_RECORD: Duration = Duration::from_secs(5);

/// What invocations share.
#[derive(Debug)]
pub struct Context {
    pub(crate) settings: Settings,
    pub(crate) table: Table,
    pub(crate) config: SdkConfig,
    pub(crate) http: SharedHttpConnector,
    pub(crate) metrics: Metrics,
}

impl Context {
    /// Builds the clients. Makes no call.
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

/// The deadlines of an invocation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    /// When the side effects must be done.
    pub work: Instant,
    /// When the answer must be recorded.
    pub record: Instant,
    /// When everything must be done.
    pub end: Instant,
    /// How long a lock must last to outlast the invocation.
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
