//! Requests: in flight, ended, and how long they took.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

use super::{MethodLabel, Metrics, RequestLabels, StatusLabel, UNMATCHED, method_name};

/// The `status` of a request that ended before there was an answer: the client left, or the
/// connection broke. No number, since none was sent.
pub const NO_STATUS: &str = "none";

impl EncodeLabelValue for StatusLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
        match self.0 {
            Some(status) => write!(encoder, "{status}"),
            None => encoder.write_str(NO_STATUS),
        }
    }
}

impl Metrics {
    /// A request has begun. It is in flight until the guard is finished or dropped.
    pub fn request_started(self: &Arc<Self>, method: &Method) -> InFlight {
        let method = method_name(method);
        self.in_flight.get_or_create(&MethodLabel { method }).inc();
        InFlight { metrics: Arc::clone(self), method }
    }
}

/// A request that has not ended.
#[derive(Debug)]
#[must_use = "the request has ended when this is dropped"]
pub struct InFlight {
    metrics: Arc<Metrics>,
    method: &'static str,
}

impl InFlight {
    /// The request has ended: on this route, as its template; with this status, if one was sent;
    /// after this long.
    pub fn finish(self, route: Option<&str>, status: Option<StatusCode>, took: Duration) {
        let labels = RequestLabels {
            method: self.method,
            route: route.unwrap_or(UNMATCHED).to_owned(),
            status: StatusLabel(status.map(|status| status.as_u16())),
        };
        self.metrics.requests.get_or_create(&labels).inc();
        self.metrics.request_seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// The metrics that it is counted in.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.metrics.in_flight.get_or_create(&MethodLabel { method: self.method }).dec();
    }
}
