//! Connections of jobs and their networks, over HTTP. EC2's answers are as its documentation shows them.

use landfall_core::chain::observed::{Connection, Group, Job, JobFacts, Subnet};

use super::*;
use crate::network::network;

const SUBNETS: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeSubnetsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId><subnetSet><item>
<subnetId>subnet-1</subnetId><state>available</state><vpcId>vpc-1</vpcId><cidrBlock>10.0.1.0/24</cidrBlock>
<availableIpAddressCount>250</availableIpAddressCount><tagSet/></item></subnetSet></DescribeSubnetsResponse>"#;

const NO_TABLE: &str = r#"<DescribeRouteTablesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
<requestId>r</requestId><routeTableSet/></DescribeRouteTablesResponse>"#;

const MAIN_TABLE: &str = r#"<DescribeRouteTablesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><routeTableSet>
<item><routeTableId>rtb-1</routeTableId><vpcId>vpc-1</vpcId><routeSet>
<item><destinationCidrBlock>10.0.0.0/16</destinationCidrBlock><gatewayId>local</gatewayId><state>active</state></item>
<item><destinationPrefixListId>pl-1</destinationPrefixListId><gatewayId>vpce-s3</gatewayId><state>active</state></item>
<item><destinationCidrBlock>0.0.0.0/0</destinationCidrBlock><natGatewayId>nat-1</natGatewayId><state>active</state></item>
</routeSet><associationSet><item><main>true</main></item></associationSet></item></routeTableSet>
</DescribeRouteTablesResponse>"#;

const ENDPOINTS: &str = r#"<DescribeVpcEndpointsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><vpcEndpointSet>
<item><vpcEndpointId>vpce-s3</vpcEndpointId><vpcEndpointType>Gateway</vpcEndpointType><vpcId>vpc-1</vpcId>
<serviceName>com.amazonaws.eu-west-1.s3</serviceName><state>available</state>
<policyDocument>{&quot;Version&quot;:&#34;2008-10-17&#34;,&#xA;&quot;Statement&quot;:[]}</policyDocument>
<routeTableIdSet><item>rtb-1</item><item>rtb-2</item></routeTableIdSet><privateDnsEnabled>false</privateDnsEnabled></item>
<item><vpcEndpointId>vpce-sts</vpcEndpointId><vpcEndpointType>Interface</vpcEndpointType><vpcId>vpc-1</vpcId>
<serviceName>com.amazonaws.eu-west-1.sts</serviceName><state>pending</state>
<routeTableIdSet/><privateDnsEnabled>true</privateDnsEnabled></item>
<item><vpcEndpointId>vpce-s3-outside</vpcEndpointId><vpcEndpointType>Interface</vpcEndpointType><vpcId>vpc-1</vpcId>
<serviceName>com.amazonaws.eu-west-1.s3</serviceName><state>available</state><privateDnsEnabled>true</privateDnsEnabled>
<dnsOptions><privateDnsOnlyForInboundResolverEndpoint>true</privateDnsOnlyForInboundResolverEndpoint></dnsOptions></item>
</vpcEndpointSet></DescribeVpcEndpointsResponse>"#;

const GROUPS: &str = r#"<DescribeSecurityGroupsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><securityGroupInfo>
<item><groupId>sg-2</groupId><ipPermissions><item><ipProtocol>tcp</ipProtocol><fromPort>443</fromPort><toPort>443</toPort>
<groups><item><userId>222222222222</userId><groupId>sg-2</groupId></item></groups><ipRanges/></item></ipPermissions></item>
<item><groupId>sg-1</groupId><ipPermissions><item><ipProtocol>tcp</ipProtocol><fromPort>0</fromPort><toPort>65535</toPort>
<groups><item><userId>222222222222</userId><groupId>sg-1</groupId></item></groups></item></ipPermissions></item>
</securityGroupInfo></DescribeSecurityGroupsResponse>"#;

const CONNECTION: &str = r#"{"Connection":{"Name":"c","ConnectionType":"NETWORK","PhysicalConnectionRequirements":
{"SubnetId":"subnet-1","SecurityGroupIdList":["sg-1","sg-2"]}}}"#;

/// Returns what is seen of a job's only connection if the services answer so.
async fn seen(
    respond: impl Fn(&str) -> ResponseTemplate + Send + Sync + 'static,
) -> Look<Connection> {
    let (_server, clients) =
        clients(move |request| respond(&String::from_utf8_lossy(&request.body))).await;
    let job = Job {
        job: Look::Seen(JobFacts {
            role: String::new(),
            script: String::new(),
            max_retries: 0,
            max_concurrent_runs: 1,
            connections: vec!["c".to_owned()],
        }),
        role_trusts_glue: Look::Seen(true),
        script: None,
        network: None,
        last_failure: Look::Seen(None),
    };
    let mut jobs = BTreeMap::from([("orders".to_owned(), job)]);
    network(&clients, &mut jobs).await;
    let connections = jobs.remove("orders").and_then(|job| job.network).expect("looked");
    let [connection] = <[_; 1]>::try_from(connections).expect("one connection");
    assert_eq!(connection.name, "c");
    connection.look
}

