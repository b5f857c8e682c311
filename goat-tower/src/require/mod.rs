//! Requirements: may whoever makes this request do that?

mod evaluate;
mod into_requirement;
mod requirement;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use goat_core::{Error, ErrorKind, Goat, Principal};
use http::request::Parts;
use tower_layer::Layer;

use crate::authenticate::{Identity, identify};
use crate::guard::{Check, Guard, Guarded, Rejection, ResponseHeaders};
use crate::offline::OfflineIdentity;
use crate::request::principal::{Anonymous, FreshSlot};
use crate::response::denial::{Denial, ProblemDetails, RenderDenial};
use crate::response::layer_order::layer_order_error;

pub use into_requirement::IntoRequirement;
pub use requirement::Requirement;

/// Lets through who meets a [`Requirement`].
///
/// - No principal is a 401 `unauthenticated`; who does not meet it gets a 403 `forbidden`, and a store
///   that cannot tell is a 503.
/// - The 403's challenge names the permissions that are necessary, in its `scope`; none where a role or
///   a function stands in the way, since no permission would help. What was not met is the source of
///   the [denial's error](crate::Denial::error), for the log.
/// - It needs no [`authenticate`](crate::GoatExt::authenticate) layer around it: where none has
///   looked at the request, it does so itself. To forget that layer lets nobody in, and shuts nobody
///   out, but for who shows [cookies](crate::cookie): those are that layer's alone, and what comes with
///   nothing else is a 401 `unauthenticated` here.
/// - With [`fresh`](RequireLayer::fresh), session, role and permissions are read again from the
///   stores, past every cache, and a [`FreshPrincipal`](crate::FreshPrincipal) is left for the
///   handler.
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
/// let refused = Request::builder().header("authorization", bob.bearer()).body(())?;
/// let refused = service.oneshot(refused).await?;
/// assert_eq!(refused.status(), StatusCode::FORBIDDEN);
/// assert_eq!(
///     refused.headers()["www-authenticate"],
///     r#"Bearer realm="goat", error="insufficient_scope", scope="report:read""#
/// );
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RequireLayer {
    goat: Goat,
    requirement: Requirement,
    fresh: bool,
    renderer: Arc<dyn RenderDenial>,
}

impl RequireLayer {
    pub(crate) fn new(goat: Goat, requirement: Requirement) -> Self {
        let requirement = requirement.among(&|role| {
            let is_known = goat.roles().get(role.as_str()).is_some();
            #[cfg(feature = "tracing")]
            if !is_known {
                tracing::error!(%role, "a route requires a role that this goat does not have: nobody is in it");
            }
            is_known
        });
        Self { goat, requirement, fresh: false, renderer: Arc::new(ProblemDetails) }
    }

    /// Reads the principal again from the stores, decides by what they say, and leaves a
    /// [`FreshPrincipal`](crate::FreshPrincipal) to be taken once: for routes that change users,
    /// rights or permissions. Costs a store's answer a request, a round trip of its own whatever was
    /// asked further out; who is refused by what is remembered already costs none.
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
        self.fresh = true;
        self
    }

    /// How its denials look, in place of [`ProblemDetails`].
    #[must_use]
    pub fn render_with(mut self, renderer: impl RenderDenial) -> Self {
        self.renderer = Arc::new(renderer);
        self
    }

    /// The question to the stores: who is `identity`, and, if it is to be fresh, who is that now?
    fn ask(&self, identity: Asked) -> Pending {
        let goat = self.fresh.then(|| self.goat.clone());
        Box::pin(async move {
            let principal = match identity {
                Asked::Known(principal) => principal,
                Asked::Pending(pending) => pending.await?,
            };
            Ok(match goat {
                None => Proof { principal, fresh: None },
                Some(goat) => {
                    let fresh = goat.reauthenticate(&principal).await?;
                    let principal = fresh.principal().clone();
                    Proof { principal, fresh: Some(FreshSlot::holding(fresh)) }
                }
            })
        })
    }
}

impl fmt::Debug for RequireLayer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("RequireLayer");
        debug.field("requirement", &self.requirement).field("fresh", &self.fresh);
        debug.finish_non_exhaustive()
    }
}

impl<S> Layer<S> for RequireLayer {
    type Service = Guarded<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded::new(inner, self.clone())
    }
}

/// Who must be asked about.
enum Asked {
    Known(Principal),
    Pending(goat_core::auth::Authentication),
}

/// Who the stores say it is.
pub struct Proof {
    principal: Principal,
    fresh: Option<FreshSlot>,
}

type Pending = Pin<Box<dyn Future<Output = Result<Proof, Error>> + Send>>;

impl RequireLayer {
    fn reject(&self, denial: Denial) -> Rejection<'_> {
        Rejection::new(denial, self.renderer.as_ref())
    }

    fn look(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
    ) -> Result<Check<Pending>, Denial> {
        let principal = match request.extensions.get::<Principal>() {
            // Whom another goat lets in may have any role and permission there.
            Some(principal) if !self.goat.issued(principal) => {
                return Err(Denial::new(layer_order_error(
                    "a goat.require(..) stands inside of another goat's authenticate(): give both \
                     clones of one goat",
                )));
            }
            Some(principal) => principal.clone(),
            None if request.extensions.get::<Anonymous>().is_some() => {
                return Err(Denial::new(ErrorKind::Unauthenticated.into()));
            }
            None if OfflineIdentity::of(&request.extensions).is_some() => {
                return Err(Denial::new(layer_order_error(
                    "a goat.require(..) stands inside of verifier.authenticate(), which asks no goat: \
                     use goat.authenticate() around it, or verifier.require(..)",
                )));
            }
            None => {
                headers.forbid_caching(request, None);
                match identify(&self.goat, request, None)? {
                    Identity::Anonymous => {
                        return Err(Denial::new(ErrorKind::Unauthenticated.into()));
                    }
                    Identity::Pending(pending) => {
                        return Ok(Check::Wait(self.ask(Asked::Pending(pending))));
                    }
                    Identity::Known(principal) => {
                        request.extensions.insert(principal.clone());
                        principal
                    }
                }
            }
        };
        self.requirement.judge(&principal)?;
        match self.fresh {
            false => Ok(Check::Allow),
            true => Ok(Check::Wait(self.ask(Asked::Known(principal)))),
        }
    }

    fn accept(&self, request: &mut Parts, answer: Result<Proof, Error>) -> Result<(), Denial> {
        let Proof { principal, fresh } = answer.map_err(Denial::new)?;
        self.requirement.judge(&principal)?;
        request.extensions.insert(principal);
        if let Some(slot) = fresh {
            request.extensions.insert(slot);
        }
        Ok(())
    }
}

impl Guard for RequireLayer {
    type Pending = Pending;

    fn check(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
    ) -> Result<Check<Pending>, Rejection<'_>> {
        self.look(request, headers).map_err(|denial| self.reject(denial))
    }

    fn decide(
        &self,
        request: &mut Parts,
        _: &mut ResponseHeaders,
        answer: Result<Proof, Error>,
    ) -> Result<Check<Pending>, Rejection<'_>> {
        let accepted = self.accept(request, answer).map_err(|denial| self.reject(denial));
        accepted.map(|()| Check::Allow)
    }
}
