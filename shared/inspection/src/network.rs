//! The networks in which jobs run.

use std::collections::BTreeMap;

use landfall_core::chain::observed::{Connection, Job, Named, Subnet};

use crate::look::{Call, look, named};
use crate::{Clients, Seen, ec2};

const CONNECTION: Call = Call { operation: "GetConnection", missing: &["EntityNotFoundException"] };

/// Looks at the connections of each job, and at the networks that they name.
pub async fn network(clients: &Clients, jobs: &mut BTreeMap<String, Job>) {
    for job in jobs.values_mut() {
        let names = job.job.seen().map(|facts| facts.connections.clone()).unwrap_or_default();
        let mut connections: Vec<Named<Connection>> = Vec::new();
        for name in names {
            let seen = connection(clients, &name).await;
            connections.push(named(name, seen));
        }
        job.network = Some(connections);
    }
}

async fn connection(clients: &Clients, name: &str) -> Seen<Connection> {
    // Glue then leaves out the password, and needs no key for it.
    let get = clients.glue.get_connection().name(name).hide_password(true);
    let connection = CONNECTION.seen(get.send().await)?.connection;
    let connection = connection.ok_or_else(|| CONNECTION.failed("the answer has no connection"))?;
    let place = connection.physical_connection_requirements;
    let (id, groups) = match place {
        Some(place) => (place.subnet_id, place.security_group_id_list.unwrap_or_default()),
        None => (None, Vec::new()),
    };
    let Some(id) = id.filter(|id| !id.is_empty()) else {
        return Ok(Connection { subnet: None, groups: look(Ok(Vec::new())) });
    };
    let (seen, groups) = tokio::join!(subnet(clients, &id), ec2::groups(clients, &groups));
    Ok(Connection { subnet: Some(named(id, seen)), groups: look(groups) })
}

async fn subnet(clients: &Clients, id: &str) -> Seen<Subnet> {
    let (vpc, free_addresses) = ec2::subnet(clients, id).await?;
    let (table, endpoints) =
        tokio::join!(ec2::route_table(clients, id, &vpc), ec2::endpoints(clients, &vpc));
    Ok(Subnet { vpc, free_addresses, table: look(table), endpoints: look(endpoints) })
}
