//! Invalidations to every node, by a transport that may lose them.
//!
//! Invariants:
//! - a listener is told to trust what it remembers only after a heartbeat of this node came back that
//!   was sent while the present subscription was in force, and only until half the staleness is over
//!   since that heartbeat was *sent*;
//! - a subscription that ends makes the listeners deaf before another is begun;
//! - the listeners of this process hear of an invalidation before it is sent.

use std::collections::VecDeque;
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

use super::message::{self, Message};
use super::{
    Invalidation, InvalidationStats, Invalidations, Listener, LocalInvalidations, Subscription,
    Transport,
};
use crate::error::StoreError;
use crate::secret::random;

/// The least time between two heartbeats.
const SHORTEST_BEAT: Duration = Duration::from_millis(25);
/// How long a text may take to be sent, or a subscription to begin.
const PATIENCE: Duration = Duration::from_secs(5);
/// The least time for which a subscription is kept on which nothing of one's own comes back.
const SHORTEST_SILENCE: Duration = Duration::from_secs(2);
/// The first and the longest wait before another subscription is tried.
const WAITS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How many heartbeats are under way at most before the oldest is given up.
const BEATS_REMEMBERED: usize = 32;

/// Tells every node that listens to the same transport, and knows whether it hears them.
///
/// Every quarter of the staleness it sends a heartbeat and must hear it back. Where none has come
/// back for half the staleness, or the subscription is down, its listeners are deaf. It begins deaf,
/// and again and again tries to hear by itself, on a task that ends when this is dropped.
///
/// A staleness of zero means that nobody remembers anything: there are no heartbeats then.
pub struct Broadcast {
    inner: Arc<Inner>,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct Inner {
    transport: Arc<dyn Transport>,
    /// Names this node in what it sends, and nobody else.
    node: String,
    staleness: Duration,
    listeners: LocalInvalidations,
    state: Mutex<State>,
    /// Somebody waits for the next heartbeat.
    asked: Notify,
    /// How many heartbeats were begun, whatever the subscription.
    beats: AtomicU64,
    sent: AtomicU64,
    failed: AtomicU64,
    received: AtomicU64,
    disconnects: AtomicU64,
}

/// What was last said of the hearing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Hears,
    Deaf,
}

/// Heartbeats of one subscription that have not come back: number, and when it was sent.
type Beats = Mutex<VecDeque<(u64, Instant)>>;

impl Broadcast {
    /// Tells and hears over a transport. Does nothing yet: it begins with the first listener or
    /// invalidation, which must come within a Tokio runtime.
    pub fn new(transport: Arc<dyn Transport>, staleness: Duration) -> Arc<Self> {
        let inner = Inner {
            transport,
            node: format!("{:016x}", random::<u64>()),
            staleness,
            listeners: LocalInvalidations::default(),
            state: Mutex::new(State::Starting),
            asked: Notify::new(),
            beats: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            received: AtomicU64::new(0),
            disconnects: AtomicU64::new(0),
        };
        Arc::new(Self { inner: Arc::new(inner), task: Mutex::default() })
    }

