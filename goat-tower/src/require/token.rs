//! Requirements on a token: rules about its permissions and the proofs of its session.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use goat_core::auth::Assurance;
use goat_core::token::TokenPrincipal;
use goat_core::{Error, ErrorKind, Permission, Timestamp};

use super::rule::{Condition, ProofCondition, Rule};
use crate::response::denial::Denial;

/// A rule about the permissions and the times that a token carries, and any combination of these. Cheap to
/// clone; its `Display` says it in words.
///
/// It is the part of a [`Requirement`](crate::Requirement) that can be decided offline, and becomes one
/// by `From`. A token names no role, and a predicate needs a live principal: to require these of a
/// verifier does not compile.
///
/// ```
/// use goat_core::Permission;
/// use goat_tower::offline::TokenRequirement;
///
/// const READ: Permission = Permission::new("report:read");
/// const WRITE: Permission = Permission::new("report:write");
/// const AUDIT: Permission = Permission::new("audit:read");
///
/// let requirement = TokenRequirement::from(READ).and(TokenRequirement::from(WRITE).or(AUDIT));
/// assert_eq!(requirement.to_string(), "report:read and (report:write or audit:read)");
/// assert_eq!(TokenRequirement::from([READ, WRITE]), TokenRequirement::all([READ, WRITE]));
/// ```
///
/// ```compile_fail,E0277
/// use goat_core::{Role, token::Verifier};
/// use goat_tower::offline::VerifierExt;
///
/// fn guard(verifier: &Verifier, role: Role) {
///     let _ = verifier.require(role);
/// }
/// ```
///
/// ```compile_fail,E0277
/// use goat_core::token::Verifier;
/// use goat_tower::Requirement;
/// use goat_tower::offline::VerifierExt;
///
/// fn guard(verifier: &Verifier) {
///     let _ = verifier.require(Requirement::when("own tenant", |_| true));
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct TokenRequirement(pub(super) Rule<TokenCondition>);

/// A condition on a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenCondition {
    Permission(Permission),
    Proof(ProofCondition),
}

impl TokenCondition {
    fn holds(&self, principal: &TokenPrincipal, now: Timestamp) -> bool {
        match self {
            Self::Permission(permission) => principal.may(permission),
            Self::Proof(ProofCondition::Recent(within)) => principal.is_recent(*within, now),
            Self::Proof(ProofCondition::MultiFactor) => principal.acr() == Some(Assurance::Multi),
        }
    }
}

impl Condition for TokenCondition {
    fn permission(&self) -> Option<&Permission> {
        match self {
            Self::Permission(permission) => Some(permission),
            Self::Proof(_) => None,
        }
    }

    fn proof(&self) -> Option<ProofCondition> {
        match self {
            Self::Permission(_) => None,
            Self::Proof(proof) => Some(*proof),
        }
    }
}

impl fmt::Display for TokenCondition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Permission(permission) => permission.fmt(formatter),
            Self::Proof(proof) => proof.fmt(formatter),
        }
    }
}

impl TokenRequirement {
    /// Requires all of them. Without any, a valid token satisfies it.
    #[must_use]
    pub fn all<R: Into<Self>>(requirements: impl IntoIterator<Item = R>) -> Self {
        Self(Rule::all(requirements.into_iter().map(|requirement| requirement.into().0)))
    }

    /// Requires at least one of them. Without any, no token satisfies it.
    #[must_use]
    pub fn any<R: Into<Self>>(requirements: impl IntoIterator<Item = R>) -> Self {
        Self(Rule::any(requirements.into_iter().map(|requirement| requirement.into().0)))
    }

    /// Requires a valid token and nothing else.
    #[must_use]
    pub fn signed_in() -> Self {
        Self(Rule::all([]))
    }

    /// Requires that the user authenticated at most `within` ago, by `auth_time`: see
    /// [`Requirement::recent`](crate::Requirement::recent). A token shows the time of the last proof, whether
    /// of one factor or of several.
    #[must_use]
    pub fn recent(within: Duration) -> Self {
        Self(Rule::Condition(TokenCondition::Proof(ProofCondition::Recent(within))))
    }

    /// Requires that the session has had a proof of several factors, by `acr`. A token without `acr`, such as
    /// one of an earlier version of goat, is rejected.
    ///
    /// With [`recent`](Self::recent) it is weaker than [`Requirement`](crate::Requirement) is: a token has the
    /// time of the last proof only, so in a session that has had a proof of several factors, a password makes
    /// both hold. Where that matters, ask goat itself.
    #[must_use]
    pub fn multi_factor() -> Self {
        Self(Rule::Condition(TokenCondition::Proof(ProofCondition::MultiFactor)))
    }

    /// Requires both.
    #[must_use]
    pub fn and(self, other: impl Into<Self>) -> Self {
        Self::all([self, other.into()])
    }

    /// Requires either.
    #[must_use]
    pub fn or(self, other: impl Into<Self>) -> Self {
        Self::any([self, other.into()])
    }
}

impl From<Permission> for TokenRequirement {
    fn from(permission: Permission) -> Self {
        Self(Rule::Condition(TokenCondition::Permission(permission)))
    }
}

impl From<&Permission> for TokenRequirement {
    fn from(permission: &Permission) -> Self {
        permission.clone().into()
    }
}

/// Requires all of them.
impl<R: Into<TokenRequirement>, const N: usize> From<[R; N]> for TokenRequirement {
    fn from(requirements: [R; N]) -> Self {
        Self::all(requirements)
    }
}

/// In words: `report:read and (report:write or audit:read)`.
impl fmt::Display for TokenRequirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// As its `Display`.
impl fmt::Debug for TokenRequirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TokenRequirement({self})")
    }
}

/// A requirement of one layer, which warns once about tokens without permissions.
#[derive(Clone)]
pub struct LayerRequirement {
    requirement: TokenRequirement,
    /// Shared by clones of the layer.
    is_warned: Arc<AtomicBool>,
}

impl LayerRequirement {
    pub(super) fn new(requirement: TokenRequirement) -> Self {
        Self { requirement, is_warned: Arc::default() }
    }

    /// Rejects a token that does not satisfy the requirement.
    pub(super) fn check(&self, principal: &TokenPrincipal, now: Timestamp) -> Result<(), Denial> {
        let TokenRequirement(rule) = &self.requirement;
        let holds = |condition: &TokenCondition| condition.holds(principal, now);
        if rule.is_met(&holds) {
            return Ok(());
        }
        if let Some(proof) = rule.required_proof(&holds) {
            return Err(Denial::new(Error::step_up_required(proof)));
        }
        // The permissions come first: the challenge names them as if the proofs were met.
        let holds = |condition: &TokenCondition| condition.proof().is_some() || holds(condition);
        if principal.rights().is_some() {
            return Err(rule.denial(&holds));
        }
        if !self.is_warned.swap(true, Ordering::Relaxed) {
            #[cfg(feature = "tracing")]
            tracing::warn!("{NoPermissions}");
        }
        Err(rule.scoped(Error::from(ErrorKind::Forbidden).with_source(NoPermissions), &holds))
    }
}

impl fmt::Debug for LayerRequirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.requirement.fmt(formatter)
    }
}

/// The reason of the rejection of a token without a list of permissions.
#[derive(Clone, Copy, Debug)]
struct NoPermissions;

impl fmt::Display for NoPermissions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "access token without permissions: enable Settings::access_token_permissions at its issuer \
             (goat-server: GOAT_ACCESS_TOKEN_PERMISSIONS=true); a role whose permissions exceed a token \
             of 8 KiB needs fewer",
        )
    }
}

impl std::error::Error for NoPermissions {}
