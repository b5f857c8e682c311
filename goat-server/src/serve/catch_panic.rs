//! Panic catching: a layer that responds in place of a service that panics (H5).
//!
//! tower-http's `CatchPanicLayer` is not used because it puts every response body into a box.
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
//!     panic!("on purpose")
//! });
//! let layer = CatchPanicLayer::new(|| {
//!     let mut response = Response::new("internal error");
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

/// Layer that applies [`CatchPanic`].
#[derive(Clone, Copy, Debug)]
pub struct CatchPanicLayer<F> {
    on_panic: F,
}

impl<F> CatchPanicLayer<F> {
    /// Responds with `on_panic()` if the service panics. The panic hook has seen the message; the
    /// response must hold nothing of it (L1).
    pub fn new(on_panic: F) -> Self {
        Self { on_panic }
    }
}

impl<S, F: Clone> Layer<S> for CatchPanicLayer<F> {
    type Service = CatchPanic<S, F>;

    fn layer(&self, inner: S) -> CatchPanic<S, F> {
        CatchPanic { inner, on_panic: self.on_panic.clone() }
    }
}

/// Service that catches panics. See the [module](self).
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
        // Neither the service nor the future is used again after a panic.
        let called = catch_unwind(AssertUnwindSafe(|| self.inner.call(request)));
        CatchPanicFuture { inner: called.ok(), on_panic: self.on_panic.clone() }
    }
}

pin_project! {
    /// Response future of [`CatchPanic`].
    #[derive(Debug)]
    pub struct CatchPanicFuture<T, F> {
        // None: the service has panicked.
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
    type Output = T::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T::Output> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else {
            return Poll::Ready(Ok((this.on_panic)()));
        };
        let polled = catch_unwind(AssertUnwindSafe(|| inner.poll(cx)));
        polled.unwrap_or_else(|_| Poll::Ready(Ok((this.on_panic)())))
    }
}
