//! Prometheus metrics of the server.
//!
//! Invariants:
//! - the values of a label are few and known: methods that HTTP does not define share one, a route
//!   is its path template, and unmatched paths share one (L3);
//! - a counter never decreases. Values that goat counts itself (caches, the hash queue) are read at
//!   each scrape and not stored twice;
//! - no metric holds a user, a session or an address; the log does.
//!
//! | name | labels | |
//! |---|---|---|
//! | `http_requests_total` | `method`, `route`, `status` | requests that ended; [`NO_STATUS`] where the client left first |
//! | `http_request_duration_seconds` | `method`, `route`, `status` | until the last byte of the answer was handed over |
//! | `http_requests_in_flight` | `method` | |
//! | `goat_logins_total` | `outcome` | `success`, or the code of the refusal |
//! | `goat_refreshes_total` | `outcome` | `success`, `repeated`, `repeated-elsewhere`, `reused`, or the code of the refusal |
//! | `goat_sessions_ended_total` | `reason` | `signed-out`, `revoked`, `evicted` (too many), `reused` |
//! | `goat_events_total` | `event` | every event by its name |
//! | `goat_limit_denials_total` | `limit` | |
//! | `goat_limit_keys`, `goat_limit_overflows_total` | | limits, where this process counts them |
//! | `goat_invalidations_sent_total`, `_failed_total`, `_received_total`, `goat_invalidation_disconnects_total` | | invalidations between nodes |
//! | `goat_invalidation_connected` | | 0 while the invalidation channel is disconnected and the session cache is disabled |
//! | `goat_shared_cache_hits_total`, `_misses_total`, `_failures_total` | `kind`: `users`, `roles` | the shared cache in front of PostgreSQL |
//! | `goat_password_hashes_running`, `_waiting` | | |
//! | `goat_session_cache_hits_total`, `_misses_total`, `_evictions_total`, `_entries` | | |
//! | `goat_clock_ahead_seconds`, `goat_clock_steps_back_total` | | the machine's clock was set back: not 0 until it catches up |
//! | `goat_store_calls_total`, `goat_store_call_errors_total` | `operation` | |
//! | `goat_store_call_duration_seconds` | `operation` | |
//! | `goat_log_lines_dropped_total` | `kind`: `request`, `security`, `server` | log lines that found no place in the queue or could not be written |
//! | `goat_letters_sent_total` | `letter` | letters that the mail server accepted, by message |
//! | `goat_letters_dropped_total` | `reason`: `rejected`, `unknown`, `exhausted`, `expired`, `invalid`, `shutdown` | `unknown`: the connection was lost after the end of the letter, which is not sent twice |
//! | `goat_letter_retries_total`, `goat_letter_queue_rejections_total`, `goat_letters_waiting` | | |
//! | `goat_build_info` | `version` | |

mod events;
mod exposition;
mod http;
mod log;
mod mail;
mod names;
mod nodes;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

pub use self::http::{InFlight, NO_STATUS};
pub(crate) use self::mail::{MailLoss, MailMetrics, MailQueue};
pub use self::names::{UNMATCHED, method_name};

/// From a response served from a cache to the request timeout, in seconds; Argon2 at its minimum
/// cost takes about 20 ms.
const REQUEST_SECONDS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// From a page in memory to the default store timeout, in seconds.
const STORE_SECONDS: [f64; 12] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 2.0];

type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

/// The metrics of one server. They have their own registry: several servers in one process do not
/// share metrics.
///
/// A [`ServerObserver`](crate::observe::ServerObserver) counts goat's events here.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Durations<RequestLabels>,
    in_flight: Family<MethodLabel, Gauge>,
    logins: Family<OutcomeLabel, Counter>,
    refreshes: Family<OutcomeLabel, Counter>,
    sessions_ended: Family<ReasonLabel, Counter>,
    events: Family<EventLabel, Counter>,
    limit_denials: Family<LimitLabel, Counter>,
    store_calls: Family<OperationLabel, Counter>,
    store_errors: Family<OperationLabel, Counter>,
    store_seconds: Durations<OperationLabel>,
    nodes: nodes::Nodes,
    log: log::Log,
    mail: mail::Mail,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: Cow<'static, str>,
    status: StatusLabel,
}

/// The status that was sent, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct StatusLabel(Option<u16>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabel {
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabel {
    event: &'static str,
}

/// The kind of cached data or of a log line.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabel {
    limit: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabel {
    operation: &'static str,
}

impl Metrics {
    /// Creates the metrics with no samples.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(|| Histogram::new(REQUEST_SECONDS)),
            in_flight: Family::default(),
            logins: Family::default(),
            refreshes: Family::default(),
            sessions_ended: Family::default(),
            events: Family::default(),
            limit_denials: Family::default(),
            store_calls: Family::default(),
            store_errors: Family::default(),
            store_seconds: Family::new_with_constructor(|| Histogram::new(STORE_SECONDS)),
            nodes: nodes::Nodes::default(),
            log: log::Log::default(),
            mail: mail::Mail::default(),
        };
        metrics.register();
        metrics.begin_at_zero();
        Arc::new(metrics)
    }

    /// Creates the series that alerts are based on, so that the first event counts as an increase.
    fn begin_at_zero(&self) {
        for outcome in ["success", "invalid-credentials"] {
            drop(self.logins.get_or_create(&OutcomeLabel { outcome }));
        }
        for outcome in ["success", "repeated", "reused"] {
            drop(self.refreshes.get_or_create(&OutcomeLabel { outcome }));
        }
        for reason in ["signed-out", "revoked", "evicted", "reused"] {
            drop(self.sessions_ended.get_or_create(&ReasonLabel { reason }));
        }
    }

    /// Registers every family. The encoder appends a full stop to a help text and `_total` to a
    /// counter's name.
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("http_requests", "Completed HTTP requests", self.requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Duration of HTTP requests until the last byte of the response",
            Unit::Seconds,
            self.request_seconds.clone(),
        );
        registry.register(
            "http_requests_in_flight",
            "HTTP requests in progress",
            self.in_flight.clone(),
        );
        registry.register("goat_logins", "Sign-in attempts by outcome", self.logins.clone());
        registry.register("goat_refreshes", "Refresh attempts by outcome", self.refreshes.clone());
        registry.register(
            "goat_sessions_ended",
            "Sessions ended before their expiry by reason",
            self.sessions_ended.clone(),
        );
        registry.register("goat_events", "Events by name", self.events.clone());
        registry.register(
            "goat_limit_denials",
            "Requests rejected by a rate limit",
            self.limit_denials.clone(),
        );
        registry.register("goat_store_calls", "Calls to stores", self.store_calls.clone());
        registry.register(
            "goat_store_call_errors",
            "Calls to stores that failed or timed out",
            self.store_errors.clone(),
        );
        registry.register_with_unit(
            "goat_store_call_duration",
            "Duration of calls to stores",
            Unit::Seconds,
            self.store_seconds.clone(),
        );
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("goat_build", "Version of the running server", build);
    }

    /// Counts a request that a rate limit rejected, by the name of the limit.
    pub fn denied(&self, limit: &str) {
        self.limit_denials.get_or_create(&LimitLabel { limit: limit.to_owned() }).inc();
    }
}
