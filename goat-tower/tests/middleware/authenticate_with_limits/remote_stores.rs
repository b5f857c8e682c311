//! Simulated remote stores: a test observes concurrent calls and releases their responses.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use goat_core::limit::{LimitKey, LimitStore, StoreAcquire, StoreDecision, StoreReply};
use goat_core::store::memory::MemoryLimits;
use goat_core::{Quota, StoreError, Stores};
use tokio::sync::oneshot;

use crate::support::stores::{CallHook, HookedSessions};

/// The quota of the calls named `address`.
pub(super) const ADDRESS: Quota = Quota::per_minute(3);
/// The quota of the calls named `user`.
pub(super) const USER: Quota = Quota::per_minute(2);

/// Where limits are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitLocation {
    Memory,
    Remote,
    /// Remote, but rejections are decided locally.
    RemoteWithLocalRejections,
}

/// Calls to remote stores: `address` and `user` for limits, `session` for session validation. The
/// store applies a call at once; the test releases its response.
#[derive(Clone, Debug)]
pub(super) struct RemoteStores(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Whether responses wait to be released.
    paused: bool,
    failing: Vec<&'static str>,
    calls: Vec<&'static str>,
    in_flight: Vec<(&'static str, oneshot::Sender<()>)>,
}

impl RemoteStores {
    /// Returns in-memory stores behind a connection, initially open.
    pub(super) fn over(location: LimitLocation) -> (Stores, Self) {
        let remote = Self(Arc::default());
        let stores = Stores::memory();
        let sessions = HookedSessions { inner: Arc::clone(&stores.sessions), hook: remote.clone() };
        let limits = Limits { inner: MemoryLimits::default(), location, remote: remote.clone() };
        (Stores { sessions: Arc::new(sessions), limits: Arc::new(limits), ..stores }, remote)
    }

    /// Failpoints responses, and starts recording calls.
    pub(super) fn pause(&self) {
        let mut state = self.state();
        state.paused = true;
        state.calls.clear();
    }

    /// Fails every call of this name.
    pub(super) fn fail(&self, call: &'static str) {
        self.state().failing.push(call);
    }

    /// Returns the calls since the pause, in order, including local ones.
    pub(super) fn calls(&self) -> Vec<&'static str> {
        self.state().calls.clone()
    }

    /// Releases all responses in flight, and returns the calls.
    pub(super) fn release(&self) -> Vec<&'static str> {
        let released = std::mem::take(&mut self.state().in_flight);
        released.into_iter().map(|(call, _)| call).collect()
    }

    /// Releases the response of one call.
    pub(super) fn release_one(&self, call: &'static str) {
        let in_flight = &mut self.state().in_flight;
        let place = in_flight.iter().position(|(other, _)| *other == call);
        drop(in_flight.remove(place.unwrap_or_else(|| panic!("{call} is not in flight"))));
    }

    /// Drives a future to completion, and returns the calls in flight at each wait: its round
    /// trips.
    pub(super) async fn drive<T>(
        &self,
        future: impl Future<Output = T>,
    ) -> (T, Vec<Vec<&'static str>>) {
        let mut future = pin!(future);
        let mut trips = Vec::new();
        loop {
            match poll_until_idle(future.as_mut()).await {
                Poll::Ready(value) => return (value, trips),
                Poll::Pending => trips.push(self.release()),
            }
            assert_ne!(trips.last(), Some(&vec![]), "pending without a store call: {trips:?}");
        }
    }

    async fn send_call(&self, call: &'static str) -> Result<(), StoreError> {
        let (response, fails) = {
            let mut state = self.state();
            state.calls.push(call);
            let (sender, response) = oneshot::channel();
            if state.paused {
                state.in_flight.push((call, sender));
            }
            (response, state.failing.contains(&call))
        };
        // Dropping the sender releases the response.
        let _ = response.await;
        if fails { Err(StoreError::unavailable(call)) } else { Ok(()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no poisoned lock")
    }
}

/// Polls until only remote calls are pending; yields in between for the task that reads the
/// session.
pub(super) async fn poll_until_idle<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    const TURNS: u32 = 10;
    for _ in 0..TURNS {
        if let Poll::Ready(value) = poll(future.as_mut()) {
            return Poll::Ready(value);
        }
        tokio::task::yield_now().await;
    }
    poll(future)
}

/// Polls once, without a waker.
pub(super) fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[derive(Debug)]
struct Limits {
    inner: MemoryLimits,
    location: LimitLocation,
    remote: RemoteStores,
}

impl LimitStore for Limits {
    fn acquire(&self, key: LimitKey, quota: Quota, elapsed: Duration) -> StoreAcquire {
        let call = if quota == ADDRESS { "address" } else { "user" };
        let StoreReply::Ready(decision) = self.inner.acquire(key, quota, elapsed) else {
            panic!("in-memory limits decide synchronously")
        };
        self.reply(call, decision, decision.retry_after.is_some())
    }

    fn acquire_both(
        &self,
        counters: [(LimitKey, Quota); 2],
        elapsed: Duration,
    ) -> StoreReply<[StoreDecision; 2]> {
        let call = if counters[0].1 == ADDRESS { "address" } else { "user" };
        let StoreReply::Ready(decisions) = self.inner.acquire_both(counters, elapsed) else {
            panic!("in-memory limits decide synchronously")
        };
        let is_limited = decisions.iter().any(|decision| decision.retry_after.is_some());
        self.reply(call, decisions, is_limited)
    }

    fn reset(&self, key: LimitKey, quota: Quota) -> StoreReply<()> {
        self.inner.reset(key, quota)
    }
}

impl Limits {
    fn reply<T: Send + 'static>(
        &self,
        call: &'static str,
        reply: T,
        is_limited: bool,
    ) -> StoreReply<T> {
        let is_local = match self.location {
            LimitLocation::Memory => true,
            LimitLocation::Remote => false,
            LimitLocation::RemoteWithLocalRejections => is_limited,
        };
        if is_local {
            self.remote.state().calls.push(call);
            return StoreReply::Ready(reply);
        }
        let remote = self.remote.clone();
        StoreReply::Pending(Box::pin(async move { remote.send_call(call).await.map(|()| reply) }))
    }
}

#[async_trait]
impl CallHook for RemoteStores {
    async fn before_call(&self) -> Result<(), StoreError> {
        self.send_call("session").await
    }
}
