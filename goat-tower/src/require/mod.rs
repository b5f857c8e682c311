//! Authorization middleware: rejects principals that do not satisfy a requirement.

mod into_requirement;
mod requirement;
mod rule;
#[cfg(test)]
mod tests;
mod token;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use goat_core::token::{TokenPrincipal, Verifier};
use goat_core::{Error, ErrorKind, Goat, Principal};
use http::request::Parts;
use tower_layer::Layer;

use crate::authenticate::{Identity, Source, identify};
use crate::guard::{Check, Guard, Guarded, Rejection, ResponseHeaders};
use crate::request::principal::{FreshSlot, Held};
use crate::response::denial::{Denial, ProblemDetails, RenderDenial};

pub use into_requirement::IntoRequirement;
pub use requirement::Requirement;
pub use token::TokenRequirement;

/// Allows requests that satisfy a [`Requirement`]; over an offline [`Verifier`], a
/// [`TokenRequirement`](crate::offline::TokenRequirement).
///
/// - An anonymous request is rejected with 401 `unauthenticated`, a principal that does not satisfy the
///   requirement with 403 `forbidden`; a store that does not respond is a 503.
/// - The `scope` in the challenge of the 403 names the necessary permissions; there is none if a role or
///   a predicate is not satisfied, since no permission would help. The unmet part of the requirement
///   is the source of the [denial's error](crate::Denial::error), for the log.
/// - No [`authenticate`](crate::GoatExt::authenticate) layer is necessary: if no layer has authenticated
///   the request, this one does. It reads the `Authorization` header only; [cookies](crate::cookie)
///   need that layer, and a request with nothing else is a 401 `unauthenticated` here.
/// - A principal that only lacks a [recent proof](Requirement::recent), or one of
///   [several factors](Requirement::multi_factor), is rejected with 401 `step-up-required` and a challenge
///   (RFC 9470).
/// - A [`fresh`](RequireLayer::fresh) requirement reads session, role and permissions from the stores,
///   past every cache, and leaves a [`FreshPrincipal`](crate::FreshPrincipal) for the handler.
///
/// ```
/// use goat_core::Permission;
/// use goat_core::testing::TestGoat;
/// use goat_tower::GoatExt;
/// use http::{Request, Response, StatusCode};
/// use http_body_util::Empty;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// const REPORTS: Permission = Permission::new("report:read");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let test = TestGoat::new();
/// let alice = test.sign_in("alice", [REPORTS]).await;
/// let bob = test.sign_in("bob", []).await;
///
/// let service = test.goat.require(REPORTS).layer(service_fn(async |_: Request<()>| {
///     Ok::<_, std::convert::Infallible>(Response::new(Empty::<&[u8]>::new()))
/// }));
///
/// let allowed = Request::builder().header("authorization", alice.bearer()).body(())?;
/// assert_eq!(service.clone().oneshot(allowed).await?.status(), StatusCode::OK);
///
/// let rejected = Request::builder().header("authorization", bob.bearer()).body(())?;
/// let rejected = service.oneshot(rejected).await?;
/// assert_eq!(rejected.status(), StatusCode::FORBIDDEN);
/// assert_eq!(
///     rejected.headers()["www-authenticate"],
///     r#"Bearer realm="goat", error="insufficient_scope", scope="report:read""#
/// );
/// # Ok(())
/// # }
/// ```
///
/// A token without a list of permissions satisfies no requirement of one over a `Verifier`; the source of
/// the [denial's error](crate::Denial::error) names the setting of its issuer, and so does the log, once
/// (feature `tracing`). [The module](crate::offline) has an example.
#[derive(Clone)]
pub struct RequireLayer<S: Authorize = Goat> {
    source: S,
    requirement: S::Requirement,
    refresh: Option<StartRefresh<S>>,
    renderer: Arc<dyn RenderDenial>,
}

/// A source of principals that can be authorized. Sealed: implemented for `Goat` and `Verifier`.
pub trait Authorize: Source {
    /// The rule that a layer applies.
    type Requirement: Clone + fmt::Debug + Send + Sync + 'static;

