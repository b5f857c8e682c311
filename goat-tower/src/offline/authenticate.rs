//! Authentication by a token alone: who was there when it was signed?

use std::convert::Infallible;
use std::fmt;
use std::future;
use std::sync::Arc;

use goat_core::ErrorKind;
use goat_core::token::Verifier;
use http::request::Parts;
use tower_layer::Layer;

use super::principal::OfflineIdentity;
use crate::cookie::Cookies;
use crate::guard::{Check, Guard, Guarded, Rejection, ResponseHeaders};
use crate::request::credentials::access_token;
use crate::response::denial::{Denial, ProblemDetails, RenderDenial};

/// Lets in who shows a good access token, whether or not its session still lives.
///
/// - The bearer token of the `Authorization` header is exchanged for a
///   [`TokenPrincipal`](super::TokenPrincipal), which goes into the request's extensions.
/// - No credentials are a 401 `unauthenticated`, or pass where [`optional`] was said. A token that does
///   not do is a 401 either way, `invalid-token` or `token-expired`, and two `Authorization` headers are
///   a 400.
/// - Every answer to a request that carries an `Authorization` header gets `Cache-Control: no-store` in
///   place of what stood there.
/// - Nobody is asked and nothing is waited for.
///
/// ```
/// # use std::sync::Arc;
/// # use goat_core::token::{TokenSettings, Verifier};
/// use goat_tower::offline::{TokenPrincipal, VerifierExt};
/// use http::{Request, Response, StatusCode};
/// use http_body_util::Empty;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let issuer = goat_core::testing::TestGoat::new();
/// # let alice = issuer.sign_in("alice", []).await;
/// # let (jwks, clock) = (issuer.goat.jwks().to_string(), Arc::new(issuer.clock.clone()));
/// # let verifier = Verifier::with_clock(jwks, TokenSettings::default(), clock)?;
/// let service = verifier.authenticate().layer(service_fn(async |request: Request<()>| {
///     let who = TokenPrincipal::of(request.extensions()).expect("somebody with a token");
///     let response = Response::builder().header("x-user", who.user().to_string());
///     response.body(Empty::<&[u8]>::new())
/// }));
///
/// let allowed = Request::builder().header("authorization", alice.bearer()).body(())?;
/// let response = service.clone().oneshot(allowed).await?;
/// assert_eq!(response.headers()["x-user"], alice.user.id.to_string());
/// assert_eq!(response.headers()["cache-control"], "no-store");
///
/// let refused = Request::builder().header("authorization", "Bearer a.b.c").body(())?;
/// let response = service.oneshot(refused).await?;
/// assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
/// # Ok(())
/// # }
/// ```
///
/// [`optional`]: AuthenticateLayer::optional
#[derive(Clone)]
pub struct AuthenticateLayer {
    verifier: Verifier,
    optional: bool,
    cookies: Option<Cookies>,
    renderer: Arc<dyn RenderDenial>,
}

impl AuthenticateLayer {
    pub(super) fn new(verifier: Verifier) -> Self {
        Self { verifier, optional: false, cookies: None, renderer: Arc::new(ProblemDetails) }
    }

    /// Lets requests without credentials pass too, without a principal. A token that does not do is
    /// refused all the same: who shows one wants to be somebody.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Takes the access token from a cookie too, where no bearer token is in the `Authorization`
    /// header, and checks from where such a request comes; see
    /// [the same](crate::AuthenticateLayer::cookies) over a `Goat`. The cookie is of one host, so this is
    /// for a service that browsers find on the host of the one that sets it.
    #[must_use]
    pub fn cookies(mut self, cookies: Cookies) -> Self {
        self.cookies = Some(cookies);
        self
    }

    /// How its denials look, in place of [`ProblemDetails`].
    #[must_use]
    pub fn render_with(mut self, renderer: impl RenderDenial) -> Self {
        self.renderer = Arc::new(renderer);
        self
    }

    fn look(&self, request: &mut Parts) -> Result<(), Denial> {
        let seen = identify(&self.verifier, request, self.cookies.as_ref())?;
        if seen.principal.is_none() && !self.optional {
            return Err(Denial::new(ErrorKind::Unauthenticated.into()));
        }
        request.extensions.insert(seen);
        Ok(())
    }
}

/// Reads the credentials of a request.
pub(super) fn identify(
    verifier: &Verifier,
    request: &Parts,
    cookies: Option<&Cookies>,
) -> Result<OfflineIdentity, Denial> {
    let token = access_token(request, cookies)?;
    let principal = token.map(|token| verifier.verify(token)).transpose().map_err(Denial::new)?;
    Ok(OfflineIdentity { by: verifier.clone(), principal })
}

impl fmt::Debug for AuthenticateLayer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("offline::AuthenticateLayer");
        debug.field("optional", &self.optional).field("cookies", &self.cookies);
        debug.finish_non_exhaustive()
    }
}

impl<S> Layer<S> for AuthenticateLayer {
    type Service = Guarded<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded::new(inner, self.clone())
    }
}

impl Guard for AuthenticateLayer {
    type Pending = future::Pending<Infallible>;

    fn check(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
    ) -> Result<Check<Self::Pending>, Rejection<'_>> {
        headers.forbid_caching(request, self.cookies.as_ref());
        match self.look(request) {
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
