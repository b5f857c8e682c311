//! What a request's role must have.

use std::sync::Arc;

use goat_core::{Permission, Principal};

/// Permissions that a request needs: one, all of several, or any of several. Cheap to clone.
///
/// One permission, or an array of which all are needed, stands for itself wherever a requirement is
/// asked for.
///
/// ```
/// use goat_core::Permission;
/// use goat_tower::Requirement;
///
/// const READ: Permission = Permission::new("report:read");
/// const WRITE: Permission = Permission::new("report:write");
///
/// assert_eq!(Requirement::from([READ, WRITE]), Requirement::all([READ, WRITE]));
/// assert_eq!(Requirement::any([READ, WRITE]).scope(), "report:read report:write");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    rule: Rule,
    permissions: Arc<[Permission]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    All,
    Any,
}

impl Requirement {
    /// Every one of them. Without any, to be signed in is enough.
    pub fn all(permissions: impl IntoIterator<Item = Permission>) -> Self {
        Self { rule: Rule::All, permissions: permissions.into_iter().collect() }
    }

    /// At least one of them. Without any, nobody is let through.
    pub fn any(permissions: impl IntoIterator<Item = Permission>) -> Self {
        Self { rule: Rule::Any, permissions: permissions.into_iter().collect() }
    }

    /// No permission in particular: to be signed in is enough.
    #[must_use]
    pub fn signed_in() -> Self {
        Self::all([])
    }

    /// The permissions, separated by spaces: the `scope` of a challenge (RFC 6750 §3).
    #[must_use]
    pub fn scope(&self) -> String {
        let names: Vec<_> = self.permissions.iter().map(Permission::as_str).collect();
        names.join(" ")
    }

    pub(super) fn is_met_by(&self, principal: &Principal) -> bool {
        let mut permissions = self.permissions.iter();
        match self.rule {
            Rule::All => permissions.all(|permission| principal.may(permission)),
            Rule::Any => permissions.any(|permission| principal.may(permission)),
        }
    }
}

impl From<Permission> for Requirement {
    fn from(permission: Permission) -> Self {
        Self::all([permission])
    }
}

impl From<&Permission> for Requirement {
    fn from(permission: &Permission) -> Self {
        Self::all([permission.clone()])
    }
}

impl<const N: usize> From<[Permission; N]> for Requirement {
    fn from(permissions: [Permission; N]) -> Self {
        Self::all(permissions)
    }
}
