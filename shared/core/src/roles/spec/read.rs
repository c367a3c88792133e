//! Turns properties as written into valid ones. Each check reports its problem and continues, so
//! that one mistake doesn't hide another.

mod kinds;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Home, Identity, Purpose, RoleSpec};
use crate::arn::{PolicyArn, RoleArn, is_role_name};
use crate::at::At;
use crate::problem::Problem;
use crate::properties;
use crate::repair;
use crate::roles::written::{Common, DEFAULT_PATH, JobRole, ReaderRole, StarterRole};
use crate::roles::{Kind, OWNER_TAGS, Trust};
use crate::routes::Routes;
use crate::routes::resolve::{self, is_external_id};
use crate::routes::written::RoutesFile;
use crate::secret::Secret;

/// The maximum number of tags in the properties. A role can have 50.
const MAX_TAGS: usize = 50 - OWNER_TAGS.len();

const LISTS: [&[&str]; 3] = [&["TrustedRoleArns"], &["KmsKeyArns"], &["ReaderRoleArns"]];

/// Reads the properties of a resource of `kind`.
///
/// # Errors
/// Returns all problems together, each with the path of its property before it.
pub(crate) fn read(kind: Kind, properties: &Value, home: &Home) -> Result<RoleSpec, Vec<String>> {
    match kind {
        Kind::Starter => with(properties, home, kinds::starter),
        Kind::Reader => with(properties, home, kinds::reader),
        Kind::Job => with(properties, home, kinds::job),
    }
}

/// The parts of a spec that differ between the kinds of role.
struct Own {
    trust: Trust,
    purpose: Purpose,
    notes: Vec<String>,
    unrequested: BTreeMap<String, String>,
}

/// What checks of one property need to know about others.
struct Setting<'a> {
    home: &'a Home,
    /// The role's own ARN, if its name and path are valid.
    arn: Option<String>,
}

fn with<T: DeserializeOwned + JsonSchema + HasCommon>(
    properties: &Value,
    home: &Home,
    own: impl Fn(&T, &Setting<'_>, &mut At<'_>) -> Option<Own>,
) -> Result<RoleSpec, Vec<String>> {
    let properties::Read { written, root, mut problems } =
        properties::read::<T>(properties, &LISTS);
    let spec = written.and_then(|written| {
        let mut at = At::new(&root, &mut problems);
        let common = written.common();
        let identity = Identity::read(properties, home);
        let spec = self::common(&common, identity, home, &mut at);
        let arn = spec.as_ref().map(|spec| {
            let Identity { account, name, .. } = &spec.identity;
            format!("arn:{}:iam::{account}:role{}{name}", home.partition, spec.path)
        });
        let own = own(&written, &Setting { home, arn }, &mut at)?;
        let spec = spec?;
        let description =
            if spec.description.is_empty() { T::DESCRIPTION.to_owned() } else { spec.description };
        let Own { trust, purpose, notes, unrequested } = own;
        Some(RoleSpec { description, trust, purpose, notes, unrequested, ..spec })
    });
    problems.retain(Problem::is_error);
    problems.sort_by_key(|problem| problem.place.bytes.start);
    match spec.filter(|_| problems.is_empty()) {
        Some(spec) => Ok(spec),
        None => Err(problems.iter().map(|p| properties::describe(&root, p)).collect()),
    }
}

trait HasCommon {
    const DESCRIPTION: &'static str;
    fn common(&self) -> Common<'_>;
}

macro_rules! has_common {
    ($name:ident, $description:literal) => {
        impl HasCommon for $name {
            const DESCRIPTION: &'static str = $description;
            fn common(&self) -> Common<'_> {
                self.common()
            }
        }
    };
}

has_common!(StarterRole, "Landfall's trigger starts jobs with it.");
has_common!(ReaderRole, "Landfall's jobs read what landed with it.");
has_common!(JobRole, "Glue runs jobs with it that Landfall starts.");

