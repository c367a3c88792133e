//! The links of the chain, and the two accounts that they are in.

/// One of the two accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The data account.
    Data,
    /// The analytics account.
    Analytics,
}

impl Side {
    /// Both accounts, in the direction of the data.
    pub const ALL: [Self; 2] = [Self::Data, Self::Analytics];

    /// Returns the word for it: `data` or `analytics`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Analytics => "analytics",
        }
    }
}

/// A link of the chain. The order is that of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::VariantArray)]
#[allow(missing_docs, reason = "the names describe the variants")]
pub enum Link {
    Object,
    Taker,
    DataStack,
    Routes,
    Bucket,
    Versioning,
    Ownership,
    PublicAccess,
    BucketPolicy,
    BucketStatements,
    Key,
    Notifications,
    UploadRule,
    ArrivalsPolicy,
    Arrivals,
    ArrivalsDeadLetters,
    Trigger,
    TriggerNetwork,
    TriggerConcurrency,
    TriggerMapping,
    Ledger,
    Arrival,
    Announcing,
    Usage,
    AnalyticsStack,
    Starter,
    Job,
    Script,
    JobRole,
    JobNetwork,
    AnalyticsOutsiders,
    AnalyticsIamEvents,
    Reader,
    ReaderTrust,
    Claims,
    DataOutsiders,
    DataIamEvents,
    RuleOfRuns,
    RunsPolicy,
    Runs,
    RunsDeadLetters,
    Monitor,
    MonitorNetwork,
    MonitorConcurrency,
    MonitorMapping,
    Schedule,
    LastRun,
}

impl Link {
    /// All links, in the direction of the data.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// Returns a stable identifier, such as `LF001`. No identifier is ever used again for another link.
    pub fn code(self) -> &'static str {
        self.row().0
    }

    /// Returns what the link is, such as `the bucket's policy`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Returns the account that the link is in.
    pub fn side(self) -> Side {
        match self {
            Self::AnalyticsStack
            | Self::Starter
            | Self::Job
            | Self::Script
            | Self::JobRole
            | Self::JobNetwork
            | Self::AnalyticsOutsiders
            | Self::AnalyticsIamEvents
            | Self::RuleOfRuns
            | Self::LastRun => Side::Analytics,
            _ => Side::Data,
        }
    }

    /// Returns `true` if the link is about one object, so that only those who ask about one look at it.
    pub fn is_of_object(self) -> bool {
        matches!(self, Self::Object | Self::Taker | Self::Arrival)
    }

    fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::Object => ("LF039", "the object"),
            Self::Taker => ("LF040", "the route that takes the object"),
            Self::DataStack => ("LF001", "the data account's stack"),
            Self::Routes => ("LF002", "the deployed routes"),
            Self::Bucket => ("LF003", "the bucket"),
            Self::Versioning => ("LF004", "the bucket's versioning"),
            Self::Ownership => ("LF005", "the ownership of the bucket's objects"),
            Self::PublicAccess => ("LF034", "the bucket's public access block"),
            Self::BucketPolicy => ("LF006", "the bucket's policy"),
            Self::BucketStatements => ("LF035", "Landfall's statements in the bucket's policy"),
            Self::Key => ("LF007", "the bucket's encryption key"),
            Self::Notifications => ("LF008", "the bucket's notifications"),
            Self::UploadRule => ("LF009", "the EventBridge rule for uploads"),
            Self::ArrivalsPolicy => ("LF010", "the policy of the queue of arrivals"),
            Self::Arrivals => ("LF011", "the queue of arrivals"),
            Self::ArrivalsDeadLetters => ("LF012", "the dead-letter queue of arrivals"),
            Self::Trigger => ("LF013", "the trigger"),
            Self::TriggerNetwork => ("LF042", "the trigger's network"),
            Self::TriggerConcurrency => ("LF014", "the trigger's concurrency"),
            Self::TriggerMapping => ("LF015", "the trigger's event source mapping"),
            Self::Ledger => ("LF016", "the ledger"),
            Self::Arrival => ("LF041", "the object's arrival in the ledger"),
            Self::Announcing => ("LF044", "the right to announce batches"),
            Self::Usage => ("LF036", "the use of the route"),
            Self::AnalyticsStack => ("LF017", "the analytics account's stack"),
            Self::Starter => ("LF018", "the starter role"),
            Self::Job => ("LF019", "the Glue job"),
            Self::Script => ("LF020", "the job's script"),
            Self::JobRole => ("LF021", "the job role"),
            Self::JobNetwork => ("LF047", "the job's network"),
            Self::Reader => ("LF022", "the reader role"),
            Self::ReaderTrust => ("LF023", "the reader role's trust in the job roles"),
            Self::Claims => ("LF024", "the table of claims"),
            Self::DataOutsiders => ("LF037", "whom the data account's resources let in"),
            Self::AnalyticsOutsiders => ("LF038", "whom the analytics account's resources let in"),
            Self::DataIamEvents => ("LF045", "IAM's events for the data account's auditor"),
            Self::AnalyticsIamEvents => {
                ("LF046", "IAM's events for the analytics account's auditor")
            }
            Self::RuleOfRuns => ("LF025", "the EventBridge rule for ended runs"),
            Self::RunsPolicy => ("LF026", "the policy of the queue of ended runs"),
            Self::Runs => ("LF027", "the queue of ended runs"),
            Self::RunsDeadLetters => ("LF028", "the dead-letter queue of ended runs"),
            Self::Monitor => ("LF029", "the monitor"),
            Self::MonitorNetwork => ("LF043", "the monitor's network"),
            Self::MonitorConcurrency => ("LF030", "the monitor's concurrency"),
            Self::MonitorMapping => ("LF031", "the monitor's event source mappings"),
            Self::Schedule => ("LF032", "the monitor's schedule"),
            Self::LastRun => ("LF033", "the last job run that failed"),
        }
    }
}
