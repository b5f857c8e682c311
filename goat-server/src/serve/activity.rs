//! What a connection is doing and until when it may: a small state machine that the stream, the
//! service and the answers' bodies report to, and that the connection's task obeys.
//!
//! Invariant: as long as a connection is open there is an instant at which it will be looked at
//! again, and bytes alone never move that instant away: only a whole head does.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::ServeSettings;

/// What the time-out's own answer has to leave, after the request's time is over.
const ANSWER_GRACE: Duration = Duration::from_secs(1);

/// How long an idle connection waits for a request that may be on its way when the server leaves.
const LAST_WORD: Duration = Duration::from_secs(1);

/// How long a connection that we close waits for the other end to close it too.
const LINGER: Duration = Duration::from_secs(1);

/// That long after an instant; a time-out of ages is one of a year.
fn after(since: Instant, time: Duration) -> Instant {
    since + time.min(Duration::from_secs(366 * 86_400))
}

/// What happens on one connection. Shared by its task and, under HTTP/2, those of its streams.
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
    /// Requests whose answer has not been handed over to the protocol.
    in_flight: usize,
    /// When the latest request began.
    asked: Instant,
    http2: bool,
    /// The socket does not take what we have to send, since then.
    blocked: Option<Instant>,
    /// Answers are to say `Connection: close`, since then.
    draining: Option<Instant>,
    /// Idle connections are to go.
    stopping: bool,
    /// The protocol has been told to finish.
    leaving: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No request yet; `spoke` if there were bytes.
    Opening { since: Instant, spoke: bool },
    /// At least one request is in flight.
    Busy,
    /// Between requests.
    Idle { since: Instant },
    /// The first bytes of a next head are there (HTTP/1).
    Head { since: Instant },
    /// Closing: waiting for the other end.
    Leaving { since: Instant },
}

/// What the connection's task has to do at an instant that fell due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Look again then.
    Wait(Instant),
    /// Let the protocol close the connection.
    Leave,
    /// Drop the connection, for this reason.
    Cut(&'static str),
}

impl Activity {
    /// Of a connection that was accepted just now.
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

    /// How long a request and its answer may take, with what the time-out's own answer needs.
    pub(super) fn request_limit(&self) -> Duration {
        self.request.saturating_add(ANSWER_GRACE)
    }

    /// Bytes have arrived.
    pub(super) fn received(&self) {
        let mut state = self.lock();
        match state.phase {
            Phase::Opening { since, .. } => state.phase = Phase::Opening { since, spoke: true },
            // Under HTTP/2 any frame may come between requests; it buys no time.
            Phase::Idle { .. } if !state.http2 => {
                state.phase = Phase::Head { since: Instant::now() };
            }
            _ => {}
        }
    }

    /// The socket takes no more for now (`true`), or does again.
    pub(super) fn blocked(&self, blocked: bool) {
        let mut state = self.lock();
        state.blocked = blocked.then(Instant::now);
        // Only now is the answer on its way, and the client's silence begins. (Under HTTP/2 what is
        // written may be the echo of a ping, which buys no time either.)
        if !blocked && !state.http2 && matches!(state.phase, Phase::Idle { .. }) {
            state.phase = Phase::Idle { since: Instant::now() };
        }
    }

    /// Our side of the connection is closed.
    pub(super) fn closed(&self) {
        self.lock().phase = Phase::Leaving { since: Instant::now() };
    }

    /// A whole head is there.
    pub(super) fn begin(&self, http2: bool) {
        let mut state = self.lock();
        state.in_flight += 1;
        state.asked = Instant::now();
        state.http2 = http2;
        state.phase = Phase::Busy;
    }

    /// An answer has been handed over, or given up.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
        if state.in_flight == 0 && state.phase == Phase::Busy {
            let since = Instant::now();
            state.phase =
                if state.leaving { Phase::Leaving { since } } else { Phase::Idle { since } };
        }
    }

    /// From now on answers say that they are the last.
    pub(super) fn drain(&self) {
        self.lock().draining.get_or_insert_with(Instant::now);
    }

    /// Whether an answer has to say that it is the last.
    pub(super) fn is_draining(&self) -> bool {
        self.lock().draining.is_some()
    }

    /// From now on idle means done. `true` if the protocol can tell the client so (HTTP/2).
    pub(super) fn stop(&self) -> bool {
        let mut state = self.lock();
        state.stopping = true;
        state.draining.get_or_insert_with(Instant::now);
        if state.http2 {
            state.leave();
        }
        state.http2
    }

    /// When this connection has to be looked at; `None`: not before the instant known so far.
    pub(super) fn due(&self) -> Option<Instant> {
        Some(self.rule(&self.lock())?.0)
    }

    /// An instant fell due: what now?
    pub(super) fn expire(&self) -> Verdict {
        let now = Instant::now();
        let mut state = self.lock();
        match self.rule(&state) {
            // Streams in flight have deadlines of their own, and none can be idle for longer
            // before this is asked again.
            None => Verdict::Wait(after(now, self.idle)),
            Some((due, _)) if due > now => Verdict::Wait(due),
            Some((_, Verdict::Leave)) => {
                state.leave();
                Verdict::Leave
            }
            Some((_, verdict)) => verdict,
        }
    }

    /// The instant that counts, and what it brings.
    fn rule(&self, state: &State) -> Option<(Instant, Verdict)> {
        // Each stream has a deadline of its own; but if nothing at all can be written, nobody hears
        // that it has passed.
        let unread = state.blocked.filter(|_| state.http2).map(|since| {
            (after(since, self.request_limit()), Verdict::Cut("the client does not read"))
        });
        [self.rule_of_phase(state), unread].into_iter().flatten().min_by_key(|(due, _)| *due)
    }

    fn rule_of_phase(&self, state: &State) -> Option<(Instant, Verdict)> {
        let (due, verdict) = match state.phase {
            Phase::Opening { since, spoke } => {
                let due = after(since, self.header);
                match state.last_word(since) {
                    Some(last) if !spoke && last < due => (last, Verdict::Leave),
                    _ => (due, Verdict::Cut("header time-out")),
                }
            }
            Phase::Busy if state.http2 => return None,
            Phase::Busy => {
                (after(state.asked, self.request_limit()), Verdict::Cut("request time-out"))
            }
            // An answer that is written to its end but not on its way is still the request's matter.
            Phase::Idle { .. } if state.blocked.is_some() && !state.http2 => {
                (after(state.asked, self.request_limit()), Verdict::Cut("request time-out"))
            }
            Phase::Idle { since } => {
                let due = after(since, self.idle);
                (state.last_word(since).map_or(due, |last| last.min(due)), Verdict::Leave)
            }
            Phase::Head { since } => (after(since, self.header), Verdict::Cut("header time-out")),
            Phase::Leaving { since } => {
                (after(since, LINGER), Verdict::Cut("the client did not close"))
            }
        };
        Some((due, verdict))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way; a poisoned state is still a state.
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

    /// Until when a connection that has been quiet since then is kept while the server leaves.
    fn last_word(&self, since: Instant) -> Option<Instant> {
        let draining = self.draining.filter(|_| self.stopping)?;
        Some(after(since.max(draining), LAST_WORD))
    }
}
