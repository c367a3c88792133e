//! Subnets, route tables, endpoints and security groups.
//!
//! EC2 is asked with signed requests, because its SDK client is the largest of all, and four calls need little of it.

use std::time::Duration;

use aws_config::SdkConfig;
use landfall_aws::sdk_error::AwsError;
use landfall_aws::signed::{Service, SignedClient};
use landfall_core::chain::observed::{Endpoint, Group, RouteTable};
use landfall_core::partition;
use landfall_core::policy::Document;
use url::form_urlencoded::Serializer;
use xmlparser::{ElementEnd, Token, Tokenizer};

use crate::look::Call;
use crate::{Clients, Seen};

const EC2: Service = Service {
    id: "EC2",
    name: "ec2",
    content_type: "application/x-www-form-urlencoded; charset=utf-8",
};
const VERSION: &str = "2016-11-15";

/// The time limit for a call.
const LIMIT: Duration = Duration::from_secs(20);

const SUBNETS: Call = Call {
    operation: "DescribeSubnets",
    missing: &["InvalidSubnetID.NotFound", "InvalidSubnetID.Malformed"],
};
const ROUTE_TABLES: Call = Call { operation: "DescribeRouteTables", missing: &[] };
const ENDPOINTS: Call = Call { operation: "DescribeVpcEndpoints", missing: &[] };
const GROUPS: Call = Call {
    operation: "DescribeSecurityGroups",
    missing: &["InvalidGroup.NotFound", "InvalidGroupId.Malformed"],
};

/// Returns the client for the region of `config`. Makes no call.
pub(crate) fn client(config: &SdkConfig) -> SignedClient {
    let region = config.region().map(AsRef::as_ref);
    let place = region.and_then(|region| Some((partition::of_region(region)?, region)));
    SignedClient::new(EC2, place, config)
}

/// Returns the VPC of a subnet and how many addresses are free.
pub(crate) async fn subnet(clients: &Clients, id: &str) -> Seen<(String, u32)> {
    let answer = ask(clients, &SUBNETS, &[("SubnetId.1", id)]).await?;
    let subnet = answer.items("subnetSet").next();
    let subnet = subnet.ok_or_else(|| SUBNETS.failed("the answer has no subnet"))?;
    let free = subnet.text("availableIpAddressCount").parse();
    let free = free.map_err(|_| SUBNETS.failed("the answer has no number of free addresses"))?;
    Ok((subnet.text("vpcId").to_owned(), free))
}

/// Returns the route table of a subnet: its own, or the main one of its VPC.
pub(crate) async fn route_table(clients: &Clients, subnet: &str, vpc: &str) -> Seen<RouteTable> {
    let own = [("Filter.1.Name", "association.subnet-id"), ("Filter.1.Value.1", subnet)];
    let main = [
        ("Filter.1.Name", "vpc-id"),
        ("Filter.1.Value.1", vpc),
        ("Filter.2.Name", "association.main"),
        ("Filter.2.Value.1", "true"),
    ];
    for filters in [&own[..], &main] {
        let answer = ask(clients, &ROUTE_TABLES, filters).await?;
        if let Some(table) = answer.items("routeTableSet").next() {
            let id = table.text("routeTableId").to_owned();
            return Ok(RouteTable { id, way_out: table.items("routeSet").find_map(way_out) });
        }
    }
    Err(ROUTE_TABLES.failed(format!("`{subnet}` has no route table, and `{vpc}` has no main one")))
}

/// Returns what the route leads to, if it is the active one to everywhere.
fn way_out(route: &Element) -> Option<String> {
    let is_it =
        route.text("destinationCidrBlock") == "0.0.0.0/0" && route.text("state") == "active";
    let targets = [
        "natGatewayId",
        "transitGatewayId",
        "gatewayId",
        "networkInterfaceId",
        "vpcPeeringConnectionId",
        "localGatewayId",
        "carrierGatewayId",
        "coreNetworkArn",
    ];
    let target = targets.iter().map(|name| route.text(name)).find(|target| !target.is_empty());
    // What leads elsewhere has a name that nobody knows yet.
    is_it.then(|| target.unwrap_or("an unknown target").to_owned())
}

/// Returns the endpoints of a VPC.
pub(crate) async fn endpoints(clients: &Clients, vpc: &str) -> Seen<Vec<Endpoint>> {
    let filter = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc)];
    let answer = ask(clients, &ENDPOINTS, &filter).await?;
    // Some names lead to an endpoint only for those who ask from outside the VPC.
    let is_for_outside = |it: &Element| {
        let only = "privateDnsOnlyForInboundResolverEndpoint";
        it.child("dnsOptions").is_some_and(|options| options.text(only) == "true")
    };
    let endpoint = |it: &Element| {
        let id = it.text("vpcEndpointId").to_owned();
        let text = it.text("policyDocument");
        let policy = Document::parse(text);
        if policy.is_none() && !text.is_empty() {
            return Err(ENDPOINTS.failed(format!("the policy of `{id}` can't be read")));
        }
        Ok(Endpoint {
            id,
            service: it.text("serviceName").to_owned(),
            is_available: it.text("state").eq_ignore_ascii_case("available"),
            tables: (it.text("vpcEndpointType") == "Gateway")
                .then(|| it.items("routeTableIdSet").map(|id| id.text.clone()).collect()),
            has_private_dns: it.text("privateDnsEnabled") == "true" && !is_for_outside(it),
            policy,
        })
    };
    answer.items("vpcEndpointSet").map(endpoint).collect()
}

