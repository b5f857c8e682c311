//! What a token must say.

use std::sync::Arc;

use goat_core::Permission;
use goat_core::token::TokenPrincipal;

/// Permissions that a token must carry: one, all of several, or any of several. Cheap to clone.
///
/// One permission, or an array of which all are needed, stands for itself wherever permissions are asked
/// for. What needs both of two rules stands inside of two layers.
///
/// It is the part of a [`Requirement`](crate::Requirement) that can be met offline: a token names no
/// role, and a rule over a live principal cannot be asked of it. To require one here does not compile.
///
/// ```
/// use goat_core::Permission;
/// use goat_tower::offline::Permissions;
///
/// const READ: Permission = Permission::new("report:read");
/// const WRITE: Permission = Permission::new("report:write");
///
/// assert_eq!(Permissions::from([READ, WRITE]), Permissions::all([READ, WRITE]));
/// assert_ne!(Permissions::any([READ, WRITE]), Permissions::all([READ, WRITE]));
/// ```
///
/// ```compile_fail,E0277
/// use goat_core::{Role, token::Verifier};
/// use goat_tower::offline::{RequireLayer, VerifierExt};
///
/// fn guard(verifier: &Verifier, role: Role) -> RequireLayer {
///     verifier.require(role)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    rule: Rule,
    list: Arc<[Permission]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    All,
    Any,
}

impl Permissions {
    /// Every one of them. Without any, a good token is enough.
    #[must_use]
    pub fn all(permissions: impl IntoIterator<Item = Permission>) -> Self {
        Self { rule: Rule::All, list: permissions.into_iter().collect() }
    }

    /// At least one of them. Without any, nobody is let through.
    #[must_use]
    pub fn any(permissions: impl IntoIterator<Item = Permission>) -> Self {
        Self { rule: Rule::Any, list: permissions.into_iter().collect() }
    }

    /// None in particular: a good token is enough.
    #[must_use]
    pub fn signed_in() -> Self {
        Self::all([])
    }

    /// The permissions, separated by spaces: the `scope` of a challenge (RFC 6750 §3). Of alternatives,
    /// each. None where no permission helps.
    pub(super) fn scope(&self) -> Option<String> {
        let names: Vec<_> = self.list.iter().map(Permission::as_str).collect();
        (!names.is_empty()).then(|| names.join(" "))
    }

    pub(super) fn are_met_by(&self, principal: &TokenPrincipal) -> bool {
        let mut list = self.list.iter();
        match self.rule {
            Rule::All => list.all(|permission| principal.may(permission)),
            Rule::Any => list.any(|permission| principal.may(permission)),
        }
    }
}

impl From<Permission> for Permissions {
    fn from(permission: Permission) -> Self {
        Self::all([permission])
    }
}

impl From<&Permission> for Permissions {
    fn from(permission: &Permission) -> Self {
        Self::all([permission.clone()])
    }
}

impl<const N: usize> From<[Permission; N]> for Permissions {
    fn from(permissions: [Permission; N]) -> Self {
        Self::all(permissions)
    }
}
