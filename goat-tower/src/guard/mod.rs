//! What every guarding layer is made of: one service and one future, so that the contract is kept
//! in one place.
//!
//! Invariants:
//!
//! 1. `poll_ready` only forwards. A request is decided on in `call`, by the instance that was polled
//!    ready; where it is not that very instance which goes on, a fresh clone takes its place.
//! 2. A denial never reaches the inner service, and gives its readiness back at once: the instance
//!    that was polled is dropped before the denial is answered.
//! 3. The error is the inner service's own. The body is a [`ResponseBody`], and nothing is asked of
//!    the inner one.
//! 4. What is allowed passes unchanged, but for the headers in [`After`].
//! 5. Everything that a waiting request holds is in its future and goes with it.

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

/// What a layer decides. Sealed: implemented by the layers of this crate.
pub trait Guard: Send + Sync + 'static {
    /// The question to a store, or to several at once.
    type Pending: Future + Send + Unpin;

    /// Looks at a request, and decides on it if that needs no store.
    ///
    /// # Errors
    ///
    /// Why the request is refused.
    fn check(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
    ) -> Result<Check<Self::Pending>, Rejection<'_>>;

    /// Decides with what was answered, or asks once more because of it.
    ///
    /// # Errors
    ///
    /// Why the request is refused.
    fn decide(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
        outcome: Outcome<Self>,
    ) -> Result<Check<Self::Pending>, Rejection<'_>>;
}

/// What is answered to the question of a guard.
pub(crate) type Outcome<G> = <<G as Guard>::Pending as Future>::Output;

/// How far a guard got without waiting.
#[derive(Debug)]
pub enum Check<A> {
    /// The request goes on.
    Allow,
    /// A store must be asked.
    Wait(A),
}

/// A denial, and how it is to look.
pub struct Rejection<'a> {
    denial: Denial,
    renderer: &'a dyn RenderDenial,
}

impl<'a> Rejection<'a> {
    pub(crate) fn new(denial: Denial, renderer: &'a dyn RenderDenial) -> Self {
        Self { denial, renderer }
    }
}

/// A service behind one of the layers. Its type can be named, to keep one in a struct:
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
/// struct Door {
///     service: Guarded<Inner, AuthenticateLayer>,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let test = TestGoat::new();
/// let inner = service_fn(async |_: Request<()>| Ok(Response::new(Empty::new())));
/// let door = Door { service: test.goat.authenticate().layer(BoxCloneService::new(inner)) };
///
/// let alice = test.sign_in("alice", []).await;
/// let allowed = Request::builder().header("authorization", alice.bearer()).body(())?;
/// assert_eq!(door.service.clone().oneshot(allowed).await?.status(), StatusCode::OK);
/// let refused = door.service.oneshot(Request::new(())).await?;
/// assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
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
            // The instance that was polled is right here, so nothing need be cloned.
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
                // The instance that was polled goes, and what it reserved with it.
                self.inner = self.inner.clone();
                GuardFuture::denied(rejection, &parts, headers)
            }
        }
    }
}
