//! Response completion: problem documents, rate limit headers, cache and security headers.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use goat_core::Time;
use goat_tower::{LimitDecisions, RequestId};
use http::header::{AUTHORIZATION, CACHE_CONTROL};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue};

use super::{problems, security_headers};
use crate::start::settings::HttpSettings;

/// The state of [`finish_response`].
#[derive(Clone, Debug)]
pub(super) struct Completion {
    time: Time,
    /// Whether clients reach the API by `https:`.
    is_https: bool,
}

impl Completion {
    pub(super) fn new(time: Time, http: &HttpSettings) -> Self {
        let url = http.public_url.as_ref();
        Self { time, is_https: url.is_some_and(|url| url.scheme() == Some(&Scheme::HTTPS)) }
    }
}

/// Completes every response: the whole problem document, the headers of the limits, and the headers
/// for caches and browsers.
pub(super) async fn finish_response(
    State(completion): State<Completion>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = request.extensions().get::<RequestId>().cloned();
    let path = request.uri().path().to_owned();
    let is_private = carries_credentials(&path, request.headers());
    // Created here, so that all limits further in add to it and the headers are written once.
    let decisions = LimitDecisions::collect(request.extensions_mut()).decisions().clone();

    let mut response = next.run(request).await;

    problems::complete(&mut response, &path, id.as_ref());
    decisions.write_headers(&mut response, completion.time.now());
    let headers = response.headers_mut();
    if is_private {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    security_headers::set(headers, completion.is_https);
    response
}

/// Whether the response is private to the client (H1; RFC 9111 §5.2.2.5).
fn carries_credentials(path: &str, headers: &HeaderMap) -> bool {
    path.starts_with("/api/v1/auth/") || headers.contains_key(AUTHORIZATION)
}