    /// Sees to it that the task runs, also where an earlier one went down with its runtime.
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

/// Counts an invalidation when its telling is over, also where nobody waited for that: a caller whose time
/// is up has told nobody, as far as anybody knows.
struct Telling<'a> {
    inner: &'a Inner,
    is_sent: bool,
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        let count = if self.is_sent { &self.inner.sent } else { &self.inner.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Invalidations for Broadcast {
    async fn publish(&self, invalidation: Invalidation) -> Result<(), StoreError> {
        self.start();
        // ATOMIC: first here, so that this node obeys whatever becomes of the rest.
        self.inner.listeners.each(|listener| listener.on_invalidation(invalidation));
        let mut telling = Telling { inner: &self.inner, is_sent: false };
        let sent = self.inner.send(&message::invalidation(&self.inner.node, invalidation)).await;
        telling.is_sent = sent.is_ok();
        sent
    }

    fn subscribe(&self, listener: Weak<dyn Listener>) {
        // Deaf until the next heartbeat comes back, also if others here hear already.
        if let Some(listener) = listener.upgrade() {
            listener.on_disconnected();
        }
        self.inner.listeners.add(listener);
        self.start();
        if *lock(&self.inner.state) == State::Hears {
            // Others here hear already, so that the next heartbeat may be far.
            self.inner.asked.notify_one();
        }
    }

    fn counts(&self) -> InvalidationStats {
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
        within_patience("invalidations.publish", self.transport.send(text)).await
    }

    /// Listens for ever, over one subscription after another.
    async fn run(self: Arc<Self>) {
        let (shortest, longest) = WAITS;
        let mut wait = shortest;
        loop {
            let listening = within_patience("invalidations.listen", self.transport.listen()).await;
            let (heard, error) = match listening {
                Ok(subscription) => self.follow(subscription).await,
                Err(error) => (false, error),
            };
            self.deafen(&error);
            if heard {
                wait = shortest;
            }
            // Up to half as long again, so that nodes that lost the same server do not come back as one.
            sleep(wait + wait.mul_f64(f64::from(random::<u64>() as u8) / 512.0)).await;
            wait = (wait * 2).min(longest);
        }
    }

    /// Follows one subscription to its end. Answers whether it was ever relied on, and why it ended.
    async fn follow(&self, mut subscription: Box<dyn Subscription>) -> (bool, StoreError) {
        let beats = Beats::default();
        if self.staleness.is_zero() {
            // Nobody remembers anything: there is nothing to rely on.
            self.trust(Duration::MAX);
        }
        tokio::select! {
            ended = self.hear(subscription.as_mut(), &beats) => ended,
            never = self.beat(&beats) => match never {},
        }
    }

    async fn hear(&self, subscription: &mut dyn Subscription, beats: &Beats) -> (bool, StoreError) {
        let silence = (self.staleness * 2).max(SHORTEST_SILENCE);
        let mut heard = false;
        let mut given_up_at = Instant::now() + silence;
        let mut trusted_until = None;
        loop {
            let now = Instant::now();
            if trusted_until.is_some_and(|until| until <= now) {
                trusted_until = None;
                self.deafen(&nothing_came_back());
            }
            if trusted_until.is_none() && given_up_at <= now && !self.staleness.is_zero() {
                return (heard, nothing_came_back());
            }
            let wake_at = trusted_until.unwrap_or(given_up_at);
            let text = tokio::select! {
                biased;
                text = subscription.next() => text,
                () = sleep_until(wake_at), if !self.staleness.is_zero() => continue,
            };
            match text {
                Err(error) => return (heard, error),
                Ok(text) => match message::read(&text, &self.node) {
                    Message::Nothing => {}
                    Message::OwnHeartbeat(number) => {
                        let Some(sent_at) = take(beats, number) else { continue };
                        // Late or not, the way is open.
                        given_up_at = Instant::now() + silence;
                        let until = sent_at + self.lease();
                        let left = until.saturating_duration_since(Instant::now());
                        if !left.is_zero() {
                            heard = true;
                            trusted_until = Some(until);
                            self.trust(left);
                        }
                    }
                    Message::Invalidation(invalidation) => self.deliver(invalidation),
                    Message::Unknown => {
                        tracing::debug!(
                            "an invalidation of another version was heard; everything is forgotten"
                        );
                        self.deliver(Invalidation::Everything);
                    }
                },
            }
        }
    }

    /// Sends one heartbeat after another.
    async fn beat(&self, beats: &Beats) -> Infallible {
        if self.staleness.is_zero() {
            return std::future::pending().await;
        }
        let mut ticks = interval(self.between_beats());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.asked.notified() => {}
            }
            let number = self.beats.fetch_add(1, Ordering::Relaxed);
            {
                // Remembered before it is sent: its age counts from here.
                let mut beats = lock(beats);
                if beats.len() >= BEATS_REMEMBERED {
                    beats.pop_front();
                }
                beats.push_back((number, Instant::now()));
            }
            if let Err(error) = self.send(&message::heartbeat(&self.node, number)).await {
                tracing::debug!(%error, "a heartbeat was not sent");
            }
        }
    }

    fn between_beats(&self) -> Duration {
        (self.staleness / 4).max(SHORTEST_BEAT)
    }

    /// For how long after it was sent a heartbeat that came back is relied on: half the staleness,
    /// and never less than two heartbeats take.
    fn lease(&self) -> Duration {
        (self.staleness / 2).max(self.between_beats() * 2)
    }

    fn deliver(&self, invalidation: Invalidation) {
        self.listeners.each(|listener| listener.on_invalidation(invalidation));
        // After it was obeyed, so that whoever sees the count sees the effect.
        self.received.fetch_add(1, Ordering::Release);
    }

    fn trust(&self, lease: Duration) {
        self.listeners.each(|listener| listener.on_connected(lease));
        let before = std::mem::replace(&mut *lock(&self.state), State::Hears);
        if before == State::Deaf {
            tracing::info!("this node hears the others again; what it remembered was forgotten");
        }
    }

    fn deafen(&self, error: &StoreError) {
        self.listeners.each(|listener| listener.on_disconnected());
        let before = std::mem::replace(&mut *lock(&self.state), State::Deaf);
        if before == State::Deaf {
            return;
        }
        self.disconnects.fetch_add(1, Ordering::Relaxed);
        let reason = std::error::Error::source(error).map(ToString::to_string);
        tracing::warn!(
            %error,
            reason,
            advice = self.transport.advice(),
            "this node does not hear the others: it trusts nothing that it remembers and asks the stores each time, until it hears again"
        );
    }
}

fn nothing_came_back() -> StoreError {
    StoreError::unavailable("invalidations.hear")
        .with_source("no heartbeat of this node came back in time")
}

/// When a heartbeat of this subscription was sent. It and all before it are then forgotten.
fn take(beats: &Beats, number: u64) -> Option<Instant> {
    let mut beats = lock(beats);
    let place = beats.iter().position(|(one, _)| *one == number)?;
    beats.drain(..=place).next_back().map(|(_, sent_at)| sent_at)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn within_patience<T>(
    operation: &'static str,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(PATIENCE, call).await.unwrap_or_else(|_| {
        Err(StoreError::unavailable(operation)
            .with_source(format!("no answer within {PATIENCE:?}")))
    })
}
