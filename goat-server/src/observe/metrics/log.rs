//! Metrics of the log, read at each scrape.

use std::sync::OnceLock;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::{KindLabel, Metrics};
use crate::observe::logging::{LineKind, LineQueue};

/// The queue of the log, once it is known.
#[derive(Debug, Default)]
pub(super) struct Log(OnceLock<LineQueue>);

impl Metrics {
    /// Exposes the dropped lines of a log queue from now on. Only the first call counts.
    pub fn follow_log(&self, queue: LineQueue) {
        // Later calls change nothing.
        let _ = self.log.0.set(queue);
    }
}

impl Log {
    /// Reads the current values.
    pub(super) fn read(&self, registry: &mut Registry) {
        let Some(queue) = self.0.get() else { return };
        let family = Family::<KindLabel, Counter>::default();
        for kind in LineKind::ALL {
            let label = KindLabel { kind: kind.name() };
            family.get_or_create(&label).inc_by(queue.dropped(kind));
        }
        registry.register(
            "goat_log_lines_dropped",
            "Log lines that found no place in the queue or could not be written",
            family,
        );
    }
}
