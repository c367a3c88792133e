//! The network that a job runs in.

use super::{Look, Named};
use crate::policy::Document;

/// A connection of a Glue job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The subnet that the job's runs are in, by ID; `None` if the connection names none.
    pub subnet: Option<Named<Subnet>>,
    /// The security groups that it names. `Missing` if one of them isn't there.
    pub groups: Look<Vec<Group>>,
}

/// A subnet of a VPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// The ID of the VPC.
    pub vpc: String,
    /// How many addresses are free.
    pub free_addresses: u32,
    /// The route table: the subnet's own, or the main one of the VPC.
    pub table: Look<RouteTable>,
    /// The endpoints of the VPC.
    pub endpoints: Look<Vec<Endpoint>>,
}

/// A route table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteTable {
    /// The table's ID.
    pub id: String,
    /// The ID of what the active route to everywhere leads to, such as `nat-0a1b`; `None` if there is no such route.
    pub way_out: Option<String>,
}

/// An endpoint of a VPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The endpoint's ID.
    pub id: String,
    /// The service, such as `com.amazonaws.eu-west-1.s3`.
    pub service: String,
    /// `true` if it can be used.
    pub is_available: bool,
    /// The IDs of the route tables that lead to a gateway; `None` if the endpoint is no gateway.
    pub tables: Option<Vec<String>>,
    /// `true` if the service's usual name leads to it, which a gateway doesn't need.
    pub has_private_dns: bool,
    /// The policy; `None` if it has none, and so lets everything through.
    pub policy: Option<Document>,
}

/// A security group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The group's ID.
    pub id: String,
    /// `true` if it admits itself on all TCP ports.
    pub admits_itself: bool,
}
