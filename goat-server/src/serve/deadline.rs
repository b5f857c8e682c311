//! Request deadline: a layer that responds in place of a service that takes too long.
//!
//! tower-http's `TimeoutLayer` is not used because it responds without a problem document.
//!
//! - The timeout starts with the call, so it covers a handler's reading of the request body.
//! - When it expires, the service's future is dropped, and the response comes from a function of
//!   the application, which is told [which side](Late) was waited for: a 408 if the client did not
//!   send the body, else a 503 with `Retry-After`, for example.
//! - It does not cover the response body; [`serve`](super::serve) ends the connection, or the
//!   HTTP/2 stream, shortly after the same timeout.
//!
//! ```
//! use std::convert::Infallible;
//! use std::time::Duration;
//!
//! use goat_server::serve::deadline::{AwaitedBody, DeadlineLayer, Late};
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Empty;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! type Body = Empty<&'static [u8]>;
//! let stuck = service_fn(
//!     async |_: Request<AwaitedBody<Body>>| -> Result<Response<&str>, Infallible> {
//!         std::future::pending().await
//!     },
//! );
//! let layer = DeadlineLayer::new(Duration::from_secs(10), |late| {
//!     let mut response = Response::new("try again");
//!     *response.status_mut() = match late {
//!         Late::Body => StatusCode::REQUEST_TIMEOUT,
//!         Late::Service => StatusCode::SERVICE_UNAVAILABLE,
//!     };
//!     response
//! });
//! let response = layer.layer(stuck).oneshot(Request::new(Body::new())).await.unwrap();
//! assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
//! # });
//! ```

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tower::{Layer, Service};

/// The side that was waited for at the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// The client, for the next part of the request body.
    Body,
    /// The service.
    Service,
}

/// Layer that applies [`Deadline`].
#[derive(Clone, Copy, Debug)]
pub struct DeadlineLayer<F> {
    limit: Duration,
    on_timeout: F,
}

impl<F> DeadlineLayer<F> {
    /// Responds with `on_timeout(…)` if the service takes longer than `limit`.
    pub fn new(limit: Duration, on_timeout: F) -> Self {
        Self { limit, on_timeout }
    }
}

impl<S, F: Clone> Layer<S> for DeadlineLayer<F> {
    type Service = Deadline<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        Deadline { inner, limit: self.limit, on_timeout: self.on_timeout.clone() }
    }
}

/// Service with a deadline. See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Deadline<S, F> {
    inner: S,
    limit: Duration,
    on_timeout: F,
}

impl<S, F, A, B> Service<Request<A>> for Deadline<S, F>
where
    S: Service<Request<AwaitedBody<A>>, Response = Response<B>>,
    F: Fn(Late) -> Response<B> + Clone,
    A: Body,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = DeadlineFuture<S::Future, F>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let is_awaited =
            (!request.body().is_end_stream()).then(|| Arc::new(AtomicBool::new(false)));
        let awaited = is_awaited.clone();
        let request = request.map(|body| AwaitedBody { body, is_awaited: awaited });
        DeadlineFuture {
            inner: Some(self.inner.call(request)),
            limit: self.limit,
            started: Instant::now(),
            timer: None,
            is_awaited,
            on_timeout: self.on_timeout.clone(),
        }
    }
}

pin_project! {
    /// Response future of [`Deadline`].
    #[derive(Debug)]
    pub struct DeadlineFuture<T, F> {
        #[pin]
        inner: Option<T>,
        limit: Duration,
        started: Instant,
        // None: the service has not been waited for.
        #[pin]
        timer: Option<Sleep>,
        // None: the request has no body.
        is_awaited: Option<Arc<AtomicBool>>,
        on_timeout: F,
    }
}

impl<T, F, B, E> Future for DeadlineFuture<T, F>
where
    T: Future<Output = Result<Response<B>, E>>,
    F: Fn(Late) -> Response<B>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // The service is polled first: a response that is ready at the deadline is sent, and one
        // that is ready immediately needs no timer.
        if let Some(inner) = this.inner.as_mut().as_pin_mut()
            && let Poll::Ready(result) = inner.poll(cx)
        {
            return Poll::Ready(result);
        }
        if this.timer.is_none() {
            // Far in the future if the limit overflows.
            let deadline = this.started.checked_add(*this.limit);
            this.timer.set(Some(deadline.map_or_else(|| sleep(*this.limit), sleep_until)));
        }
        if let Some(timer) = this.timer.as_mut().as_pin_mut() {
            std::task::ready!(timer.poll(cx));
        }
        // The handler's resources (a permit, a pooled connection, the request body) are released
        // before the response is sent.
        this.inner.set(None);
        let awaits_body =
            this.is_awaited.as_ref().is_some_and(|is_awaited| is_awaited.load(Ordering::Relaxed));
        let late = if awaits_body { Late::Body } else { Late::Service };
        Poll::Ready(Ok((this.on_timeout)(late)))
    }
}

pin_project! {
    /// A request body that records whether its reader waits for the client.
    #[derive(Debug)]
    pub struct AwaitedBody<B> {
        #[pin]
        body: B,
        // None: the body is empty.
        is_awaited: Option<Arc<AtomicBool>>,
    }
}

impl<B: Body> Body for AwaitedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let polled = this.body.poll_frame(cx);
        if let Some(is_awaited) = this.is_awaited {
            is_awaited.store(polled.is_pending(), Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
