//! Judges the network that a job runs in: what its connections name, and the ways to what a run needs.

use super::{Gap, Place, distinct, listed, look};
use crate::chain::check::{Check, Status};
use crate::chain::link::Link;
use crate::chain::observed::{
    AnalyticsAccount, Connection, DataAccount, Endpoint, Group, Named, RouteFacts, RouteTable,
    Subnet,
};
use crate::chain::problems::Fault;
use crate::chain::statements::{Admission, endpoint_admits};

const LINK: Link = Link::JobNetwork;

/// What a job's runs need of the network.
struct Needs {
    /// The services, by the ends of their endpoints' names, and by how people write them.
    services: Vec<(&'static str, &'static str)>,
    /// The buckets that they read.
    buckets: Vec<String>,
}

/// How something in a subnet reaches a service.
enum Way<'a> {
    By(&'a Endpoint),
    Nat(&'a str),
    /// Something that nobody looks behind, such as a transit gateway.
    Unclear(&'a str),
    None,
}

pub(super) fn network(
    place: &Place<'_>,
    name: &str,
    routes: &[RouteFacts],
    analytics: &AnalyticsAccount,
    data: Option<&DataAccount>,
) -> Vec<Check> {
    let Some(job) = analytics.jobs.get(name) else {
        return vec![place.unknown(LINK, name, "nobody looked at the job")];
    };
    let Some(connections) = &job.network else { return Vec::new() };
    if let Err(gap) = look(&job.job) {
        return vec![place.gap_after(LINK, name, &gap, Link::Job)];
    }
    if connections.is_empty() {
        return vec![place.ok(LINK, name, "it has no connections, so it runs in no VPC of yours")];
    }
    let needs = needs(name, routes, data);
    connections.iter().map(|it| connection(place, name, &needs, it)).collect()
}

fn needs(name: &str, routes: &[RouteFacts], data: Option<&DataAccount>) -> Needs {
    let of_job = || routes.iter().filter(|route| route.job.as_deref() == Some(name));
    let mut services = vec![("s3", "S3")];
    if of_job().any(RouteFacts::needs_reader) {
        services.push(("sts", "STS"));
    }
    let must_claim = of_job().any(|route| route.must_claim);
    if must_claim {
        services.push(("dynamodb", "DynamoDB"));
    }
    let buckets = distinct(of_job().map(|route| route.bucket.as_str())).into_iter();
    let manifests = data
        .filter(|_| must_claim)
        .map(|data| format!("{}-manifests-{}-{}", data.stack.name, data.account, data.region));
    Needs { services, buckets: buckets.map(str::to_owned).chain(manifests).collect() }
}

fn connection(
    place: &Place<'_>,
    job: &str,
    needs: &Needs,
    connection: &Named<Connection>,
) -> Check {
    let name = connection.name.as_str();
    match look(&connection.look) {
        Ok(seen) => match &seen.subnet {
            None => place.ok(LINK, name, format!("job `{job}` uses it, and it names no subnet")),
            Some(subnet) => match in_subnet(place, name, needs, seen, subnet) {
                Ok(evidence) => place.ok(LINK, name, format!("job `{job}` uses it: {evidence}")),
                Err(check) => *check,
            },
        },
        Err(Gap::Missing) => {
            let evidence = format!("job `{job}` names it, and it isn't there");
            place.broken(LINK, name, evidence, Fault::ConnectionMissing)
        }
        Err(gap) => place.gap_after(LINK, name, &gap, LINK),
    }
}

/// Returns how a run in the subnet reaches what it needs, or the check of the first thing that is wrong.
fn in_subnet(
    place: &Place<'_>,
    name: &str,
    needs: &Needs,
    connection: &Connection,
    subnet: &Named<Subnet>,
) -> Result<String, Box<Check>> {
    let id = subnet.name.as_str();
    let broken = |evidence: String, fault, more: &[(&str, &str)]| {
        Box::new(place.wrong(LINK, Status::Broken, name, evidence, fault, more))
    };
    let unseen = |gap| Box::new(place.gap_after(LINK, name, &gap, LINK));
    let Subnet { vpc, free_addresses, table, endpoints } =
        look(&subnet.look).map_err(|gap| match gap {
            Gap::Missing => broken(
                format!("its subnet `{id}` isn't there"),
                Fault::ConnectionSubnetMissing,
                &[],
            ),
            gap => unseen(gap),
        })?;
    if *free_addresses == 0 {
        let evidence = format!("its subnet `{id}` has no free address");
        return Err(broken(evidence, Fault::ConnectionSubnetFull, &[("subnet", id)]));
    }
    let groups = look(&connection.groups).map_err(|gap| match gap {
        Gap::Missing => {
            let evidence = "one of its security groups isn't there".to_owned();
            broken(evidence, Fault::ConnectionGroupMissing, &[("vpc", vpc)])
        }
        gap => unseen(gap),
    })?;
    let group = groups.first().map_or("", |group: &Group| group.id.as_str());
    if !groups.iter().any(|group| group.admits_itself) {
        let ids = listed(groups.iter().map(|group| group.id.as_str()));
        let evidence = match groups.as_slice() {
            [] => "it names no security group".to_owned(),
            _ => format!("of its security groups ({ids}), none admits itself on all TCP ports"),
        };
        // Without a group, the command shows where one belongs.
        let group = if group.is_empty() { "GROUP" } else { group };
        return Err(broken(evidence, Fault::ConnectionGroupClosed, &[("group", group)]));
    }
    let (table, endpoints) = (look(table).map_err(unseen)?, look(endpoints).map_err(unseen)?);
    let mut ways = Vec::new();
    for (service, written) in &needs.services {
        let more = [
            ("vpc", vpc.as_str()),
            ("subnet", id),
            ("group", group),
            ("table", table.id.as_str()),
            ("service", service),
        ];
        let by = match way(table, endpoints, service) {
            Way::By(endpoint) => {
                if *service == "s3" {
                    admits(place, name, needs, endpoint)?;
                }
                &endpoint.id
            }
            Way::Nat(nat) => nat,
            Way::Unclear(target) => {
                let evidence = format!(
                    "from its subnet `{id}`, the way to {written} leads to `{target}` (route table `{}`)",
                    table.id
                );
                let fault = Fault::NetworkUnclear;
                let check = place.wrong(LINK, Status::Warn, name, evidence, fault, &more);
                return Err(Box::new(check));
            }
            Way::None => {
                let evidence = format!(
                    "its subnet `{id}` has no way to {written}: neither an endpoint of VPC `{vpc}` that route table \
                     `{}` or the service's name leads to, nor a NAT gateway",
                    table.id
                );
                let fault = match *service {
                    "sts" => Fault::NetworkLacksSts,
                    _ => Fault::NetworkLacksGateway,
                };
                return Err(broken(evidence, fault, &more));
            }
        };
        ways.push(format!("{written} by `{by}`"));
    }
    let ways = ways.join(", ");
    Ok(format!("its subnet `{id}` has {free_addresses} free addresses, and reaches {ways}"))
}

/// Finds the way to a service. A gateway comes first, because its route is the narrowest.
fn way<'a>(table: &'a RouteTable, endpoints: &'a [Endpoint], service: &str) -> Way<'a> {
    let serves = |it: &&Endpoint| {
        let leads_there = match &it.tables {
            Some(tables) => tables.contains(&table.id),
            None => it.has_private_dns,
        };
        it.is_available && it.service.rsplit('.').next() == Some(service) && leads_there
    };
    let mut serving: Vec<&Endpoint> = endpoints.iter().filter(serves).collect();
    serving.sort_by_key(|it| it.tables.is_none());
    match (serving.first(), &table.way_out) {
        (Some(endpoint), _) => Way::By(endpoint),
        (None, Some(target)) if target.starts_with("nat-") => Way::Nat(target),
        // A run has no public address, so an internet gateway is no way.
        (None, Some(target)) if !target.starts_with("igw-") => Way::Unclear(target),
        (None, _) => Way::None,
    }
}

/// Fails unless the endpoint's policy lets everybody read from each bucket.
fn admits(
    place: &Place<'_>,
    name: &str,
    needs: &Needs,
    endpoint: &Endpoint,
) -> Result<(), Box<Check>> {
    // Without a policy, an endpoint has the default, which admits everything.
    let Some(policy) = &endpoint.policy else { return Ok(()) };
    for bucket in &needs.buckets {
        let more = [("endpoint", endpoint.id.as_str()), ("bucket", bucket.as_str())];
        let id = &endpoint.id;
        let (status, fault, why) = match endpoint_admits(policy, "s3:GetObject", bucket) {
            Admission::Yes => continue,
            Admission::Maybe => {
                let why = "only under conditions, or not to everybody";
                (Status::Warn, Fault::EndpointPolicyUnclear, why)
            }
            Admission::No => (Status::Broken, Fault::EndpointRefusesBucket, "to nobody"),
        };
        let evidence = format!("endpoint `{id}` lets `s3:GetObject` in `{bucket}` through {why}");
        return Err(Box::new(place.wrong(LINK, status, name, evidence, fault, &more)));
    }
    Ok(())
}
