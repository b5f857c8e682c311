//! CORS (Fetch standard): pages of the configured origins may use the API, by tower-http's
//! [`CorsLayer`].
//!
//! - Credentials are never allowed: a page authenticates with an `Authorization` header that its own
//!   code sets, and nothing here reads a cookie (H4).
//! - `CorsLayer` answers every OPTIONS request. Only a preflight of an allowed origin for an existing
//!   path is handed to it; the route rejects any other with 404 or 405.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use goat_tower::RequestId;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_TYPE, ORIGIN, VARY};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use tower::{Layer as _, ServiceExt as _};
use tower_http::cors::CorsLayer;

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

/// The allowed origins.
#[derive(Clone, Debug)]
pub(super) struct Cors {
    origins: Arc<[HeaderValue]>,
    layer: CorsLayer,
}

impl Cors {
    /// Takes origins as browsers send them; `None` if there are none.
    pub(super) fn new(origins: &[String]) -> Option<Self> {
        let origins: Arc<[_]> =
            origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
        let layer = CorsLayer::new()
            .allow_origin(origins.to_vec())
            .allow_methods(METHODS)
            .allow_headers([AUTHORIZATION, CONTENT_TYPE, RequestId::HEADER])
            .expose_headers(EXPOSED.map(HeaderName::from_static))
            .max_age(MAX_AGE)
            .vary([ORIGIN]);
        (!origins.is_empty()).then_some(Self { origins, layer })
    }

    /// Whether a request is a preflight of an allowed origin for an existing path.
    fn is_preflight(&self, request: &Request) -> bool {
        request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
            && request.extensions().get::<MatchedPath>().is_some()
            && request.headers().get(ORIGIN).is_some_and(|origin| self.origins.contains(origin))
    }
}

/// Answers preflights, and adds the CORS headers to every other response.
pub(super) async fn cors(State(cors): State<Cors>, request: Request, next: Next) -> Response {
    let is_options = request.method() == Method::OPTIONS;
    if is_options && !cors.is_preflight(&request) {
        let mut response = next.run(request).await;
        response.headers_mut().insert(VARY, HeaderValue::from_static("origin"));
        return response;
    }
    let mut response = cors.layer.layer(next).oneshot(request).await.into_response();
    if is_options {
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    response
}
