//! Test support: requests, an instrumented inner service, and responses in a comparable form.

pub(crate) mod connection;
#[cfg(feature = "tracing")]
pub(crate) mod log;
pub(crate) mod stores;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};

use bytes::Bytes;
use goat_core::testing::TestUser;
use goat_core::{Permission, Principal};
use goat_tower::address::ClientAddress;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{Service, ServiceExt, service_fn};

pub(crate) const REPORTS: Permission = Permission::new("report:read");
pub(crate) const EXPORTS: Permission = Permission::new("report:export");

pub(crate) type Sent = Full<Bytes>;

/// Returns a request with a user's token, or an anonymous one, from a fixed address.
pub(crate) fn request(user: Option<&TestUser>) -> Request<Sent> {
    let mut builder = Request::builder()
        .uri("/reports?page=1")
        .extension(ClientAddress::new([192, 0, 2, 7].into()));
    if let Some(user) = user {
        builder = builder.header("authorization", user.bearer());
    }
    builder.body(Full::from("sent")).unwrap()
}

pub(crate) fn with_header(name: &'static str, value: &str) -> Request<Sent> {
    let mut request = request(None);
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

/// Turns a request into that of a gRPC or gRPC-Web client that accepts trailers.
pub(crate) fn in_grpc(mut request: Request<Sent>, content_type: &'static str) -> Request<Sent> {
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
    request.headers_mut().insert("content-type", HeaderValue::from_static(content_type));
    request
}

/// Inner service that responds with 200 and the principal's user id in `x-user`.
pub(crate) fn whoami()
-> impl Service<Request<Sent>, Response = Response<Sent>, Error = Infallible, Future: Send> + Clone
{
    service_fn(|request: Request<Sent>| {
        let user = request.extensions().get::<Principal>().map(|me| me.user().to_string());
        let response = Response::builder().header("x-user", user.unwrap_or_default());
        ready(Ok(response.body(Full::from("answered")).unwrap()))
    })
}

/// A response with its collected body.
#[derive(Debug)]
pub(crate) struct TestResponse {
    pub(crate) status: StatusCode,
    pub(crate) head: Response<()>,
    pub(crate) body: String,
}

impl TestResponse {
    /// Returns a header's value, or an empty string.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.head.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Returns the status, and the code of the problem document.
    pub(crate) fn outcome(&self) -> (u16, &str) {
        let code = self.body.split_once(r#""code":""#).and_then(|(_, rest)| rest.split_once('"'));
        (self.status.as_u16(), code.map_or("", |(code, _)| code))
    }
}

/// Sends a request and collects the response's body.
pub(crate) async fn send<S, R>(service: &S, request: Request<Sent>) -> TestResponse
where
    S: Service<Request<Sent>, Response = Response<R>> + Clone,
    S::Error: std::fmt::Debug,
    R: Body<Error: std::fmt::Debug>,
{
    let (parts, body) = service.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap_or_else(|error| panic!("{error:?}")).to_bytes();
    TestResponse {
        status: parts.status,
        head: Response::from_parts(parts, ()),
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

/// Counters and switches of a [`Probe`].
#[derive(Debug, Default)]
pub(crate) struct Seen {
    calls: AtomicUsize,
    unready_calls: AtomicUsize,
    reserved: AtomicUsize,
    stalled: AtomicBool,
    broken: AtomicBool,
}

impl Seen {
    /// Number of calls.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    /// Number of calls on an instance that was not polled ready.
    pub(crate) fn unready_calls(&self) -> usize {
        self.unready_calls.load(SeqCst)
    }

    /// Number of instances that are ready and hold a reservation.
    pub(crate) fn reserved(&self) -> usize {
        self.reserved.load(SeqCst)
    }

    /// Sets whether `poll_ready` stays pending.
    pub(crate) fn stall(&self, stalled: bool) {
        self.stalled.store(stalled, SeqCst);
    }

    /// Makes `poll_ready` fail from now on.
    pub(crate) fn break_down(&self) {
        self.broken.store(true, SeqCst);
    }
}

/// Service whose readiness belongs to the polled instance, as in a concurrency limit or a buffer: a
/// clone is not ready, and the reservation is released by a call or on drop.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    pub(crate) seen: Arc<Seen>,
    ready: bool,
}

/// Error type without `std::error::Error` and without conversions.
#[derive(Debug, PartialEq)]
pub(crate) enum Odd {
    Failed,
    BrokenDown,
}

/// Marker in the extensions of requests and responses.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mark(pub(crate) String);

impl Clone for Probe {
    fn clone(&self) -> Self {
        Self { seen: Arc::clone(&self.seen), ready: false }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if self.ready {
            self.seen.reserved.fetch_sub(1, SeqCst);
        }
    }
}

impl Service<Request<Sent>> for Probe {
    type Response = Response<Sent>;
    type Error = Odd;
    type Future = Ready<Result<Response<Sent>, Odd>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Odd>> {
        if self.seen.broken.load(SeqCst) {
            return Poll::Ready(Err(Odd::BrokenDown));
        }
        if self.seen.stalled.load(SeqCst) {
            return Poll::Pending;
        }
        if !self.ready {
            self.ready = true;
            self.seen.reserved.fetch_add(1, SeqCst);
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Sent>) -> Self::Future {
        self.seen.calls.fetch_add(1, SeqCst);
        if std::mem::take(&mut self.ready) {
            self.seen.reserved.fetch_sub(1, SeqCst);
        } else {
            self.seen.unready_calls.fetch_add(1, SeqCst);
        }
        if request.headers().contains_key("x-fail") {
            return ready(Err(Odd::Failed));
        }
        // Describes the received request in the response, for comparisons.
        let (parts, body) = request.into_parts();
        let http::request::Parts { method, uri, version, headers, extensions, .. } = parts;
        let mark = extensions.get::<Mark>();
        let mark = Mark(format!("{method} {uri} {version:?} {headers:?} {mark:?}"));
        let response = Response::builder()
            .status(StatusCode::ACCEPTED)
            .version(version)
            .header("etag", "\"1\"")
            .header("x-twice", "a")
            .header("x-twice", "b")
            .extension(mark);
        ready(Ok(response.body(body).unwrap()))
    }
}
