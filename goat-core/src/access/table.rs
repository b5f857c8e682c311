//! Role table: the roles in force at one revision, with their ranks and permissions. Immutable;
//! replaced as a whole.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Permission, Rank, Role, RoleRows, RoleSet};

/// The permissions of a role, indexed for the check on every request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    full_access: bool,
    /// Resources with a wildcard permission.
    resources: HashSet<Box<str>>,
    /// Permissions without a wildcard.
    exact: HashSet<Permission>,
}

impl Rights {
    /// Whether a permission is allowed: by itself, by its resource's wildcard, or by `full_access`.
    #[must_use]
    pub fn allow(&self, permission: &Permission) -> bool {
        self.full_access
            || self.exact.contains(permission)
            || permission.parts().is_some_and(|(resource, _)| self.resources.contains(resource))
    }

    /// Whether these rights allow everything that the others allow.
    pub(crate) fn include(&self, others: &Self) -> bool {
        self.full_access
            || (!others.full_access
                && others.resources.is_subset(&self.resources)
                && others.exact.iter().all(|permission| self.allow(permission)))
    }
}

impl<'a> FromIterator<&'a Permission> for Rights {
    fn from_iter<I: IntoIterator<Item = &'a Permission>>(permissions: I) -> Self {
        let mut rights = Self::default();
        for permission in permissions {
            match permission.parts() {
                None => rights.full_access = true,
                Some((resource, "*")) => drop(rights.resources.insert(resource.into())),
                Some(_) => drop(rights.exact.insert(permission.clone())),
            }
        }
        rights
    }
}

/// The source of the roles in force.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoleSource {
    /// The roles that are fixed in code, or the seed of a store without roles.
    pub(crate) set: RoleSet,
    /// Whether the roles are those of the store.
    pub(crate) is_stored: bool,
    /// The role given at sign-up; without one, the lowest.
    pub(crate) signup: Option<Role>,
}

/// The role table at one revision.
#[derive(Debug)]
pub(crate) struct RoleTable {
    pub(crate) revision: u64,
    /// The role given at sign-up if its `full_access` was stored, and left out (A8).
    pub(crate) open_full_access: Option<Role>,
    /// In ascending rank, and never empty.
    ranked: Box<[Role]>,
    top: Role,
    /// `None`: the configured role does not exist.
    signup: Option<Role>,
    roles: HashMap<Role, RoleEntry>,
    /// That of a role outside the set in force.
    nothing: RoleEntry,
}

/// The rank and permissions of one role.
#[derive(Debug)]
struct RoleEntry {
    rank: Rank,
    rights: Arc<Rights>,
    /// In alphabetical order.
    list: Box<[Permission]>,
}

impl RoleEntry {
    fn new(rank: Rank, list: Vec<Permission>) -> Self {
        Self { rank, rights: Arc::new(list.iter().collect()), list: list.into() }
    }
}

/// How many names of roles a requirement lists.
const MAX_NAMED: usize = 10;

impl RoleTable {
    /// Builds the table. Grants of roles outside the set have no effect, nor has `full_access` of the
    /// role that is given at sign-up.
    pub(crate) fn new(rows: RoleRows, source: &RoleSource) -> Self {
        let RoleRows { revision, roles: mut stored, mut grants } = rows;
        // The oldest of equal rank is the lowest, so that a new role never replaces the one that is
        // given at sign-up without ranking below it.
        stored.sort_by(|one, other| {
            let key = |role: &super::StoredRole| (role.rank, role.created_at);
            key(one).cmp(&key(other)).then_with(|| one.role.cmp(&other.role))
        });
        let ranked: Vec<(Role, Rank)> = match source.is_stored && !stored.is_empty() {
            true => stored.into_iter().map(|stored| (stored.role, stored.rank)).collect(),
            false => source.set.ranked().map(|(role, rank)| (role.clone(), rank)).collect(),
        };
        let highest = ranked.iter().map(|(_, rank)| *rank).max();
        let top = ranked.iter().find(|(_, rank)| Some(*rank) == highest);
        let top = top.map_or_else(|| source.set.top().clone(), |(role, _)| role.clone());
        let signup = match &source.signup {
            Some(role) => ranked.iter().any(|(known, _)| known == role).then(|| role.clone()),
            None => ranked.first().map(|(role, _)| role.clone()),
        };

        // Sorted, so that the lists of two roles are easy to compare.
        grants.sort_by(|one, other| one.permission.cmp(&other.permission));
        let mut lists: HashMap<Role, Vec<Permission>> = HashMap::new();
        let mut open_full_access = None;
        for grant in grants {
            if grant.permission.is_full_access() && signup.as_ref() == Some(&grant.role) {
                open_full_access = Some(grant.role);
            } else {
                lists.entry(grant.role).or_default().push(grant.permission);
            }
        }
        let entry = |(role, rank): &(Role, Rank)| {
            (role.clone(), RoleEntry::new(*rank, lists.remove(role).unwrap_or_default()))
        };
        let roles = ranked.iter().map(entry).collect();
        let ranked = ranked.into_iter().map(|(role, _)| role).collect();
        let nothing = RoleEntry::new(Rank(0), Vec::new());
        Self { revision, open_full_access, ranked, top, signup, roles, nothing }
    }

