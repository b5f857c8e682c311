//! CORS (Fetch standard): pages of the configured origins may use the API, by tower-http's
//! [`CorsLayer`].
//!
//! - Credentials are allowed only if the server uses session cookies, and then for the configured origins
//!   alone (H4). Otherwise a page authenticates with an `Authorization` header that its own code sets.
//! - `CorsLayer` answers every OPTIONS request. Only a preflight of an allowed origin for an existing
//!   path is handed to it; the route rejects any other with 404 or 405.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::response::Response;
use goat_tower::RequestId;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_TYPE, ORIGIN, VARY};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use tower::{Layer, Service, ServiceExt as _};

use super::routes::Routes;

/// How long a browser may cache the response to a preflight.
const MAX_AGE: Duration = Duration::from_secs(600);

/// The methods that a page may use.
const METHODS: [Method; 6] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// The response headers that a page may read.
const EXPOSED: [&str; 9] = [
    "location",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "www-authenticate",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-request-id",
];

/// Layer that applies [`Cors`].
#[derive(Clone)]
pub(super) struct CorsLayer(Arc<Rules>);

/// The allowed origins and paths.
struct Rules {
    origins: Vec<HeaderValue>,
    routes: Arc<Routes>,
    layer: tower_http::cors::CorsLayer,
}

impl CorsLayer {
    /// Takes origins as browsers send them, and whether their pages may send cookies; `None` if there
    /// are none.
    pub(super) fn new(origins: &[String], credentials: bool, routes: &Arc<Routes>) -> Option<Self> {
        let origins: Vec<_> =
            origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
        let layer = tower_http::cors::CorsLayer::new()
            .allow_origin(origins.clone())
            .allow_credentials(credentials)
            .allow_methods(METHODS)
            .allow_headers([AUTHORIZATION, CONTENT_TYPE, RequestId::HEADER])
            .expose_headers(EXPOSED.map(HeaderName::from_static))
            .max_age(MAX_AGE)
            .vary([ORIGIN]);
        let routes = Arc::clone(routes);
        (!origins.is_empty()).then(|| Self(Arc::new(Rules { origins, routes, layer })))
    }
}

impl Rules {
    /// Whether a request is a preflight of an allowed origin for an existing path.
    fn is_preflight<A>(&self, request: &Request<A>) -> bool {
        request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
            && self.routes.contains(request.uri().path())
            && request.headers().get(ORIGIN).is_some_and(|origin| self.origins.contains(origin))
    }
}

impl<S> Layer<S> for CorsLayer {
    type Service = Cors<S>;

    fn layer(&self, inner: S) -> Cors<S> {
        Cors { inner, rules: Arc::clone(&self.0) }
    }
}

/// Service that answers preflights, and adds the CORS headers to every other response.
#[derive(Clone)]
pub(super) struct Cors<S> {
    inner: S,
    rules: Arc<Rules>,
}

impl<S, A> Service<Request<A>> for Cors<S>
where
    S: Service<Request<A>, Response = Response> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    A: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let is_options = *request.method() == Method::OPTIONS;
        if is_options && !self.rules.is_preflight(&request) {
            let response = inner.call(request);
            return Box::pin(async move {
                let mut response = response.await?;
                response.headers_mut().insert(VARY, HeaderValue::from_static("origin"));
                Ok(response)
            });
        }
        let response = self.rules.layer.layer(inner).oneshot(request);
        Box::pin(async move {
            let mut response = response.await?;
            if is_options {
                *response.status_mut() = StatusCode::NO_CONTENT;
            }
            Ok(response)
        })
    }
}
