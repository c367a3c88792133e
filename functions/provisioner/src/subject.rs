//! Dispatches to what a request is about: a role, or the notifications or policies of buckets.

use std::collections::BTreeMap;

use landfall_core::aim::Aim;
use landfall_core::lifecycle::Memory;
use landfall_core::limits::Named;
use landfall_core::roles::{Home, Owner};
use landfall_provisioning::lifecycle_table::Held;

use crate::access::BucketAccess;
use crate::context::{Context, Deadlines};
use crate::failure::Failure;
use crate::notifications::Notifications;
use crate::protocol::Request;
use crate::role::RoleResource;

/// What a request is about.
#[derive(Debug)]
pub(crate) enum Subject<'a> {
    Role(RoleResource<'a>),
    Notifications(Notifications<'a>),
    Access(BucketAccess<'a>),
}

impl<'a> Subject<'a> {
    /// Finds out what the request is about.
    ///
    /// # Errors
    /// Fails if the resource type is unknown, or the properties do not identify the resource.
    pub(crate) fn of(request: &'a Request, home: &'a Home) -> Result<Self, Failure> {
        match request.resource_type.as_str() {
            Notifications::TYPE => Ok(Self::Notifications(Notifications::of(request, home))),
            BucketAccess::TYPE => Ok(Self::Access(BucketAccess::of(request, home))),
            _ => RoleResource::of(request, home).map(Self::Role),
        }
    }

    /// Returns `true` if the request is an Update that replaces the resource.
    pub(crate) fn is_replaced(&self) -> bool {
        matches!(self, Self::Role(role) if role.is_replaced)
    }

    /// Returns the accounts, buckets and queues that the properties name.
    ///
    /// # Errors
    /// Fails if the properties are wrong.
    pub(crate) fn names(&self) -> Result<Named, Failure> {
        match self {
            Self::Role(role) => Ok(Named::by_role(&role.spec()?)),
            Self::Notifications(notifications) => notifications.names(),
            Self::Access(access) => access.names(),
        }
    }

    /// Checks the external IDs.
    ///
    /// # Errors
    /// Fails if there is one that can be guessed and that was not there before.
    pub(crate) fn check_external_id(&self) -> Result<(), Failure> {
        match self {
            Self::Role(role) => role.check_external_id(),
            Self::Notifications(_) | Self::Access(_) => Ok(()),
        }
    }

    /// Returns what the resource names now, before an Update, for a resource whose scope is not
    /// remembered.
    ///
    /// # Errors
    /// Fails if AWS does not answer.
    pub(crate) async fn names_now(
        &self,
        context: &Context,
        owner: &Owner,
    ) -> Result<Named, Failure> {
        match self {
            Self::Role(role) => role.names_now(context, owner).await,
            Self::Notifications(notifications) => Ok(notifications.names_now(context, owner).await),
            Self::Access(access) => Ok(access.names_now(context, owner).await),
        }
    }

    /// Carries out what was decided, and returns the attributes for `Fn::GetAtt`. What has to be
    /// remembered before an effect is saved under the lock first.
    ///
    /// # Errors
    /// Fails if the properties are wrong, an existing resource belongs to something else, or AWS
    /// refuses.
    pub(crate) async fn carry_out(
        &self,
        context: &Context,
        owner: &Owner,
        lock: &mut Held,
        memory: &mut Memory,
        aim: Aim,
        deadlines: Deadlines,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let is_removal = aim == Aim::Remove;
        match self {
            Self::Role(role) => {
                role.carry_out(context, owner, memory, is_removal, deadlines.work).await
            }
            // What is in buckets belongs to whichever physical ID stands: a late clean-up of an older
            // ID keeps it.
            Self::Notifications(_) | Self::Access(_)
                if is_removal && !memory.standing.is_empty() =>
            {
                Ok(BTreeMap::new())
            }
            Self::Notifications(notifications) => {
                notifications.carry_out(context, owner, lock, memory, aim, deadlines).await
            }
            Self::Access(access) => {
                access.carry_out(context, owner, lock, memory, aim, deadlines).await
            }
        }
    }
}
