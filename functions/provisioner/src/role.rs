//! `Custom::LandfallStarterRole`, `…ReaderRole` and `…JobRole`: creates, changes and removes a
//! role.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_iam::config::SharedCredentialsProvider;
use landfall_aws::assumed_role::{AssumedRole, Assumption, session_name};
use landfall_aws::sdk_error::chain;
use landfall_core::arn::RoleArn;
use landfall_core::key_policy::statement;
use landfall_core::lifecycle::Memory;
use landfall_core::limits::Named;
use landfall_core::repair;
use landfall_core::roles::external_ids;
use landfall_core::roles::{
    Home, Identity, Kind, Observed, Owner, Purpose, Role, RoleSpec, SpecError,
};
use landfall_provisioning::iam::{self, Converged, Removal};
use landfall_provisioning::kms::{self, KeyAdmission};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::context::Context;
use crate::failure::Failure;
use crate::protocol::{Request, RequestType};

/// The most time that the check of key policies may take, and the time to keep for what comes after
/// it.
const TO_CHECK_KEYS: Duration = Duration::from_secs(15);
const AFTER_KEYS: Duration = Duration::from_secs(1);

/// How long a new role may still refuse to be assumed (we have seen 2 to 30 seconds).
const PROPAGATION: Duration = Duration::from_secs(30);

/// A role that a request is about.
#[derive(Debug)]
pub(crate) struct RoleResource<'a> {
    kind: Kind,
    identity: Identity,
    /// The role that the properties before an Update named, if it is a different one.
    before: Option<Identity>,
    properties: &'a Value,
    old_properties: Option<&'a Value>,
    home: &'a Home,
    /// Whether the request is an Update that replaces the role.
    pub is_replaced: bool,
}

impl<'a> RoleResource<'a> {
    /// Finds out which role the request is about.
    ///
    /// # Errors
    /// Fails if the resource type is unknown, or the properties do not identify a role.
    pub(crate) fn of(request: &'a Request, home: &'a Home) -> Result<Self, Failure> {
        let kind = match request.resource_type.as_str() {
            "Custom::LandfallStarterRole" => Kind::Starter,
            "Custom::LandfallReaderRole" => Kind::Reader,
            "Custom::LandfallJobRole" => Kind::Job,
            other => return Err(Failure::UnknownType(other.to_owned())),
        };
        let properties = &request.properties;
        let Some(identity) = Identity::read(properties, home) else {
            // This reports everything that is wrong, including the name or the provisioning role.
            RoleSpec::read(kind, properties, home)?;
            return Err(SpecError::Properties(vec!["they name no role".to_owned()]).into());
        };
        let before = request.old_properties.as_ref().map(|old| Identity::read(old, home));
        let is_replaced = request.request_type == RequestType::Update
            && !before.as_ref().is_some_and(|before| {
                before.as_ref().is_some_and(|before| before.is_same_role(&identity))
            });
        let before = before.flatten().filter(|_| is_replaced);
        let old_properties = request.old_properties.as_ref();
        Ok(Self { kind, identity, before, properties, old_properties, home, is_replaced })
    }

    /// Reads the properties.
    ///
    /// # Errors
    /// Fails if they are wrong.
    pub(crate) fn spec(&self) -> Result<RoleSpec, SpecError> {
        RoleSpec::read(self.kind, self.properties, self.home)
    }

    /// Checks the external IDs.
    ///
    /// # Errors
    /// Fails if there is one that can be guessed and that the properties before did not have.
    pub(crate) fn check_external_id(&self) -> Result<(), Failure> {
        match external_ids::newly_short(self.properties, self.old_properties) {
            Some(name) => Err(Failure::ShortExternalId(name)),
            None => Ok(()),
        }
    }

