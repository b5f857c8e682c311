//! Connection state machine: the state of one connection and its deadline. The stream, the service
//! and the response bodies report to it; the connection's task acts on it.
//!
//! Invariant: an open connection always has a deadline, and received bytes alone never extend it.
//! Only a complete request head does.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::ServeSettings;

/// Time for the timeout's own response to leave after the request's deadline.
const ANSWER_GRACE: Duration = Duration::from_secs(1);

/// How long shutdown waits on an idle connection for a request that may be in transit.
const IDLE_GRACE: Duration = Duration::from_secs(1);

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
            }),
        }
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
            Phase::Opening { since, spoke } => {
                let due = after(since, self.header);
                match state.idle_grace_end(since) {
                    Some(last) if !spoke && last < due => (last, Action::Leave),
                    _ => (due, Action::Cut("header time-out")),
                }
            }
            Phase::Busy if state.http2 => return None,
            Phase::Busy => {
                (after(state.asked, self.request_limit()), Action::Cut("request time-out"))
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
