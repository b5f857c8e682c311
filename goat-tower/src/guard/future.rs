//! The response future of all layers: rejected, waiting for a store, or in the inner service.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{Check, Guard, Rejection, ResponseHeaders};
use crate::response::body::ResponseBody;

pin_project! {
    /// The response future of a [`Guarded`](super::Guarded) service.
    pub struct GuardFuture<S, B, G>
    where
        S: Service<Request<B>>,
        G: Guard,
    {
        #[pin]
        state: State<S, S::Future, B, G>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, F, B, G>
    where
        G: Guard,
    {
        Denied { response: Option<Response<Bytes>> },
        Waiting { pending: G::Pending, suspended: Option<Suspended<S, B, G>> },
        Inner { #[pin] future: F, headers: ResponseHeaders },
    }
}

/// A request that waits for a store operation. Dropping the future drops all of it.
struct Suspended<S, B, G> {
    guard: Arc<G>,
    /// The instance that was polled ready.
    ready: S,
    parts: Parts,
    body: B,
    headers: ResponseHeaders,
}

impl<S, B, G> GuardFuture<S, B, G>
where
    S: Service<Request<B>>,
    G: Guard,
{
    pub(super) fn passed(future: S::Future, headers: ResponseHeaders) -> Self {
        Self { state: State::Inner { future, headers } }
    }

    pub(super) fn denied(
        rejection: Rejection<'_>,
        request: &Parts,
        headers: ResponseHeaders,
    ) -> Self {
        Self { state: State::denied(rejection, request, headers) }
    }

    pub(super) fn waiting(
        pending: G::Pending,
        guard: Arc<G>,
        ready: S,
        parts: Parts,
        body: B,
        headers: ResponseHeaders,
    ) -> Self {
        let suspended = Some(Suspended { guard, ready, parts, body, headers });
        Self { state: State::Waiting { pending, suspended } }
    }
}

impl<S, F, B, G: Guard> State<S, F, B, G> {
    fn denied(rejection: Rejection<'_>, request: &Parts, headers: ResponseHeaders) -> Self {
        let mut response = rejection.denial.render(rejection.renderer, request);
        headers.apply(&mut response);
        Self::Denied { response: Some(response) }
    }
}

impl<S, B, R, G> Future for GuardFuture<S, B, G>
where
    S: Service<Request<B>, Response = Response<R>>,
    G: Guard,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    #[expect(clippy::expect_used, reason = "polled after completion: a defect of the caller")]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProjection::Denied { response } => {
                    let response = response.take().expect("polled after completion");
                    return Poll::Ready(Ok(response.map(ResponseBody::denied)));
                }
                StateProjection::Inner { future, headers } => {
                    let mut response = ready!(future.poll(context))?;
                    mem::take(headers).apply(&mut response);
                    return Poll::Ready(Ok(response.map(ResponseBody::passed)));
                }
                StateProjection::Waiting { pending, suspended } => {
                    let outcome = ready!(Pin::new(pending).poll(context));
                    let suspended = suspended.take().expect("polled after completion");
                    let Suspended { guard, mut ready, mut parts, body, mut headers } = suspended;
                    match guard.decide(&mut parts, &mut headers, outcome) {
                        Ok(Check::Allow) => {
                            let future = ready.call(Request::from_parts(parts, body));
                            State::Inner { future, headers }
                        }
                        Ok(Check::Wait(pending)) => {
                            let suspended = Some(Suspended { guard, ready, parts, body, headers });
                            State::Waiting { pending, suspended }
                        }
                        Err(rejection) => {
                            // Releases the reservation of the instance before anything else.
                            drop(ready);
                            State::denied(rejection, &parts, headers)
                        }
                    }
                }
            };
            state.set(next);
        }
    }
}

impl<S, B, G> fmt::Debug for GuardFuture<S, B, G>
where
    S: Service<Request<B>>,
    G: Guard,
{
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.state {
            State::Denied { .. } => "GuardFuture(denied)",
            State::Waiting { .. } => "GuardFuture(waiting)",
            State::Inner { .. } => "GuardFuture(inner)",
        })
    }
}
