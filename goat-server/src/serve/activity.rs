//! Connection state machine: the state of one connection and its deadline. The stream, the service
//! and the response bodies report to it; the connection's task acts on it.
//!
//! Invariant: an open connection always has a deadline, and received bytes alone never extend it.
//! Only a complete request head does.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::ServeSettings;

/// Time for the timeout's own response to leave after the request's deadline.
const ANSWER_GRACE: Duration = Duration::from_secs(1);

/// How long shutdown waits on an idle connection for a request that may be in transit.
const IDLE_GRACE: Duration = Duration::from_secs(1);

/// How long a request continues after the client has closed its side. The client may have closed only
/// this side and wait for the response, or may be gone; nothing tells the two apart.
const HALF_CLOSE_GRACE: Duration = Duration::from_secs(2);

/// How long a connection that the server closes waits for the client to close it too.
const LINGER: Duration = Duration::from_secs(1);

/// Adds `time` to `since`. A timeout that overflows is capped at one year.
fn after(since: Instant, time: Duration) -> Instant {
    since + time.min(Duration::from_secs(366 * 86_400))
}

/// The state of one connection, shared by its task and, under HTTP/2, by its streams' tasks.
#[derive(Debug)]
pub(super) struct Activity {
    header: Duration,
    request: Duration,
    idle: Duration,
    state: Mutex<State>,
    /// Wakes the connection's task to close it.
    closing: Notify,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Requests with a response that has not been handed to the protocol in full.
    in_flight: usize,
    /// When the latest request began.
    asked: Instant,
    http2: bool,
    /// Since when the socket has accepted no more bytes.
    blocked: Option<Instant>,
    /// Since when responses carry `Connection: close`.
    draining: Option<Instant>,
    /// Idle connections are to be closed.
    stopping: bool,
    /// The protocol has been told to shut down gracefully.
    leaving: bool,
    /// The connection is to be closed when it is idle, to make room for another.
    unwanted: bool,
    /// Since when the client's side is closed, if a request was in flight then (HTTP/1), and the task
    /// to wake when it is not in flight any more.
    half_closed: Option<(Instant, Waker)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No request yet; `spoke` if any bytes were received.
    Opening { since: Instant, spoke: bool },
    /// At least one request is in flight.
    Busy,
    /// Between requests.
    Idle { since: Instant },
    /// The first bytes of the next head have arrived (HTTP/1).
    Head { since: Instant },
    /// Closing; waiting for the client to close.
    Leaving { since: Instant },
}

/// The action that the connection's task takes when a deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Wait until this instant.
    Wait(Instant),
    /// Shut the connection down gracefully.
    Leave,
    /// Drop the connection, for this reason.
    Cut(&'static str),
}

impl Activity {
    /// Creates the state of a connection that was just accepted.
    pub(super) fn new(settings: &ServeSettings) -> Self {
        let now = Instant::now();
        Self {
            header: settings.header_timeout,
            request: settings.request_timeout,
            idle: settings.idle_timeout,
            state: Mutex::new(State {
                phase: Phase::Opening { since: now, spoke: false },
                in_flight: 0,
                asked: now,
                http2: false,
                blocked: None,
                draining: None,
                stopping: false,
                leaving: false,
                unwanted: false,
                half_closed: None,
            }),
            closing: Notify::new(),
        }
    }

