//! The future of every guarding layer: denied, asking a store, or with the inner service.

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

use super::{After, Check, Guard, Refusal};
use crate::response::body::ResponseBody;

pin_project! {
    /// The response of a guarded service, on its way.
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
        Asking { asking: G::Asking, held: Option<Held<S, B, G>> },
        Inner { #[pin] future: F, after: After },
    }
}

/// What waits for the answer of a store. All of it goes if the future is dropped.
struct Held<S, B, G> {
    guard: Arc<G>,
    /// The instance that was polled ready.
    ready: S,
    parts: Parts,
    body: B,
    after: After,
}

impl<S, B, G> GuardFuture<S, B, G>
where
    S: Service<Request<B>>,
    G: Guard,
{
    pub(super) fn passed(future: S::Future, after: After) -> Self {
        Self { state: State::Inner { future, after } }
    }

    pub(super) fn denied(refusal: Refusal<'_>, request: &Parts, after: After) -> Self {
        Self { state: State::denied(refusal, request, after) }
    }

    pub(super) fn asking(
        asking: G::Asking,
        guard: Arc<G>,
        ready: S,
        parts: Parts,
        body: B,
        after: After,
    ) -> Self {
        let held = Some(Held { guard, ready, parts, body, after });
        Self { state: State::Asking { asking, held } }
    }
}

impl<S, F, B, G: Guard> State<S, F, B, G> {
    fn denied(refusal: Refusal<'_>, request: &Parts, after: After) -> Self {
        let mut response = refusal.denial.render(refusal.renderer, request);
        after.apply(&mut response);
        Self::Denied { response: Some(response) }
    }
}

impl<S, B, R, G> Future for GuardFuture<S, B, G>
where
    S: Service<Request<B>, Response = Response<R>>,
    G: Guard,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    #[expect(clippy::expect_used, reason = "polled after it was ready: the caller's defect")]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProjection::Denied { response } => {
                    let response = response.take().expect("a response is read only once");
                    return Poll::Ready(Ok(response.map(ResponseBody::denied)));
                }
                StateProjection::Inner { future, after } => {
                    let mut response = ready!(future.poll(context))?;
                    mem::take(after).apply(&mut response);
                    return Poll::Ready(Ok(response.map(ResponseBody::passed)));
                }
                StateProjection::Asking { asking, held } => {
                    let answer = ready!(Pin::new(asking).poll(context));
                    let held = held.take().expect("a question is answered only once");
                    let Held { guard, mut ready, mut parts, body, mut after } = held;
                    match guard.decide(&mut parts, &mut after, answer) {
                        Ok(Check::Pass) => {
                            let future = ready.call(Request::from_parts(parts, body));
                            State::Inner { future, after }
                        }
                        Ok(Check::Ask(asking)) => {
                            let held = Some(Held { guard, ready, parts, body, after });
                            State::Asking { asking, held }
                        }
                        Err(refusal) => {
                            // Before anything else: what the instance reserved is given back.
                            drop(ready);
                            State::denied(refusal, &parts, after)
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
            State::Asking { .. } => "GuardFuture(asking)",
            State::Inner { .. } => "GuardFuture(inner)",
        })
    }
}
