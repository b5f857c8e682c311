//! Authentication middleware: verifies the access token or API key of a request and stores its principal.

mod source;
mod waiting;
pub(crate) mod with_limits;

use std::fmt;
use std::sync::Arc;

use goat_core::{ErrorKind, Goat};
use http::StatusCode;
use http::request::Parts;
use tower_layer::Layer;

use crate::cookie::Cookies;
use crate::guard::{Check, Guard, Guarded, Rejection, ResponseHeaders};
use crate::limit::LimitLayer;
use crate::request::bearer::bearer;
use crate::request::origin::Origin;
use crate::response::denial::{Denial, ProblemDetails, RenderDenial};
use with_limits::AuthenticateWithLimitsLayer;

pub(crate) use source::{Identity, Source, identify};
pub(crate) use waiting::{Authenticated, Waiting};

/// Authenticates requests: against live sessions over a [`Goat`], by the token alone over an offline
/// [`Verifier`](goat_core::token::Verifier) (see [`offline`](crate::offline)).
///
/// - The bearer token of the `Authorization` header is verified, or else the access-token cookie if
///   [`cookies`] is set. The principal goes into the request's extensions: a
///   [`Principal`](crate::Principal) over a `Goat`, a
///   [`TokenPrincipal`](crate::offline::TokenPrincipal) over a `Verifier`.
/// - A request without credentials is rejected with 401 `unauthenticated`, unless authentication is
///   [`optional`]. An invalid token is always a 401, two `Authorization` headers are a 400, and a
///   store that does not respond is a 503.
/// - An API key of the `Authorization` header is accepted like a token, unless [`keys`] says otherwise;
///   one in a cookie is an invalid token.
/// - With [`Cookies::renew`], the session of an expired access cookie is renewed within the request.
/// - Every response to a request that carries an `Authorization` header, or the cookie, gets
///   `Cache-Control: no-store` in place of its own.
/// - A session in the cache is validated without waiting. A `Verifier` never waits.
///
/// ```
/// use goat_core::testing::TestGoat;
/// use goat_tower::{GoatExt, Principal};
/// use http::{Request, Response, StatusCode};
/// use http_body_util::Empty;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let test = TestGoat::new();
/// let alice = test.sign_in("alice", []).await;
///
/// let service = test.goat.authenticate().layer(service_fn(async |request: Request<()>| {
///     let me = Principal::of(request.extensions()).expect("an authenticated request");
///     let response = Response::builder().header("x-user", me.user().to_string());
///     response.body(Empty::<&[u8]>::new())
/// }));
///
/// let allowed = Request::builder().header("authorization", alice.bearer()).body(())?;
/// let response = service.clone().oneshot(allowed).await?;
/// assert_eq!(response.headers()["x-user"], alice.user.id.to_string());
/// assert_eq!(response.headers()["cache-control"], "no-store");
///
/// let rejected = service.oneshot(Request::new(())).await?;
/// assert_eq!(rejected.status(), StatusCode::UNAUTHORIZED);
/// assert_eq!(rejected.headers()["www-authenticate"], r#"Bearer realm="goat""#);
/// # Ok(())
/// # }
/// ```
///
/// [`cookies`]: AuthenticateLayer::cookies
/// [`keys`]: AuthenticateLayer::keys
/// [`optional`]: AuthenticateLayer::optional
#[derive(Clone)]
pub struct AuthenticateLayer<S = Goat> {
    source: S,
    optional: bool,
    cookies: Option<Cookies>,
    /// Whether API keys are accepted.
    keys: bool,
    renderer: Arc<dyn RenderDenial>,
}

impl<S: Source> AuthenticateLayer<S> {
    pub(crate) fn new(source: S) -> Self {
        let renderer = Arc::new(ProblemDetails);
        Self { source, optional: false, cookies: None, keys: true, renderer }
    }

    /// Allows requests without credentials, without a principal. An invalid token is still rejected.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Accepts the access token from a cookie too, if the request has no bearer token, and applies the
    /// CSRF check to such requests: a cross-site request is rejected with 403 `cross-site-request`. For
    /// browsers; see [the module](crate::cookie) for the rules and an example. The cookie belongs to one
    /// host, so a service with a `Verifier` must be on the host of the service that sets it.
    #[must_use]
    pub fn cookies(mut self, cookies: Cookies) -> Self {
        self.cookies = Some(cookies);
        self
    }

    /// Combines authentication with two limits in one layer: one before it, such as by address, and
    /// one after it, such as by user. `None::<LimitLayer>` leaves one out.
    ///
    /// Responds as the three layers do when they are stacked, with fewer round trips to the stores; see
    /// [`AuthenticateWithLimitsLayer`].
    #[must_use]
    pub fn limited(
        self,
        before: impl Into<Option<LimitLayer>>,
        after: impl Into<Option<LimitLayer>>,
    ) -> AuthenticateWithLimitsLayer<S> {
        AuthenticateWithLimitsLayer::new(self, before.into(), after.into())
    }

