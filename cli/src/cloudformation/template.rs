//! Reads what a template says about itself, and rewrites its local paths to the uploaded files.
//!
//! Pure. Everything else in the template stays byte for byte.

mod resolve;

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, bail, ensure};
use landfall_inspection::template::tree::{self, Node, Scalar};

use self::resolve::{Resolver, fill};

/// A template, as far as the command line reads it.
#[derive(Debug)]
pub struct Template {
    pub text: String,
    pub parameters: BTreeMap<String, Parameter>,
    /// The resources in the order of the text.
    pub resources: Vec<Resource>,
    paths: Vec<LocalPath>,
    names: Vec<ComposedName>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    pub default: Option<String>,
    /// Whether CloudFormation hides the value, so that the command line hides it too.
    pub is_secret: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    pub logical_id: String,
    pub kind: String,
    /// Whether the resource stays when its stack is deleted.
    pub is_retained: bool,
    /// The condition for the resource's creation.
    pub condition: Option<String>,
}

#[derive(Debug)]
struct LocalPath {
    path: String,
    place: Range<usize>,
    /// The property for error messages, such as `Trigger.CodeUri`.
    property: String,
}

/// The name of a retained resource, made up of parameters.
#[derive(Debug)]
struct ComposedName {
    /// The bytes of the name, including its tag.
    place: Range<usize>,
    /// The name with each `${…}` of a `!Sub`.
    text: String,
}

/// The properties that name resources that can be retained and that only their name identifies.
const NAMES: [(&str, &str); 3] = [
    ("AWS::DynamoDB::Table", "TableName"),
    ("AWS::S3::Bucket", "BucketName"),
    ("AWS::Logs::LogGroup", "LogGroupName"),
];

/// The properties in which packaging tools expect local paths, and whether this module rewrites them.
const PATHS: [(&str, &[&str], bool); 11] = [
    ("AWS::Serverless::Function", &["CodeUri"], true),
    ("AWS::Glue::Job", &["Command", "ScriptLocation"], true),
    ("AWS::Serverless::LayerVersion", &["ContentUri"], false),
    ("AWS::Serverless::Application", &["Location"], false),
    ("AWS::Serverless::Api", &["DefinitionUri"], false),
    ("AWS::Serverless::HttpApi", &["DefinitionUri"], false),
    ("AWS::Serverless::StateMachine", &["DefinitionUri"], false),
    ("AWS::Lambda::Function", &["Code"], false),
    ("AWS::Lambda::LayerVersion", &["Content"], false),
    ("AWS::CloudFormation::Stack", &["TemplateURL"], false),
    ("AWS::StepFunctions::StateMachine", &["DefinitionS3Location"], false),
];

impl Template {
    pub fn read(text: &str) -> anyhow::Result<Self> {
        let root = tree::read(text)?;
        let mut template = Self {
            text: text.to_owned(),
            parameters: parameters(&root),
            resources: Vec::new(),
            paths: Vec::new(),
            names: Vec::new(),
        };
        let resources = root.get("Resources").context("the template has no resources")?;
        for (logical_id, resource) in resources.entries() {
            // A transform that makes resources has no type. `includes_of` reads it below.
            let Some(kind) = resource.get("Type").and_then(Node::text) else { continue };
            let text = |key| resource.get(key).and_then(Node::text);
            template.resources.push(Resource {
                logical_id: logical_id.clone(),
                kind: kind.to_owned(),
                is_retained: matches!(
                    text("DeletionPolicy"),
                    Some("Retain" | "RetainExceptOnCreate")
                ),
                condition: text("Condition").map(str::to_owned),
            });
            template.paths_of(logical_id, kind, resource)?;
            if template.resources.last().is_some_and(|resource| resource.is_retained) {
                template.name_of(kind, resource);
            }
        }
        template.includes_of(&root, "template")?;
        Ok(template)
    }

    fn paths_of(&mut self, logical_id: &str, kind: &str, resource: &Node) -> anyhow::Result<()> {
        for (_, property, is_known) in PATHS.iter().filter(|(of, ..)| *of == kind) {
            let value = resource.get("Properties").and_then(|all| all.at(property));
            let Some(Node::Scalar(scalar)) = value else { continue };
            let property = format!("{logical_id}.{}", property.join("."));
            if !is_local(scalar) {
                continue;
            }
            ensure!(is_known, "`{property}` is a local path, which `landfall` can't package");
            self.add_path(scalar, property)?;
        }
        Ok(())
    }

