//! Counters of goat's events and store calls.

use std::time::Duration;

use goat_core::event::{Event, EventKind};

use super::{EventLabel, Metrics, OperationLabel, OutcomeLabel, ReasonLabel};

impl Metrics {
    fn login(&self, outcome: &'static str) {
        self.logins.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    fn refresh(&self, outcome: &'static str) {
        self.refreshes.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    fn sessions_ended(&self, reason: &'static str, count: u64) {
        self.sessions_ended.get_or_create(&ReasonLabel { reason }).inc_by(count);
    }

    /// Counts an event: under its name, and in the metric of its meaning, if it has one.
    pub(crate) fn happened(&self, event: &Event) {
        self.events.get_or_create(&EventLabel { event: event.kind.name() }).inc();
        match &event.kind {
            EventKind::SignedIn => self.login("success"),
            EventKind::SignInPending => self.login("second-factor-required"),
            EventKind::SignInFailed(kind) => self.login(kind.code()),
            EventKind::Refreshed => self.refresh("success"),
            EventKind::RefreshRepeated => self.refresh("repeated"),
            EventKind::RefreshRepeatedElsewhere => self.refresh("repeated-elsewhere"),
            EventKind::RefreshFailed(kind) => self.refresh(kind.code()),
            EventKind::TokenReused => {
                self.refresh("reused");
                self.sessions_ended("reused", 1);
            }
            EventKind::SignedOut => self.sessions_ended("signed-out", 1),
            EventKind::SessionsRevoked(count) => self.sessions_ended("revoked", *count),
            EventKind::SessionsEvicted(count) => self.sessions_ended("evicted", *count),
            EventKind::Limited(limit) => self.denied(limit),
            // Counted under its name only.
            _ => {}
        }
    }

    /// Counts a store call that ended or timed out.
    pub(crate) fn store_called(&self, operation: &'static str, took: Duration, failed: bool) {
        let labels = OperationLabel { operation };
        self.store_calls.get_or_create(&labels).inc();
        self.store_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        // Created with the first call, so that a rate starts at zero.
        self.store_errors.get_or_create(&labels).inc_by(u64::from(failed));
    }
}
