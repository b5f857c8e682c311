//! What is counted and measured.

use std::sync::Arc;

use goat_core::Goat;

/// The metrics of one process.
#[derive(Debug, Default)]
pub struct Metrics(());

impl Metrics {
    /// Starts at zero.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Everything, in the format that fits what the client accepts.
    pub fn expose(&self, _: &Goat, _: Option<&str>) -> (&'static str, String) {
        ("text/plain; version=0.0.4; charset=utf-8", String::new())
    }
}