    /// Returns what the role in IAM names now, before an Update changes it. If there is no such
    /// role, returns what the properties before the Update name. Those count for nothing else:
    /// someone who pretends to be CloudFormation can write anything in them.
    ///
    /// # Errors
    /// Fails if IAM does not answer.
    pub(crate) async fn names_now(
        &self,
        context: &Context,
        owner: &Owner,
    ) -> Result<Named, Failure> {
        let identity = self.before.as_ref().unwrap_or(&self.identity);
        let client = aws_sdk_iam::Client::new(&config(context, identity).await?);
        let observed = iam::observe(&client, &identity.name).await?;
        let is_ours = |role: &Observed| {
            Owner::of_tags(&role.tags).is_some_and(|its| its.is_same_resource(owner))
        };
        if let Some(role) = observed {
            return Ok(if is_ours(&role) { Named::by_observed(&role) } else { Named::default() });
        }
        let old = self.old_properties.map(|old| RoleSpec::read(self.kind, old, self.home));
        Ok(old.and_then(Result::ok).map(|spec| Named::by_role(&spec)).unwrap_or_default())
    }

    /// Carries out what was decided, and returns the attributes for `Fn::GetAtt`.
    ///
    /// # Errors
    /// Fails if the properties are wrong, the role belongs to something else, or AWS refuses.
    pub(crate) async fn carry_out(
        &self,
        context: &Context,
        owner: &Owner,
        memory: &Memory,
        is_removal: bool,
        deadline: Instant,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let config = config(context, &self.identity).await?;
        let client = aws_sdk_iam::Client::new(&config);
        if is_removal {
            remove(&client, &self.identity, owner, memory, deadline).await?;
            return Ok(BTreeMap::new());
        }
        let spec = self.spec()?;
        let found = find_keys(&config, &spec).await?;
        let mut role = spec.role(owner, &found)?;
        for note in spec.notes.iter().chain(&role.notes) {
            tracing::warn!(code = "wider_than_the_routes", role = role.name, "{note}");
        }
        // After a cancelled replacement, only the properties before name the role.
        if let Some(before) = &self.before {
            let client = aws_sdk_iam::Client::new(&self::config(context, before).await?);
            role.brakes = iam::brakes_to_carry(&client, &before.name, owner, deadline).await?;
            remove(&client, before, owner, memory, deadline).await?;
        }
        let is_of_missing = repair::is_of_missing(self.properties, self.old_properties);
        let converged = match is_of_missing {
            true => iam::create_missing(&client, &role, deadline).await?,
            false => iam::converge(&client, &role, deadline).await?,
        };
        if is_of_missing && !converged.is_created {
            tracing::warn!(code = "not_missing", role = role.name, "the role is left as it is");
        }
        if converged.is_created {
            // What comes next in the stack uses the role (a Glue job, for example), and would fail.
            let rest = deadline.saturating_duration_since(Instant::now()) / 2;
            sleep(context.settings.propagation.min(rest)).await;
        }
        let mut data = role.attributes(&converged.observed);
        let mut notes = [spec.notes.as_slice(), &role.notes].concat();
        notes.extend(context.settings.limits.kept(&Named::by_role(&spec)));
        notes.extend(self.notes_on_policies(&role, &converged));
        for note in external_ids::notes(self.properties) {
            tracing::warn!(code = "external_id_short", role = role.name, "{note}");
            notes.push(note);
        }
        if self.kind == Kind::Reader {
            let admissions = check_keys(&config, spec.keys(&found), &role, deadline).await;
            notes.extend(admissions.iter().filter_map(KeyAdmission::note));
            data.extend(key_attributes(&admissions, &role));
        }
        data.insert("Notes".to_owned(), notes.join("\n"));
        Ok(data)
    }
}

impl RoleResource<'_> {
    /// Returns notes on what became of policies that others gave the role.
    fn notes_on_policies(&self, role: &Role, converged: &Converged) -> Vec<String> {
        let carried = role.brakes.keys().zip(self.before.iter().cycle()).map(|(name, before)| {
            let before = &before.name;
            format!("policy `{name}` only denies: it was taken along from role `{before}`")
        });
        let brakes = converged.observed.brakes();
        let left = brakes.iter().map(|name| {
            let (code, role) = ("policy_left_alone", &role.name);
            tracing::warn!(code, role, policy = name, "it denies");
            format!("policy `{name}` only denies: it is left alone, and goes with the role")
        });
        let unread = converged.unread.iter().map(|arn| {
            format!(
                "policy `{arn}` was detached, and could not be read: if it only denied, attach it \
                 again, and let the provisioner call iam:GetPolicy and iam:GetPolicyVersion"
            )
        });
        carried.chain(left).chain(unread).collect()
    }
}

