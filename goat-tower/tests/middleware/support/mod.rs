//! Requests, an inner service that watches how it is treated, and answers in a form to compare.

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
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{Service, ServiceExt, service_fn};

pub(crate) const REPORTS: Permission = Permission::new("report:read");
pub(crate) const EXPORTS: Permission = Permission::new("report:export");

pub(crate) type Sent = Full<Bytes>;

/// A request of somebody, or of nobody, from one and the same address.
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

/// The same as a gRPC client asks, or one of gRPC-Web.
pub(crate) fn in_grpc(mut request: Request<Sent>, content_type: &'static str) -> Request<Sent> {
    *request.method_mut() = Method::POST;
    request.headers_mut().insert("content-type", HeaderValue::from_static(content_type));
    request
}

/// Answers 200 and in `x-user` who asks.
pub(crate) fn whoami()
-> impl Service<Request<Sent>, Response = Response<Sent>, Error = Infallible, Future: Send> + Clone
{
    service_fn(|request: Request<Sent>| {
        let user = request.extensions().get::<Principal>().map(|me| me.user().to_string());
        let response = Response::builder().header("x-user", user.unwrap_or_default());
        ready(Ok(response.body(Full::from("answered")).unwrap()))
    })
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) response: Response<()>,
    pub(crate) body: String,
}

impl Answer {
    /// A header's value; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The status, and the code of the problem document if it is one.
    pub(crate) fn outcome(&self) -> (u16, &str) {
        let code = self.body.split_once(r#""code":""#).and_then(|(_, rest)| rest.split_once('"'));
        (self.status.as_u16(), code.map_or("", |(code, _)| code))
    }
}

/// Sends a request, and reads the answer to its end.
pub(crate) async fn send<S, R>(service: &S, request: Request<Sent>) -> Answer
where
    S: Service<Request<Sent>, Response = Response<R>> + Clone,
    S::Error: std::fmt::Debug,
    R: Body<Error: std::fmt::Debug>,
{
    let (parts, body) = service.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap_or_else(|error| panic!("{error:?}")).to_bytes();
    Answer {
        status: parts.status,
        response: Response::from_parts(parts, ()),
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

/// What a [`Probe`] has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    calls: AtomicUsize,
    unready_calls: AtomicUsize,
    reserved: AtomicUsize,
    stalled: AtomicBool,
    broken: AtomicBool,
}

impl Seen {
    /// How many requests came through.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    /// How many of them came to an instance that was not polled ready.
    pub(crate) fn unready_calls(&self) -> usize {
        self.unready_calls.load(SeqCst)
    }

    /// How many instances are ready and hold what they reserved.
    pub(crate) fn reserved(&self) -> usize {
        self.reserved.load(SeqCst)
    }

    /// Whether nobody gets ready.
    pub(crate) fn stall(&self, stalled: bool) {
        self.stalled.store(stalled, SeqCst);
    }

    /// From now on, to get ready fails.
    pub(crate) fn break_down(&self) {
        self.broken.store(true, SeqCst);
    }
}

/// A service that is ready only where it was polled, as a concurrency limit or a buffer is: a clone
/// is not, and what it reserved is given back by a call or when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    pub(crate) seen: Arc<Seen>,
    ready: bool,
}

/// An error of the application's own, to nobody's liking: no `Error`, no `From`.
#[derive(Debug, PartialEq)]
pub(crate) enum Odd {
    Failed,
    BrokenDown,
}

/// What somebody left in the extensions of a request, and an inner service in those of its response.
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
        // What of the request came through stands in the answer, to be compared.
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