    /// Renders rejections with `renderer` instead of [`ProblemDetails`].
    #[must_use]
    pub fn render_with(mut self, renderer: impl RenderDenial) -> Self {
        self.renderer = Arc::new(renderer);
        self
    }

    /// Authenticates the request, and stores its identity if that needs no store.
    pub(crate) fn identify(&self, request: &mut Parts) -> Result<Check<Waiting<S>>, Denial> {
        let identity = identify(&self.source, request, self.cookies.as_ref());
        let is_renewable = match &identity {
            Ok(identity) => matches!(identity, Identity::Anonymous),
            Err(denial) => denial.error().is_some_and(|e| e.kind() == ErrorKind::TokenExpired),
        };
        if is_renewable && let Some(renewal) = self.renewal(request)? {
            return Ok(Check::Wait(Waiting::Renew(renewal)));
        }
        let principal = match identity? {
            Identity::Pending(pending) => return Ok(Check::Wait(Waiting::Validate(pending))),
            Identity::Known(principal) => Some(self.admit(principal)?),
            Identity::Anonymous if self.optional => None,
            Identity::Anonymous => return Err(Denial::new(ErrorKind::Unauthenticated.into())),
        };
        self.source.insert(&mut request.extensions, principal);
        Ok(Check::Allow)
    }

    /// Starts the renewal of a session by the request's refresh cookie, for a request without a bearer
    /// token.
    fn renewal(&self, request: &Parts) -> Result<Option<S::Renewal>, Denial> {
        let Some(cookies) = &self.cookies else { return Ok(None) };
        if bearer(&request.headers)?.is_some() {
            return Ok(None);
        }
        let token = cookies.renewal_token(request)?;
        Ok(token.and_then(|token| self.source.renew(token, Origin::of(request))))
    }

    /// Returns the principal of an authentication. The response to a renewal sets the cookies, or
    /// clears them if the session cannot continue.
    fn principal(
        &self,
        headers: &mut ResponseHeaders,
        outcome: Authenticated<S>,
    ) -> Result<S::Principal, Denial> {
        let (outcome, cookies) = match (outcome, &self.cookies) {
            (Authenticated::Validated(outcome), _) => {
                return outcome.map_err(Denial::new).and_then(|principal| self.admit(principal));
            }
            (Authenticated::Renewed(outcome), None) => {
                return outcome.map(|(principal, _)| principal).map_err(Denial::new);
            }
            (Authenticated::Renewed(outcome), Some(cookies)) => (outcome, cookies),
        };
        match outcome {
            Ok((principal, tokens)) => {
                headers.set_cookies(cookies.of(&tokens).map_err(Denial::new)?);
                Ok(principal)
            }
            Err(error) => {
                let denial = Denial::new(error);
                if denial.problem().status() == StatusCode::UNAUTHORIZED {
                    headers.set_cookies(cookies.expired());
                }
                Err(denial)
            }
        }
    }

    /// Rejects an API key where keys are not accepted.
    fn admit(&self, principal: S::Principal) -> Result<S::Principal, Denial> {
        if self.keys || !S::is_key(&principal) {
            Ok(principal)
        } else {
            Err(Denial::new(ErrorKind::SessionRequired.into()))
        }
    }

    /// Sets `Cache-Control: no-store` on the response if the request carries credentials.
    pub(crate) fn forbid_caching(&self, request: &Parts, headers: &mut ResponseHeaders) {
        headers.forbid_caching(request, self.cookies.as_ref());
    }

    pub(crate) fn reject(&self, denial: Denial) -> Rejection<'_> {
        Rejection::new(denial, self.renderer.as_ref())
    }
}

/// Over a `Goat`: an offline verifier accepts no API keys.
impl AuthenticateLayer {
    /// Whether API keys are accepted, as they are by default. If not, a valid key is rejected with 403
    /// `session-required`, on every route that the layer is around.
    ///
    /// [`Requirement::person`](crate::Requirement::person) is for single routes.
    #[must_use]
    pub fn keys(mut self, accepted: bool) -> Self {
        self.keys = accepted;
        self
    }
}

impl<S> fmt::Debug for AuthenticateLayer<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("AuthenticateLayer");
        debug.field("optional", &self.optional).field("cookies", &self.cookies);
        debug.field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl<T, S: Source> Layer<T> for AuthenticateLayer<S> {
    type Service = Guarded<T, Self>;

    fn layer(&self, inner: T) -> Self::Service {
        Guarded::new(inner, self.clone())
    }
}

impl<S: Source> Guard for AuthenticateLayer<S> {
    type Pending = Waiting<S>;

    fn check(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
    ) -> Result<Check<Waiting<S>>, Rejection<'_>> {
        self.forbid_caching(request, headers);
        self.identify(request).map_err(|denial| self.reject(denial))
    }

    fn decide(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
        outcome: Authenticated<S>,
    ) -> Result<Check<Waiting<S>>, Rejection<'_>> {
        let principal = self.principal(headers, outcome).map_err(|denial| self.reject(denial))?;
        self.source.insert(&mut request.extensions, Some(principal));
        Ok(Check::Allow)
    }
}
