//! The application's service on one connection: adds the peer's address to each request, tracks the
//! request until its response has been handed over, and bounds what requests in flight use.
//!
//! Requests that the protocol forbids but the parser accepts are rejected here, before the service
//! is called: too many headers, and a request with no host or several (RFC 9112, section 3.2),
//! which two servers on its path could take for two different requests.

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use goat_tower::address::PeerAddress;
use http::header::{CONNECTION, HOST, RETRY_AFTER};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower::util::Oneshot;
use tower::{Service, ServiceExt};

use super::activity::Activity;
use super::addresses::{Place, RequestPlace};
use super::connection::MAX_HEADERS;
use super::unread::{Reservation, Unread};

/// Size of an HTTP/2 frame that every client accepts (RFC 9113, section 4.2), in bytes.
const FRAME: usize = 16 * 1024;

/// Service of one connection.
pub(super) struct Counted<S> {
    service: S,
    peer: SocketAddr,
    place: Place,
    activity: Arc<Activity>,
    unread: Unread,
}

impl<S> Counted<S> {
    pub(super) fn new(
        service: S,
        (peer, place): (SocketAddr, Place),
        activity: Arc<Activity>,
        unread: Unread,
    ) -> Self {
        Self { service, peer, place, activity, unread }
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Counted<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    B: Body,
{
    type Response = Response<CountedBody<B>>;
    type Error = S::Error;
    type Future = Answer<S>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let version = request.version();
        let place = self.place.begin_request();
        let fault = fault(version, request.headers())
            .or(place.is_none().then_some(StatusCode::SERVICE_UNAVAILABLE));
        let activity = Arc::clone(&self.activity);
        let guard = InFlight::begin(activity, version == Version::HTTP_2, place);
        let mut answer = Answer {
            service: None,
            waiting: None,
            fault,
            version,
            guard: Some(guard),
            reservation: None,
        };
        if fault.is_some() {
            return answer;
        }
        request.extensions_mut().insert(PeerAddress(self.peer));
        let service = self.service.clone();
        if version == Version::HTTP_2 {
            // hyper calls the service for all streams that have arrived before it polls any of them,
            // so a reservation here would not see how large their responses are.
            let unread = self.unread.clone();
            request.extensions_mut().insert(unread.large());
            answer.waiting = Some(Waiting { unread, reserve: None, service, request });
        } else {
            answer.service = Some(service.oneshot(request));
        }
        answer
    }
}

/// A request that waits until the client has read earlier responses.
pub(super) struct Waiting<S> {
    unread: Unread,
    /// `None`: not polled yet.
    reserve: Option<Pin<Box<dyn Future<Output = Option<Reservation>> + Send>>>,
    service: S,
    request: Request<Incoming>,
}

impl<S> Waiting<S> {
    fn poll_reserve(&mut self, cx: &mut Context<'_>) -> Poll<Option<Reservation>> {
        if self.reserve.is_none()
            && let Some(reservation) = self.unread.try_reserve()
        {
            return Poll::Ready(Some(reservation));
        }
        let unread = &self.unread;
        let reserve = self.reserve.get_or_insert_with(|| Box::pin(unread.clone().reserve()));
        reserve.as_mut().poll(cx)
    }
}

/// Returns the status of a request that must be rejected before the service is called.
fn fault(version: Version, headers: &HeaderMap) -> Option<StatusCode> {
    // HTTP/1 counts headers while parsing; HTTP/2 limits only the size of the list.
    if headers.len() > MAX_HEADERS {
        return Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    let mut hosts = headers.get_all(HOST).iter();
    let sound = match hosts.next() {
        Some(host) => hosts.next().is_none() && is_host(host),
        // HTTP/2 uses `:authority` instead, and HTTP/1.0 predates the header.
        None => version != Version::HTTP_11,
    };
    (!sound).then_some(StatusCode::BAD_REQUEST)
}

/// Whether the value is a host with an optional port, or empty for a target without authority.
fn is_host(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    bytes.is_empty() || !bytes.contains(&b'@') && Authority::try_from(bytes).is_ok()
}

pin_project! {
    /// Response future of [`Counted`].
    pub(super) struct Answer<S>
    where
        S: Service<Request<Incoming>>,
    {
        // None: waiting, or rejected before the service was called; see `fault`.
        #[pin]
        service: Option<Oneshot<S, Request<Incoming>>>,
        waiting: Option<Waiting<S>>,
        fault: Option<StatusCode>,
        version: Version,
        guard: Option<InFlight>,
        reservation: Option<Reservation>,
    }
}

impl<S, B> Future for Answer<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    B: Body,
{
    type Output = Result<Response<CountedBody<B>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(waiting) = this.waiting {
            *this.reservation = ready!(waiting.poll_reserve(cx));
        }
        if let Some(Waiting { service, request, .. }) = this.waiting.take() {
            this.service.set(Some(service.oneshot(request)));
        }
        let mut response = match this.service.as_pin_mut() {
            Some(service) => ready!(service.poll(cx))?.map(Some),
            None => refusal(this.fault.unwrap_or(StatusCode::BAD_REQUEST)),
        };
        let mut reservation = this.reservation.take();
        if let (Some(reservation), Some(body)) = (&mut reservation, response.body()) {
            let size = body.size_hint();
            reservation.fit(size.upper().unwrap_or_else(|| size.lower()));
        }
        let guard = this.guard.take();
        // HTTP/2 announces it by a GOAWAY, and has no such header. After a 408 the rest of the body
        // may still come (RFC 9110, section 15.5.9).
        let last = this.fault.is_some()
            || response.status() == StatusCode::REQUEST_TIMEOUT
            || guard.as_ref().is_some_and(|guard| guard.activity.is_draining());
        if *this.version < Version::HTTP_2 && last {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let http2 = *this.version == Version::HTTP_2;
        Poll::Ready(Ok(response.map(|body| CountedBody::new(body, http2, (guard, reservation)))))
    }
}

/// Returns the response to a request that is rejected before the service is called.
fn refusal<B>(status: StatusCode) -> Response<Option<B>> {
    let mut refusal = Response::new(None);
    *refusal.status_mut() = status;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        refusal.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    refusal
}

pin_project! {
    /// A response body; the request ends when it is dropped.
    ///
    /// hyper drops a body once all of it is handed over, and HTTP/2 accepts a chunk of any size,
    /// however little the client reads. Under HTTP/2 chunks are therefore handed over one frame at
    /// a time: until the client has made room for the last frame, the stream is a request in
    /// flight, with a deadline. (After that at most one frame per stream is stuck, until the
    /// connection's idle timeout.)
    pub(super) struct CountedBody<B> {
        #[pin]
        body: Option<B>,
        // The rest of the current chunk.
        rest: Bytes,
        framed: bool,
        _guards: (Option<InFlight>, Option<Reservation>),
    }
}

impl<B> CountedBody<B> {
    fn new(body: Option<B>, framed: bool, guards: (Option<InFlight>, Option<Reservation>)) -> Self {
        Self { body, rest: Bytes::new(), framed, _guards: guards }
    }
}

impl<B: Body<Data = Bytes>> Body for CountedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let Some(body) = this.body.as_pin_mut() else {
            return Poll::Ready(None);
        };
        if this.rest.is_empty() {
            let frame = ready!(body.poll_frame(cx));
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(chunk))) => *this.rest = chunk,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let length = if *this.framed { FRAME.min(this.rest.len()) } else { this.rest.len() };
        Poll::Ready(Some(Ok(Frame::data(this.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        let ended = self.body.as_ref().is_none_or(Body::is_end_stream);
        ended && self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        // hyper asks before the first frame only, when `rest` is empty.
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// A request that has not been answered in full.
struct InFlight {
    activity: Arc<Activity>,
    _place: Option<RequestPlace>,
}

impl InFlight {
    fn begin(activity: Arc<Activity>, http2: bool, place: Option<RequestPlace>) -> Self {
        activity.begin(http2);
        Self { activity, _place: place }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.activity.end();
    }
}
