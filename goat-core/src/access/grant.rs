//! Stored rows of roles: the roles themselves, and the grants that give permissions to them.

use crate::clock::Timestamp;
use crate::id::GrantId;

use super::{Permission, Role, StoredRole};

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

impl Grant {
    /// Returns new grants, with ids in the given order.
    pub(crate) fn all<'a>(
        pairs: impl IntoIterator<Item = (&'a Role, &'a Permission)>,
        now: Timestamp,
    ) -> Vec<Self> {
        let grant = |(role, permission): (&Role, &Permission)| Self {
            id: GrantId::generate(now),
            role: role.clone(),
            permission: permission.clone(),
            created_at: now,
        };
        let mut grants: Vec<_> = pairs.into_iter().map(grant).collect();
        // Grants of one time are listed by id.
        let mut ids: Vec<_> = grants.iter().map(|grant| grant.id).collect();
        ids.sort_unstable();
        grants.iter_mut().zip(ids).for_each(|(grant, id)| grant.id = id);
        grants
    }
}

/// All roles and grants, with the revision that counts their changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleRows {
    /// Rises by one with each change. Zero: nothing was ever granted, not even the role set's seed.
    pub revision: u64,
    /// The roles, by name. Without effect where the roles are fixed in code.
    pub roles: Vec<StoredRole>,
    /// The grants, by id.
    pub grants: Vec<Grant>,
}
