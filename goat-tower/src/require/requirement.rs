//! Requirements on a live principal: permissions, roles, proofs and predicates.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use goat_core::auth::Assurance;
use goat_core::{Error, ErrorKind, Permission, Principal, Role, Roles, Timestamp};

use super::TokenRequirement;
use super::rule::{Condition, ProofCondition, Rule};
use super::token::TokenCondition;
use crate::response::denial::Denial;

/// A rule about the principal of a request: permissions, roles, proofs, predicates, and any combination of
/// these. Cheap to clone; its `Debug` and `Display` say it in words.
///
/// A permission or a role converts into a requirement, and an array requires all of its elements.
/// An anonymous request satisfies no requirement.
///
/// ```
/// use goat_core::testing::TestGoat;
/// use goat_core::Permission;
/// use goat_tower::{GoatExt, Requirement};
///
/// const READ: Permission = Permission::new("report:read");
/// const WRITE: Permission = Permission::new("report:write");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let goat = TestGoat::new().goat;
/// let admin = goat.roles().get("admin").expect("a role of this goat");
/// let is_ours = Requirement::when("of example.org", |me| me.profile().email.as_str().ends_with("@example.org"));
///
/// let requirement = Requirement::from([READ, WRITE]).and(is_ours.or(&admin));
/// assert_eq!(
///     requirement.to_string(),
///     "report:read and report:write and (of example.org or role admin)"
/// );
/// let layer = goat.require(requirement);
/// # Ok(())
/// # }
/// ```
///
/// A string is not a requirement and does not compile; see
/// [`IntoRequirement`](crate::IntoRequirement).
#[derive(Clone)]
pub struct Requirement(pub(super) Rule<LiveCondition>);

/// A condition on a live principal.
#[derive(Clone)]
pub(super) enum LiveCondition {
    Permission(Permission),
    Role(Role),
    /// A role that the goat does not have: no user has it, even according to the database.
    UnknownRole(Role),
    Predicate(Predicate),
    /// The credential is a session.
    Person,
    Proof(ProofCondition),
}

/// A function of the principal, with a name for the log.
#[derive(Clone)]
pub(super) struct Predicate {
    pub(super) name: Cow<'static, str>,
    function: Arc<dyn Fn(&Principal) -> bool + Send + Sync>,
}

impl LiveCondition {
    /// Whether only a session can satisfy it.
    fn is_of_session(&self) -> bool {
        matches!(self, Self::Person | Self::Proof(_))
    }

    fn holds(&self, principal: &Principal, now: Timestamp) -> bool {
        match self {
            Self::Permission(permission) => principal.may(permission),
            // Scopes name permissions, so a key with scopes has none of the roles.
            Self::Role(role) => principal.whole_role() == Some(role),
            Self::UnknownRole(_) => false,
            Self::Predicate(predicate) => (predicate.function)(principal),
            Self::Person => principal.session().is_some(),
            Self::Proof(ProofCondition::Recent(within)) => principal.is_recent(*within, now),
            Self::Proof(ProofCondition::MultiFactor) => {
                principal.assurance() == Some(Assurance::Multi)
            }
        }
    }
}

impl Condition for LiveCondition {
    fn permission(&self) -> Option<&Permission> {
        match self {
            Self::Permission(permission) => Some(permission),
            _ => None,
        }
    }

    fn proof(&self) -> Option<ProofCondition> {
        match self {
            Self::Proof(proof) => Some(*proof),
            _ => None,
        }
    }
}

/// As its `Display`.
impl fmt::Debug for LiveCondition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Display for LiveCondition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Permission(permission) => permission.fmt(formatter),
            Self::Role(role) => write!(formatter, "role {role}"),
            Self::UnknownRole(role) => write!(formatter, "unknown role {role}"),
            Self::Predicate(predicate) => formatter.write_str(&predicate.name),
            Self::Person => formatter.write_str("person"),
            Self::Proof(proof) => proof.fmt(formatter),
        }
    }
}

impl Requirement {
    /// Requires all of them. Without any, an authenticated request satisfies it.
    #[must_use]
    pub fn all<R: Into<Self>>(requirements: impl IntoIterator<Item = R>) -> Self {
        Self(Rule::all(requirements.into_iter().map(|requirement| requirement.into().0)))
    }

    /// Requires at least one of them. Without any, no request satisfies it.
    ///
    /// ```
    /// use goat_core::Permission;
    /// use goat_tower::Requirement;
    ///
    /// const READ: Permission = Permission::new("report:read");
    /// const AUDIT: Permission = Permission::new("audit:read");
    /// assert_eq!(Requirement::any([READ, AUDIT]).to_string(), "report:read or audit:read");
    /// ```
    #[must_use]
    pub fn any<R: Into<Self>>(requirements: impl IntoIterator<Item = R>) -> Self {
        Self(Rule::any(requirements.into_iter().map(|requirement| requirement.into().0)))
    }

