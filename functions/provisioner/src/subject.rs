//! What a request is about: a role, or the notifications of buckets.

use std::collections::BTreeMap;

use landfall_core::lifecycle::{Aim, Memory};
use landfall_core::limits::Named;
use landfall_core::roles::{Home, Owner};

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
}

impl<'a> Subject<'a> {
    /// # Errors
    /// The type is not known, or the properties do not tell what they mean.
    pub(crate) fn of(request: &'a Request, home: &'a Home) -> Result<Self, Failure> {
        match request.resource_type.as_str() {
            Notifications::TYPE => Ok(Self::Notifications(Notifications::of(request, home))),
            _ => RoleResource::of(request, home).map(Self::Role),
        }
    }

    /// Whether an Update makes another one.
    pub(crate) fn is_replaced(&self) -> bool {
        matches!(self, Self::Role(role) if role.is_replaced)
    }

    /// The accounts, buckets and queues that its properties name.
    ///
    /// # Errors
    /// The properties are wrong.
    pub(crate) fn names(&self) -> Result<Named, Failure> {
        match self {
            Self::Role(role) => Ok(Named::by_role(&role.spec()?)),
            Self::Notifications(notifications) => notifications.names(),
        }
    }

    /// Refuses an external ID that can be guessed and that was not there before.
    ///
    /// # Errors
    /// There is such a one.
    pub(crate) fn check_external_id(&self) -> Result<(), Failure> {
        match self {
            Self::Role(role) => role.check_external_id(),
            Self::Notifications(_) => Ok(()),
        }
    }

    /// What it names as it is, before an Update of which nothing is remembered.
    ///
    /// # Errors
    /// AWS does not say.
    pub(crate) async fn names_now(
        &self,
        context: &Context,
        owner: &Owner,
    ) -> Result<Named, Failure> {
        match self {
            Self::Role(role) => role.names_now(context, owner).await,
            Self::Notifications(notifications) => Ok(notifications.names_now(context, owner).await),
        }
    }

    /// Does what was decided; returns what `Fn::GetAtt` gives.
    ///
    /// # Errors
    /// The properties are wrong, what is there is somebody else's, or AWS refuses.
    pub(crate) async fn carry_out(
        &self,
        context: &Context,
        owner: &Owner,
        memory: &Memory,
        aim: Aim,
        deadlines: Deadlines,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let is_removal = aim == Aim::Remove;
        match self {
            Self::Role(role) => {
                role.carry_out(context, owner, memory, is_removal, deadlines.work).await
            }
            // The rules belong to whichever id stands: a late clean-up of an older one leaves them.
            Self::Notifications(_) if is_removal && !memory.standing.is_empty() => {
                Ok(BTreeMap::new())
            }
            Self::Notifications(notifications) => {
                notifications.carry_out(context, owner, aim, deadlines).await
            }
        }
    }
}