    /// Rejects a principal that does not satisfy the requirement.
    ///
    /// # Errors
    ///
    /// The reason of the rejection.
    fn authorize(
        &self,
        requirement: &Self::Requirement,
        principal: &Self::Principal,
    ) -> Result<(), Denial>;
}

impl Authorize for Goat {
    type Requirement = Requirement;

    fn authorize(&self, requirement: &Requirement, principal: &Principal) -> Result<(), Denial> {
        requirement.check(principal, self.time().now())
    }
}

impl Authorize for Verifier {
    type Requirement = token::LayerRequirement;

    fn authorize(
        &self,
        requirement: &token::LayerRequirement,
        principal: &TokenPrincipal,
    ) -> Result<(), Denial> {
        requirement.check(principal, self.time().now())
    }
}

impl RequireLayer {
    pub(crate) fn new(goat: Goat, requirement: &Requirement) -> Self {
        let requirement = requirement.among(&|role| {
            let is_known = goat.roles().get(role.as_str()).is_some();
            #[cfg(feature = "tracing")]
            if !is_known {
                tracing::error!(%role, "required role unknown to this goat; no user has it");
            }
            is_known
        });
        Self { source: goat, requirement, refresh: None, renderer: Arc::new(ProblemDetails) }
    }

    /// Reads the principal from the stores again, decides by the result, and leaves a
    /// [`FreshPrincipal`](crate::FreshPrincipal) to be taken once: for routes that change users,
    /// roles or permissions. Each request costs a store read, and a round trip of its own; a request that
    /// the cached principal already fails costs none.
    ///
    /// ```
    /// use goat_core::access::permissions::USER_DELETE;
    /// use goat_core::testing::TestGoat;
    /// use goat_tower::GoatExt;
    ///
    /// let layer = TestGoat::new().goat.require(USER_DELETE).fresh();
    /// ```
    #[must_use]
    pub fn fresh(mut self) -> Self {
        self.refresh = Some(reauthenticate);
        self
    }

    /// As [`fresh`](Self::fresh), and requires that the session was proven a short time ago, as
    /// [`Settings::recent`](goat_core::Settings::recent) says: otherwise a 401 `step-up-required`, once the
    /// requirement is met. It leaves a [`RecentPrincipal`](crate::RecentPrincipal), which a handler may take
    /// as a [`FreshPrincipal`](crate::FreshPrincipal) too.
    ///
    /// ```
    /// use goat_core::access::permissions::USER_DELETE;
    /// use goat_core::testing::TestGoat;
    /// use goat_tower::GoatExt;
    ///
    /// let layer = TestGoat::new().goat.require(USER_DELETE).recent();
    /// ```
    #[must_use]
    pub fn recent(mut self) -> Self {
        self.refresh = Some(require_recent);
        self
    }
}

/// Reads a principal from the stores again, and requires a recent proof of its session.
fn require_recent(goat: &Goat, principal: &Principal) -> Refresh<Goat> {
    let (goat, principal) = (goat.clone(), principal.clone());
    Box::pin(async move {
        let recent = goat.require_recent(&principal).await?;
        Ok((recent.principal().clone(), FreshSlot::holding(Held::Recent(recent))))
    })
}

/// Reads a principal from the stores again.
fn reauthenticate(goat: &Goat, principal: &Principal) -> Refresh<Goat> {
    let (goat, principal) = (goat.clone(), principal.clone());
    Box::pin(async move {
        let fresh = goat.reauthenticate(&principal).await?;
        Ok((fresh.principal().clone(), FreshSlot::holding(Held::Fresh(fresh))))
    })
}

impl RequireLayer<Verifier> {
    pub(crate) fn offline(verifier: Verifier, requirement: TokenRequirement) -> Self {
        let requirement = token::LayerRequirement::new(requirement);
        Self { source: verifier, requirement, refresh: None, renderer: Arc::new(ProblemDetails) }
    }
}

impl<S: Authorize> RequireLayer<S> {
    /// Renders rejections with `renderer` instead of [`ProblemDetails`].
    #[must_use]
    pub fn render_with(mut self, renderer: impl RenderDenial) -> Self {
        self.renderer = Arc::new(renderer);
        self
    }

