//! What IAM Access Analyzer says of an account's resources.

use aws_sdk_accessanalyzer::types::{AnalyzerStatus, Criterion, FindingStatus, FindingSummary};
use landfall_core::chain::observed::{External, Look};

use crate::look::{Call, Unseen, look};
use crate::{Clients, Seen};

const ANALYZERS: Call = Call { operation: "ListAnalyzers", missing: &[] };
/// Unlike those of `ListFindingsV2`, its answers say who is let in. Both need the same permission.
const FINDINGS: Call = Call { operation: "ListFindings", missing: &["ResourceNotFoundException"] };

/// The types of analyzers that look for access from outside. Others look for unused or internal access.
const EXTERNAL: [&str; 2] = ["ACCOUNT", "ORGANIZATION"];

/// How many findings are read. An account with more isn't looked at.
const MOST: usize = 10_000;

/// Reads the active findings of all analyzers of external access that the account has in the region. Returns
/// [`Look::Missing`] if it has none.
pub async fn external_access(clients: &Clients) -> Look<Vec<External>> {
    look(external(clients).await)
}

async fn external(clients: &Clients) -> Seen<Vec<External>> {
    let mut pages = clients.access_analyzer.list_analyzers().into_paginator().send();
    let mut analyzers = Vec::new();
    while let Some(page) = pages.next().await {
        let all = ANALYZERS.seen(page)?.analyzers.into_iter();
        let is_it = all.filter(|it| {
            EXTERNAL.contains(&it.r#type.as_str()) && it.status == AnalyzerStatus::Active
        });
        analyzers.extend(is_it.map(|it| it.arn));
    }
    if analyzers.is_empty() {
        return Err(Unseen::Missing);
    }
    let mut found = Vec::new();
    for analyzer in analyzers {
        let active = Criterion::builder().eq(FindingStatus::Active.as_str()).build();
        let list = clients.access_analyzer.list_findings().analyzer_arn(&analyzer);
        let mut pages = list.filter("status", active).into_paginator().send();
        while let Some(page) = pages.next().await {
            let findings = FINDINGS.seen(page)?.findings.into_iter();
            found.extend(findings.filter_map(|finding| read(&analyzer, finding)));
            if found.len() > MOST {
                return Err(FINDINGS.failed(format!("there are more than {MOST} findings")));
            }
        }
    }
    Ok(found)
}

fn read(analyzer: &str, finding: FindingSummary) -> Option<External> {
    let is_active = finding.status == FindingStatus::Active;
    let mut principals: Vec<String> =
        finding.principal.into_iter().flatten().map(|(_, name)| name).collect();
    principals.sort();
    let resource = finding.resource.filter(|_| is_active)?;
    Some(External {
        analyzer: analyzer.to_owned(),
        id: finding.id,
        resource,
        // Of a finding that names nobody, nobody can say that it is intended.
        is_public: finding.is_public.unwrap_or(principals.is_empty()),
        principals,
    })
}
