//! What the server makes of what goat tells it: each event is counted and becomes a line of the log,
//! each call to a store is counted and timed.

mod audit;
pub mod logging;
pub mod metrics;

use std::sync::Arc;
use std::time::Duration;

use goat_core::event::{Event, Observer};

use audit::audit;
use metrics::Metrics;

/// The observer of a goat that a server serves: counts in [`Metrics`], and writes the log that tells
/// who did what to whom (see [`logging`]).
#[derive(Clone, Debug)]
pub struct ServerObserver {
    metrics: Arc<Metrics>,
}

impl ServerObserver {
    /// Counts in these, which are the ones to give to the [router](crate::api::router) too.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { metrics })
    }
}

impl Observer for ServerObserver {
    fn observe(&self, event: &Event) {
        audit(event);
        self.metrics.happened(event);
    }

    fn store_called(&self, operation: &'static str, took: Duration, failed: bool) {
        self.metrics.store_called(operation, took, failed);
    }
}
