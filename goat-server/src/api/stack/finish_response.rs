//! Response completion: problem documents, rate limit headers, cache and security headers.
//!
//! Completes every response: the whole problem document, the headers of the limits, and the headers
//! for caches and browsers. A response to HEAD loses its body here.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::Response;
use goat_core::Time;
use goat_tower::cookie::Cookies;
use goat_tower::{LimitDecisions, RateLimitHeaders, RequestId};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body::Body as _;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::{problems, security_headers};
use crate::api::Mount;
use crate::start::settings::HttpSettings;

/// Layer that applies [`FinishResponse`].
#[derive(Clone, Debug)]
pub(super) struct FinishResponseLayer(Arc<Completion>);

#[derive(Debug)]
struct Completion {
    time: Time,
    /// Whether clients reach the API by `https:`.
    is_https: bool,
    mount: Arc<Mount>,
    /// The session cookies that a request may carry.
    cookies: Option<Cookies>,
}

impl Completion {
    /// Whether the response is private to the client (H1; RFC 9111 §5.2.2.5).
    fn is_private(&self, path: &str, headers: &HeaderMap) -> bool {
        let path = self.mount.prefix().strip(path);
        path.is_some_and(|path| path.starts_with("/api/v1/auth/"))
            || headers.contains_key(AUTHORIZATION)
            || self.cookies.as_ref().is_some_and(|cookies| cookies.are_present(headers))
    }
}

impl FinishResponseLayer {
    pub(super) fn new(time: Time, http: &HttpSettings, mount: Arc<Mount>) -> Self {
        let url = http.public_url.as_ref();
        let is_https = url.is_some_and(|url| url.scheme() == Some(&Scheme::HTTPS));
        Self(Arc::new(Completion { time, is_https, mount, cookies: http.renewing_cookies() }))
    }
}

impl<S> Layer<S> for FinishResponseLayer {
    type Service = FinishResponse<S>;

    fn layer(&self, inner: S) -> FinishResponse<S> {
        FinishResponse { inner, completion: Arc::clone(&self.0) }
    }
}

/// Service that completes responses. See the [module](self).
#[derive(Clone, Debug)]
pub(super) struct FinishResponse<S> {
    inner: S,
    completion: Arc<Completion>,
}

impl<S, A> Service<Request<A>> for FinishResponse<S>
where
    S: Service<Request<A>, Response = Response>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = FinishResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let asked = Asked {
            id: request.extensions().get::<RequestId>().cloned(),
            is_head: *request.method() == Method::HEAD,
            is_private: self.completion.is_private(request.uri().path(), request.headers()),
            uri: request.uri().clone(),
            // Created here, so that all limits further in add to it and the headers are written once.
            decisions: LimitDecisions::collect(request.extensions_mut()).decisions().clone(),
            completion: Arc::clone(&self.completion),
        };
        FinishResponseFuture { inner: self.inner.call(request), asked }
    }
}

pin_project! {
    /// Response future of [`FinishResponse`].
    pub(super) struct FinishResponseFuture<F> {
        #[pin]
        inner: F,
        asked: Asked,
    }
}

impl<F, E> Future for FinishResponseFuture<F>
where
    F: Future<Output = Result<Response, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        this.asked.finish(&mut response);
        Poll::Ready(Ok(response))
    }
}

/// The facts of a request that its response depends on.
struct Asked {
    id: Option<RequestId>,
    uri: Uri,
    is_head: bool,
    is_private: bool,
    decisions: LimitDecisions,
    completion: Arc<Completion>,
}

impl Asked {
    fn finish(&self, response: &mut Response) {
        problems::complete(response, self.uri.path(), self.id.as_ref());
        let now = || self.completion.time.now();
        self.decisions.write_headers(response, RateLimitHeaders::Both, now);
        let headers = response.headers_mut();
        if self.is_private {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        security_headers::set(headers, self.completion.is_https);
        set_length(response, self.is_head);
        if self.is_head {
            *response.body_mut() = Body::empty();
        }
    }
}

/// Sets the length of a response that has no body to tell it.
fn set_length(response: &mut Response, is_head: bool) {
    let Some(length) = response.body().size_hint().exact() else { return };
    if (is_head || length == 0) && !response.headers().contains_key(CONTENT_LENGTH) {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}