    /// Returns since when no request is in flight; `None` if one is, or if the connection is closing.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.lock().idle_since()
    }

    /// Closes the connection if it has been idle since exactly this instant. Returns whether it has.
    pub(super) fn close_if_idle(&self, since: Instant) -> bool {
        let mut state = self.lock();
        if state.unwanted || state.idle_since() != Some(since) {
            return false;
        }
        state.unwanted = true;
        // A request that arrives now is still answered, as the connection's last.
        state.draining.get_or_insert_with(Instant::now);
        self.closing.notify_one();
        true
    }

    /// Resolves when the connection's task has to look at its deadline again.
    pub(super) async fn closing(&self) {
        self.closing.notified().await;
    }

    /// Records that the client has closed its side. Returns whether the connection waits for the
    /// response to a request (HTTP/1); its task is woken when that is handed over.
    pub(super) fn half_closed(&self, task: &Waker) -> bool {
        let mut state = self.lock();
        let waits = state.phase == Phase::Busy && !state.http2;
        if waits {
            let since = state.half_closed.as_ref().map_or_else(Instant::now, |(since, _)| *since);
            state.half_closed = Some((since, task.clone()));
        }
        waits
    }

    /// Returns the time for a request and its response, including the timeout's own response.
    pub(super) fn request_limit(&self) -> Duration {
        self.request.saturating_add(ANSWER_GRACE)
    }

    /// Records that bytes were received.
    pub(super) fn received(&self) {
        let mut state = self.lock();
        match state.phase {
            Phase::Opening { since, .. } => state.phase = Phase::Opening { since, spoke: true },
            // Under HTTP/2 any frame may arrive between requests; it extends no deadline.
            Phase::Idle { .. } if !state.http2 => {
                state.phase = Phase::Head { since: Instant::now() };
            }
            _ => {}
        }
    }

    /// Records that the socket accepts no more bytes (`true`), or accepts them again.
    pub(super) fn blocked(&self, blocked: bool) {
        let mut state = self.lock();
        state.blocked = blocked.then(Instant::now);
        // Only now is the response sent, and the idle time begins. (Under HTTP/2 the bytes may be
        // the reply to a ping, which extends no deadline either.)
        if !blocked && !state.http2 && matches!(state.phase, Phase::Idle { .. }) {
            state.phase = Phase::Idle { since: Instant::now() };
        }
    }

    /// Records that the server's side of the connection is closed.
    pub(super) fn closed(&self) {
        self.lock().phase = Phase::Leaving { since: Instant::now() };
    }

    /// Records that a complete head has arrived.
    pub(super) fn begin(&self, http2: bool) {
        let mut state = self.lock();
        state.in_flight += 1;
        state.asked = Instant::now();
        state.http2 = http2;
        state.phase = Phase::Busy;
    }

    /// Records that a response was handed over, or dropped.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
        if state.in_flight == 0 && state.phase == Phase::Busy {
            let since = Instant::now();
            state.phase =
                if state.leaving { Phase::Leaving { since } } else { Phase::Idle { since } };
            if let Some((_, task)) = &state.half_closed {
                task.wake_by_ref();
            }
        }
    }

    /// Marks the responses from now on as the connection's last.
    pub(super) fn drain(&self) {
        self.lock().draining.get_or_insert_with(Instant::now);
    }

    /// Whether a response has to announce that it is the last one.
    pub(super) fn is_draining(&self) -> bool {
        self.lock().draining.is_some()
    }

    /// Closes the connection once it is idle. Returns `true` if the protocol can announce this
    /// (HTTP/2).
    pub(super) fn stop(&self) -> bool {
        let mut state = self.lock();
        state.stopping = true;
        state.draining.get_or_insert_with(Instant::now);
        if state.http2 {
            state.leave();
        }
        state.http2
    }

    /// Returns the deadline; `None` if it is not before the one already known.
    pub(super) fn due(&self) -> Option<Instant> {
        Some(self.rule(&self.lock())?.0)
    }

    /// Returns the action for a deadline that has passed.
    pub(super) fn expire(&self) -> Action {
        let now = Instant::now();
        let mut state = self.lock();
        match self.rule(&state) {
            // Streams in flight have deadlines of their own, and none can be idle for longer before
            // this runs again.
            None => Action::Wait(after(now, self.idle)),
            Some((due, _)) if due > now => Action::Wait(due),
            Some((_, Action::Leave)) => {
                state.leave();
                Action::Leave
            }
            Some((_, action)) => action,
        }
    }

    /// Returns the deadline that applies, and the action when it passes.
    fn rule(&self, state: &State) -> Option<(Instant, Action)> {
        // Each stream has a deadline of its own; but while nothing can be written, the client
        // cannot be told that it has passed.
        let unread = state.blocked.filter(|_| state.http2).map(|since| {
            (after(since, self.request_limit()), Action::Cut("the client does not read"))
        });
        [self.rule_of_phase(state), unread].into_iter().flatten().min_by_key(|(due, _)| *due)
    }

    fn rule_of_phase(&self, state: &State) -> Option<(Instant, Action)> {
        let (due, action) = match state.phase {
            Phase::Opening { since, .. } | Phase::Head { since } if state.unwanted => {
                (since, Action::Cut("closed to make room"))
            }
            Phase::Idle { since } if state.unwanted => (since, Action::Leave),
            Phase::Opening { since, spoke } => {
                let due = after(since, self.header);
                match state.idle_grace_end(since) {
                    Some(last) if !spoke && last < due => (last, Action::Leave),
                    _ => (due, Action::Cut("header time-out")),
                }
            }
            Phase::Busy if state.http2 => return None,
            Phase::Busy => {
                let due = after(state.asked, self.request_limit());
                match state.half_closed {
                    Some((since, _)) if after(since, HALF_CLOSE_GRACE) < due => {
                        (after(since, HALF_CLOSE_GRACE), Action::Cut("the client has closed"))
                    }
                    _ => (due, Action::Cut("request time-out")),
                }
            }
            // A response that is written but not yet accepted by the socket still counts as the
            // request.
            Phase::Idle { .. } if state.blocked.is_some() && !state.http2 => {
                (after(state.asked, self.request_limit()), Action::Cut("request time-out"))
            }
            Phase::Idle { since } => {
                let due = after(since, self.idle);
                (state.idle_grace_end(since).map_or(due, |last| last.min(due)), Action::Leave)
            }
            Phase::Head { since } => (after(since, self.header), Action::Cut("header time-out")),
            Phase::Leaving { since } => {
                (after(since, LINGER), Action::Cut("the client did not close"))
            }
        };
        Some((due, action))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code in this file panics halfway, so a poisoned state is consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn idle_since(&self) -> Option<Instant> {
        match self.phase {
            Phase::Opening { since, .. } | Phase::Head { since } | Phase::Idle { since } => {
                (!self.leaving).then_some(since)
            }
            Phase::Busy | Phase::Leaving { .. } => None,
        }
    }

    fn leave(&mut self) {
        self.leaving = true;
        if self.in_flight == 0 {
            self.phase = Phase::Leaving { since: Instant::now() };
        }
    }

    /// Until when shutdown keeps a connection that has been idle since `since`.
    fn idle_grace_end(&self, since: Instant) -> Option<Instant> {
        let draining = self.draining.filter(|_| self.stopping)?;
        Some(after(since.max(draining), IDLE_GRACE))
    }
}
