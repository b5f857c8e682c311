//! The tower service and future that all layers share, so that the layer contract is implemented once.
//!
//! Invariants:
//!
//! 1. `poll_ready` only forwards. `call` decides on the request with the instance that was polled ready; if
//!    the request has to wait, it keeps that instance, and a clone takes its place.
//! 2. A rejected request never reaches the inner service and releases its readiness at once: the instance
//!    that was polled is dropped before the response is returned.
//! 3. The error is the inner service's own. The body is a [`ResponseBody`], without bounds on the inner
//!    body.
//! 4. An allowed request and its response pass unchanged, except for [`ResponseHeaders`].
//! 5. The future owns everything that a waiting request holds, and drops it.

mod future;
mod response_headers;

use std::future::Future;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{Request, Response};
use tower_service::Service;

use crate::response::body::ResponseBody;
use crate::response::denial::{Denial, RenderDenial};

pub use future::GuardFuture;
pub(crate) use response_headers::ResponseHeaders;

/// The decision of a layer. Sealed: implemented by the layers of this crate.
pub trait Guard: Send + Sync + 'static {
    /// The store operation of a request, or several concurrent ones.
    type Pending: Future + Send + Unpin;

    /// Decides on a request, or starts the store operation that the decision needs.
    ///
    /// # Errors
    ///
    /// The request is rejected.
    fn check(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
    ) -> Result<Check<Self::Pending>, Rejection<'_>>;

    /// Decides by the outcome of the store operation, or starts another one.
    ///
    /// # Errors
    ///
    /// The request is rejected.
    fn decide(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
        outcome: Outcome<Self>,
    ) -> Result<Check<Self::Pending>, Rejection<'_>>;
}

/// The outcome of a guard's store operation.
pub(crate) type Outcome<G> = <<G as Guard>::Pending as Future>::Output;

/// The decision of a guard that does not reject.
#[derive(Debug)]
pub enum Check<A> {
    /// The request passes to the inner service.
    Allow,
    /// The request waits for a store operation.
    Wait(A),
}

/// A denial and its renderer.
pub struct Rejection<'a> {
    denial: Denial,
    renderer: &'a dyn RenderDenial,
}

impl<'a> Rejection<'a> {
    pub(crate) fn new(denial: Denial, renderer: &'a dyn RenderDenial) -> Self {
        Self { denial, renderer }
    }
}

/// The service of a layer around an inner service. Its type can be named, as a field of a struct:
///
/// ```
/// use std::convert::Infallible;
///
/// use goat_core::testing::TestGoat;
/// use goat_tower::{AuthenticateLayer, GoatExt, Guarded};
/// use http::{Request, Response, StatusCode};
/// use http_body_util::Empty;
/// use tower::util::BoxCloneService;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// type Inner = BoxCloneService<Request<()>, Response<Empty<&'static [u8]>>, Infallible>;
///
/// struct Api {
///     service: Guarded<Inner, AuthenticateLayer>,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let test = TestGoat::new();
/// let inner = service_fn(async |_: Request<()>| Ok(Response::new(Empty::new())));
/// let api = Api { service: test.goat.authenticate().layer(BoxCloneService::new(inner)) };
///
/// let alice = test.sign_in("alice", []).await;
/// let allowed = Request::builder().header("authorization", alice.bearer()).body(())?;
/// assert_eq!(api.service.clone().oneshot(allowed).await?.status(), StatusCode::OK);
/// let rejected = api.service.oneshot(Request::new(())).await?;
/// assert_eq!(rejected.status(), StatusCode::UNAUTHORIZED);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Guarded<S, G> {
    inner: S,
    guard: Arc<G>,
}

impl<S: Clone, G> Clone for Guarded<S, G> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), guard: Arc::clone(&self.guard) }
    }
}

impl<S, G> Guarded<S, G> {
    pub(crate) fn new(inner: S, guard: G) -> Self {
        Self { inner, guard: Arc::new(guard) }
    }
}

impl<S, B, R, G> Service<Request<B>> for Guarded<S, G>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    G: Guard,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = GuardFuture<S, B, G>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let mut headers = ResponseHeaders::default();
        match self.guard.check(&mut parts, &mut headers) {
            // Calls the instance that was polled; no clone is necessary.
            Ok(Check::Allow) => {
                GuardFuture::passed(self.inner.call(Request::from_parts(parts, body)), headers)
            }
            Ok(Check::Wait(pending)) => {
                let fresh = self.inner.clone();
                let ready = mem::replace(&mut self.inner, fresh);
                let guard = Arc::clone(&self.guard);
                GuardFuture::waiting(pending, guard, ready, parts, body, headers)
            }
            Err(rejection) => {
                // Drops the instance that was polled, and its reservation with it.
                self.inner = self.inner.clone();
                GuardFuture::denied(rejection, &parts, headers)
            }
        }
    }
}
