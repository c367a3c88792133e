//! IAM: roles, with their trust, tags, boundaries and inline policies. It checks no permissions,
//! attaches no managed policies, and every change takes effect at once.

use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::call::Answer;

/// A role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IamRole {
    /// The path, which begins and ends with `/`.
    pub path: String,
    pub description: String,
    /// The trust policy, as JSON.
    pub trust: String,
    pub boundary: Option<String>,
    pub max_session_secs: String,
    pub tags: BTreeMap<String, String>,
    /// Inline policies, as JSON.
    pub policies: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
pub(crate) struct Iam {
    /// The roles by name.
    pub(crate) roles: BTreeMap<String, IamRole>,
}

impl Iam {
    pub(crate) fn serve(&mut self, operation: &str, form: &Value) -> Answer {
        let text = |name: &str| form[name].as_str().unwrap_or_default().to_owned();
        let name = text("RoleName");
        if operation == "CreateRole" {
            if self.roles.contains_key(&name) {
                return Answer::error("query", 409, "EntityAlreadyExists", "it is there");
            }
            let role = IamRole {
                path: text("Path"),
                description: text("Description"),
                trust: text("AssumeRolePolicyDocument"),
                boundary: form["PermissionsBoundary"].as_str().map(str::to_owned),
                max_session_secs: text("MaxSessionDuration"),
                tags: tags(form),
                policies: BTreeMap::new(),
            };
            let result = described(&name, &role);
            self.roles.insert(name, role);
            return Answer::result(operation, &result);
        }
        let Some(role) = self.roles.get_mut(&name) else {
            return Answer::error("query", 404, "NoSuchEntity", "there is no such role");
        };
        let policy = text("PolicyName");
        let result = match operation {
            "GetRole" => described(&name, role),
            "ListRolePolicies" => {
                let names = role.policies.keys().map(|name| format!("<member>{name}</member>"));
                format!(
                    "<PolicyNames>{}</PolicyNames><IsTruncated>false</IsTruncated>",
                    names.collect::<String>()
                )
            }
            "ListAttachedRolePolicies" => {
                "<AttachedPolicies></AttachedPolicies><IsTruncated>false</IsTruncated>".to_owned()
            }
            "GetRolePolicy" => match role.policies.get(&policy) {
                Some(document) => format!(
                    "<RoleName>{name}</RoleName><PolicyName>{policy}</PolicyName>\
                     <PolicyDocument>{}</PolicyDocument>",
                    encoded(document)
                ),
                None => return Answer::error("query", 404, "NoSuchEntity", "no such policy"),
            },
            "PutRolePolicy" => {
                role.policies.insert(policy, text("PolicyDocument"));
                String::new()
            }
            "DeleteRolePolicy" => {
                role.policies.remove(&policy);
                String::new()
            }
            "UpdateAssumeRolePolicy" => {
                role.trust = text("PolicyDocument");
                String::new()
            }
            "PutRolePermissionsBoundary" => {
                role.boundary = Some(text("PermissionsBoundary"));
                String::new()
            }
            "UpdateRole" => {
                role.description = text("Description");
                role.max_session_secs = text("MaxSessionDuration");
                String::new()
            }
            "TagRole" => {
                role.tags.extend(tags(form));
                String::new()
            }
            "DeleteRole" if role.policies.is_empty() => {
                self.roles.remove(&name);
                String::new()
            }
            "DeleteRole" => {
                return Answer::error("query", 409, "DeleteConflict", "it has policies");
            }
            _ => {
                return Answer::error(
                    "query",
                    400,
                    "InvalidAction",
                    "the stand-in does not know it",
                );
            }
        };
        Answer::result(operation, &result)
    }
}

/// Reads the tags from members such as `Tags.member.1.Key`.
fn tags(form: &Value) -> BTreeMap<String, String> {
    let text = |name: String| form[name].as_str().map(str::to_owned);
    let tag =
        |n| Some((text(format!("Tags.member.{n}.Key"))?, text(format!("Tags.member.{n}.Value"))?));
    (1..).map_while(tag).collect()
}

fn described(name: &str, role: &IamRole) -> String {
    let IamRole { path, description, trust, boundary, max_session_secs, tags, .. } = role;
    let tag = |(key, value): (&String, &String)| {
        format!("<member><Key>{key}</Key><Value>{value}</Value></member>")
    };
    let tags: String = tags.iter().map(tag).collect();
    let boundary = boundary.as_ref().map(|arn| {
        format!(
            "<PermissionsBoundary><PermissionsBoundaryType>Policy</PermissionsBoundaryType>\
             <PermissionsBoundaryArn>{arn}</PermissionsBoundaryArn></PermissionsBoundary>"
        )
    });
    format!(
        "<Role><Path>{path}</Path><RoleName>{name}</RoleName><RoleId>AROA{name}</RoleId>\
         <Arn>arn:aws:iam::111111111111:role{path}{name}</Arn>\
         <CreateDate>2026-01-31T12:00:00Z</CreateDate><Description>{description}</Description>\
         <AssumeRolePolicyDocument>{}</AssumeRolePolicyDocument>\
         <MaxSessionDuration>{max_session_secs}</MaxSessionDuration>{}<Tags>{tags}</Tags></Role>",
        encoded(trust),
        boundary.unwrap_or_default()
    )
}

/// Percent-encodes a document, as IAM does when it returns one.
fn encoded(document: &str) -> String {
    utf8_percent_encode(document, NON_ALPHANUMERIC).to_string()
}