/// Reads the properties that all kinds have. The caller fills in the trust and the purpose.
fn common(
    written: &Common<'_>,
    identity: Option<Identity>,
    home: &Home,
    at: &mut At<'_>,
) -> Option<RoleSpec> {
    if written.version.is_some_and(|version| version != 1) {
        at.key("Version").error("this version is unknown", "Landfall supports version 1");
    }
    repair::check(written.repair, at);
    match written.role_name {
        None => at.missing("RoleName"),
        Some(name) if is_role_name(name) && !name.contains('/') => {}
        Some(name) => at.key("RoleName").error(
            format!("`{}` is not a valid role name", name.escape_debug()),
            "a name has 1 to 64 letters, digits and `_+=,.@-`; the path is a property of its own",
        ),
    }
    if written
        .provisioning_role_arn
        .is_some_and(|arn| !arn.is_empty() && RoleArn::parse(arn).is_none())
    {
        at.key("ProvisioningRoleArn").error("this is not the ARN of a role", ROLE_ARN);
    }
    external_id("ProvisioningExternalId", written.provisioning_external_id, at);
    let path = written.path.unwrap_or(DEFAULT_PATH);
    let is_path = path == "/" || (path.starts_with('/') && path.ends_with('/') && path.len() > 1);
    // `is_role_name` checks a path only with a name after it.
    if !is_path || !is_role_name(&format!("{}x", path.trim_start_matches('/'))) {
        at.key("Path").error(
            format!("`{}` is not a path", path.escape_debug()),
            "a path begins and ends with `/`, and contains neither `*` nor `?`: /landfall/",
        );
    }
    let description = written.description.unwrap_or_default();
    let is_text = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{a1}'..='\u{ff}');
    if description.chars().count() > 1000 || !description.chars().all(is_text) {
        at.key("Description")
            .error("IAM doesn't accept this description", "use at most 1,000 Latin-1 characters");
    }
    if let Some(boundary) = written.permissions_boundary
        && PolicyArn::parse(boundary).is_none()
    {
        at.key("PermissionsBoundary").error(
            "this is not the ARN of a managed policy",
            "it looks like arn:aws:iam::111111111111:policy/landfall-boundary",
        );
    }
    let max_session_secs = written.max_session_duration.unwrap_or(3_600);
    if !(3_600..=43_200).contains(&max_session_secs) {
        at.key("MaxSessionDuration")
            .error(format!("{max_session_secs} s is out of range"), "IAM allows 3,600 to 43,200");
    }
    let tags = written.tags.cloned().unwrap_or_default();
    tags_fit(&tags, &mut at.key("Tags"));
    Some(RoleSpec {
        identity: identity?,
        home: home.clone(),
        path: path.to_owned(),
        description: description.to_owned(),
        permissions_boundary: written.permissions_boundary.map(str::to_owned),
        max_session_secs: i32::try_from(max_session_secs).ok()?,
        tags,
        trust: Trust::Service(""),
        purpose: Purpose::Run { readers: BTreeSet::new(), own: None },
        notes: Vec::new(),
        unrequested: BTreeMap::new(),
    })
}

fn tags_fit(tags: &BTreeMap<String, String>, at: &mut At<'_>) {
    if tags.len() > MAX_TAGS {
        at.error(
            format!("there are {} tags", tags.len()),
            "a role can have 50, and Landfall uses 3 of them",
        );
    }
    let mut seen = BTreeSet::new();
    for name in tags.keys().filter(|name| !seen.insert(name.to_lowercase())) {
        at.key(name)
            .error("another tag has the same name except for case", "IAM treats both as the same");
    }
    let is_text = |text: &str| {
        text.chars().all(|c| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c))
    };
    for (name, value) in tags {
        if ["landfall:", "aws:"].iter().any(|own| name.to_lowercase().starts_with(own)) {
            at.key(name).error(
                "this name is reserved",
                "tag names must not begin with `landfall:` or `aws:`",
            );
        } else if !(1..=128).contains(&name.chars().count())
            || value.chars().count() > 256
            || !is_text(name)
            || !is_text(value)
        {
            at.key(name).error(
                "IAM doesn't accept this tag",
                "use at most 128 letters, digits, spaces and `_.:/=+-@` for a name, and 256 for a value",
            );
        }
    }
}

const ROLE_ARN: &str = "it looks like arn:aws:iam::222222222222:role/landfall/landfall-job";

/// Reads the ARNs of roles, which must all be in one account. Returns that account and the ARNs.
fn roles(
    field: &str,
    arns: Option<&Vec<String>>,
    at: &mut At<'_>,
) -> Option<(String, BTreeSet<String>)> {
    let Some(arns) = arns else {
        at.missing(field);
        return None;
    };
    let mut at = at.key(field);
    if arns.is_empty() {
        at.error("the list is empty", "name at least one role");
    }
    let mut accounts = BTreeSet::new();
    for (index, arn) in arns.iter().enumerate() {
        match RoleArn::parse(arn) {
            Some(arn) => {
                accounts.insert(arn.account);
            }
            None => at.index(index).error("this is not the ARN of a role", ROLE_ARN),
        }
    }
    if accounts.len() > 1 {
        let accounts: Vec<&str> = accounts.iter().copied().collect();
        at.error(
            format!("the roles are in several accounts: `{}`", accounts.join("`, `")),
            "name only roles of one account, and make a role for each account",
        );
        return None;
    }
    Some((accounts.first()?.to_string(), arns.iter().cloned().collect()))
}

fn external_ids(
    current: Option<&Secret>,
    previous: Option<&Secret>,
    at: &mut At<'_>,
) -> Vec<Secret> {
    let mut admitted: Vec<Secret> = [("ExternalId", current), ("PreviousExternalId", previous)]
        .into_iter()
        .filter_map(|(field, secret)| external_id(field, secret, at))
        .collect();
    admitted.dedup();
    admitted
}

fn external_id(field: &str, secret: Option<&Secret>, at: &mut At<'_>) -> Option<Secret> {
    // Templates pass an empty parameter if there is no external ID.
    let secret = secret.filter(|secret| !secret.expose().is_empty())?;
    if is_external_id(secret.expose()) {
        return Some(secret.clone());
    }
    at.key(field).error(
        "STS doesn't accept this external ID",
        "use 2 to 1,224 letters, digits and `_+=,.@:/-`",
    );
    None
}

fn routes(written: Option<&RoutesFile>, at: &mut At<'_>) -> Option<Routes> {
    let Some(written) = written else {
        at.missing("Routes");
        return None;
    };
    Some(resolve::resolve(written, at.key("Routes")))
}