    fn role(&self, role: &Role) -> &RoleEntry {
        self.roles.get(role).unwrap_or(&self.nothing)
    }

    /// Returns the roles in ascending rank.
    pub(crate) fn ranked(&self) -> &[Role] {
        &self.ranked
    }

    /// Whether the role is in force.
    pub(crate) fn contains(&self, role: &Role) -> bool {
        self.roles.contains_key(role)
    }

    /// Returns the role of this name, if it is in force.
    pub(crate) fn get(&self, name: &str) -> Option<&Role> {
        let role = Role::parse(name).ok()?;
        self.roles.get_key_value(&role).map(|(role, _)| role)
    }

    /// Returns the role's rank, or 0 for a role outside the set in force.
    pub(crate) fn rank(&self, role: &Role) -> Rank {
        self.role(role).rank
    }

    /// Returns the highest role. Its active users are administrators.
    pub(crate) fn top(&self) -> &Role {
        &self.top
    }

    /// Returns the role given at sign-up; `None` if the configured one does not exist.
    pub(crate) fn signup(&self) -> Option<&Role> {
        self.signup.as_ref()
    }

    /// Returns the requirement on a role's name, worded to follow the field's name.
    pub(crate) fn requirement(&self) -> String {
        if self.ranked.len() > MAX_NAMED {
            return "must be the name of a role".to_owned();
        }
        let names: Vec<_> = self.ranked.iter().map(Role::as_str).collect();
        format!("must be one of {}", names.join(", "))
    }

    /// Returns the rights of a role.
    pub(crate) fn rights(&self, role: &Role) -> Arc<Rights> {
        Arc::clone(&self.role(role).rights)
    }

    /// Returns the permissions of a role, in alphabetical order.
    pub(crate) fn permissions(&self, role: &Role) -> &[Permission] {
        &self.role(role).list
    }

    /// Returns the permissions that the role and a list of permissions both allow, in alphabetical order.
    pub(crate) fn shared(&self, role: &Role, others: &[Permission]) -> Vec<Permission> {
        let RoleEntry { rights, list, .. } = self.role(role);
        let allowed: Rights = others.iter().collect();
        let own = list.iter().filter(|permission| allowed.allow(permission));
        let others = others.iter().filter(|permission| rights.allow(permission));
        let mut shared: Vec<_> = own.chain(others).cloned().collect();
        shared.sort_unstable();
        shared.dedup();
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Grant, StoredRole};
    use crate::clock::Timestamp;
    use crate::id::GrantId;

    fn rows(revision: u64, grants: &[(&str, &str)]) -> RoleRows {
        let now = Timestamp::from_millis(0);
        let grants = grants
            .iter()
            .map(|(role, permission)| Grant {
                id: GrantId::generate(now),
                role: Role::parse(role).expect("a role"),
                permission: Permission::parse(permission).expect("a permission"),
                created_at: now,
            })
            .collect();
        RoleRows { revision, grants, roles: Vec::new() }
    }

    fn stored(roles: &[(&str, u32, i64)]) -> RoleRows {
        let role = |(name, rank, made): &(&str, u32, i64)| StoredRole {
            role: Role::parse(name).expect("a role"),
            rank: Rank(*rank),
            created_at: Timestamp::from_millis(*made),
        };
        RoleRows { roles: roles.iter().map(role).collect(), ..RoleRows::default() }
    }

    fn of_store(signup: Option<&str>) -> RoleSource {
        let signup = signup.map(|name| Role::parse(name).expect("a role"));
        RoleSource { is_stored: true, signup, ..RoleSource::default() }
    }

