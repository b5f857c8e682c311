//! Invalidation channel between nodes, over a transport that may lose messages.
//!
//! Invariants:
//! - listeners are connected only after a heartbeat of this node returned that was sent during the
//!   present subscription, and only until half the staleness after that heartbeat was *sent*;
//! - a subscription that ends disconnects the listeners before the next one begins;
//! - the listeners of this process receive an invalidation before it is sent.

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::heartbeats::Heartbeats;
use super::message::{self, Message};
use super::{
    Invalidation, InvalidationStats, Invalidations, Listener, LocalInvalidations, Subscription,
    Transport,
};
use crate::error::StoreError;
use crate::secret::random;

/// Minimum time between two heartbeats.
const MIN_HEARTBEAT_INTERVAL: Duration = Duration::from_millis(25);
/// Timeout of sending a text and of subscribing.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Minimum time without a returned heartbeat after which a subscription is replaced.
const MIN_SILENCE: Duration = Duration::from_secs(2);
/// Backoff between subscriptions: first and longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Broadcasts invalidations to every node on the same transport, and detects a lost connection.
///
/// It sends a heartbeat every quarter of the staleness, and must receive it back. If none returns for
/// half the staleness, or the subscription fails, its listeners are disconnected. It starts out
/// disconnected, and reconnects on a task of its own that ends when this is dropped.
///
/// A staleness of zero disables all caches: no heartbeats are sent then.
pub struct Broadcast {
    inner: Arc<Inner>,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct Inner {
    transport: Arc<dyn Transport>,
    /// Identifies the messages of this node.
    node: String,
    staleness: Duration,
    listeners: LocalInvalidations,
    state: Mutex<State>,
    /// Requests a heartbeat before the next interval.
    heartbeat_requested: Notify,
    /// Number of the next heartbeat, across subscriptions.
    next_heartbeat: AtomicU64,
    sent: AtomicU64,
    failed: AtomicU64,
    received: AtomicU64,
    disconnects: AtomicU64,
}

/// The last reported state of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Connected,
    Disconnected,
}

impl Broadcast {
    /// Creates a channel over a transport. It connects with the first listener or invalidation, which
    /// must be within a Tokio runtime.
    pub fn new(transport: Arc<dyn Transport>, staleness: Duration) -> Arc<Self> {
        let inner = Inner {
            transport,
            node: format!("{:016x}", random::<u64>()),
            staleness,
            listeners: LocalInvalidations::default(),
            state: Mutex::new(State::Starting),
            heartbeat_requested: Notify::new(),
            next_heartbeat: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            received: AtomicU64::new(0),
            disconnects: AtomicU64::new(0),
        };
        Arc::new(Self { inner: Arc::new(inner), task: Mutex::default() })
    }

    /// Starts the task, also if an earlier one ended with its runtime.
    fn start(&self) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(JoinHandle::is_finished)
            && let Ok(runtime) = Handle::try_current()
        {
            *task = Some(runtime.spawn(Arc::clone(&self.inner).run()));
        }
    }
}

impl Drop for Broadcast {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task.take() {
            task.abort();
        }
    }
}

impl fmt::Debug for Broadcast {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Broadcast")
            .field("node", &self.inner.node)
            .field("transport", &self.inner.transport)
            .finish_non_exhaustive()
    }
}

