//! Permissions by a token alone: might its user do that when it was signed?

use std::convert::Infallible;
use std::fmt;
use std::future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use goat_core::token::{TokenPrincipal, Verifier};
use goat_core::{Error, ErrorKind, Principal};
use http::request::Parts;
use tower_layer::Layer;

use super::authenticate::identify;
use super::permissions::Permissions;
use super::principal::OfflineIdentity;
use crate::guard::{Check, Guard, Guarded, Rejection, ResponseHeaders};
use crate::request::principal::Anonymous;
use crate::response::denial::{Denial, ProblemDetails, RenderDenial};
use crate::response::layer_order::layer_order_error;

/// Lets through whose token carries [`Permissions`], by the wildcards that goat knows.
///
/// - No token is a 401 `unauthenticated`; one without the permission a 403 `forbidden`, whose challenge
///   names what is missing.
/// - A token that says nothing of permissions meets none: a 403 for everybody, whose
///   [source](crate::Denial::error) says what its issuer must switch on. The log says it too (feature
///   `tracing`), once.
/// - It needs no [`authenticate`](super::VerifierExt::authenticate) layer around it: where none has
///   looked at the request, it does so itself.
///
/// ```
/// # use std::sync::Arc;
/// # use goat_core::token::{TokenSettings, Verifier};
/// # use goat_core::{Settings, Stores};
/// use goat_core::Permission;
/// use goat_tower::offline::VerifierExt;
/// use http::{Request, Response, StatusCode};
/// use http_body_util::Empty;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// const REPORTS: Permission = Permission::new("report:read");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let issuer = goat_core::testing::TestGoat::build(Stores::memory(), |goat| {
/// #     goat.settings(Settings { access_token_permissions: true, ..Settings::default() })
/// # });
/// # let alice = issuer.sign_in("alice", [Permission::new("report:*")]).await;
/// # let bob = issuer.sign_in("bob", []).await;
/// # let (jwks, clock) = (issuer.goat.jwks().to_string(), Arc::new(issuer.clock.clone()));
/// # let verifier = Verifier::with_clock(jwks, TokenSettings::default(), clock)?;
/// let service = verifier.require(REPORTS).layer(service_fn(async |_: Request<()>| {
///     Ok::<_, std::convert::Infallible>(Response::new(Empty::<&[u8]>::new()))
/// }));
///
/// // Alice's token says `report:*`.
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
    verifier: Verifier,
    permissions: Permissions,
    renderer: Arc<dyn RenderDenial>,
    /// Whether the log has heard what every request would say again. Clones share it.
    is_warned: Arc<AtomicBool>,
}

/// Why nobody is let through whose token names no permissions.
#[derive(Clone, Copy, Debug)]
struct NoPermissions;

impl NoPermissions {
    const ADVICE: &str = "a permission is required and the token names none: have its issuer put them \
        there, by Settings::access_token_permissions or, of goat-server, \
        GOAT_ACCESS_TOKEN_PERMISSIONS=true; a role with more of them than fit into a token of 8 KiB \
        needs fewer";
}

impl fmt::Display for NoPermissions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(Self::ADVICE)
    }
}

impl std::error::Error for NoPermissions {}

impl RequireLayer {
    pub(super) fn new(verifier: Verifier, permissions: Permissions) -> Self {
        Self {
            verifier,
            permissions,
            renderer: Arc::new(ProblemDetails),
            is_warned: Arc::default(),
        }
    }

    /// How its denials look, in place of [`ProblemDetails`].
    #[must_use]
    pub fn render_with(mut self, renderer: impl RenderDenial) -> Self {
        self.renderer = Arc::new(renderer);
        self
    }

    fn look(&self, request: &mut Parts, headers: &mut ResponseHeaders) -> Result<(), Denial> {
        let nobody = || Denial::new(ErrorKind::Unauthenticated.into());
        match OfflineIdentity::of(&request.extensions) {
            // Whom another issuer lets in may carry any permission that it likes.
            Some(seen) if !seen.by.is_clone_of(&self.verifier) => {
                Err(Denial::new(layer_order_error(
                    "a verifier.require(..) stands inside of another verifier's authenticate(): give both \
                 clones of one verifier",
                )))
            }
            Some(seen) => self.judge(seen.principal.as_ref().ok_or_else(nobody)?),
            None if goat_has_looked(request) => Err(Denial::new(layer_order_error(
                "a verifier.require(..) stands inside of goat.authenticate(), which knows more than \
                 any token says: use goat.require(..) there",
            ))),
            None => {
                headers.forbid_caching(request, None);
                let seen = identify(&self.verifier, request, None)?;
                self.judge(seen.principal.as_ref().ok_or_else(nobody)?)?;
                request.extensions.insert(seen);
                Ok(())
            }
        }
    }

    fn judge(&self, principal: &TokenPrincipal) -> Result<(), Denial> {
        if self.permissions.are_met_by(principal) {
            return Ok(());
        }
        let mut error = Error::from(ErrorKind::Forbidden);
        if principal.rights().is_none() {
            error = error.with_source(NoPermissions);
            if !self.is_warned.swap(true, Ordering::Relaxed) {
                #[cfg(feature = "tracing")]
                tracing::warn!("{NoPermissions}");
            }
        }
        let denial = Denial::new(error);
        Err(match self.permissions.scope() {
            Some(scope) => denial.with_scope(scope),
            None => denial,
        })
    }
}

/// Whether a goat's own layer has found out whose request it is.
fn goat_has_looked(request: &Parts) -> bool {
    let extensions = &request.extensions;
    extensions.get::<Principal>().is_some() || extensions.get::<Anonymous>().is_some()
}

impl fmt::Debug for RequireLayer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("offline::RequireLayer");
        debug.field("permissions", &self.permissions).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for RequireLayer {
    type Service = Guarded<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded::new(inner, self.clone())
    }
}

impl Guard for RequireLayer {
    type Pending = future::Pending<Infallible>;

    fn check(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
    ) -> Result<Check<Self::Pending>, Rejection<'_>> {
        match self.look(request, headers) {
            Ok(()) => Ok(Check::Allow),
            Err(denial) => Err(Rejection::new(denial, self.renderer.as_ref())),
        }
    }

    fn decide(
        &self,
        _: &mut Parts,
        _: &mut ResponseHeaders,
        never: Infallible,
    ) -> Result<Check<Self::Pending>, Rejection<'_>> {
        match never {}
    }
}
