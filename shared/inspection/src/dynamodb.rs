//! Tables.

use landfall_core::chain::observed::Named;

use crate::look::{Call, named};
use crate::{Clients, Seen};

const DESCRIBE: Call = Call { operation: "DescribeTable", missing: &["ResourceNotFoundException"] };

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