fn recorded(body: &str) -> ResponseTemplate {
    let answer = |text: &str| ResponseTemplate::new(200).set_body_string(text);
    match body {
        _ if body.contains("Action=DescribeSubnets&Version=2016-11-15&SubnetId.1=subnet-1") => {
            answer(SUBNETS)
        }
        _ if body.contains("association.subnet-id") => answer(NO_TABLE),
        _ if body.contains("association.main") => answer(MAIN_TABLE),
        _ if body.contains("Action=DescribeVpcEndpoints") => answer(ENDPOINTS),
        _ if body.contains("GroupId.1=sg-1&GroupId.2=sg-2") => answer(GROUPS),
        _ if body.contains("\"HidePassword\":true") => answer(CONNECTION),
        other => panic!("{other}"),
    }
}

fn refused(code: &str, status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_string(format!(
        "<?xml version=\"1.0\"?><Response><Errors><Error><Code>{code}</Code><Message>You can&apos;t.</Message></Error>\
         </Errors><RequestID>r</RequestID></Response>"
    ))
}

fn subnet(connection: &Look<Connection>) -> &Look<Subnet> {
    &connection.seen().expect("a connection").subnet.as_ref().expect("a subnet").look
}

#[tokio::test]
async fn the_network_of_a_connection_is_read_from_what_ec2_answers() {
    let connection = seen(recorded).await;
    let group = |id: &str, admits_itself| Group { id: id.to_owned(), admits_itself };
    let groups = &connection.seen().expect("a connection").groups;
    assert_eq!(*groups, Look::Seen(vec![group("sg-1", true), group("sg-2", false)]));
    let subnet = subnet(&connection).seen().expect("a subnet");
    assert_eq!((subnet.vpc.as_str(), subnet.free_addresses), ("vpc-1", 250));
    let table = subnet.table.seen().expect("a table");
    assert_eq!((table.id.as_str(), table.way_out.as_deref()), ("rtb-1", Some("nat-1")));
    let endpoints = subnet.endpoints.seen().expect("endpoints");
    let [s3, sts, for_outside] = &endpoints[..] else { panic!("{endpoints:?}") };
    assert_eq!(s3.tables.as_deref(), Some(&["rtb-1".to_owned(), "rtb-2".to_owned()][..]));
    assert!(s3.is_available && s3.service.ends_with(".s3"), "{s3:?}");
    assert!(s3.policy.as_ref().is_some_and(|it| it.value()["Version"] == "2008-10-17"), "{s3:?}");
    assert!(!sts.is_available && sts.has_private_dns && sts.tables.is_none(), "{sts:?}");
    assert!(for_outside.is_available && !for_outside.has_private_dns, "{for_outside:?}");
}

#[tokio::test]
async fn what_ec2_refuses_is_denied_missing_or_failed() {
    let of = |code: &'static str, status| async move {
        let answer = move |body: &str| match body.contains("HidePassword") {
            true => recorded(body),
            false => refused(code, status),
        };
        subnet(&seen(answer).await).clone()
    };
    let denied = Look::Denied("ec2:DescribeSubnets".to_owned());
    assert_eq!(of("UnauthorizedOperation", 403).await, denied);
    assert_eq!(of("InvalidSubnetID.NotFound", 400).await, Look::Missing);
    let failed = Look::Failed("DescribeSubnets: RequestLimitExceeded: You can't.".to_owned());
    assert_eq!(of("RequestLimitExceeded", 503).await, failed);
    let unreadable = seen(|body| match body.contains("HidePassword") {
        true => recorded(body),
        false => ResponseTemplate::new(200).set_body_string("<a><b></a>"),
    });
    assert!(matches!(subnet(&unreadable.await), Look::Failed(why) if why.contains("XML")));
    let without =
        seen(|_| ResponseTemplate::new(200).set_body_string(r#"{"Connection":{"Name":"c"}}"#));
    let Look::Seen(connection) = without.await else { panic!("a connection") };
    assert_eq!((connection.subnet, connection.groups), (None, Look::Seen(Vec::new())));
    let gone = seen(|_| error(Service::Json("AWSGlue"), 400, "EntityNotFoundException", "none"));
    assert_eq!(gone.await, Look::Missing);
}