    fn name_of(&mut self, kind: &str, resource: &Node) {
        let Some((_, property)) = NAMES.iter().find(|(of, _)| *of == kind) else { return };
        let Some(Node::Scalar(scalar)) = resource.at(&["Properties", property]) else { return };
        let text = match scalar.tag.as_deref() {
            Some("Sub") => scalar.value.clone(),
            Some("Ref") => format!("${{{}}}", scalar.value),
            _ => return,
        };
        let stands = self.text.get(scalar.place.clone()).unwrap_or_default();
        if scalar.is_flow && stands.starts_with('!') {
            self.names.push(ComposedName { place: scalar.place.clone(), text });
        }
    }

    fn includes_of(&mut self, node: &Node, name: &str) -> anyhow::Result<()> {
        if let Some(transform) = node.get("Fn::Transform")
            && transform.get("Name").and_then(Node::text) == Some("AWS::Include")
            && let Some(Node::Scalar(scalar)) = transform.at(&["Parameters", "Location"])
            && is_local(scalar)
        {
            self.add_path(scalar, format!("{name}.Location of AWS::Include"))?;
        }
        match node {
            Node::Map(entries) => {
                for (key, value) in entries {
                    self.includes_of(value, key)?;
                }
            }
            Node::Sequence(items) => {
                for item in items {
                    self.includes_of(item, name)?;
                }
            }
            Node::Scalar(_) | Node::Other => {}
        }
        Ok(())
    }

    fn add_path(&mut self, scalar: &Scalar, property: String) -> anyhow::Result<()> {
        let stands = self.text.get(scalar.place.clone()).map(|text| text.trim_matches(['"', '\'']));
        ensure!(
            scalar.is_flow && stands == Some(scalar.value.as_str()),
            "`{property}` can't be rewritten: write the path on one line, without tags or escapes"
        );
        let (path, place) = (scalar.value.clone(), scalar.place.clone());
        self.paths.push(LocalPath { path, place, property });
        Ok(())
    }

    /// Returns the local paths as the template has them.
    pub fn local_paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(|path| path.path.as_str())
    }

    /// Returns how many characters IAM counts in a managed policy's document: all but white space. Returns
    /// `None` if there is no such policy, or if it contains something that only a stack knows.
    pub fn policy_chars(&self, policy: &str, values: &BTreeMap<String, String>) -> Option<usize> {
        let root = tree::read(&self.text).ok()?;
        let document = root.at(&["Resources", policy, "Properties", "PolicyDocument"])?;
        let document = Resolver { conditions: root.get("Conditions"), values }.json(document)?;
        Some(document.to_string().chars().filter(|c| !c.is_whitespace()).count())
    }

    /// Returns the text with each local path replaced by its URI in `uploaded`, and the name of each retained
    /// resource written out with `values`. CloudFormation adopts what an earlier stack left only if the
    /// template writes its name out.
    pub fn rewritten(
        &self,
        uploaded: &BTreeMap<String, String>,
        values: &BTreeMap<String, String>,
    ) -> anyhow::Result<String> {
        let mut edits: Vec<(Range<usize>, String)> = Vec::new();
        for LocalPath { path, place, property } in &self.paths {
            let Some(uri) = uploaded.get(path) else {
                bail!("`{property}` is `{path}`, which is not in the package");
            };
            edits.push((place.clone(), uri.clone()));
        }
        for ComposedName { place, text } in &self.names {
            if let Some(name) = composed(text, values) {
                edits.push((place.clone(), format!("\"{name}\"")));
            }
        }
        edits.sort_by_key(|(place, _)| std::cmp::Reverse(place.start));
        let mut text = self.text.clone();
        for (place, with) in edits {
            text.replace_range(place, &with);
        }
        Ok(text)
    }
}

/// Returns the text with each `${…}` filled in, if all have values and the result can be a name.
fn composed(text: &str, values: &BTreeMap<String, String>) -> Option<String> {
    let whole = fill(text, |name| values.get(name).cloned())?;
    let is_name = whole.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b));
    (is_name && !whole.is_empty()).then_some(whole)
}

fn is_local(scalar: &Scalar) -> bool {
    scalar.tag.is_none() && !scalar.value.contains("://")
}

fn parameters(root: &Node) -> BTreeMap<String, Parameter> {
    let all = root.get("Parameters").map(Node::entries).unwrap_or_default();
    let parameter = |node: &Node| Parameter {
        default: node.get("Default").and_then(Node::text).map(str::to_owned),
        is_secret: node.get("NoEcho").and_then(Node::text) == Some("true"),
    };
    all.iter().map(|(name, node)| (name.clone(), parameter(node))).collect()
}

#[cfg(test)]
mod tests;