async fn remove(
    client: &aws_sdk_iam::Client,
    identity: &Identity,
    owner: &Owner,
    memory: &Memory,
    deadline: Instant,
) -> Result<(), Failure> {
    let is_gone = |id: &str| memory.is_gone(id);
    let role = &identity.name;
    if iam::remove(client, role, owner, is_gone, deadline).await? == Removal::NotOurs {
        let code = "role_left_alone";
        tracing::warn!(code, role, "the role is not this resource's to remove");
    }
    Ok(())
}

/// Finds the keys of the routed buckets and of the manifests bucket, if this is a reader role whose
/// properties give no keys.
async fn find_keys(config: &SdkConfig, spec: &RoleSpec) -> Result<BTreeSet<String>, Failure> {
    let Purpose::Read { buckets, manifests, keys: None, .. } = &spec.purpose else {
        return Ok(BTreeSet::new());
    };
    let s3 = aws_sdk_s3::Client::new(config);
    let kms = aws_sdk_kms::Client::new(config);
    let buckets = buckets.keys().chain(manifests).map(String::as_str);
    Ok(kms::keys_of_buckets(&s3, &kms, buckets, &spec.identity.account).await?)
}

/// Checks whether the policies of `keys` admit `role`, and warns if one does not. This never fails
/// a request: see [`kms::check_admissions`].
async fn check_keys(
    config: &SdkConfig,
    keys: &BTreeSet<String>,
    role: &Role,
    deadline: Instant,
) -> Vec<KeyAdmission> {
    let kms = aws_sdk_kms::Client::new(config);
    let deadline = (Instant::now() + TO_CHECK_KEYS).min(deadline - AFTER_KEYS);
    let admissions = kms::check_admissions(&kms, keys, &role.arn, deadline).await;
    for admission in &admissions {
        let Some(note) = admission.note() else { continue };
        let is_refusal = admission.is_refusal();
        let code = if is_refusal { "key_policy_does_not_admit" } else { "key_policy_not_judged" };
        tracing::warn!(code, role = role.name, key = admission.key, "{note}");
    }
    admissions
}

/// Returns the attributes about a reader role's keys: the keys whose policies do not admit it,
/// those for which this is unknown, and the statement to add, unless all admit it. Each can be
/// empty.
fn key_attributes(admissions: &[KeyAdmission], role: &Role) -> [(String, String); 3] {
    let (refusing, unknown): (Vec<&KeyAdmission>, Vec<&KeyAdmission>) = admissions
        .iter()
        .filter(|admission| admission.note().is_some())
        .partition(|admission| admission.is_refusal());
    let arns = |keys: &[&KeyAdmission]| {
        keys.iter().map(|admission| &*admission.key).collect::<Vec<_>>().join(",")
    };
    let to_add = match RoleArn::parse(&role.arn) {
        Some(arn) if !(refusing.is_empty() && unknown.is_empty()) => statement(&arn).to_string(),
        _ => String::new(),
    };
    [
        ("KeysToAdmit".to_owned(), arns(&refusing)),
        ("KeysNotJudged".to_owned(), arns(&unknown)),
        ("KeyPolicyStatement".to_owned(), to_add),
    ]
}

/// Returns the configuration for clients in the role's account.
async fn config(context: &Context, identity: &Identity) -> Result<SdkConfig, Failure> {
    let Some(provisioning) = &identity.provisioning else {
        return Ok(context.config.clone());
    };
    let role = AssumedRole::new(
        aws_sdk_sts::Client::new(&context.config),
        Assumption {
            role_arn: provisioning.role_arn.clone(),
            external_id: provisioning.external_id.clone(),
            session_name: session_name(&["landfall-provisioner"]),
            source_identity: None,
        },
    );
    let begun = Instant::now();
    let credentials = loop {
        match role.credentials().await {
            Ok(credentials) => break credentials,
            // A role that was just created cannot be assumed everywhere yet.
            Err(error) if begun.elapsed() < PROPAGATION => {
                tracing::info!(code = error.code(), error = chain(&error), "trying again");
                sleep(Duration::from_secs(2)).await;
            }
            Err(error) => return Err(error.into()),
        }
    };
    let credentials = SharedCredentialsProvider::new(credentials);
    Ok(context.config.to_builder().credentials_provider(credentials).build())
}
