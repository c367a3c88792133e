//! What a deployed stack asks for: the properties of its resources, from its processed template with the values of its
//! parameters and the IDs of its resources filled in. Pure.
//!
//! It knows the functions that Landfall's custom resources use, and gives up at any other: a property that was
//! guessed would look like drift.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, anyhow, bail};
use landfall_core::bucket_access::{self, Desired};
use landfall_core::roles::{DEFAULT_PATH, Home, Kind};
use landfall_core::routes::Routes;
use landfall_core::{lifecycle, properties};
use serde_json::{Map, Value as Json};

use crate::template::as_json;

/// Stands for the value of a parameter that CloudFormation doesn't show.
pub const NOT_SHOWN: &str = "not-known-here";

/// What a deployed stack asks for.
#[derive(Debug)]
pub struct Requested {
    /// The ARN of the stack.
    pub id: String,
    /// The account and the region of the stack.
    pub home: Home,
    template: Json,
    /// The values of parameters and pseudo parameters.
    values: BTreeMap<String, Json>,
    physical_ids: BTreeMap<String, String>,
}

/// A resource of a deployed stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its name in the template.
    pub logical_id: String,
    /// Its type, such as `AWS::SQS::Queue`.
    pub kind: String,
    /// Its ID in AWS.
    pub physical_id: String,
}

/// What a deployed stack asks for in the policy of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The statements.
    pub desired: Desired,
    /// The ARNs of the job roles that they admit.
    pub job_roles: BTreeSet<String>,
}

impl Requested {
    /// Reads what a stack asks for from its processed template, its ARN, the values of its parameters and the physical
    /// IDs of its resources.
    ///
    /// # Errors
    /// Fails if the template can't be read, or `id` is no ARN of a stack.
    pub fn new(
        template: &str,
        id: &str,
        parameters: &BTreeMap<String, String>,
        physical_ids: BTreeMap<String, String>,
    ) -> anyhow::Result<Self> {
        let template = as_json(template)?;
        let home = Home::of_stack(id).context("the ID of a stack is no ARN")?;
        let mut values = BTreeMap::from([
            ("AWS::AccountId".to_owned(), Json::from(home.account.as_str())),
            ("AWS::Partition".to_owned(), Json::from(home.partition.as_str())),
            ("AWS::Region".to_owned(), Json::from(home.region.as_str())),
            ("AWS::StackId".to_owned(), Json::from(id)),
        ]);
        for (name, value) in parameters {
            let about = &template["Parameters"][name];
            let is_secret = matches!(&about["NoEcho"], Json::Bool(true))
                || about["NoEcho"].as_str().is_some_and(|it| it.eq_ignore_ascii_case("true"));
            let is_list = about["Type"]
                .as_str()
                .is_some_and(|kind| kind == "CommaDelimitedList" || kind.starts_with("List<"));
            let value = match (is_secret, is_list) {
                (true, _) => Json::from(NOT_SHOWN),
                (false, true) => value.split(',').map(str::trim).map(Json::from).collect(),
                (false, false) => Json::from(value.as_str()),
            };
            values.insert(name.clone(), value);
        }
        Ok(Self { id: id.to_owned(), home, template, values, physical_ids })
    }

    /// Returns the resources that the stack has, in the order of their logical IDs.
    pub fn resources(&self) -> Vec<Resource> {
        let all = self.template["Resources"].as_object();
        let mut resources: Vec<Resource> = all
            .into_iter()
            .flatten()
            .filter_map(|(logical_id, resource)| {
                let condition = resource["Condition"].as_str();
                // A condition that can't be decided doesn't hide a resource that the stack lists.
                if condition.is_some_and(|name| matches!(self.is_met(name), Ok(false))) {
                    return None;
                }
                Some(Resource {
                    logical_id: logical_id.clone(),
                    kind: resource["Type"].as_str()?.to_owned(),
                    physical_id: self.physical_ids.get(logical_id)?.clone(),
                })
            })
            .collect();
        resources.sort_by(|one, other| one.logical_id.cmp(&other.logical_id));
        resources
    }

    /// Returns the properties of a resource.
    ///
    /// # Errors
    /// Fails if they contain something that can't be told from here.
    pub fn properties(&self, logical_id: &str) -> anyhow::Result<Json> {
        let properties = &self.template["Resources"][logical_id]["Properties"];
        let resolved = self.resolved(properties);
        let resolved = resolved.with_context(|| format!("failed to resolve `{logical_id}`"))?;
        Ok(resolved.unwrap_or_default())
    }

    /// Returns the ARN of the role of this kind; `None` if the stack asks for none, or its name can't be told from here.
    pub fn role_arn(&self, kind: Kind) -> Option<String> {
        let all = self.resources();
        let role = all.iter().find(|it| Kind::of_resource(&it.kind) == Some(kind))?;
        let properties = self.properties(&role.logical_id).ok()?;
        let name = properties["RoleName"].as_str()?;
        let path = properties["Path"].as_str().unwrap_or(DEFAULT_PATH);
        let Home { partition, account, .. } = &self.home;
        Some(format!("arn:{partition}:iam::{account}:role{path}{name}"))
    }

