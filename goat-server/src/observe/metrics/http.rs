//! HTTP request metrics: in flight, total, and duration.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::gauge::Gauge;

use super::{MethodLabel, Metrics, RequestLabels, StatusLabel, UNMATCHED, method_name};

/// The `status` of a request that ended before there was a response: the client disconnected. Not a
/// number, since none was sent.
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
    /// Counts a request as in flight until the guard is finished or dropped.
    pub fn request_started(self: &Arc<Self>, method: &Method) -> InFlight {
        let method = method_name(method);
        let gauge = self.in_flight.get_or_create_owned(&MethodLabel { method });
        gauge.inc();
        InFlight { metrics: Arc::clone(self), gauge, method }
    }
}

/// A request in flight.
#[derive(Debug)]
#[must_use = "the request has ended when this is dropped"]
pub struct InFlight {
    metrics: Arc<Metrics>,
    gauge: Gauge,
    method: &'static str,
}

impl InFlight {
    /// Counts the request as ended: its route by path template, its status if one was sent, and its
    /// duration.
    pub fn finish(
        self,
        route: Option<Cow<'static, str>>,
        status: Option<StatusCode>,
        took: Duration,
    ) {
        let labels = RequestLabels {
            method: self.method,
            route: route.unwrap_or(Cow::Borrowed(UNMATCHED)),
            status: StatusLabel(status.map(|status| status.as_u16())),
        };
        self.metrics.requests.get_or_create(&labels).inc();
        self.metrics.request_seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Returns the metrics that count the request.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}
