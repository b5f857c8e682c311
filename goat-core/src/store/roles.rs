//! Role store port: the permissions of roles.

use std::fmt;

use async_trait::async_trait;

use crate::access::{Grant, RoleRows};
use crate::error::{ErrorKind, StoreError};
use crate::id::{GrantId, UserId};
use crate::user::UserState;

use super::Aged;

/// The state that a write reads inside its own transaction and decides on.
#[derive(Clone, Debug)]
pub struct RoleSnapshot {
    /// The actor; `None` for the system, for an unknown user, and where the store does not keep users.
    pub actor: Option<UserState>,
    /// Whether the store keeps users too, so that an absent actor does not exist.
    pub keeps_users: bool,
    /// The present grants.
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
}

/// A write: its actor, and the rule that decides on the change.
pub struct RoleWrite<'a> {
    /// The acting user; `None` for the system.
    pub actor: Option<UserId>,
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
    /// The grants after the write.
    Written(RoleRows),
}

/// The port to the permissions of roles.
///
/// An implementer guarantees that a write and the snapshot it decides on are one transaction, that row
/// and revision commit together, and that no role has a permission twice.
#[async_trait]
pub trait RoleStore: fmt::Debug + Send + Sync {
    /// Returns all grants with their revision. One read.
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
