//! The port of permissions.

use async_trait::async_trait;

use crate::aged::Aged;
use crate::clock::Timestamp;
use crate::error::{ErrorKind, StoreError};
use crate::id::{GrantId, UserId};
use crate::user::ActorView;

use super::{Permission, Role};

/// A permission that a role has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Names the grant.
    pub id: GrantId,
    /// Who has it.
    pub role: Role,
    /// What it allows.
    pub permission: Permission,
    /// When it was given.
    pub created_at: Timestamp,
}

/// Every grant there is, and the revision that counts their changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleRows {
    /// Rises by one with each change. Zero: nothing was ever granted, not even a set's own.
    pub revision: u64,
    /// The grants, by id.
    pub grants: Vec<Grant>,
}

/// What a write reads inside its own transaction, before it decides.
#[derive(Clone, Debug)]
pub struct RoleSnapshot {
    /// Who acts, if somebody does and exists. None where the store does not keep users.
    pub actor: Option<ActorView>,
    /// Whether the store keeps users too, so that an actor who is not there does not exist.
    pub keeps_users: bool,
    /// The grants as they are.
    pub rows: RoleRows,
}

/// What a write does.
#[derive(Clone, Debug)]
pub enum RoleChange {
    /// Nothing.
    Nothing,
    /// These are added; none of them is there for the same role already.
    Grant(Vec<Grant>),
    /// This one is removed.
    Revoke(GrantId),
}

/// A write: who acts, and the rules that decide about it.
pub struct RoleWrite<'a> {
    /// Who acts; none for the system itself.
    pub actor: Option<UserId>,
    /// Decides from what the transaction read. Pure, quick, and may be called more than once.
    pub decide: &'a (dyn Fn(&RoleSnapshot) -> Result<RoleChange, ErrorKind> + Send + Sync),
}

impl std::fmt::Debug for RoleWrite<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RoleWrite").field("actor", &self.actor).finish_non_exhaustive()
    }
}

/// How a write ended.
#[derive(Clone, Debug)]
pub enum RoleWriteOutcome {
    /// The rules refused; nothing was written.
    Refused(ErrorKind),
    /// This is how things are now.
    Written(RoleRows),
}

/// Where the permissions of roles are kept.
///
/// An implementer guarantees that a write is one transaction with what `decide` saw, that row and
/// revision commit together, and that no role has a permission twice.
#[async_trait]
pub trait RoleStore: std::fmt::Debug + Send + Sync {
    /// Every grant, with the revision. One read.
    async fn load(&self) -> Result<RoleRows, StoreError>;

    /// As [`RoleStore::load`], from wherever it can be had cheaply, and so old as the answer says.
    async fn cached(&self) -> Result<Aged<RoleRows>, StoreError> {
        Ok(Aged::now(self.load().await?))
    }

    /// Reads, decides and writes in one transaction.
    async fn write(&self, write: RoleWrite<'_>) -> Result<RoleWriteOutcome, StoreError>;
}
