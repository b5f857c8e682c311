//! Scopes of a key: the part of its owner's rights that it has.

use std::fmt;
use std::sync::Arc;

use crate::access::{Permission, Rights, Role, RoleTable};

/// The most permissions that the scopes of a key name.
pub const MAX_SCOPES: usize = 100;

/// The error for too many scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidScopes;

impl fmt::Display for InvalidScopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "must be at most {MAX_SCOPES} permissions")
    }
}

impl std::error::Error for InvalidScopes {}

/// The rights that a key has, of those of its owner's role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scopes {
    /// All rights of the owner's role, as they are at each use.
    Role,
    /// Those among the rights of the owner's role that these permissions name, in alphabetical order and
    /// without repetitions: see [`Scopes::only`].
    Only(Vec<Permission>),
}

impl Scopes {
    /// Returns the scopes of some permissions.
    ///
    /// # Errors
    ///
    /// If they are more than 100.
    pub fn only(permissions: impl IntoIterator<Item = Permission>) -> Result<Self, InvalidScopes> {
        let mut permissions: Vec<_> = permissions.into_iter().collect();
        permissions.sort_unstable();
        permissions.dedup();
        if permissions.len() > MAX_SCOPES {
            Err(InvalidScopes)
        } else {
            Ok(Self::Only(permissions))
        }
    }

    /// Returns the text form for a store: `*`, or the permissions separated by a space.
    #[must_use]
    pub fn stored(&self) -> String {
        match self {
            Self::Role => "*".to_owned(),
            Self::Only(permissions) => {
                permissions.iter().map(Permission::as_str).collect::<Vec<_>>().join(" ")
            }
        }
    }

    /// Parses the text form of a store.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Role);
        }
        let words = text.split(' ').filter(|word| !word.is_empty());
        let permissions: Result<Vec<_>, _> = words.map(Permission::parse).collect();
        Some(Self::Only(permissions.ok()?))
    }

    /// Whether the scopes name this very permission: neither a wildcard nor all rights of the role do.
    pub(crate) fn name(&self, permission: &Permission) -> bool {
        matches!(self, Self::Only(permissions) if permissions.contains(permission))
    }

    /// Returns the rights that a key with these scopes has in a role: those that both allow.
    pub(crate) fn rights(&self, role: &Role, table: &RoleTable) -> Arc<Rights> {
        match self {
            Self::Role => table.rights(role),
            Self::Only(scopes) => Arc::new(table.shared(role, scopes).iter().collect()),
        }
    }

    /// Returns the permissions that this is of a role, in alphabetical order; `None` for all of them.
    pub(crate) fn permissions(&self, role: &Role, table: &RoleTable) -> Option<Box<[Permission]>> {
        match self {
            Self::Role => None,
            Self::Only(scopes) => Some(table.shared(role, scopes).into()),
        }
    }

    /// Returns the permissions that these rights lack.
    pub(crate) fn lacking<'a>(
        &'a self,
        rights: &'a Rights,
    ) -> impl Iterator<Item = &'a Permission> {
        let named = match self {
            Self::Role => &[][..],
            Self::Only(permissions) => permissions,
        };
        named.iter().filter(|permission| !rights.allow(permission))
    }
}
