//! Observability: logging, metrics and the audit log, and the observer that feeds them with goat's
//! events and store calls.

pub(crate) mod audit;
pub mod logging;
pub mod metrics;

use std::sync::Arc;
use std::time::Duration;

use goat_core::event::{Event, Observer};

use audit::audit;
use metrics::Metrics;

/// The observer of a served goat: counts in [`Metrics`], and writes the audit log (see
/// [`logging`]).
#[derive(Clone, Debug)]
pub struct ServerObserver {
    metrics: Arc<Metrics>,
}

impl ServerObserver {
    /// Counts in `metrics`, which the [`Api`](crate::Api) must share.
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