/// Counts an invalidation as sent or failed on drop: an abandoned call counts as failed.
struct Sending<'a> {
    inner: &'a Inner,
    is_sent: bool,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        let count = if self.is_sent { &self.inner.sent } else { &self.inner.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Invalidations for Broadcast {
    async fn publish(&self, invalidation: Invalidation) -> Result<(), StoreError> {
        self.start();
        // ATOMIC: this process first, so that its caches are invalidated even if sending fails.
        self.inner.listeners.each(|listener| listener.on_invalidation(invalidation));
        let mut sending = Sending { inner: &self.inner, is_sent: false };
        let sent = self.inner.send(&message::invalidation(&self.inner.node, invalidation)).await;
        sending.is_sent = sent.is_ok();
        sent
    }

    fn subscribe(&self, listener: Weak<dyn Listener>) {
        // Disconnected until the next heartbeat returns, even if earlier listeners are connected.
        if let Some(listener) = listener.upgrade() {
            listener.on_disconnected();
        }
        self.inner.listeners.add(listener);
        self.start();
        if *lock(&self.inner.state) == State::Connected {
            // A connected channel sends its next heartbeat only at the next interval.
            self.inner.heartbeat_requested.notify_one();
        }
    }

    fn stats(&self) -> InvalidationStats {
        let of = |count: &AtomicU64| count.load(Ordering::Acquire);
        InvalidationStats {
            sent: of(&self.inner.sent),
            failed: of(&self.inner.failed),
            received: of(&self.inner.received),
            disconnects: of(&self.inner.disconnects),
        }
    }
}

impl Inner {
    async fn send(&self, text: &str) -> Result<(), StoreError> {
        with_timeout(super::operation::PUBLISH, self.transport.send(text)).await
    }

    /// Subscribes again and again.
    async fn run(self: Arc<Self>) {
        let (first_backoff, longest_backoff) = BACKOFF;
        let mut backoff = first_backoff;
        loop {
            let subscribed = with_timeout(super::operation::LISTEN, self.transport.listen()).await;
            let (was_connected, error) = match subscribed {
                Ok(subscription) => self.follow(subscription).await,
                Err(error) => (false, error),
            };
            self.disconnect(&error);
            if was_connected {
                backoff = first_backoff;
            }
            // Jitter of up to a half, so that nodes that lost the same server reconnect at different times.
            sleep(backoff + backoff.mul_f64(f64::from(random::<u64>() as u8) / 512.0)).await;
            backoff = (backoff * 2).min(longest_backoff);
        }
    }

    /// Follows one subscription to its end; returns whether it was ever connected, and why it ended.
    async fn follow(&self, mut subscription: Box<dyn Subscription>) -> (bool, StoreError) {
        let in_flight = Mutex::new(Heartbeats::new(self.lease()));
        if self.staleness.is_zero() {
            // Without caches the connection does not matter.
            self.connect(Duration::MAX);
        }
        tokio::select! {
            ended = self.receive(subscription.as_mut(), &in_flight) => ended,
            never = self.send_heartbeats(&in_flight) => match never {},
        }
    }

    async fn receive(
        &self,
        subscription: &mut dyn Subscription,
        in_flight: &Mutex<Heartbeats>,
    ) -> (bool, StoreError) {
        let silence = (self.staleness * 2).max(MIN_SILENCE);
        let mut was_connected = false;
        let mut replace_at = Instant::now() + silence;
        let mut connected_until = None;
        loop {
            let now = Instant::now();
            if connected_until.is_some_and(|until| until <= now) {
                connected_until = None;
                self.disconnect(&no_heartbeat_returned());
            }
            if connected_until.is_none() && replace_at <= now && !self.staleness.is_zero() {
                return (was_connected, no_heartbeat_returned());
            }
            let wake_at = connected_until.unwrap_or(replace_at);
            let text = tokio::select! {
                biased;
                text = subscription.next() => text,
                () = sleep_until(wake_at), if !self.staleness.is_zero() => continue,
            };
            match text {
                Err(error) => return (was_connected, error),
                Ok(text) => match message::read(&text, &self.node) {
                    Message::Nothing => {}
                    Message::OwnHeartbeat(number) => {
                        let Some(until) = lock(in_flight).take(number) else { continue };
                        // Even a late heartbeat shows that the subscription works.
                        replace_at = Instant::now() + silence;
                        let left = until.saturating_duration_since(Instant::now());
                        if !left.is_zero() {
                            was_connected = true;
                            connected_until = Some(until);
                            self.connect(left);
                        }
                    }
                    Message::Invalidation(invalidation) => self.deliver(invalidation),
                    Message::Unknown => {
                        tracing::debug!(
                            "invalidation of an unknown form received; all caches cleared"
                        );
                        self.deliver(Invalidation::Everything);
                    }
                },
            }
        }
    }

    /// Sends heartbeats at the interval.
    async fn send_heartbeats(&self, in_flight: &Mutex<Heartbeats>) -> Infallible {
        if self.staleness.is_zero() {
            return std::future::pending().await;
        }
        let mut ticks = interval(self.heartbeat_interval());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.heartbeat_requested.notified() => {}
            }
            let number = self.next_heartbeat.fetch_add(1, Ordering::Relaxed);
            lock(in_flight).record(number, Instant::now());
            if let Err(error) = self.send(&message::heartbeat(&self.node, number)).await {
                tracing::debug!(%error, "heartbeat not sent");
            }
        }
    }

    fn heartbeat_interval(&self) -> Duration {
        (self.staleness / 4).max(MIN_HEARTBEAT_INTERVAL)
    }

    /// How long a returned heartbeat keeps the listeners connected after it was sent: half the staleness,
    /// and at least two intervals.
    fn lease(&self) -> Duration {
        (self.staleness / 2).max(self.heartbeat_interval() * 2)
    }

    fn deliver(&self, invalidation: Invalidation) {
        self.listeners.each(|listener| listener.on_invalidation(invalidation));
        // Counted after delivery, so that a reader of the count sees the effect.
        self.received.fetch_add(1, Ordering::Release);
    }

    fn connect(&self, lease: Duration) {
        self.listeners.each(|listener| listener.on_connected(lease));
        let before = std::mem::replace(&mut *lock(&self.state), State::Connected);
        if before == State::Disconnected {
            tracing::info!("invalidation channel recovered; caches cleared and enabled");
        }
    }

    fn disconnect(&self, error: &StoreError) {
        self.listeners.each(|listener| listener.on_disconnected());
        let before = std::mem::replace(&mut *lock(&self.state), State::Disconnected);
        if before == State::Disconnected {
            return;
        }
        self.disconnects.fetch_add(1, Ordering::Relaxed);
        let reason = std::error::Error::source(error).map(ToString::to_string);
        tracing::warn!(
            %error,
            reason,
            advice = self.transport.advice(),
            "invalidation channel lost; caches disabled until it recovers"
        );
    }
}

fn no_heartbeat_returned() -> StoreError {
    StoreError::unavailable(super::operation::RECEIVE)
        .with_source("no heartbeat of this node returned in time")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn with_timeout<T>(
    operation: &'static str,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(TIMEOUT, call).await.unwrap_or_else(|_| {
        Err(StoreError::unavailable(operation)
            .with_source(format!("no response within {TIMEOUT:?}")))
    })
}
