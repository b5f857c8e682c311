//! Roles: their names, and the ranked set that a running goat knows.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};

use super::Permission;

/// A text that is not a role's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRole;

impl fmt::Display for InvalidRole {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("must be 1 to 64 characters of a-z, 0-9 and _")
    }
}

impl std::error::Error for InvalidRole {}

/// The name of a role. Whether the running set knows it is another question.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Role(Arc<str>);

impl Role {
    /// Parses a name.
    ///
    /// # Errors
    ///
    /// What is not 1 to 64 of `[a-z0-9_]`.
    pub fn parse(text: &str) -> Result<Self, InvalidRole> {
        let character = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        if (1..=64).contains(&text.len()) && text.bytes().all(character) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidRole)
        }
    }

    /// The name.
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

/// How high a role stands. Zero is what a role has that the running set does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank(pub u32);

/// The roles of a running goat, in rising rank, with the permissions that a new database starts
/// with.
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
    /// A set of one's own: each role with the permissions that it has in a new database, from the
    /// lowest rank to the highest.
    ///
    /// # Errors
    ///
    /// No role, a name twice, a malformed name or permission, `full_access` for a role that is not
    /// the highest, or a highest role without it.
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
                if let Some((role, _)) = lower.iter().find(|(_, permissions)| full(permissions)) {
                    return Err(Error::configuration(format!(
                        "role {role} must not have full_access: only the highest may"
                    )));
                }
            }
        }
        Ok(Self { roles: parsed.into() })
    }

    /// The roles in rising rank.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Role> {
        self.roles.iter().map(|(role, _)| role)
    }

    /// What a new database starts with.
    pub(crate) fn seed(&self) -> impl Iterator<Item = (&Role, &Permission)> {
        self.roles
            .iter()
            .flat_map(|(role, permissions)| permissions.iter().map(move |one| (role, one)))
    }

    /// The role of this name, if the set has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Role> {
        self.iter().find(|role| role.as_str() == name)
    }

    /// Whether the set has the role.
    #[must_use]
    pub fn contains(&self, role: &Role) -> bool {
        self.iter().any(|known| known == role)
    }

    /// The role's rank: from 1 up, and 0 for a role that the set does not have.
    #[must_use]
    pub fn rank(&self, role: &Role) -> Rank {
        let position = self.iter().position(|known| known == role);
        Rank(position.map_or(0, |position| u32::try_from(position + 1).unwrap_or(u32::MAX)))
    }

    /// The highest role, whose active users administer the system.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a set has at least one role")]
    #[expect(clippy::expect_used, reason = "a set has at least one role")]
    pub fn top(&self) -> &Role {
        self.iter().next_back().expect("a set of roles is not empty")
    }

    /// The lowest role, which who signs up gets.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a set has at least one role")]
    #[expect(clippy::expect_used, reason = "a set has at least one role")]
    pub fn bottom(&self) -> &Role {
        self.iter().next().expect("a set of roles is not empty")
    }
}

impl Default for RoleSet {
    /// `client`, `operator` and `admin`.
    #[expect(clippy::expect_used, reason = "a test makes it")]
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
    fn shipped_roles_rise_from_client_to_admin() {
        let roles = RoleSet::default();
        let names: Vec<_> = roles.iter().map(Role::as_str).collect();
        assert_eq!(names, ["client", "operator", "admin"]);
        assert!(roles.rank(roles.top()) > roles.rank(roles.bottom()));
        let unknown = Role::parse("ghost").expect("a name");
        assert!(roles.rank(&unknown) < roles.rank(roles.bottom()));
    }

    #[test]
    fn only_the_highest_role_has_full_access() {
        assert!(RoleSet::new([]).is_err());
        assert!(RoleSet::new([("a", vec!["full_access"]), ("b", vec!["full_access"])]).is_err());
        assert!(RoleSet::new([("a", vec![]), ("b", vec![])]).is_err());
        assert!(RoleSet::new([("a", vec![]), ("a", vec!["full_access"])]).is_err());
        assert!(RoleSet::new([("A", vec!["full_access"])]).is_err());
        assert!(RoleSet::new([("a", vec!["nonsense"]), ("b", vec!["full_access"])]).is_err());
    }
}
