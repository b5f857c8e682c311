//! Stores in memory at the other end of a wire, on which a test sees what is under way together.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use goat_core::limit::{LimitKey, LimitStore, StoreAcquire};
use goat_core::store::memory::MemoryLimits;
use goat_core::{Quota, StoreError, Stores};
use tokio::sync::oneshot;

use crate::support::stores::{FarSessions, Way};

/// The quota that goes over the wire as `address`.
pub(super) const ADDRESS: Quota = Quota::per_minute(3);
/// The quota that goes over the wire as `user`.
pub(super) const USER: Quota = Quota::per_minute(2);

/// Where limits are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Memory,
    Elsewhere,
    /// Elsewhere, but a refusal is known without asking.
    Remembered,
}

/// What goes over the wire: `address` and `user` for limits, `session` for a verdict. The store does
/// what it is asked as soon as it is asked; its answer arrives when the test says so.
#[derive(Clone, Debug)]
pub(super) struct Wire(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Whether answers wait to be let through.
    closed: bool,
    failing: Vec<&'static str>,
    asked: Vec<&'static str>,
    under_way: Vec<(&'static str, oneshot::Sender<()>)>,
}

impl Wire {
    /// Stores at its other end. It is open until it is closed.
    pub(super) fn over(kept: Kept) -> (Stores, Self) {
        let wire = Self(Arc::default());
        let stores = Stores::memory();
        let sessions = FarSessions { inner: Arc::clone(&stores.sessions), way: wire.clone() };
        let limits = Limits { inner: MemoryLimits::default(), kept, wire: wire.clone() };
        (Stores { sessions: Arc::new(sessions), limits: Arc::new(limits), ..stores }, wire)
    }

    /// From now on nothing arrives by itself, and what is asked is counted.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.asked.clear();
    }

    /// Breaks every call of this name.
    pub(super) fn fail(&self, call: &'static str) {
        self.state().failing.push(call);
    }

    /// What was asked since it was closed, in its order, what needed no wire too.
    pub(super) fn asked(&self) -> Vec<&'static str> {
        self.state().asked.clone()
    }

    /// Lets all that is under way arrive, and says what that was.
    pub(super) fn arrive(&self) -> Vec<&'static str> {
        let arrived = std::mem::take(&mut self.state().under_way);
        arrived.into_iter().map(|(call, _)| call).collect()
    }

    /// Lets one call arrive alone.
    pub(super) fn arrive_alone(&self, call: &'static str) {
        let under_way = &mut self.state().under_way;
        let place = under_way.iter().position(|(other, _)| *other == call);
        drop(under_way.remove(place.unwrap_or_else(|| panic!("{call} is not under way"))));
    }

    /// Drives a future to its end, and says what was under way together each time that it waited:
    /// its round trips.
    pub(super) async fn drive<T>(
        &self,
        future: impl Future<Output = T>,
    ) -> (T, Vec<Vec<&'static str>>) {
        let mut future = pin!(future);
        let mut trips = Vec::new();
        loop {
            match settled(future.as_mut()).await {
                Poll::Ready(value) => return (value, trips),
                Poll::Pending => trips.push(self.arrive()),
            }
            assert_ne!(trips.last(), Some(&vec![]), "it waits, and for no store: {trips:?}");
        }
    }

    async fn cross(&self, call: &'static str) -> Result<(), StoreError> {
        let (answer, fails) = {
            let mut state = self.state();
            state.asked.push(call);
            let (arrival, answer) = oneshot::channel();
            if state.closed {
                state.under_way.push((call, arrival));
            }
            (answer, state.failing.contains(&call))
        };
        // It arrives when the other half is dropped.
        let _ = answer.await;
        if fails { Err(StoreError::unavailable(call)) } else { Ok(()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics with it")
    }
}

/// Polls until it waits for the wire alone: a session is read on a task of its own, which gets its
/// turns in between.
pub(super) async fn settled<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    const TURNS: u32 = 10;
    for _ in 0..TURNS {
        if let Poll::Ready(value) = poll(future.as_mut()) {
            return Poll::Ready(value);
        }
        tokio::task::yield_now().await;
    }
    poll(future)
}

/// Polls once, with nobody to wake.
pub(super) fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[derive(Debug)]
struct Limits {
    inner: MemoryLimits,
    kept: Kept,
    wire: Wire,
}

impl LimitStore for Limits {
    fn acquire(&self, key: LimitKey, quota: Quota, elapsed: Duration) -> StoreAcquire {
        let call = if quota == ADDRESS { "address" } else { "user" };
        let StoreAcquire::Ready(spent) = self.inner.acquire(key, quota, elapsed) else {
            panic!("memory answers at once")
        };
        let at_once = match self.kept {
            Kept::Memory => true,
            Kept::Elsewhere => false,
            Kept::Remembered => spent.retry_after.is_some(),
        };
        if at_once {
            self.wire.state().asked.push(call);
            return StoreAcquire::Ready(spent);
        }
        let wire = self.wire.clone();
        StoreAcquire::Pending(Box::pin(async move { wire.cross(call).await.map(|()| spent) }))
    }
}

#[async_trait]
impl Way for Wire {
    async fn pass(&self) -> Result<(), StoreError> {
        self.cross("session").await
    }
}
