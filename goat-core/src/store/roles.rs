//! Role store port: roles and their permissions.

use std::fmt;

use async_trait::async_trait;

use crate::access::{Grant, Role, RoleRows, StoredRole};
use crate::error::{ErrorKind, StoreError};
use crate::id::{GrantId, KeyId, UserId};
use crate::user::UserState;

use super::Aged;

/// The state that a write reads inside its own transaction and decides on.
#[derive(Clone, Debug)]
pub struct RoleSnapshot {
    /// The actor; `None` for the system, for an unknown user, and where the store does not keep users.
    pub actor: Option<UserState>,
    /// Whether the API key of the write is stored, which then no other call revokes before this one commits.
    /// `None` of a write without one, and where the store does not keep keys.
    pub has_key: Option<bool>,
    /// Whether the store keeps users too, so that an absent actor does not exist.
    pub keeps_users: bool,
    /// The number of users in the role that the write may delete, exact up to
    /// [`PAGE_REACH`](crate::PAGE_REACH). No user gets the role before the write commits. `None` of a
    /// write that deletes none, and where the store does not keep users.
    pub users: Option<u64>,
    /// The present roles and grants.
    pub rows: RoleRows,
}

/// The change that a write makes.
#[derive(Clone, Debug)]
pub enum RoleChange {
    /// No change.
    Nothing,
    /// Adds grants. No role has one of these permissions yet.
    Grant(Vec<Grant>),
    /// Removes a grant.
    Revoke(GrantId),
    /// Adds roles or replaces their ranks, adds grants, and removes others.
    Put {
        /// The roles. One that exists keeps the time of its creation.
        roles: Vec<StoredRole>,
        /// The grants to add. No role has one of these permissions yet.
        grants: Vec<Grant>,
        /// The grants to remove.
        revoked: Vec<GrantId>,
    },
    /// Deletes the role that [`RoleWrite::deletes`] names, with its grants.
    Delete,
}

/// A write: its actor, and the rule that decides on the change.
pub struct RoleWrite<'a> {
    /// The acting user; `None` for the system.
    pub actor: Option<UserId>,
    /// The API key by which the actor acts.
    pub key: Option<KeyId>,
    /// The role that the write may delete.
    pub deletes: Option<&'a Role>,
    /// Decides on the change from the state that the transaction read. Pure and fast; may be called
    /// more than once.
    pub decide: &'a (dyn Fn(&RoleSnapshot) -> Result<RoleChange, ErrorKind> + Send + Sync),
}

impl fmt::Debug for RoleWrite<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RoleWrite").field("actor", &self.actor).finish_non_exhaustive()
    }
}

/// The outcome of a write.
#[derive(Clone, Debug)]
pub enum RoleWriteOutcome {
    /// The rule rejected the write; nothing changed.
    Refused(ErrorKind),
    /// The roles and grants after the write.
    Written(RoleRows),
}

/// The port to roles and their permissions.
///
/// An implementer guarantees that a write and the snapshot it decides on are one transaction, that rows and
/// revision commit together, that no role has a permission twice, and where it keeps the users too, that no
/// role is deleted that a user has: neither one of the snapshot nor one of a concurrent
/// [`UserWrite`](super::UserWrite) that assigns the role.
#[async_trait]
pub trait RoleStore: fmt::Debug + Send + Sync {
    /// Returns all roles and grants with their revision. One read.
    async fn load(&self) -> Result<RoleRows, StoreError>;

    /// Like [`RoleStore::load`], from a cache where there is one; the result carries its age.
    async fn cached(&self) -> Result<Aged<RoleRows>, StoreError> {
        Ok(Aged::now(self.load().await?))
    }

    /// Reads, decides and writes in one transaction.
    async fn write(&self, write: RoleWrite<'_>) -> Result<RoleWriteOutcome, StoreError>;
}

/// Operation names of [`RoleStore`], as errors and metrics report them.
pub(crate) mod operation {
    pub(crate) const LOAD: &str = "roles.load";
    pub(crate) const CACHED: &str = "roles.cached";
    pub(crate) const WRITE: &str = "roles.write";
}
