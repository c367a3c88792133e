//! IAM as far as `landfall diff` asks it, over HTTP.

use std::collections::BTreeMap;

use serde_json::Value;
use wiremock::{Request, Respond, ResponseTemplate};

use super::DATA;
use crate::landfall;

/// A role in IAM, with one inline policy.
#[derive(Clone)]
pub struct Live {
    pub arn: String,
    description: &'static str,
    pub boundary: String,
    pub trust: String,
    pub policy: String,
    pub tags: Vec<(&'static str, &'static str)>,
    pub attached: Vec<&'static str>,
    /// What inline policies of others it has, by name.
    pub others: Vec<(&'static str, &'static str)>,
}

/// Roles by name.
#[derive(Clone, Default)]
pub struct Iam {
    pub roles: BTreeMap<String, Live>,
    /// Names of roles that nobody may look at.
    pub denied: Vec<&'static str>,
}

impl Iam {
    /// As the provisioner leaves it: what `policies` prints, with `external_ids` (a JSON list).
    pub fn provisioned(routes: &str, external_ids: &str) -> Self {
        let args = [&["policies", "--routes", "f", "--format", "json"][..], &DATA].concat();
        let shown = landfall(&[("f", routes)], &args);
        let document: Value = serde_json::from_str(&shown.stdout).expect("JSON");
        let role = |role: &Value| {
            let text = |field: &str| role[field].as_str().expect("text").to_owned();
            let live = Live {
                arn: text("arn"),
                description: match role["kind"].as_str() {
                    Some("starter") => "Landfall's trigger starts jobs with it.",
                    Some("reader") => "Landfall's jobs read what landed with it.",
                    _ => "Glue runs jobs with it that Landfall starts.",
                },
                boundary: text("permissions_boundary"),
                trust: role["trust_policy"].to_string().replace("[\"…\"]", external_ids),
                policy: role["permissions_policy"].to_string(),
                tags: vec![
                    ("landfall:stack-id", "a-stack"),
                    ("landfall:logical-id", "Role"),
                    ("landfall:physical-id", "Role-1"),
                    ("aws:cloudformation:stack-name", "landfall"),
                ],
                attached: Vec::new(),
                others: Vec::new(),
            };
            (live.arn.rsplit('/').next().expect("a name").to_owned(), live)
        };
        let roles = document["roles"].as_array().expect("roles").iter().map(role).collect();
        Self { roles, denied: Vec::new() }
    }

    pub fn role(&mut self, name: &str) -> &mut Live {
        self.roles.get_mut(name).expect("a role of this name")
    }
}

impl Respond for Iam {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let field = |name: &str| {
            let fields = body.split('&').filter_map(|field| field.split_once('='));
            fields
                .clone()
                .find(|(field, _)| *field == name)
                .map_or("", |(_, value)| value)
                .to_owned()
        };
        let (action, name) = (field("Action"), field("RoleName"));
        let failed = |status, code: &str| {
            let body = format!(
                "<ErrorResponse><Error><Code>{code}</Code><Message>{name}</Message></Error></ErrorResponse>"
            );
            ResponseTemplate::new(status).set_body_string(body)
        };
        if self.denied.contains(&name.as_str()) {
            return failed(403, "AccessDenied");
        }
        if let Some(answer) = managed(&action, &field("PolicyArn")) {
            return answer.unwrap_or_else(|| failed(403, "AccessDenied"));
        }
        let Some(role) = self.roles.get(&name) else {
            return failed(404, "NoSuchEntity");
        };
        let result = match action.as_str() {
            "GetRole" => role.xml(&name),
            "ListRolePolicies" => {
                let member = |(name, _): &(&str, &str)| format!("<member>{name}</member>");
                let others: String = role.others.iter().map(member).collect();
                format!(
                    "<PolicyNames><member>landfall</member>{others}</PolicyNames>\
                     <IsTruncated>false</IsTruncated>"
                )
            }
            "GetRolePolicy" => {
                let policy = field("PolicyName");
                let other = role.others.iter().find(|(name, _)| *name == policy);
                let document = other.map_or(role.policy.as_str(), |(_, document)| document);
                format!(
                    "<RoleName>{name}</RoleName><PolicyName>{policy}</PolicyName>\
                     <PolicyDocument>{}</PolicyDocument>",
                    escaped(document)
                )
            }
            "ListAttachedRolePolicies" => {
                let member = |arn: &&str| format!("<member><PolicyArn>{arn}</PolicyArn></member>");
                let members: String = role.attached.iter().map(member).collect();
                format!(
                    "<AttachedPolicies>{members}</AttachedPolicies><IsTruncated>false</IsTruncated>"
                )
            }
            other => panic!("`landfall diff` calls {other}"),
        };
        answered(&action, &result)
    }
}

fn answered(action: &str, result: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_string(format!(
        "<{action}Response xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><{action}Result>{result}\
         </{action}Result></{action}Response>"
    ))
}

/// What IAM says of a managed policy, if that is what it is asked about; nothing of one that may not be
/// read.
fn managed(action: &str, arn: &str) -> Option<Option<ResponseTemplate>> {
    let effect = if arn.ends_with("AWSDenyAll") { "Deny" } else { "Allow" };
    let result = match action {
        "GetPolicy" => "<Policy><DefaultVersionId>v7</DefaultVersionId></Policy>".to_owned(),
        "GetPolicyVersion" => format!(
            "<PolicyVersion><VersionId>v7</VersionId><Document>{}</Document></PolicyVersion>",
            escaped(&format!(
                r#"{{"Statement":{{"Effect":"{effect}","Action":"*","Resource":"*"}}}}"#
            ))
        ),
        _ => return None,
    };
    Some((!arn.contains("Hidden")).then(|| answered(action, &result)))
}

impl Live {
    fn xml(&self, name: &str) -> String {
        let tag = |(key, value): &(&str, &str)| {
            format!("<member><Key>{key}</Key><Value>{value}</Value></member>")
        };
        let tags: String = self.tags.iter().map(tag).collect();
        format!(
            "<Role><Path>/landfall/</Path><RoleName>{name}</RoleName><RoleId>AROA1</RoleId><Arn>{}</Arn>\
             <CreateDate>2026-01-31T00:00:00Z</CreateDate><Description>{}</Description>\
             <MaxSessionDuration>3600</MaxSessionDuration><PermissionsBoundary>\
             <PermissionsBoundaryArn>{}</PermissionsBoundaryArn></PermissionsBoundary>\
             <AssumeRolePolicyDocument>{}</AssumeRolePolicyDocument><Tags>{tags}</Tags></Role>",
            self.arn,
            escaped(self.description),
            self.boundary,
            escaped(&self.trust),
        )
    }
}

/// As XML holds it. IAM percent-encodes documents; one without `%` may stand as it is.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;").replace('\'', "&apos;")
}
