//! Roles: their names, and the ranked set that a goat is configured with.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};

use super::Permission;

/// The error for a text that is not a role name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRole;

impl fmt::Display for InvalidRole {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("must be 1 to 64 characters of a-z, 0-9 and _")
    }
}

impl std::error::Error for InvalidRole {}

/// The name of a role, whether or not the configured set contains it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Role(Arc<str>);

impl Role {
    /// Parses a name.
    ///
    /// # Errors
    ///
    /// If the text is not 1 to 64 of `[a-z0-9_]`.
    pub fn parse(text: &str) -> Result<Self, InvalidRole> {
        let character = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        if (1..=64).contains(&text.len()) && text.bytes().all(character) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidRole)
        }
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The rank of a role. Roles outside the configured set have rank zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank(pub u32);

/// A role, with its rank and permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleSummary {
    /// The name.
    pub role: Role,
    /// The rank, from 1 up.
    pub rank: Rank,
    /// The permissions, in alphabetical order.
    pub permissions: Vec<Permission>,
}

/// The configured roles in ascending rank, with the permissions that a new database is seeded with.
///
/// ```
/// use goat_core::RoleSet;
///
/// let roles = RoleSet::new([
///     ("reader", vec!["book:read"]),
///     ("librarian", vec!["book:*", "user:read"]),
///     ("director", vec!["full_access"]),
/// ])?;
/// assert_eq!(roles.top().as_str(), "director");
/// assert_eq!(roles.bottom().as_str(), "reader");
/// # Ok::<(), goat_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RoleSet {
    roles: Arc<[(Role, Vec<Permission>)]>,
}

impl RoleSet {
    /// Creates a set: each role with its permissions in a new database, from the lowest rank to the
    /// highest.
    ///
    /// # Errors
    ///
    /// If there is no role, a name is repeated, a name or permission is malformed, `full_access` is not
    /// given to exactly the highest role, or the highest role is also the lowest, which new users get
    /// at sign-up.
    pub fn new<'a>(roles: impl IntoIterator<Item = (&'a str, Vec<&'a str>)>) -> Result<Self> {
        let mut parsed: Vec<(Role, Vec<Permission>)> = Vec::new();
        for (name, permissions) in roles {
            let role = Role::parse(name)
                .map_err(|error| Error::configuration(format!("role {name:?} {error}")))?;
            if parsed.iter().any(|(known, _)| *known == role) {
                return Err(Error::configuration(format!("role {role} is named twice")));
            }
            let permissions = permissions
                .into_iter()
                .map(|text| {
                    Permission::parse(text).map_err(|error| {
                        Error::configuration(format!("permission {text:?} of role {role} {error}"))
                    })
                })
                .collect::<Result<Vec<_>>>()?;
            parsed.push((role, permissions));
        }
        let full = |permissions: &[Permission]| permissions.iter().any(Permission::is_full_access);
        match parsed.split_last() {
            None => return Err(Error::configuration("a set of roles needs at least one")),
            Some(((top, permissions), lower)) => {
                if !full(permissions) {
                    return Err(Error::configuration(format!(
                        "the highest role, {top}, must have full_access"
                    )));
                }
                if lower.is_empty() {
                    return Err(Error::configuration(format!(
                        "role {top} has full_access and would be given at sign-up: a set needs a lower role"
                    )));
                }
                if let Some((role, _)) = lower.iter().find(|(_, permissions)| full(permissions)) {
                    return Err(Error::configuration(format!(
                        "role {role} must not have full_access: only the highest may"
                    )));
                }
            }
        }
        Ok(Self { roles: parsed.into() })
    }

    /// Iterates over the roles in ascending rank.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Role> {
        self.roles.iter().map(|(role, _)| role)
    }

    /// Iterates over the grants of a new database.
    pub(crate) fn seed(&self) -> impl Iterator<Item = (&Role, &Permission)> {
        self.roles
            .iter()
            .flat_map(|(role, permissions)| permissions.iter().map(move |one| (role, one)))
    }

    /// Returns the role of this name, if the set contains it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Role> {
        self.iter().find(|role| role.as_str() == name)
    }

    /// Whether the set contains the role.
    #[must_use]
    pub fn contains(&self, role: &Role) -> bool {
        self.iter().any(|known| known == role)
    }

    /// Returns the requirement on a role's name, worded to follow the field's name.
    pub(crate) fn requirement(&self) -> String {
        let names: Vec<_> = self.iter().map(Role::as_str).collect();
        format!("must be one of {}", names.join(", "))
    }

    /// Returns the role's rank: from 1 up, or 0 for a role outside the set.
    #[must_use]
    pub fn rank(&self, role: &Role) -> Rank {
        let position = self.iter().position(|known| known == role);
        Rank(position.map_or(0, |position| u32::try_from(position + 1).unwrap_or(u32::MAX)))
    }

    /// Returns the highest role. Its active users are administrators.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a set has at least one role")]
    #[expect(clippy::expect_used, reason = "a set has at least one role")]
    pub fn top(&self) -> &Role {
        self.iter().next_back().expect("a set of roles is not empty")
    }

    /// Returns the lowest role, which new users get at sign-up.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a set has at least one role")]
    #[expect(clippy::expect_used, reason = "a set has at least one role")]
    pub fn bottom(&self) -> &Role {
        self.iter().next().expect("a set of roles is not empty")
    }
}

impl Default for RoleSet {
    /// `client`, `operator` and `admin`.
    #[expect(clippy::expect_used, reason = "covered by a test")]
    fn default() -> Self {
        Self::new([
            ("client", vec![]),
            ("operator", vec!["user:read", "user:update", "user:change_status"]),
            ("admin", vec!["full_access"]),
        ])
        .expect("the shipped roles follow the rules")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_roles_rank_from_client_to_admin() {
        let roles = RoleSet::default();
        let names: Vec<_> = roles.iter().map(Role::as_str).collect();
        assert_eq!(names, ["client", "operator", "admin"]);
        assert!(roles.rank(roles.top()) > roles.rank(roles.bottom()));
        let unknown = Role::parse("ghost").expect("a name");
        assert!(roles.rank(&unknown) < roles.rank(roles.bottom()));
    }

    /// A8
    #[test]
    fn the_role_given_at_sign_up_has_no_full_access() {
        let refused = RoleSet::new([("admin", vec!["full_access"])]).expect_err("one role");
        assert!(refused.to_string().contains("sign-up"), "{refused}");
        assert!(RoleSet::new([("a", vec!["full_access"]), ("b", vec![])]).is_err());
        assert!(RoleSet::new([("a", vec![]), ("b", vec!["full_access"])]).is_ok());
    }

    #[test]
    fn only_the_highest_role_has_full_access() {
        assert!(RoleSet::new([]).is_err());
        assert!(RoleSet::new([("a", vec!["full_access"]), ("b", vec!["full_access"])]).is_err());
        assert!(RoleSet::new([("a", vec![]), ("b", vec![])]).is_err());
        assert!(RoleSet::new([("a", vec![]), ("a", vec!["full_access"])]).is_err());
        assert!(RoleSet::new([("a", vec![]), ("B", vec!["full_access"])]).is_err());
        assert!(RoleSet::new([("a", vec!["nonsense"]), ("b", vec!["full_access"])]).is_err());
    }
}