    #[test]
    fn stored_roles_rank_by_their_numbers_and_age() {
        let rows = stored(&[("top", 900, 3), ("new", 5, 2), ("old", 5, 1), ("mid", 7, 0)]);
        let table = RoleTable::new(rows.clone(), &of_store(None));
        let names: Vec<_> = table.ranked().iter().map(Role::as_str).collect();
        assert_eq!(names, ["old", "new", "mid", "top"]);
        assert_eq!(table.top().as_str(), "top");
        assert_eq!(table.signup().map(Role::as_str), Some("old"), "the oldest of the lowest rank");
        assert_eq!(table.get("mid").map(|role| table.rank(role)), Some(Rank(7)));
        assert!(table.get("client").is_none());

        let named = RoleTable::new(rows.clone(), &of_store(Some("mid")));
        assert_eq!(named.signup().map(Role::as_str), Some("mid"));
        assert!(RoleTable::new(rows, &of_store(Some("gone"))).signup().is_none());
        // Before the seed.
        let seed = RoleTable::new(RoleRows::default(), &of_store(None));
        assert_eq!(seed.top().as_str(), "admin");
    }

    #[test]
    fn requirement_names_few_roles_only() {
        let table = RoleTable::new(RoleRows::default(), &RoleSource::default());
        assert_eq!(table.requirement(), "must be one of client, operator, admin");
        let names: Vec<String> = (0..11).map(|number| format!("r{number}")).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), 1, 0)).collect();
        let table = RoleTable::new(stored(&many), &of_store(None));
        assert_eq!(table.requirement(), "must be the name of a role");
    }

    /// A8
    #[test]
    fn full_access_of_the_role_given_at_sign_up_is_left_out() {
        let rows = rows(1, &[("client", "full_access"), ("operator", "full_access")]);
        let source = RoleSource { signup: Role::parse("operator").ok(), ..RoleSource::default() };
        for (source, open) in [(RoleSource::default(), "client"), (source, "operator")] {
            let table = RoleTable::new(rows.clone(), &source);
            let open = Role::parse(open).expect("a role");
            assert_eq!(table.open_full_access.as_ref(), Some(&open));
            assert!(table.permissions(&open).is_empty());
        }
    }

    fn rights(permissions: &[&str]) -> Rights {
        let parsed: Vec<_> =
            permissions.iter().map(|text| Permission::parse(text).expect("a permission")).collect();
        parsed.iter().collect()
    }

    /// A2
    #[test]
    fn rights_include_others_whose_permissions_they_all_allow() {
        let cases: [(&[&str], &[&str], bool); 10] = [
            (&[], &[], true),
            (&[], &["book:read"], false),
            (&["book:read"], &["book:read"], true),
            (&["book:read", "page:read"], &["book:read"], true),
            (&["book:read"], &["book:read", "page:read"], false),
            (&["book:*"], &["book:read", "book:write"], true),
            (&["book:*"], &["page:read"], false),
            // A wildcard covers verbs that no permission names.
            (&["book:read", "book:write"], &["book:*"], false),
            (&["full_access"], &["book:*", "full_access"], true),
            (&["book:*"], &["full_access"], false),
        ];
        for (held, others, expected) in cases {
            assert_eq!(rights(held).include(&rights(others)), expected, "{held:?} {others:?}");
        }
    }

    #[test]
    fn role_outside_the_set_has_no_rights() {
        let table = RoleTable::new(rows(1, &[("ghost", "full_access")]), &RoleSource::default());
        let ghost = Role::parse("ghost").expect("a role");
        assert!(!table.rights(&ghost).allow(&Permission::new("a:b")));
    }

    /// K1: of a role and a list, for every pair of small sets.
    #[test]
    fn shared_permissions_allow_what_both_allow() {
        const NAMES: [&str; 7] = ["a:b", "a:c", "a:*", "b:b", "b:*", "c:d", "full_access"];
        let set = |bits: usize| -> Vec<&'static str> {
            let named = NAMES.iter().enumerate().filter(|(place, _)| bits >> place & 1 == 1);
            named.map(|(_, name)| *name).collect()
        };
        let admin = Role::parse("admin").expect("a role");
        let source = RoleSource::default();
        for one in 0..1 << NAMES.len() {
            let grants: Vec<_> = set(one).into_iter().map(|name| ("admin", name)).collect();
            let table = RoleTable::new(rows(1, &grants), &source);
            for other in 0..1 << NAMES.len() {
                let others: Vec<_> = set(other).into_iter().map(Permission::new).collect();
                let shared = table.shared(&admin, &others);
                assert!(shared.is_sorted_by(|one, next| one < next), "{shared:?}");
                let both: Rights = shared.iter().collect();
                let scopes: Rights = others.iter().collect();
                for name in NAMES.into_iter().chain(["b:z", "z:z"]) {
                    let asked = Permission::new(name);
                    let expected = table.rights(&admin).allow(&asked) && scopes.allow(&asked);
                    assert_eq!(both.allow(&asked), expected, "{asked} {grants:?} {others:?}");
                }
            }
        }
    }
}
