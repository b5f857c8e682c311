//! Delivery: background tasks take letters from the queue, render and deliver them, and retry.
//!
//! Invariants:
//! - a letter is delivered at most once: an outcome that is unknown after the end of the data is final;
//! - a letter that waits for its next try keeps its place in the queue and delays no other one;
//! - a letter is not delivered after its one-time secret has expired;
//! - the log names the kind of a message and the fault, never an address, a link or a code (L1).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use goat_core::Clock;
use goat_core::courier::Letter;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::backoff::Backoff;
use super::carrier::{Carrier, Fault, Mail, Outcome};
use super::folder::Terminal;
use super::places::{Place, Places};
use super::render::Renderer;
use crate::observe::metrics::{MailLoss, MailMetrics, MailQueue};
use crate::serve::{Lifecycle, Stage};

/// How many letters are delivered at once. Each has a connection of its own.
const CONCURRENT: usize = 4;

/// Timeout for closing idle connections at the end.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// A letter in its place.
pub(super) type Waiting = (Letter, Place);

/// The parts that all deliveries share.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) renderer: Renderer,
    pub(super) carrier: Box<dyn Carrier>,
    pub(super) backoff: Backoff,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: MailMetrics,
}

/// The letters of a [`MailCourier`](super::MailCourier) that wait for their delivery: nothing leaves
/// before [`Mailbag::start`].
#[must_use = "letters leave once it is started"]
pub struct Mailbag {
    pub(super) delivery: Arc<Delivery>,
    pub(super) places: Places,
    pub(super) letters: mpsc::UnboundedReceiver<Waiting>,
    pub(super) terminal: Terminal,
}

impl fmt::Debug for Mailbag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Mailbag").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Mailbag {
    /// Prints the path and the link of each letter that is written into a folder, for a developer at a
    /// terminal. Only the first call counts.
    pub(crate) fn print_to(&self, printer: impl Fn(&str) + Send + Sync + 'static) {
        self.terminal.set(printer);
    }

    /// Returns the queue and its counters, for metrics.
    pub(crate) fn queue(&self) -> MailQueue {
        let places = self.places.clone();
        MailQueue::new(self.delivery.metrics.clone(), move || places.taken())
    }

    /// Starts the deliveries on the current runtime.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn start(self, lifecycle: &Lifecycle) -> Deliveries {
        let Self { delivery, places, letters, .. } = self;
        let dispatcher = tokio::spawn(dispatch(Arc::clone(&delivery), letters, lifecycle.clone()));
        Deliveries { delivery, places, dispatcher }
    }
}

/// Running deliveries.
#[derive(Debug)]
pub struct Deliveries {
    delivery: Arc<Delivery>,
    places: Places,
    dispatcher: JoinHandle<()>,
}

impl Deliveries {
    /// Waits until every letter is delivered or lost and every reservation is used or dropped, then ends
    /// the deliveries. Call it once no more letters are sent: when the lifecycle drains and the listeners are
    /// closed. Letters that are left at `deadline` are dropped, counted and logged.
    ///
    /// While the lifecycle drains, a letter that waits for its next try is tried at once for the last time.
    pub async fn drain(self, deadline: Instant) {
        let drained = timeout_at(deadline, self.places.all_free()).await;
        let left = self.places.taken();
        self.dispatcher.abort();
        // Its tasks end with it, in the middle of a delivery.
        let _ = self.dispatcher.await;
        if drained.is_err() {
            self.delivery.metrics.lost(MailLoss::Shutdown, left as u64);
            tracing::warn!(left, "letters dropped at shutdown");
        }
        let _ = timeout(CLOSE_WITHIN, self.delivery.carrier.close()).await;
    }
}

/// Starts a task for each letter. The places bound their number.
async fn dispatch(
    delivery: Arc<Delivery>,
    mut letters: mpsc::UnboundedReceiver<Waiting>,
    lifecycle: Lifecycle,
) {
    let connections = Arc::new(Semaphore::new(CONCURRENT));
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            waiting = letters.recv() => {
                let Some((letter, place)) = waiting else { break };
                let delivery = Arc::clone(&delivery);
                let connections = Arc::clone(&connections);
                let lifecycle = lifecycle.clone();
                tasks.spawn(async move {
                    delivery.carry(&letter, &connections, &lifecycle).await;
                    drop(place);
                });
            }
            Some(ended) = tasks.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "delivery of a letter ended; this is a bug");
                }
            }
            () = delivery.carrier.close_idle() => {}
        }
    }
    while tasks.join_next().await.is_some() {}
}

impl Delivery {
    /// Renders and delivers one letter, with retries.
    async fn carry(&self, letter: &Letter, connections: &Semaphore, lifecycle: &Lifecycle) {
        let message = letter.message.name();
        let mail = match self.renderer.render(letter, self.clock.now()) {
            Ok(mail) => mail,
            Err(cause) => return self.lose(message, MailLoss::Invalid, 0, &cause),
        };
        let expiry = self.expiry(letter);
        for tries in 1.. {
            let Ok(connection) = connections.acquire().await else { return };
            if expiry.is_some_and(|expiry| expiry <= Instant::now()) {
                let cause = "the one-time secret expired before the delivery";
                return self.lose(message, MailLoss::Expired, tries - 1, &cause);
            }
            let began = Instant::now();
            let outcome = self.carrier.deliver(&mail).await;
            drop(connection);
            let fault = match outcome {
                Outcome::Delivered => return self.sent(message, tries, began.elapsed()),
                Outcome::Rejected(fault) => {
                    return self.lose(message, MailLoss::Rejected, tries, &fault);
                }
                Outcome::Unknown(fault) => {
                    return self.lose(message, MailLoss::Unknown, tries, &fault);
                }
                Outcome::Deferred(fault) => fault,
            };
            if let Err(loss) = self.pause(&mail, tries, expiry, &fault, lifecycle).await {
                return self.lose(message, loss, tries, &fault);
            }
        }
    }

    /// Waits for the next try.
    async fn pause(
        &self,
        mail: &Mail,
        tries: u32,
        expiry: Option<Instant>,
        fault: &Fault,
        lifecycle: &Lifecycle,
    ) -> Result<(), MailLoss> {
        let pause = self.backoff.after(tries).ok_or(MailLoss::Exhausted)?;
        let next = Instant::now() + pause;
        if expiry.is_some_and(|expiry| expiry <= next) {
            return Err(MailLoss::Expired);
        }
        if lifecycle.stage() == Stage::Draining {
            return Err(MailLoss::Shutdown);
        }
        self.metrics.retried();
        tracing::warn!(
            letter = mail.message,
            tries,
            retry_in_seconds = pause.as_secs(),
            %fault,
            "delivery of a letter failed; it is tried again"
        );
        tokio::select! {
            () = sleep_until(next) => {}
            () = lifecycle.draining() => {}
        }
        Ok(())
    }

    /// Returns when the letter's one-time secret expires, if it has one.
    fn expiry(&self, letter: &Letter) -> Option<Instant> {
        let secret = letter.message.secret()?;
        Some(Instant::now() + secret.expires_at.since(self.clock.now()))
    }

    fn sent(&self, message: &'static str, tries: u32, took: Duration) {
        self.metrics.sent(message);
        tracing::debug!(letter = message, tries, took_ms = took.as_millis() as u64, "letter sent");
    }

    fn lose(&self, message: &'static str, loss: MailLoss, tries: u32, cause: &dyn fmt::Display) {
        self.metrics.lost(loss, 1);
        tracing::warn!(letter = message, reason = loss.name(), tries, %cause, "letter dropped");
    }
}