    /// Returns what the stack asks for in the policies of buckets, by bucket. Empty if it asks for nothing.
    ///
    /// # Errors
    /// Fails if that can't be told from here.
    pub fn bucket_statements(&self) -> anyhow::Result<BTreeMap<String, Access>> {
        let mut all = BTreeMap::new();
        let is_it = |it: &Resource| it.kind == "Custom::LandfallBucketAccess";
        for resource in self.resources().into_iter().filter(is_it) {
            let properties = self.properties(&resource.logical_id)?;
            let spec = bucket_access::Spec::read(&properties, &self.home);
            let spec = spec.map_err(|problems| anyhow!("{}", problems.join("; ")))?;
            let token = lifecycle::token(&self.id, &resource.logical_id);
            all.extend(spec.all_desired(&token).into_iter().map(|(bucket, desired)| {
                let accounts = spec.buckets.get(&bucket).into_iter().flat_map(BTreeMap::keys);
                let job_roles = accounts.filter_map(|id| spec.roles.get(id)).flatten();
                let job_roles = job_roles.cloned().collect();
                (bucket, Access { desired, job_roles })
            }));
        }
        Ok(all)
    }

    /// Returns the accounts whose roles the stack lets in: those of the roles that its own roles trust, and of the jobs'
    /// roles that the buckets' policies admit.
    pub fn admitted_accounts(&self) -> BTreeSet<String> {
        let ours =
            self.resources().into_iter().filter(|it| it.kind.starts_with("Custom::Landfall"));
        let properties = ours.filter_map(|resource| self.properties(&resource.logical_id).ok());
        let roles = properties.flat_map(|properties| {
            let lists = ["TrustedRoleArns", "JobRoleArns"].map(|name| properties[name].clone());
            lists.into_iter().filter_map(|list| list.as_array().cloned()).flatten()
        });
        let account = |role: Json| role.as_str()?.split(':').nth(4).map(str::to_owned);
        roles.filter_map(account).collect()
    }

    /// Returns the routes that the stack includes.
    ///
    /// # Errors
    /// Says in words why they can't be told, or what is wrong with them.
    pub fn routes(&self) -> Result<Routes, String> {
        let all = self.resources().into_iter().filter(|it| it.kind.starts_with("Custom::Landfall"));
        let included = all.filter_map(|resource| {
            let routes = self.resolved(
                &self.template["Resources"][&resource.logical_id]["Properties"]["Routes"],
            );
            routes.ok().flatten().filter(|routes| !routes.is_null())
        });
        let routes = { included }.next().ok_or("the stack includes no routes")?;
        let read = properties::routes(&routes);
        read.map_err(|problems| {
            format!("failed to read the stack's routes: {}", problems.join("; "))
        })
    }

    /// Resolves a part of the template; `None` is `AWS::NoValue`.
    fn resolved(&self, part: &Json) -> anyhow::Result<Option<Json>> {
        Ok(Some(match part {
            Json::Array(items) => {
                let items: anyhow::Result<Vec<Option<Json>>> =
                    items.iter().map(|item| self.resolved(item)).collect();
                items?.into_iter().flatten().collect()
            }
            Json::Object(entries) => {
                if let Some((name, operand)) = function(entries) {
                    return self.called(name, operand);
                }
                let mut object = Map::new();
                for (name, value) in entries {
                    if let Some(value) = self.resolved(value)? {
                        object.insert(name.clone(), value);
                    }
                }
                Json::Object(object)
            }
            scalar => scalar.clone(),
        }))
    }

    fn called(&self, function: &str, operand: &Json) -> anyhow::Result<Option<Json>> {
        let operands = operand.as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(Some(match (function, operands) {
            ("Ref", _) => match operand.as_str() {
                Some("AWS::NoValue") => return Ok(None),
                Some(name) => self.referred(name)?,
                None => bail!("a `Ref` refers to nothing"),
            },
            ("Fn::If", [condition, then, otherwise]) => {
                let condition = condition.as_str().context("an `Fn::If` has no condition")?;
                return self.resolved(if self.is_met(condition)? { then } else { otherwise });
            }
            ("Fn::GetAtt", [logical_id, attribute]) => {
                let [logical_id, attribute] =
                    [logical_id, attribute].map(|it| it.as_str().unwrap_or_default());
                Json::from(self.attribute(logical_id, attribute)?)
            }
            ("Fn::GetAtt", _) => {
                let (logical_id, attribute) = operand
                    .as_str()
                    .and_then(|text| text.split_once('.'))
                    .context("an `Fn::GetAtt` names no attribute")?;
                Json::from(self.attribute(logical_id, attribute)?)
            }
            ("Fn::Split", [delimiter, text]) => {
                let (delimiter, text) = (self.text(delimiter)?, self.text(text)?);
                text.split(delimiter.as_str()).map(Json::from).collect()
            }
            ("Fn::Join", [delimiter, list]) => {
                let list = self.resolved(list)?.unwrap_or_default();
                let list = list.as_array().context("an `Fn::Join` joins no list")?;
                let texts: anyhow::Result<Vec<String>> =
                    list.iter().map(|item| self.text(item)).collect();
                Json::from(texts?.join(&self.text(delimiter)?))
            }
            ("Fn::Sub", [text, more]) => {
                Json::from(self.filled(text.as_str().unwrap_or_default(), more)?)
            }
            ("Fn::Sub", []) => {
                let text = operand.as_str().context("an `Fn::Sub` has no text")?;
                Json::from(self.filled(text, &Json::Null)?)
            }
            (other, _) => bail!("`{other}` is not known here"),
        }))
    }