    /// Requires exactly this role, not a higher one; require a permission where several roles may have it. An
    /// API key satisfies it only if its scopes are all rights of the role. Roles come from [`Roles::get`], so
    /// that a misspelt name is found at startup. A role that the goat does not have rejects every request,
    /// even if the database has it, and is logged as an error when the layer is made.
    #[must_use]
    pub fn role(role: Role) -> Self {
        Self(Rule::Condition(LiveCondition::Role(role)))
    }

    /// Requires this role or a higher one, by the ranks of a goat's roles. If they do not include the
    /// role, no request satisfies it; a user with an unknown role never does.
    ///
    /// ```
    /// use goat_core::testing::TestGoat;
    /// use goat_tower::Requirement;
    ///
    /// let goat = TestGoat::new().goat;
    /// let highest = goat.roles().get("admin").expect("a role of this goat");
    /// assert_eq!(Requirement::at_least(goat.roles(), &highest).to_string(), "role admin");
    /// ```
    #[must_use]
    pub fn at_least(roles: &Roles, role: &Role) -> Self {
        let by_rank = roles.names().into_iter();
        Self::any(by_rank.skip_while(|lower| lower != role))
    }

    /// Requires that a predicate holds for the principal. The name identifies it in the log and in the
    /// reason of a denial.
    ///
    /// The predicate runs on each request and must not block; leave I/O to a handler. With
    /// [`fresh`](crate::RequireLayer::fresh) it runs again, on the principal as read from the stores. It
    /// sees the principal and not the request: a handler or a middleware of your own decides whether
    /// `/tenants/{id}` names the principal's tenant.
    ///
    /// ```
    /// use std::collections::HashSet;
    /// use std::sync::{Arc, RwLock};
    ///
    /// use goat_core::UserId;
    /// use goat_tower::Requirement;
    ///
    /// let at_acme: Arc<RwLock<HashSet<UserId>>> = Arc::default(); // kept up to date by the application
    /// let of_acme = Requirement::when("of acme", move |me| {
    ///     at_acme.read().is_ok_and(|users| users.contains(&me.user()))
    /// });
    /// assert_eq!(of_acme.to_string(), "of acme");
    /// ```
    #[must_use]
    pub fn when(
        name: impl Into<Cow<'static, str>>,
        predicate: impl Fn(&Principal) -> bool + Send + Sync + 'static,
    ) -> Self {
        let predicate = Predicate { name: name.into(), function: Arc::new(predicate) };
        Self(Rule::Condition(LiveCondition::Predicate(predicate)))
    }

    /// Requires an authenticated request and nothing else.
    #[must_use]
    pub fn signed_in() -> Self {
        Self(Rule::all([]))
    }

    /// Requires that the user authenticated at most `within` ago: at sign-in, or by a
    /// [step-up](goat_core::Goat::step_up). In a session that has had a proof of several factors, only such
    /// proofs count. Whole seconds.
    ///
    /// If nothing else is missing, the rejection is a 401 `step-up-required` with the challenge of RFC 9470,
    /// which names the age and, where several factors are required, the assurance `multi`.
    ///
    /// It is decided by the cached principal, without a store. A route that changes the user's credentials
    /// asks the stores: [`RequireLayer::recent`](crate::RequireLayer::recent).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use goat_core::Permission;
    /// use goat_core::testing::TestGoat;
    /// use goat_tower::{GoatExt, Requirement};
    /// use http::{Request, Response, StatusCode};
    /// use http_body_util::Empty;
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// const PAYOUTS: Permission = Permission::new("payout:write");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test = TestGoat::new();
    /// let alice = test.sign_in("alice", [PAYOUTS]).await;
    /// let recent = Requirement::recent(Duration::from_secs(120));
    /// let layer = test.goat.require(Requirement::from(PAYOUTS).and(recent));
    /// let service = layer.layer(service_fn(async |_: Request<()>| {
    ///     Ok::<_, std::convert::Infallible>(Response::new(Empty::<&[u8]>::new()))
    /// }));
    /// let request = || Request::builder().header("authorization", alice.bearer()).body(());
    /// assert_eq!(service.clone().oneshot(request()?).await?.status(), StatusCode::OK);
    ///
    /// test.clock.advance(Duration::from_secs(121));
    /// let rejected = service.oneshot(request()?).await?;
    /// assert_eq!(rejected.status(), StatusCode::UNAUTHORIZED);
    /// assert_eq!(
    ///     rejected.headers()["www-authenticate"],
    ///     r#"Bearer realm="goat", error="insufficient_user_authentication", max_age="120""#
    /// );
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn recent(within: Duration) -> Self {
        Self(Rule::Condition(LiveCondition::Proof(ProofCondition::Recent(within))))
    }

