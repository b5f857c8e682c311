//! Role table: the permissions of each role at one revision. Immutable; replaced as a whole.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Grant, Permission, Role, RoleRows, RoleSet};

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

/// The role table at one revision.
#[derive(Debug)]
pub(crate) struct RoleTable {
    pub(crate) revision: u64,
    /// Whether `full_access` of the role given at sign-up was stored, and left out (A8).
    pub(crate) has_open_full_access: bool,
    roles: HashMap<Role, RolePermissions>,
    /// Those of a role outside the set.
    nothing: RolePermissions,
}

/// The permissions of one role.
#[derive(Debug, Default)]
struct RolePermissions {
    rights: Arc<Rights>,
    /// In alphabetical order.
    list: Box<[Permission]>,
}

impl RoleTable {
    /// Builds the table. Grants of roles outside the set have no effect, nor has `full_access` of the
    /// role that is given at sign-up.
    pub(crate) fn new(mut rows: RoleRows, roles: &RoleSet) -> Self {
        let stored = rows.grants.len();
        let is_open = |grant: &Grant| grant.role == *roles.bottom();
        rows.grants.retain(|grant| !(is_open(grant) && grant.permission.is_full_access()));
        let has_open_full_access = rows.grants.len() < stored;
        // Sorted, so that the lists of two roles are easy to compare.
        rows.grants.sort_by(|one, other| one.permission.cmp(&other.permission));
        let permissions = |role: &Role| {
            let granted = rows.grants.iter().filter(|grant| grant.role == *role);
            let list: Box<[Permission]> = granted.map(|grant| grant.permission.clone()).collect();
            RolePermissions { rights: Arc::new(list.iter().collect()), list }
        };
        let roles = roles.iter().map(|role| (role.clone(), permissions(role))).collect();
        let nothing = RolePermissions::default();
        Self { revision: rows.revision, has_open_full_access, roles, nothing }
    }

    fn role(&self, role: &Role) -> &RolePermissions {
        self.roles.get(role).unwrap_or(&self.nothing)
    }

    /// Returns the rights of a role.
    pub(crate) fn rights(&self, role: &Role) -> Arc<Rights> {
        Arc::clone(&self.role(role).rights)
    }

    /// Returns the permissions of a role, in alphabetical order.
    pub(crate) fn permissions(&self, role: &Role) -> &[Permission] {
        &self.role(role).list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        RoleRows { revision, grants }
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
        let table = RoleTable::new(rows(1, &[("ghost", "full_access")]), &RoleSet::default());
        let ghost = Role::parse("ghost").expect("a role");
        assert!(!table.rights(&ghost).allow(&Permission::new("a:b")));
    }
}