    fn text(&self, part: &Json) -> anyhow::Result<String> {
        match self.resolved(part)? {
            Some(Json::String(text)) => Ok(text),
            Some(scalar @ (Json::Number(_) | Json::Bool(_))) => Ok(scalar.to_string()),
            _ => bail!("a text is expected"),
        }
    }

    /// Fills in each `${…}`. `more` holds the names that an `Fn::Sub` defines itself.
    fn filled(&self, text: &str, more: &Json) -> anyhow::Result<String> {
        let mut parts = text.split("${");
        let mut whole = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').context("an `Fn::Sub` has an open `${`")?;
            let value = match name.strip_prefix('!') {
                Some(literal) => format!("${{{literal}}}"),
                None if more[name] != Json::Null => self.text(&more[name])?,
                None => match name.split_once('.') {
                    Some((logical_id, attribute)) => self.attribute(logical_id, attribute)?,
                    None => self.text(&self.referred(name)?)?,
                },
            };
            whole.push_str(&value);
            whole.push_str(rest);
        }
        Ok(whole)
    }

    /// Returns the value of a parameter, or the ID of a resource.
    fn referred(&self, name: &str) -> anyhow::Result<Json> {
        let of_resource = || self.physical_ids.get(name).map(|id| Json::from(id.as_str()));
        let value = self.values.get(name).cloned().or_else(of_resource);
        value.with_context(|| format!("`{name}` has no value"))
    }

    fn attribute(&self, logical_id: &str, attribute: &str) -> anyhow::Result<String> {
        let kind = self.template["Resources"][logical_id]["Type"].as_str().unwrap_or_default();
        let unknown = || anyhow!("`{logical_id}.{attribute}` is not known here");
        let id = self.physical_ids.get(logical_id).ok_or_else(unknown)?;
        let Home { partition, account, region } = &self.home;
        match (kind, attribute) {
            // The physical ID is the queue's URL.
            ("AWS::SQS::Queue", "Arn") => {
                let name = id.rsplit('/').next().unwrap_or_default();
                Ok(format!("arn:{partition}:sqs:{region}:{account}:{name}"))
            }
            ("AWS::DynamoDB::Table", "Arn") => {
                Ok(format!("arn:{partition}:dynamodb:{region}:{account}:table/{id}"))
            }
            _ => Err(unknown()),
        }
    }

    fn is_met(&self, condition: &str) -> anyhow::Result<bool> {
        let about = &self.template["Conditions"][condition];
        self.holds(about).with_context(|| format!("failed to decide condition `{condition}`"))
    }

    fn holds(&self, condition: &Json) -> anyhow::Result<bool> {
        let (name, operand) =
            condition.as_object().and_then(function).context("it is no condition")?;
        let operands = operand.as_array().map(Vec::as_slice).unwrap_or_default();
        match (name, operands) {
            ("Condition", _) => self.is_met(operand.as_str().unwrap_or_default()),
            ("Fn::Equals", [left, right]) => {
                let text = |part| self.resolved(part).map(Option::unwrap_or_default).map(as_text);
                Ok(text(left)? == text(right)?)
            }
            ("Fn::Not", [operand]) => Ok(!self.holds(operand)?),
            ("Fn::And", all) => {
                all.iter().try_fold(true, |so_far, one| Ok(self.holds(one)? && so_far))
            }
            ("Fn::Or", any) => {
                any.iter().try_fold(false, |so_far, one| Ok(self.holds(one)? || so_far))
            }
            (other, _) => bail!("`{other}` is not known here"),
        }
    }
}

/// Returns the function that an object calls, if it is one.
fn function(entries: &Map<String, Json>) -> Option<(&str, &Json)> {
    let (name, operand) = entries.iter().next().filter(|_| entries.len() == 1)?;
    let is_function = name.starts_with("Fn::") || matches!(name.as_str(), "Ref" | "Condition");
    is_function.then_some((name.as_str(), operand))
}

/// CloudFormation compares scalars as texts: a number equals its digits.
fn as_text(value: Json) -> Json {
    match value {
        scalar @ (Json::Number(_) | Json::Bool(_)) => Json::from(scalar.to_string()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
