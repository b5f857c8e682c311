//! The role table: what each role may do, immutable, with a revision, swapped whole.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::store::{Grant, RoleRows};
use super::{Permission, Role, RoleSet};

/// What a role may do, in the form in which it is asked on every request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    full_access: bool,
    /// Resources of which everything is allowed.
    resources: HashSet<Box<str>>,
    /// Whole permissions.
    exact: HashSet<Permission>,
}

impl Rights {
    /// Whether a permission is among the rights: by itself, by its resource's wildcard, or by
    /// `full_access`.
    #[must_use]
    pub fn allow(&self, permission: &Permission) -> bool {
        self.full_access
            || self.exact.contains(permission)
            || permission.parts().is_some_and(|(resource, _)| self.resources.contains(resource))
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

/// The table at one revision.
#[derive(Debug)]
pub(crate) struct RoleTable {
    pub(crate) revision: u64,
    pub(crate) grants: Vec<Grant>,
    rights: HashMap<Role, Arc<Rights>>,
    nothing: Arc<Rights>,
}

impl RoleTable {
    /// Builds the table. Grants of roles that the set does not have allow nobody anything.
    pub(crate) fn new(mut rows: RoleRows, roles: &RoleSet) -> Self {
        // People compare what two roles may do.
        rows.grants.sort_by(|one, other| one.permission.cmp(&other.permission));
        let mut rights = HashMap::new();
        for role in roles.iter() {
            let permissions = rows.grants.iter().filter(|grant| grant.role == *role);
            let collected: Rights = permissions.map(|grant| &grant.permission).collect();
            rights.insert(role.clone(), Arc::new(collected));
        }
        Self { revision: rows.revision, grants: rows.grants, rights, nothing: Arc::default() }
    }

    /// What the role may do.
    pub(crate) fn rights(&self, role: &Role) -> Arc<Rights> {
        Arc::clone(self.rights.get(role).unwrap_or(&self.nothing))
    }

    /// The grants of one role.
    pub(crate) fn of<'a>(&'a self, role: &'a Role) -> impl Iterator<Item = &'a Grant> {
        self.grants.iter().filter(move |grant| grant.role == *role)
    }
}

/// The table that is in force: nothing until it was loaded once.
#[derive(Debug, Default)]
pub(crate) struct Table(ArcSwapOption<RoleTable>);

impl Table {
    /// The table in force.
    pub(crate) fn get(&self) -> Option<Arc<RoleTable>> {
        self.0.load_full()
    }

    /// Puts a table in force, unless one as new is. Answers whether it did.
    pub(crate) fn swap(&self, table: RoleTable) -> bool {
        let new = Arc::new(table);
        let mut swapped = false;
        self.0.rcu(|old| {
            swapped = old.as_ref().is_none_or(|old| old.revision < new.revision);
            if swapped { Some(Arc::clone(&new)) } else { old.clone() }
        });
        swapped
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

    #[test]
    fn an_older_table_never_replaces_a_newer() {
        let table = Table::default();
        let roles = RoleSet::default();
        assert!(table.get().is_none());
        assert!(table.swap(RoleTable::new(rows(2, &[("client", "a:b")]), &roles)));
        assert!(!table.swap(RoleTable::new(rows(1, &[]), &roles)));
        assert!(!table.swap(RoleTable::new(rows(2, &[]), &roles)));
        let held = table.get().expect("a table");
        assert_eq!(held.grants.len(), 1);
    }

    #[test]
    fn a_role_outside_the_set_has_no_rights() {
        let table = RoleTable::new(rows(1, &[("ghost", "full_access")]), &RoleSet::default());
        let ghost = Role::parse("ghost").expect("a role");
        assert!(!table.rights(&ghost).allow(&Permission::new("a:b")));
    }
}
