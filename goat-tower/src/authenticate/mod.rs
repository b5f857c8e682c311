//! Authentication: whose request is this?

pub(crate) mod with_limits;

use std::sync::Arc;

use goat_core::auth::Authentication;
use goat_core::{Error, ErrorKind, Goat};
use http::request::Parts;
use tower_layer::Layer;

use crate::cookie::Cookies;
use crate::guard::{Check, Guard, Guarded, Rejection, ResponseHeaders};
use crate::limit::LimitLayer;
use crate::request::credentials::access_token;
use crate::request::principal::Anonymous;
use crate::response::denial::{Denial, ProblemDetails, RenderDenial};
use with_limits::AuthenticateWithLimitsLayer;

/// Lets in who shows an access token of a live session.
///
/// - The bearer token of the `Authorization` header is exchanged for a principal, which goes into
///   the request's extensions; see [`Principal`](crate::Principal). Where there is none, the cookie's,
///   if [`cookies`] was said.
/// - No credentials are a 401 `unauthenticated`, or pass where [`optional`] was said. A token that
///   does not do is a 401 either way, two `Authorization` headers are a 400, and a store that cannot
///   tell is a 503.
/// - Every answer to a request that carries an `Authorization` header, or the cookie, gets
///   `Cache-Control: no-store` in place of what stood there.
/// - A session that the cache knows is let in without waiting.
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
///     let me = Principal::of(request.extensions()).expect("somebody is signed in");
///     let response = Response::builder().header("x-user", me.user().to_string());
///     response.body(Empty::<&[u8]>::new())
/// }));
///
/// let allowed = Request::builder().header("authorization", alice.bearer()).body(())?;
/// let response = service.clone().oneshot(allowed).await?;
/// assert_eq!(response.headers()["x-user"], alice.user.id.to_string());
/// assert_eq!(response.headers()["cache-control"], "no-store");
///
/// let refused = service.oneshot(Request::new(())).await?;
/// assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
/// assert_eq!(refused.headers()["www-authenticate"], r#"Bearer realm="goat""#);
/// # Ok(())
/// # }
/// ```
///
/// [`cookies`]: AuthenticateLayer::cookies
/// [`optional`]: AuthenticateLayer::optional
#[derive(Clone)]
pub struct AuthenticateLayer {
    goat: Goat,
    optional: bool,
    cookies: Option<Cookies>,
    renderer: Arc<dyn RenderDenial>,
}

impl AuthenticateLayer {
    pub(crate) fn new(goat: Goat) -> Self {
        Self { goat, optional: false, cookies: None, renderer: Arc::new(ProblemDetails) }
    }

    /// Lets requests without credentials pass too, without a principal. A token that does not do is
    /// refused all the same: who shows one wants to be somebody.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Takes the access token from a cookie too, where no bearer token is in the `Authorization`
    /// header, and checks from where such a request comes: one that another site's page makes is a
    /// 403 `cross-site-request`. For browsers; [the module](crate::cookie) has the rules and an example.
    #[must_use]
    pub fn cookies(mut self, cookies: Cookies) -> Self {
        self.cookies = Some(cookies);
        self
    }

    /// The same between two limits: one that is asked before it is known whose request it is, such
    /// as one by address, and one that is asked after, such as one by user. Where there is nothing to
    /// count, give `None::<LimitLayer>`.
    ///
    /// Says what the three layers say when they are stacked, and waits for one answer of the stores
    /// where those wait for one each; see [`AuthenticateWithLimitsLayer`].
    #[must_use]
    pub fn limited(
        self,
        before: impl Into<Option<LimitLayer>>,
        after: impl Into<Option<LimitLayer>>,
    ) -> AuthenticateWithLimitsLayer {
        AuthenticateWithLimitsLayer::new(self, before.into(), after.into())
    }

    /// How its denials look, in place of [`ProblemDetails`].
    #[must_use]
    pub fn render_with(mut self, renderer: impl RenderDenial) -> Self {
        self.renderer = Arc::new(renderer);
        self
    }
}

impl std::fmt::Debug for AuthenticateLayer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = formatter.debug_struct("AuthenticateLayer");
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

impl AuthenticateLayer {
    /// Reads the credentials, and leaves whose they are if that is known here.
    pub(crate) fn identify(&self, request: &mut Parts) -> Result<Check<Authentication>, Denial> {
        match identify(&self.goat, request, self.cookies.as_ref())? {
            Identity::Known(principal) => {
                request.extensions.insert(principal);
                Ok(Check::Allow)
            }
            Identity::Pending(pending) => Ok(Check::Wait(pending)),
            Identity::Anonymous if self.optional => {
                request.extensions.insert(Anonymous);
                Ok(Check::Allow)
            }
            Identity::Anonymous => Err(Denial::new(ErrorKind::Unauthenticated.into())),
        }
    }

    /// What answers credentials is kept by no cache, wherever they stand.
    pub(crate) fn forbid_caching(&self, request: &Parts, headers: &mut ResponseHeaders) {
        headers.forbid_caching(request, self.cookies.as_ref());
    }

    pub(crate) fn reject(&self, denial: Denial) -> Rejection<'_> {
        Rejection::new(denial, self.renderer.as_ref())
    }
}

impl Guard for AuthenticateLayer {
    type Pending = Authentication;

    fn check(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
    ) -> Result<Check<Authentication>, Rejection<'_>> {
        self.forbid_caching(request, headers);
        self.identify(request).map_err(|denial| self.reject(denial))
    }

    fn decide(
        &self,
        request: &mut Parts,
        _: &mut ResponseHeaders,
        answer: Result<goat_core::Principal, Error>,
    ) -> Result<Check<Authentication>, Rejection<'_>> {
        let principal = answer.map_err(|error| self.reject(Denial::new(error)))?;
        request.extensions.insert(principal);
        Ok(Check::Allow)
    }
}

/// What the headers of a request say of who makes it.
pub(crate) enum Identity {
    /// Nothing: no bearer token.
    Anonymous,
    /// Somebody whom the cache knows.
    Known(goat_core::Principal),
    /// Perhaps somebody: the stores must be asked.
    Pending(Authentication),
}

/// Reads the credentials of a request, as far as that needs no store.
pub(crate) fn identify(
    goat: &Goat,
    request: &Parts,
    cookies: Option<&Cookies>,
) -> Result<Identity, Denial> {
    let Some(token) = access_token(request, cookies)? else { return Ok(Identity::Anonymous) };
    match goat.authenticate_token(token).ready() {
        Ok(answer) => answer.map(Identity::Known).map_err(Denial::new),
        Err(pending) => Ok(Identity::Pending(pending)),
    }
}
