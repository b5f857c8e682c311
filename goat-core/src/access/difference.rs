//! Differences between the stored roles and a list of roles that should be stored.

use std::fmt;

use super::{Permission, Rank, Role};

/// One difference, and so one change that removes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleDifference {
    /// The role does not exist.
    Missing(Role, Rank),
    /// The role has another rank.
    Ranked {
        /// The role.
        role: Role,
        /// The present rank.
        from: Rank,
        /// The rank in the list.
        to: Rank,
    },
    /// The role lacks a permission.
    Lacks(Role, Permission),
    /// The role has a permission that the list does not give to it.
    Exceeds(Role, Permission),
}

impl RoleDifference {
    /// Returns the role.
    #[must_use]
    pub fn role(&self) -> &Role {
        match self {
            Self::Missing(role, _) | Self::Lacks(role, _) | Self::Exceeds(role, _) => role,
            Self::Ranked { role, .. } => role,
        }
    }
}

impl fmt::Display for RoleDifference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(role, Rank(rank)) => write!(formatter, "+ role {role}, rank {rank}"),
            Self::Ranked { role, from: Rank(from), to: Rank(to) } => {
                write!(formatter, "~ role {role}, rank {from} -> {to}")
            }
            Self::Lacks(role, permission) => {
                write!(formatter, "+ permission {permission} of role {role}")
            }
            Self::Exceeds(role, permission) => {
                write!(formatter, "- permission {permission} of role {role}")
            }
        }
    }
}
