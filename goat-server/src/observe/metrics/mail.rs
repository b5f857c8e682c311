//! Metrics of letters, read at each scrape.

use std::fmt;
use std::sync::OnceLock;

use goat_core::courier::Message;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::{Metrics, ReasonLabel};

/// Why a letter was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MailLoss {
    /// The mail server rejected it for good.
    Rejected,
    /// The mail server received it, and its reply is not known.
    Unknown,
    /// Every try failed.
    Exhausted,
    /// Its link or code expired before a try succeeded.
    Expired,
    /// It could not be rendered or addressed.
    Invalid,
    /// The server shut down.
    Shutdown,
}

impl MailLoss {
    const ALL: [Self; 6] = [
        Self::Rejected,
        Self::Unknown,
        Self::Exhausted,
        Self::Expired,
        Self::Invalid,
        Self::Shutdown,
    ];

    /// Returns its name, for labels and the log.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
            Self::Exhausted => "exhausted",
            Self::Expired => "expired",
            Self::Invalid => "invalid",
            Self::Shutdown => "shutdown",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LetterLabel {
    letter: &'static str,
}

/// Counters of letters. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct MailMetrics {
    sent: Family<LetterLabel, Counter>,
    retries: Counter,
    dropped: Family<ReasonLabel, Counter>,
    rejections: Counter,
}

impl Default for MailMetrics {
    /// Every series begins at zero, so that the first event counts as an increase.
    fn default() -> Self {
        let metrics = Self {
            sent: Family::default(),
            retries: Counter::default(),
            dropped: Family::default(),
            rejections: Counter::default(),
        };
        for letter in Message::NAMES {
            drop(metrics.sent.get_or_create(&LetterLabel { letter }));
        }
        for loss in MailLoss::ALL {
            metrics.lost(loss, 0);
        }
        metrics
    }
}

impl MailMetrics {
    /// Counts a letter that the carrier accepted, by the name of its message.
    pub(crate) fn sent(&self, letter: &'static str) {
        self.sent.get_or_create(&LetterLabel { letter }).inc();
    }

    /// Counts a retry.
    pub(crate) fn retried(&self) {
        self.retries.inc();
    }

    /// Counts lost letters.
    pub(crate) fn lost(&self, loss: MailLoss, count: u64) {
        self.dropped.get_or_create(&ReasonLabel { reason: loss.name() }).inc_by(count);
    }

    /// Counts a reservation that found the queue full.
    pub(crate) fn rejected(&self) {
        self.rejections.inc();
    }
}

#[cfg(test)]
impl MailMetrics {
    pub(crate) fn count_sent(&self, letter: &'static str) -> u64 {
        self.sent.get_or_create(&LetterLabel { letter }).get()
    }

    pub(crate) fn count_lost(&self, loss: MailLoss) -> u64 {
        self.dropped.get_or_create(&ReasonLabel { reason: loss.name() }).get()
    }

    pub(crate) fn count_retries(&self) -> u64 {
        self.retries.get()
    }

    pub(crate) fn count_rejections(&self) -> u64 {
        self.rejections.get()
    }
}

/// The queue of letters: its counters, and how many places are taken.
pub(crate) struct MailQueue {
    metrics: MailMetrics,
    taken: Box<dyn Fn() -> usize + Send + Sync>,
}

impl fmt::Debug for MailQueue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MailQueue").field("metrics", &self.metrics).finish_non_exhaustive()
    }
}

impl MailQueue {
    pub(crate) fn new(
        metrics: MailMetrics,
        taken: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Self {
        Self { metrics, taken: Box::new(taken) }
    }
}

/// The queue of letters, if the server sends mail.
#[derive(Debug, Default)]
pub(super) struct Mail(OnceLock<MailQueue>);

impl Metrics {
    /// Exposes the metrics of letters from now on. Only the first call counts.
    pub(crate) fn follow_mail(&self, queue: MailQueue) {
        // Later calls change nothing.
        let _ = self.mail.0.set(queue);
    }
}

impl Mail {
    /// Reads the current values.
    pub(super) fn read(&self, registry: &mut Registry) {
        let Some(MailQueue { metrics, taken }) = self.0.get() else { return };
        registry.register("goat_letters_sent", "Letters delivered", metrics.sent.clone());
        registry.register(
            "goat_letter_retries",
            "Deliveries of letters that failed and are tried again",
            metrics.retries.clone(),
        );
        registry.register(
            "goat_letters_dropped",
            "Letters lost by reason",
            metrics.dropped.clone(),
        );
        registry.register(
            "goat_letter_queue_rejections",
            "Letters that found no place in the queue",
            metrics.rejections.clone(),
        );
        registry.register(
            "goat_letters_waiting",
            "Letters in the queue or in delivery, and reserved places",
            ConstGauge::new(taken() as u64),
        );
    }
}
