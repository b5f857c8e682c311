//! Roles: their names, and the ranked set that a goat is configured with.

use std::fmt;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::error::{Error, Result};

use super::Permission;

/// The error for a text that is not a role name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRole;

impl fmt::Display for InvalidRole {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("must be 1 to 64 characters of a-z, 0-9, _ and -")
    }
}

impl std::error::Error for InvalidRole {}

/// The error for a text that is not a name for a new role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidNewRole;

impl fmt::Display for InvalidNewRole {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .write_str("must be 1 to 32 characters of a-z, 0-9, _ and -, the first one a letter")
    }
}

impl std::error::Error for InvalidNewRole {}

/// The most roles of a set, and of a store.
pub const MAX_ROLES: usize = 1000;

/// The longest name of a new role.
const MAX_NEW_NAME: usize = 32;

/// The name of a role, whether or not the set in force contains it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Role(Arc<str>);

impl Role {
    /// Parses a name.
    ///
    /// # Errors
    ///
    /// If the text is not 1 to 64 of `[a-z0-9_-]`.
    pub fn parse(text: &str) -> Result<Self, InvalidRole> {
        let character = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        if (1..=64).contains(&text.len()) && text.bytes().all(character) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidRole)
        }
    }

    /// Parses the name of a role to be stored, which is shorter and starts with a letter.
    ///
    /// # Errors
    ///
    /// If the text is not `[a-z][a-z0-9_-]{0,31}`.
    pub fn parse_new(text: &str) -> Result<Self, InvalidNewRole> {
        let is_new = text.len() <= MAX_NEW_NAME
            && text.starts_with(|first: char| first.is_ascii_lowercase());
        Self::parse(text).ok().filter(|_| is_new).ok_or(InvalidNewRole)
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

/// The rank of a role. Roles outside the set in force have rank zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank(pub u32);

impl Rank {
    /// The highest rank that a stored role can be given. The rank of the highest role is above it.
    pub const HIGHEST_ASSIGNABLE: Self = Self(999);

    /// The rank of the highest role of a [`RoleSet`].
    const TOP: u32 = 1000;
}

/// A role of the store. Several roles may share a rank, except the highest one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRole {
    /// The name.
    pub role: Role,
    /// The rank.
    pub rank: Rank,
    /// The time of its creation.
    pub created_at: Timestamp,
}

/// A role to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRole {
    /// The name.
    pub name: Role,
    /// The rank, at most [`Rank::HIGHEST_ASSIGNABLE`].
    pub rank: Rank,
    /// The permissions. A repeated one is granted once.
    pub permissions: Vec<Permission>,
}

/// A role, with its rank and permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleSummary {
    /// The name.
    pub role: Role,
    /// The rank.
    pub rank: Rank,
    /// The permissions, in alphabetical order.
    pub permissions: Vec<Permission>,
}

/// The roles that are fixed in code, in ascending rank, with the permissions that a new database is
/// seeded with.
///
/// The highest role has rank 1000, and the others divide the ranks below evenly; `client`, `operator`
/// and `admin`, the default set, have 100, 500 and 1000. With
/// [`Builder::stored_roles`](crate::Builder::stored_roles), the roles of the store are in force, and a
/// set only seeds a store without roles.
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
    roles: Arc<[(Role, Rank, Vec<Permission>)]>,
}

impl RoleSet {
    /// Creates a set: each role with its permissions in a new database, from the lowest rank to the
    /// highest.
    ///
    /// # Errors
    ///
    /// If there is no role or more than 1,000, a name is repeated, a name or permission is malformed, `full_access` is not
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
        let count = parsed.len();
        if count > MAX_ROLES {
            return Err(Error::configuration(format!("a set of roles has at most {MAX_ROLES}")));
        }
        let rank = |place: usize| {
            Rank(u32::try_from((place + 1) * Rank::TOP as usize / count).unwrap_or(Rank::TOP))
        };
        let ranked = parsed.into_iter().enumerate();
        let roles = ranked.map(|(place, (role, permissions))| (role, rank(place), permissions));
        Ok(Self { roles: roles.collect() })
    }

    /// Iterates over the roles in ascending rank.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Role> {
        self.roles.iter().map(|(role, ..)| role)
    }

    /// Iterates over the roles and their ranks.
    pub(crate) fn ranked(&self) -> impl Iterator<Item = (&Role, Rank)> {
        self.roles.iter().map(|(role, rank, _)| (role, *rank))
    }

    /// Iterates over the grants of a new database.
    pub(crate) fn seed(&self) -> impl Iterator<Item = (&Role, &Permission)> {
        self.roles
            .iter()
            .flat_map(|(role, _, permissions)| permissions.iter().map(move |one| (role, one)))
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

    /// Returns the role's rank, or 0 for a role outside the set.
    #[must_use]
    pub fn rank(&self, role: &Role) -> Rank {
        self.ranked().find(|(known, _)| *known == role).map_or(Rank(0), |(_, rank)| rank)
    }

    /// Returns the highest role. Its active users are administrators.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a set has at least one role")]
    #[expect(clippy::expect_used, reason = "a set has at least one role")]
    pub fn top(&self) -> &Role {
        self.iter().next_back().expect("a set of roles is not empty")
    }

    /// Returns the lowest role, which new users get at sign-up unless the settings name another.
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
        let shipped = Self::new([
            ("client", vec![]),
            ("operator", vec!["user:read", "user:update", "user:change_status"]),
            ("admin", vec!["full_access"]),
        ])
        .expect("the shipped roles follow the rules");
        let ranks = [100, 500, Rank::TOP];
        let ranked = shipped.roles.iter().cloned().zip(ranks);
        let roles = ranked.map(|((role, _, permissions), rank)| (role, Rank(rank), permissions));
        Self { roles: roles.collect() }
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
        assert_eq!(
            roles.ranked().map(|(_, Rank(rank))| rank).collect::<Vec<_>>(),
            [100, 500, 1000]
        );
        let unknown = Role::parse("ghost").expect("a name");
        assert!(roles.rank(&unknown) < roles.rank(roles.bottom()));
    }

    #[test]
    fn roles_of_a_set_divide_the_ranks_evenly() {
        let names: Vec<String> = (0..MAX_ROLES).map(|number| format!("r{number}")).collect();
        let set = |count: usize| {
            let lower = names[..count - 1].iter().map(|name| (name.as_str(), vec![]));
            RoleSet::new(lower.chain([("top", vec!["full_access"])]))
        };
        for count in [2, 3, 7, MAX_ROLES] {
            let roles = set(count).expect("a set");
            let ranks: Vec<_> = roles.ranked().map(|(_, rank)| rank).collect();
            assert!(ranks.is_sorted_by(|one, other| one < other), "{ranks:?}");
            assert_eq!((ranks[0] > Rank(0), ranks[count - 1]), (true, Rank(1000)));
        }
        assert!(
            RoleSet::new(
                names
                    .iter()
                    .map(|name| (name.as_str(), vec![]))
                    .chain([("top", vec!["full_access"])])
            )
            .is_err()
        );
    }

    #[test]
    fn name_of_a_new_role_is_short_and_starts_with_a_letter() {
        for name in ["a", "team-lead", "a_1", &"a".repeat(32)] {
            assert!(Role::parse_new(name).is_ok(), "{name}");
        }
        for name in ["", "1a", "_a", "-a", "Team", "a b", "a:b", "\u{e4}", &"a".repeat(33)] {
            assert_eq!(Role::parse_new(name), Err(InvalidNewRole), "{name}");
        }
        // Names of stored rows from before are longer.
        assert!(Role::parse(&"1".repeat(64)).is_ok());
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
