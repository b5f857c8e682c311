//! A layer that turns a panic of the service into an answer.
//!
//! A panic's message may hold anything that the code had in hand, so it is never shown: the client
//! gets what the application's function makes, and the log gets the place in the code, once, from
//! the hook that [`log_panics`](crate::observe::logging::log_panics) installs.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use goat_server::serve::catch_panic::CatchPanicLayer;
//! use http::{Request, Response, StatusCode};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let broken = service_fn(async |_: Request<()>| -> Result<Response<&str>, Infallible> {
//!     panic!("something that nobody should read")
//! });
//! let layer = CatchPanicLayer::new(|| {
//!     let mut response = Response::new("our fault");
//!     *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
//!     response
//! });
//! let response = layer.layer(broken).oneshot(Request::new(())).await.unwrap();
//! assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
//! # });
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

/// Makes [`CatchPanic`].
#[derive(Clone, Copy, Debug)]
pub struct CatchPanicLayer<F> {
    on_panic: F,
}

impl<F> CatchPanicLayer<F> {
    /// Answers with `on_panic()` where the service panics.
    pub fn new(on_panic: F) -> Self {
        Self { on_panic }
    }
}

impl<S, F: Clone> Layer<S> for CatchPanicLayer<F> {
    type Service = CatchPanic<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        CatchPanic { inner, on_panic: self.on_panic.clone() }
    }
}

/// A service whose panics are answers. See the [module](self).
///
/// A panic while the answer's body streams is past answering: it ends the connection, or the HTTP/2
/// stream.
#[derive(Clone, Copy, Debug)]
pub struct CatchPanic<S, F> {
    inner: S,
    on_panic: F,
}

impl<S, F, A, B> Service<Request<A>> for CatchPanic<S, F>
where
    S: Service<Request<A>, Response = Response<B>>,
    F: Fn() -> Response<B> + Clone,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = CatchPanicFuture<S::Future, F>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        // Unwind safety: an instance that panicked in `call` is not called again, since each request
        // is served by a clone of its own; what clones share has to stand a panic anyway.
        let inner = catch_unwind(AssertUnwindSafe(|| self.inner.call(request))).ok();
        CatchPanicFuture { inner, on_panic: self.on_panic.clone() }
    }
}

pin_project! {
    /// The answer of [`CatchPanic`].
    #[derive(Debug)]
    pub struct CatchPanicFuture<T, F> {
        // None: it has panicked.
        #[pin]
        inner: Option<T>,
        on_panic: F,
    }
}

impl<T, F, B, E> Future for CatchPanicFuture<T, F>
where
    T: Future<Output = Result<Response<B>, E>>,
    F: Fn() -> Response<B>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(Ok((this.on_panic)()));
        };
        // Unwind safety: a future that panicked is dropped here and never polled again.
        if let Ok(polled) = catch_unwind(AssertUnwindSafe(|| inner.poll(cx))) {
            return polled;
        }
        this.inner.set(None);
        Poll::Ready(Ok((this.on_panic)()))
    }
}
