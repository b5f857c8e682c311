//! Faulty layers that break the contract, one fault each. Without a fault the layer is correct: it
//! rejects requests with `x-reject`, and calls a store for requests with `x-store`, whose value is
//! the store's result: `allowed` or `rejected`.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::task::{Context, Poll};

use goat_core::Quota;
use goat_core::limit::{LimitKey, Limits};
use goat_core::testing::TestGoat;
use http::{Request, Response, StatusCode};
use tokio::sync::Mutex;
use tower::{Layer, Service};

use crate::support::Sent;
use crate::support::stores::{Switch, switched};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    IsAlwaysReady,
    ChargesWhenPolled,
    CallsAClone,
    CallsBeforeItChecks,
    KeepsThePolledInstance,
    KeepsItUntilTheResponseIsRead,
    KeepsItIfTheStoreRejects,
    RespondsToAnError,
    IgnoresReadinessErrors,
    RebuildsTheRequest,
    RebuildsTheResponse,
    RebuildsTheBody,
    AddsAHeader,
    AlwaysWaits,
    HoldsALockWhileWaiting,
    ContinuesAfterDrop,
    TreatsFailureAsRejection,
    TreatsFailureAsAllowed,
}
use Fault::*;

#[derive(Clone)]
pub(super) struct FaultyLayer {
    fault: Option<Fault>,
    store: Limits,
}

impl FaultyLayer {
    pub(super) fn new(fault: Option<Fault>) -> (Self, Switch) {
        let (stores, switch) = switched();
        let store = TestGoat::build(stores, |builder| builder).goat.limits().clone();
        (Self { fault, store }, switch)
    }
}

impl<S> Layer<S> for FaultyLayer {
    type Service = FaultyService<S>;

    fn layer(&self, inner: S) -> FaultyService<S> {
        let left = Arc::new(AtomicU32::new(500));
        FaultyService { inner, layer: self.clone(), left, lock: Arc::default() }
    }
}

#[derive(Clone)]
pub(super) struct FaultyService<S> {
    inner: S,
    layer: FaultyLayer,
    /// Remaining requests of a limit that charges too early.
    left: Arc<AtomicU32>,
    /// The lock of a layer that blocks other requests.
    lock: Arc<Mutex<()>>,
}

impl<S> Service<Request<Sent>> for FaultyService<S>
where
    S: Service<Request<Sent>, Response = Response<Sent>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = Response<Sent>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Sent>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let polled = self.inner.poll_ready(context);
        match self.layer.fault {
            Some(IsAlwaysReady) if polled.is_pending() => Poll::Ready(Ok(())),
            Some(IgnoresReadinessErrors) => polled.map(|_| Ok(())),
            Some(ChargesWhenPolled) => {
                let left = self.left.load(SeqCst);
                self.left.store(left.saturating_sub(1), SeqCst);
                polled
            }
            _ => polled,
        }
    }

    fn call(&mut self, request: Request<Sent>) -> Self::Future {
        let fault = self.layer.fault;
        let rejected = request.headers().contains_key("x-reject") || self.left.load(SeqCst) == 0;
        if rejected {
            let clone = self.inner.clone();
            let held_until_read = match fault {
                Some(KeepsThePolledInstance) => None,
                Some(KeepsItUntilTheResponseIsRead) => Some(mem::replace(&mut self.inner, clone)),
                Some(CallsBeforeItChecks) => {
                    drop(self.inner.call(request));
                    None
                }
                _ => {
                    self.inner = clone;
                    None
                }
            };
            return Box::pin(async move {
                drop(held_until_read);
                Ok(respond(StatusCode::FORBIDDEN))
            });
        }
        let clone = self.inner.clone();
        let ready = match fault {
            Some(CallsAClone) => clone,
            _ => mem::replace(&mut self.inner, clone),
        };
        let store_call = request.headers().get("x-store").map(|result| {
            let decision = self.layer.store.acquire(
                "wrong",
                LimitKey::text("wrong", ""),
                Quota::per_minute(1000),
            );
            (decision, result == "rejected")
        });
        let lock = Arc::clone(&self.lock);
        let call = async move {
            let _held = match fault {
                Some(HoldsALockWhileWaiting) => Some(lock.lock().await),
                _ => None,
            };
            if fault == Some(AlwaysWaits) {
                tokio::task::yield_now().await;
            }
            if let Some((decision, rejected)) = store_call {
                match decision.await {
                    Ok(_) if rejected => {
                        if fault == Some(KeepsItIfTheStoreRejects) {
                            mem::forget(ready);
                        }
                        return Ok(respond(StatusCode::FORBIDDEN));
                    }
                    Err(_) if fault == Some(TreatsFailureAsRejection) => {
                        return Ok(respond(StatusCode::UNAUTHORIZED));
                    }
                    Err(_) if fault != Some(TreatsFailureAsAllowed) => {
                        return Ok(respond(StatusCode::SERVICE_UNAVAILABLE));
                    }
                    _ => {}
                }
            }
            call_inner(fault, ready, request).await
        };
        if fault == Some(ContinuesAfterDrop) {
            let task = tokio::spawn(call);
            return Box::pin(async { task.await.expect("a task that ends") });
        }
        Box::pin(call)
    }
}

async fn call_inner<S>(
    fault: Option<Fault>,
    mut ready: S,
    mut request: Request<Sent>,
) -> Result<Response<Sent>, S::Error>
where
    S: Service<Request<Sent>, Response = Response<Sent>>,
{
    if fault == Some(RebuildsTheRequest) {
        request.extensions_mut().clear();
    }
    let mut response = match ready.call(request).await {
        Err(_) if fault == Some(RespondsToAnError) => respond(StatusCode::INTERNAL_SERVER_ERROR),
        result => result?,
    };
    match fault {
        Some(RebuildsTheResponse) => response.extensions_mut().clear(),
        Some(RebuildsTheBody) => *response.body_mut() = Sent::default(),
        Some(AddsAHeader) => {
            response.headers_mut().insert("x-powered-by", "goat".parse().expect("a value"));
        }
        _ => {}
    }
    Ok(response)
}

fn respond(status: StatusCode) -> Response<Sent> {
    let mut response = Response::new(Sent::default());
    *response.status_mut() = status;
    response
}
