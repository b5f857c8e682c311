//! What is counted and measured.

use std::sync::Arc;

use goat_core::event::{Event, Observer};

/// The metrics of one process.
#[derive(Debug, Default)]
pub struct Metrics(());

impl Metrics {
    /// Starts at zero.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }
}

impl Observer for Metrics {
    fn observe(&self, _: &Event) {}
}
