//! Goat's events and its calls to the stores, counted.

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

    /// Something happened. Each event counts under its name, and some under what they mean too.
    pub(crate) fn happened(&self, event: &Event) {
        self.events.get_or_create(&EventLabel { event: event.kind.name() }).inc();
        match &event.kind {
            EventKind::SignedIn => self.login("success"),
            EventKind::SignInFailed(kind) => self.login(kind.code()),
            EventKind::Refreshed => self.refresh("success"),
            EventKind::RefreshRepeated => self.refresh("repeated"),
            EventKind::RefreshFailed(kind) => self.refresh(kind.code()),
            EventKind::TokenReused => {
                self.refresh("reused");
                self.sessions_ended("reused", 1);
            }
            EventKind::SignedOut => self.sessions_ended("signed-out", 1),
            EventKind::SessionsRevoked(count) => self.sessions_ended("revoked", *count),
            EventKind::SessionsEvicted(count) => self.sessions_ended("evicted", *count),
            EventKind::Limited(limit) => self.denied(limit),
            // Its name is counted.
            _ => {}
        }
    }

    /// A call to a store was waited for, to its end or its time-out.
    pub(crate) fn store_called(&self, operation: &'static str, took: Duration, failed: bool) {
        let labels = OperationLabel { operation };
        self.store_calls.get_or_create(&labels).inc();
        self.store_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        // Made at the first call, so that a rate over it begins at zero.
        self.store_errors.get_or_create(&labels).inc_by(u64::from(failed));
    }
}
