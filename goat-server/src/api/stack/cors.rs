//! Cross-origin requests (Fetch standard): allowed to the configured origins, and to nobody else.
//!
//! - An origin is compared as a whole, byte for byte: no patterns, no `*`, no `null`.
//! - There is no `Access-Control-Allow-Credentials`: tokens travel in a header that the page's own
//!   code sets, and nothing here reads a cookie (H4).
//! - With no origin configured nothing is answered, and OPTIONS is a method like any other.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

/// What a page may send.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// The headers that a page may set.
const REQUEST_HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, x-request-id");
/// The headers that a page may read.
const RESPONSE_HEADERS: HeaderValue = HeaderValue::from_static(
    "location, ratelimit, ratelimit-policy, retry-after, www-authenticate, x-ratelimit-limit, \
     x-ratelimit-remaining, x-ratelimit-reset, x-request-id",
);
/// How long a browser need not ask again, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
/// What the answer to a preflight depends on.
const VARY_PREFLIGHT: HeaderValue = HeaderValue::from_static(
    "origin, access-control-request-method, access-control-request-headers",
);

/// The origins whose pages may use the API.
#[derive(Clone, Debug)]
pub(crate) struct Cors {
    origins: Arc<[HeaderValue]>,
}

impl Cors {
    /// Takes origins as browsers send them.
    pub(crate) fn new(origins: &[String]) -> Self {
        let values = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
        Self { origins: values.collect() }
    }

    /// Whether any origin is allowed at all.
    pub(crate) fn is_on(&self) -> bool {
        !self.origins.is_empty()
    }

    /// The request's origin, if its pages may use the API.
    pub(super) fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let mut values = headers.get_all(ORIGIN).iter();
        let origin = values.next().filter(|_| values.next().is_none())?;
        self.origins.contains(origin).then(|| origin.clone())
    }

    /// The answer to a browser that asks beforehand, where the path exists and the origin may.
    /// Anything else is the route's to answer.
    pub(super) fn preflight(&self, request: &Request) -> Option<Response> {
        let asks = request.method() == Method::OPTIONS
            && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
            && request.extensions().get::<MatchedPath>().is_some();
        if !asks {
            return None;
        }
        self.allowed(request.headers())?;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
        headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        headers.insert(VARY, VARY_PREFLIGHT);
        Some(response)
    }

    /// Lets the page read an answer; and says, to whomever it is given, that it depends on the
    /// origin, so that no cache hands one origin's answer to another.
    pub(super) fn mark(&self, headers: &mut HeaderMap, origin: Option<HeaderValue>) {
        if !self.is_on() {
            return;
        }
        headers.entry(VARY).or_insert(HeaderValue::from_static("origin"));
        if let Some(origin) = origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS);
        }
    }
}