    fn reject(&self, denial: Denial) -> Rejection<'_> {
        Rejection::new(denial, self.renderer.as_ref())
    }

    /// Finds the principal that an outer layer stored, or authenticates the request, and authorizes it.
    fn check_request(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
    ) -> Result<Check<Pending<S>>, Denial> {
        let stored = self.source.stored(&request.extensions).map_err(Denial::new)?;
        let is_stored = stored.is_some();
        let identity = match stored {
            Some(identity) => identity,
            None => {
                headers.forbid_caching(request, None);
                identify(&self.source, request, None)?
            }
        };
        match identity {
            Identity::Anonymous => Err(Denial::new(ErrorKind::Unauthenticated.into())),
            Identity::Pending(pending) => Ok(Check::Wait(Pending::Authenticate(pending))),
            Identity::Known(principal) => {
                if !is_stored {
                    self.source.insert(&mut request.extensions, Some(principal.clone()));
                }
                self.authorize(&principal)
            }
        }
    }

    /// Authorizes a principal, and starts the fresh read if the layer requires one.
    fn authorize(&self, principal: &S::Principal) -> Result<Check<Pending<S>>, Denial> {
        self.source.authorize(&self.requirement, principal)?;
        Ok(match self.refresh {
            None => Check::Allow,
            Some(refresh) => Check::Wait(Pending::Refresh(refresh(&self.source, principal))),
        })
    }

    fn decide_outcome(
        &self,
        request: &mut Parts,
        outcome: Outcome<S>,
    ) -> Result<Check<Pending<S>>, Denial> {
        match outcome {
            Outcome::Authenticated(outcome) => {
                let principal = outcome.map_err(Denial::new)?;
                self.source.insert(&mut request.extensions, Some(principal.clone()));
                self.authorize(&principal)
            }
            Outcome::Refreshed(outcome) => {
                let (principal, slot) = outcome.map_err(Denial::new)?;
                self.source.authorize(&self.requirement, &principal)?;
                self.source.insert(&mut request.extensions, Some(principal));
                request.extensions.insert(slot);
                Ok(Check::Allow)
            }
        }
    }
}

impl<S: Authorize> fmt::Debug for RequireLayer<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("RequireLayer");
        debug.field("requirement", &self.requirement).field("fresh", &self.refresh.is_some());
        debug.finish_non_exhaustive()
    }
}

impl<T, S: Authorize> Layer<T> for RequireLayer<S> {
    type Service = Guarded<T, Self>;

    fn layer(&self, inner: T) -> Self::Service {
        Guarded::new(inner, self.clone())
    }
}

/// Starts the fresh read of a principal.
type StartRefresh<S> = fn(&S, &<S as Source>::Principal) -> Refresh<S>;
type Refresh<S> = Pin<Box<dyn Future<Output = Refreshed<S>> + Send>>;
type Refreshed<S> = Result<(<S as Source>::Principal, FreshSlot), Error>;

/// The store operation of a request: authentication, or the fresh read after it.
pub enum Pending<S: Source> {
    Authenticate(S::Pending),
    Refresh(Refresh<S>),
}

/// The outcome of a store operation.
pub enum Outcome<S: Source> {
    Authenticated(Result<S::Principal, Error>),
    Refreshed(Refreshed<S>),
}

impl<S: Source> Future for Pending<S> {
    type Output = Outcome<S>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome<S>> {
        match &mut *self {
            Self::Authenticate(pending) => {
                Pin::new(pending).poll(context).map(Outcome::Authenticated)
            }
            Self::Refresh(refresh) => refresh.as_mut().poll(context).map(Outcome::Refreshed),
        }
    }
}

impl<S: Authorize> Guard for RequireLayer<S> {
    type Pending = Pending<S>;

    fn check(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
    ) -> Result<Check<Pending<S>>, Rejection<'_>> {
        self.check_request(request, headers).map_err(|denial| self.reject(denial))
    }

    fn decide(
        &self,
        request: &mut Parts,
        _: &mut ResponseHeaders,
        outcome: Outcome<S>,
    ) -> Result<Check<Pending<S>>, Rejection<'_>> {
        self.decide_outcome(request, outcome).map_err(|denial| self.reject(denial))
    }
}
