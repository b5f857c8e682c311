//! Request deadline: a layer that responds in place of a service that takes too long.
//!
//! tower-http's `TimeoutLayer` is not used because it responds without a problem document.
//!
//! - The timeout starts with the call, so it covers a handler's reading of the request body.
//! - When it expires, the service's future is dropped, and the response comes from a function of
//!   the application: a 503 with `Retry-After`, for example.
//! - It does not cover the response body; [`serve`](super::serve) ends the connection, or the
//!   HTTP/2 stream, shortly after the same timeout.
//!
//! ```
//! use std::convert::Infallible;
//! use std::time::Duration;
//!
//! use goat_server::serve::deadline::DeadlineLayer;
//! use http::{Request, Response, StatusCode};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! let stuck = service_fn(async |_: Request<()>| -> Result<Response<&str>, Infallible> {
//!     std::future::pending().await
//! });
//! let layer = DeadlineLayer::new(Duration::from_secs(10), || {
//!     let mut response = Response::new("try again");
//!     *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
//!     response
//! });
//! let response = layer.layer(stuck).oneshot(Request::new(())).await.unwrap();
//! assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
//! # });
//! ```

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower::{Layer, Service};

/// Layer that applies [`Deadline`].
#[derive(Clone, Copy, Debug)]
pub struct DeadlineLayer<F> {
    limit: Duration,
    on_timeout: F,
}

impl<F> DeadlineLayer<F> {
    /// Responds with `on_timeout()` if the service takes longer than `limit`.
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
    S: Service<Request<A>, Response = Response<B>>,
    F: Fn() -> Response<B> + Clone,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = DeadlineFuture<S::Future, F>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        DeadlineFuture {
            inner: Some(self.inner.call(request)),
            timer: sleep(self.limit),
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
        #[pin]
        timer: Sleep,
        on_timeout: F,
    }
}

impl<T, F, B, E> Future for DeadlineFuture<T, F>
where
    T: Future<Output = Result<Response<B>, E>>,
    F: Fn() -> Response<B>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // The service is polled first: a response that is ready at the deadline is sent, and one
        // that is ready immediately never registers the timer.
        if let Some(inner) = this.inner.as_mut().as_pin_mut()
            && let Poll::Ready(result) = inner.poll(cx)
        {
            return Poll::Ready(result);
        }
        std::task::ready!(this.timer.poll(cx));
        // The handler's resources (a permit, a pooled connection, the request body) are released
        // before the response is sent.
        this.inner.set(None);
        Poll::Ready(Ok((this.on_timeout)()))
    }
}