    /// Requires that the session has had a proof of several factors: a second factor at sign-in or step-up,
    /// or a method that verifies several by itself. Combine it with [`recent`](Self::recent) to ask for such
    /// a proof of a short time ago.
    #[must_use]
    pub fn multi_factor() -> Self {
        Self(Rule::Condition(LiveCondition::Proof(ProofCondition::MultiFactor)))
    }

    /// Requires a session, which a person began by signing in: an API key does not satisfy it.
    ///
    /// If nothing else is missing, the rejection is a 403 `session-required`. The conditions on proofs
    /// reject keys in the same way, since a key has none and cannot step up. To reject keys on a whole
    /// router, see [`AuthenticateLayer::keys`](crate::AuthenticateLayer::keys).
    ///
    /// ```
    /// use goat_core::Permission;
    /// use goat_core::testing::TestGoat;
    /// use goat_tower::{GoatExt, Requirement};
    /// use http::{Request, Response, StatusCode};
    /// use http_body_util::Empty;
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// const SIGN: Permission = Permission::new("contract:sign");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test = TestGoat::new();
    /// let alice = test.sign_in("alice", [SIGN]).await;
    /// let key = test.service("backup", [SIGN]).await;
    /// let layer = test.goat.require(Requirement::from(SIGN).and(Requirement::person()));
    /// let service = layer.layer(service_fn(async |_: Request<()>| {
    ///     Ok::<_, std::convert::Infallible>(Response::new(Empty::<&[u8]>::new()))
    /// }));
    /// let request = |bearer| Request::builder().header("authorization", bearer).body(());
    /// assert_eq!(service.clone().oneshot(request(alice.bearer())?).await?.status(), StatusCode::OK);
    /// let rejected = service.oneshot(request(key.bearer())?).await?;
    /// assert_eq!(rejected.status(), StatusCode::FORBIDDEN);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn person() -> Self {
        Self(Rule::Condition(LiveCondition::Person))
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

    /// Rejects a principal that does not satisfy the requirement.
    pub(super) fn check(&self, principal: &Principal, now: Timestamp) -> Result<(), Denial> {
        let holds = |condition: &LiveCondition| condition.holds(principal, now);
        if self.0.is_met(&holds) {
            return Ok(());
        }
        // In the order of the answers: the permissions, the session, its proofs. Each challenge is as if
        // what comes later were met.
        let in_session = |condition: &LiveCondition| condition.is_of_session() || holds(condition);
        if !self.0.is_met(&in_session) {
            return Err(self.0.denial(&in_session));
        }
        if principal.session().is_none() {
            return Err(Denial::new(ErrorKind::SessionRequired.into()));
        }
        match self.0.required_proof(&holds) {
            None => Err(self.0.denial(&in_session)),
            Some(mut proof) => {
                // Only such proofs count in this session.
                proof.multi |= principal.assurance() == Some(Assurance::Multi);
                Err(Denial::new(Error::step_up_required(proof)))
            }
        }
    }

    /// The same requirement for a goat with these roles only; see [`LiveCondition::UnknownRole`].
    pub(super) fn among(&self, is_known: &impl Fn(&Role) -> bool) -> Self {
        Self(self.0.map(&|condition: &LiveCondition| match condition {
            LiveCondition::Role(role) if !is_known(role) => {
                LiveCondition::UnknownRole(role.clone())
            }
            condition => condition.clone(),
        }))
    }
}

impl From<Permission> for Requirement {
    fn from(permission: Permission) -> Self {
        Self(Rule::Condition(LiveCondition::Permission(permission)))
    }
}

impl From<&Permission> for Requirement {
    fn from(permission: &Permission) -> Self {
        permission.clone().into()
    }
}

impl From<Role> for Requirement {
    fn from(role: Role) -> Self {
        Self::role(role)
    }
}

impl From<&Role> for Requirement {
    fn from(role: &Role) -> Self {
        Self::role(role.clone())
    }
}

/// A requirement on a token holds for a live principal's permissions and proofs too.
impl From<TokenRequirement> for Requirement {
    fn from(requirement: TokenRequirement) -> Self {
        Self(requirement.0.map(&|condition| match condition {
            TokenCondition::Permission(permission) => LiveCondition::Permission(permission.clone()),
            TokenCondition::Proof(proof) => LiveCondition::Proof(*proof),
        }))
    }
}

/// Requires all of them.
impl<R: Into<Requirement>, const N: usize> From<[R; N]> for Requirement {
    fn from(requirements: [R; N]) -> Self {
        Self::all(requirements)
    }
}

/// In words: `report:read and (role auditor or own tenant)`.
impl fmt::Display for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// As its `Display`.
impl fmt::Debug for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Requirement({self})")
    }
}
