//! What can be wrong with the chain: a table.

/// How bad a problem is, by what can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Somebody should know.
    Info,
    /// Hygiene.
    Low,
    /// Work can be late, or one step from harm.
    Medium,
    /// Work stops, or somebody has access that nobody meant.
    High,
    /// Somebody foreign can have access.
    Critical,
}

/// What is wrong with a resource, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A stable identifier, such as `role_missing`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Why it happens and what follows. One or more sentences.
    pub cause: &'static str,
    /// What to do. One or more sentences.
    pub fix: String,
    /// The command that does it, to be run with credentials of the check's account.
    pub command: Option<String>,
}
