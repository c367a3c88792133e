//! Tables.

use aws_sdk_dynamodb::types::{AttributeValue, TimeToLiveStatus};
use landfall_core::chain::observed::{Look, Named};
use landfall_core::moment::Time;

use crate::look::{Call, look, named};
use crate::{Clients, Seen};

const DESCRIBE: Call = Call { operation: "DescribeTable", missing: &["ResourceNotFoundException"] };

const TIME_TO_LIVE: Call =
    Call { operation: "DescribeTimeToLive", missing: &["ResourceNotFoundException"] };

const QUERY: Call = Call { operation: "Query", missing: &["ResourceNotFoundException"] };

/// The attribute that says when an item of Landfall's tables expires.
const EXPIRES: &str = "expires";

/// Looks at the status of the table of this name.
pub(crate) async fn table(clients: &Clients, name: String) -> Named<String> {
    let status = status(clients, &name).await;
    named(name, status)
}

async fn status(clients: &Clients, name: &str) -> Seen<String> {
    let answer = clients.dynamodb.describe_table().table_name(name).send().await;
    let table = DESCRIBE.seen(answer)?.table;
    let status = table.and_then(|table| table.table_status);
    let status = status.ok_or_else(|| DESCRIBE.failed("the answer has no status"))?;
    Ok(status.as_str().to_owned())
}

/// Looks whether DynamoDB removes expired items of the table of this name.
pub(crate) async fn expiry(clients: &Clients, name: &str) -> Look<bool> {
    look(expires(clients, name).await)
}

async fn expires(clients: &Clients, name: &str) -> Seen<bool> {
    let answer = clients.dynamodb.describe_time_to_live().table_name(name).send().await;
    let Some(found) = TIME_TO_LIVE.seen(answer)?.time_to_live_description else { return Ok(false) };
    let status = found.time_to_live_status;
    let is_on = matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling));
    Ok(is_on && found.attribute_name.as_deref() == Some(EXPIRES))
}

/// Looks when the newest batch of the route began that the ledger still has. Reads the keys of one entry of its index
/// `routes`, and nothing of the data.
pub async fn newest_batch(clients: &Clients, ledger: &str, route: &str) -> Look<Option<Time>> {
    look(newest(clients, ledger, route).await)
}

async fn newest(clients: &Clients, ledger: &str, route: &str) -> Seen<Option<Time>> {
    let query = clients.dynamodb.query().table_name(ledger).index_name("routes");
    let query = query
        .key_condition_expression("route = :route")
        .expression_attribute_values(":route", AttributeValue::S(route.to_owned()))
        .scan_index_forward(false)
        .limit(1);
    let found = QUERY.seen(query.send().await)?.items.unwrap_or_default();
    let Some(entry) = found.first() else { return Ok(None) };
    let began = entry.get("created_at").and_then(|at| at.as_n().ok()?.parse().ok());
    began.map(|at| Some(Time(at))).ok_or_else(|| QUERY.failed("the entry has no `created_at`"))
}
