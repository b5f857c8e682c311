//! Layers that break the contract, one way each. Without a fault it is a right one, which refuses
//! what carries `x-refuse`, and asks a store about what carries `x-ask`, which says what the store
//! answers: `allowed` or `refused`.

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
    KeepsItUntilItIsRead,
    KeepsItWhereTheStoreRefuses,
    AnswersForAnError,
    TakesBrokenForReady,
    RebuildsTheRequest,
    RebuildsTheResponse,
    RebuildsTheBody,
    AddsAHeader,
    AlwaysWaits,
    HoldsALockWhileItAsks,
    GoesOnWithoutTheFuture,
    TakesFailureForRefusal,
    TakesFailureForConsent,
}
use Fault::*;

#[derive(Clone)]
pub(super) struct WrongLayer {
    fault: Option<Fault>,
    store: Limits,
}

impl WrongLayer {
    pub(super) fn new(fault: Option<Fault>) -> (Self, Switch) {
        let (stores, switch) = switched();
        let store = TestGoat::build(stores, |builder| builder).goat.limits().clone();
        (Self { fault, store }, switch)
    }
}

impl<S> Layer<S> for WrongLayer {
    type Service = Wrong<S>;

    fn layer(&self, inner: S) -> Wrong<S> {
        let left = Arc::new(AtomicU32::new(500));
        Wrong { inner, layer: self.clone(), left, lock: Arc::default() }
    }
}

#[derive(Clone)]
pub(super) struct Wrong<S> {
    inner: S,
    layer: WrongLayer,
    /// What a limit that charges too early has left.
    left: Arc<AtomicU32>,
    /// What one that holds it lets others wait for.
    lock: Arc<Mutex<()>>,
}

impl<S> Service<Request<Sent>> for Wrong<S>
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
            Some(TakesBrokenForReady) => polled.map(|_| Ok(())),
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
        let refused = request.headers().contains_key("x-refuse") || self.left.load(SeqCst) == 0;
        if refused {
            let clone = self.inner.clone();
            let kept = match fault {
                Some(KeepsThePolledInstance) => None,
                Some(KeepsItUntilItIsRead) => Some(mem::replace(&mut self.inner, clone)),
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
                drop(kept);
                Ok(answer(StatusCode::FORBIDDEN))
            });
        }
        let clone = self.inner.clone();
        let ready = match fault {
            Some(CallsAClone) => clone,
            _ => mem::replace(&mut self.inner, clone),
        };
        let asking = request.headers().get("x-ask").map(|answer| {
            let charging = self.layer.store.acquire(
                "wrong",
                LimitKey::text("wrong", ""),
                Quota::per_minute(1000),
            );
            (charging, answer == "refused")
        });
        let lock = Arc::clone(&self.lock);
        let went = async move {
            let _held = match fault {
                Some(HoldsALockWhileItAsks) => Some(lock.lock().await),
                _ => None,
            };
            if fault == Some(AlwaysWaits) {
                tokio::task::yield_now().await;
            }
            if let Some((charging, refused)) = asking {
                match charging.await {
                    Ok(_) if refused => {
                        if fault == Some(KeepsItWhereTheStoreRefuses) {
                            mem::forget(ready);
                        }
                        return Ok(answer(StatusCode::FORBIDDEN));
                    }
                    Err(_) if fault == Some(TakesFailureForRefusal) => {
                        return Ok(answer(StatusCode::UNAUTHORIZED));
                    }
                    Err(_) if fault != Some(TakesFailureForConsent) => {
                        return Ok(answer(StatusCode::SERVICE_UNAVAILABLE));
                    }
                    _ => {}
                }
            }
            go_on(fault, ready, request).await
        };
        if fault == Some(GoesOnWithoutTheFuture) {
            let task = tokio::spawn(went);
            return Box::pin(async { task.await.expect("a task that ends") });
        }
        Box::pin(went)
    }
}

async fn go_on<S>(
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
        Err(_) if fault == Some(AnswersForAnError) => answer(StatusCode::INTERNAL_SERVER_ERROR),
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

fn answer(status: StatusCode) -> Response<Sent> {
    let mut response = Response::new(Sent::default());
    *response.status_mut() = status;
    response
}
