//! Scopes of a key: the part of its owner's rights that it has.

use std::fmt;

use crate::access::{Permission, Rights};

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