/// Returns the security groups with these IDs, in this order.
pub(crate) async fn groups(clients: &Clients, ids: &[String]) -> Seen<Vec<Group>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = (1..=ids.len()).map(|number| format!("GroupId.{number}")).collect();
    let parameters: Vec<(&str, &str)> =
        names.iter().map(String::as_str).zip(ids.iter().map(String::as_str)).collect();
    let answer = ask(clients, &GROUPS, &parameters).await?;
    let admitting = |id: &String| {
        let mut of_id = answer.items("securityGroupInfo").filter(|it| it.text("groupId") == id);
        of_id.next().map(|it| it.items("ipPermissions").any(|rule| admits(rule, id)))
    };
    let group = |id: &String| {
        let admits_itself = admitting(id).ok_or(crate::Unseen::Missing)?;
        Ok(Group { id: id.clone(), admits_itself })
    };
    ids.iter().map(group).collect()
}

/// Returns `true` if the rule lets the group in on all TCP ports.
fn admits(rule: &Element, group: &str) -> bool {
    let port = |name: &str| rule.text(name).parse::<u32>().ok();
    let has_all_ports = match rule.text("ipProtocol") {
        "-1" => true,
        "tcp" => port("fromPort").is_some_and(|it| it <= 1) && port("toPort") == Some(65_535),
        _ => false,
    };
    has_all_ports && rule.items("groups").any(|it| it.text("groupId") == group)
}

async fn ask(clients: &Clients, call: &Call, parameters: &[(&str, &str)]) -> Seen<Element> {
    let fixed = [("Action", call.operation), ("Version", VERSION)];
    let form = Serializer::new(String::new()).extend_pairs(fixed).extend_pairs(parameters).finish();
    let answer = tokio::time::timeout(LIMIT, clients.ec2.query(&form)).await;
    let answer = answer.map_err(|_| call.failed("a time-out"))?;
    let (status, text) = answer.map_err(|why| call.failed(why))?;
    let unreadable = || call.failed(format!("HTTP status {status}, without XML that can be read"));
    let answer = Element::parse(&text).ok_or_else(unreadable)?;
    if status != 200 {
        let error = answer.child("Errors").and_then(|errors| errors.child("Error"));
        let error = error.ok_or_else(unreadable)?;
        let error = AwsError::of_answer(error.text("Code"), error.text("Message"));
        return Err(call.unseen(&error, Some(status)));
    }
    match answer.text("nextToken") {
        "" => Ok(answer),
        _ => Err(call.failed("there is more than one page of them")),
    }
}

/// An element of XML, with its text or the elements in it.
#[derive(Debug, Default)]
struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    /// Reads the root of a document. Returns `None` if it isn't well-formed.
    fn parse(text: &str) -> Option<Self> {
        let mut open = vec![Self::default()];
        for token in Tokenizer::from(text) {
            match token.ok()? {
                Token::ElementStart { local, .. } => {
                    open.push(Self { name: local.as_str().to_owned(), ..Self::default() });
                }
                Token::ElementEnd { end: ElementEnd::Open, .. } => {}
                Token::ElementEnd { end, .. } => {
                    let closed = open.pop()?;
                    if matches!(end, ElementEnd::Close(_, local) if local.as_str() != closed.name) {
                        return None;
                    }
                    open.last_mut()?.children.push(closed);
                }
                Token::Text { text } => open.last_mut()?.text.push_str(&unescaped(text.as_str())),
                Token::Cdata { text, .. } => open.last_mut()?.text.push_str(text.as_str()),
                _ => {}
            }
        }
        let document = open.pop().filter(|_| open.is_empty())?;
        document.children.into_iter().next()
    }

    fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// Returns the text of a child, or nothing if there is no such child.
    fn text(&self, name: &str) -> &str {
        self.child(name).map_or("", |child| child.text.trim())
    }

    /// Returns the items of a list.
    fn items(&self, list: &str) -> impl Iterator<Item = &Self> {
        self.child(list).into_iter().flat_map(|list| &list.children)
    }
}

/// Replaces XML's references to characters. What isn't one stays as it is.
fn unescaped(text: &str) -> String {
    let (mut plain, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let found = after.split_once(';').and_then(|(name, behind)| Some((meant(name)?, behind)));
        let (character, behind) = found.unwrap_or(('&', after));
        plain.push(character);
        rest = behind;
    }
    plain + rest
}

fn meant(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "amp" => Some('&'),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}
