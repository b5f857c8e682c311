//! Layers that break the contract, one way each. Without a fault it is a right one, which refuses
//! what carries `x-refuse` and asks a store about what carries `x-ask`.

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
use tower::{Layer, Service};

use crate::fixture::Sent;
use crate::stores::{Switch, switched};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    IsAlwaysReady,
    ChargesWhenPolled,
    CallsAClone,
    CallsBeforeItChecks,
    KeepsThePolledInstance,
    RebuildsTheResponse,
    AlwaysWaits,
    GoesOnWithoutTheFuture,
    TakesFailureForRefusal,
}

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
        Wrong { inner, layer: self.clone(), left: Arc::new(AtomicU32::new(500)) }
    }
}

#[derive(Clone)]
pub(super) struct Wrong<S> {
    inner: S,
    layer: WrongLayer,
    /// What a limit that charges too early has left.
    left: Arc<AtomicU32>,
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
        match self.layer.fault {
            Some(Fault::IsAlwaysReady) => {
                let _ = self.inner.poll_ready(context);
                return Poll::Ready(Ok(()));
            }
            Some(Fault::ChargesWhenPolled) => {
                let left = self.left.load(SeqCst);
                self.left.store(left.saturating_sub(1), SeqCst);
            }
            _ => {}
        }
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Sent>) -> Self::Future {
        let fault = self.layer.fault;
        let refused = request.headers().contains_key("x-refuse") || self.left.load(SeqCst) == 0;
        if refused {
            match fault {
                Some(Fault::KeepsThePolledInstance) => {}
                Some(Fault::CallsBeforeItChecks) => drop(self.inner.call(request)),
                _ => self.inner = self.inner.clone(),
            }
            return Box::pin(async { Ok(answer(StatusCode::FORBIDDEN)) });
        }
        let clone = self.inner.clone();
        let mut ready = match fault {
            Some(Fault::CallsAClone) => clone,
            _ => mem::replace(&mut self.inner, clone),
        };
        let asking = request.headers().contains_key("x-ask").then(|| {
            let key = LimitKey::text("wrong", "");
            self.layer.store.charge("wrong", key, Quota::per_minute(1000))
        });
        let went = async move {
            if fault == Some(Fault::AlwaysWaits) {
                tokio::task::yield_now().await;
            }
            if let Some(asking) = asking
                && asking.await.is_err()
            {
                return Ok(answer(match fault {
                    Some(Fault::TakesFailureForRefusal) => StatusCode::UNAUTHORIZED,
                    _ => StatusCode::SERVICE_UNAVAILABLE,
                }));
            }
            let response = ready.call(request).await?;
            Ok(match fault {
                Some(Fault::RebuildsTheResponse) => {
                    let mut rebuilt = answer(response.status());
                    *rebuilt.headers_mut() = response.headers().clone();
                    rebuilt
                }
                _ => response,
            })
        };
        if fault == Some(Fault::GoesOnWithoutTheFuture) {
            let task = tokio::spawn(went);
            return Box::pin(async { task.await.expect("a task that ends") });
        }
        Box::pin(went)
    }
}

fn answer(status: StatusCode) -> Response<Sent> {
    let mut response = Response::new(Sent::default());
    *response.status_mut() = status;
    response
}
