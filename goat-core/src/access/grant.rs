//! Grants: the rows that give permissions to roles.

use crate::clock::Timestamp;
use crate::id::GrantId;

use super::{Permission, Role};

/// A permission that is granted to a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The grant's identifier.
    pub id: GrantId,
    /// The role.
    pub role: Role,
    /// The permission.
    pub permission: Permission,
    /// The time of the grant.
    pub created_at: Timestamp,
}

/// All grants, with the revision that counts their changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleRows {
    /// Rises by one with each change. Zero: nothing was ever granted, not even the role set's seed.
    pub revision: u64,
    /// The grants, by id.
    pub grants: Vec<Grant>,
}
