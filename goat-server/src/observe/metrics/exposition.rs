//! Metrics exposition: OpenMetrics 1.0, or Prometheus' older text format 0.0.4.
//!
//! The encoder writes OpenMetrics only. The older format differs in a few lines, which
//! [`to_prometheus_text`] converts: `TYPE` and `HELP` of a counter carry the sample's name with
//! `_total`, an info is a gauge with a name that ends in `_info`, there is no `UNIT` and no `EOF`, and
//! `unknown` is called `untyped`.

use std::fmt;

use goat_core::Goat;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::Metrics;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Metrics {
    /// Returns all metrics, including those that `goat` keeps itself: the content type and the
    /// body.
    ///
    /// OpenMetrics if the value of `Accept` names it and does not prefer plain text, else the text
    /// format of Prometheus, which every scraper reads.
    #[must_use]
    pub fn expose(&self, goat: &Goat, accept: Option<&str>) -> (&'static str, String) {
        let mut body = String::with_capacity(16 * 1024);
        if self.encode(goat, &mut body).is_err() {
            // Writing to a `String` does not fail; half an exposition would be invalid.
            tracing::error!("failed to encode metrics; this is a bug");
            body.clear();
        }
        if accept.is_some_and(prefers_open_metrics) {
            body.push_str("# EOF\n");
            (OPEN_METRICS, body)
        } else {
            (PROMETHEUS, to_prometheus_text(&body))
        }
    }

    fn encode(&self, goat: &Goat, body: &mut String) -> fmt::Result {
        text::encode_registry(body, &self.registry)?;
        let mut now = read(goat);
        self.nodes.read(goat, &mut now);
        self.log.read(&mut now);
        self.mail.read(&mut now);
        text::encode_registry(body, &now)
    }
}

/// Reads the current values of the metrics that goat keeps itself.
fn read(goat: &Goat) -> Registry {
    let mut registry = Registry::default();
    let mut gauge = |name: &str, help: &str, value: u64| {
        registry.register(name, help, ConstGauge::new(value));
    };
    let hashes = goat.hash_load();
    let cache = goat.sessions().cache_stats();
    let limits = goat.limits().load();
    gauge("goat_password_hashes_running", "Password hashes in progress", hashes.running as u64);
    gauge(
        "goat_password_hashes_waiting",
        "Password hashes waiting in the queue",
        hashes.waiting as u64,
    );
    gauge("goat_session_cache_entries", "Entries of the session cache", cache.entries);
    gauge(
        "goat_clock_ahead_seconds",
        "Seconds by which the server's time is ahead of the machine's clock, which was set back",
        goat.time().ahead().as_secs(),
    );
    if let Some(limits) = limits {
        gauge("goat_limit_keys", "Rate limit counters kept in this process", limits.keys);
    }
    let mut counter = |name: &str, help: &str, value: u64| {
        registry.register(name, help, ConstCounter::new(value));
    };
    counter("goat_session_cache_hits", "Session validations answered by the cache", cache.hits);
    counter("goat_session_cache_misses", "Session validations that read the store", cache.misses);
    counter(
        "goat_session_cache_evictions",
        "Session cache entries removed by an invalidation or for space",
        cache.evictions,
    );
    counter(
        "goat_clock_steps_back",
        "Times that the machine's clock was set back by more than the tolerance",
        goat.time().steps_back(),
    );
    if let Some(limits) = limits {
        counter(
            "goat_limit_overflows",
            "Rate limit checks that shared a counter because the table was full",
            limits.overflowed,
        );
    }
    registry
}

/// Whether an `Accept` header asks for OpenMetrics in a supported version, and does not prefer
/// plain text.
fn prefers_open_metrics(accept: &str) -> bool {
    let (mut open_metrics, mut plain) = (0.0_f32, 0.0_f32);
    for element in accept.split(',') {
        let mut parts = element.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let (mut quality, mut version) = (1.0_f32, None);
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim().to_ascii_lowercase().as_str() {
                // A malformed quality counts as zero.
                "q" => quality = value.trim().parse().unwrap_or(0.0),
                "version" => version = Some(value.trim().trim_matches('"').to_owned()),
                _ => {}
            }
        }
        match (media.as_str(), version.as_deref()) {
            ("application/openmetrics-text", None | Some("1.0.0")) => {
                open_metrics = open_metrics.max(quality);
            }
            ("text/plain", None | Some("0.0.4")) => plain = plain.max(quality),
            _ => {}
        }
    }
    open_metrics > 0.0 && open_metrics >= plain
}

/// Converts OpenMetrics text to the older format, line by line.
fn to_prometheus_text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut lines = open_metrics.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(help) = line.strip_prefix("# HELP ") else {
            if !line.starts_with("# UNIT ") && line != "# EOF" {
                push(&mut text, &[line]);
            }
            continue;
        };
        // A family begins with HELP; its TYPE is on the next line.
        let (name, help) = help.split_once(' ').unwrap_or((help, ""));
        let kind = lines
            .next_if(|line| line.starts_with("# TYPE "))
            .and_then(|line| line.rsplit(' ').next())
            .unwrap_or("unknown");
        let (suffix, kind) = match kind {
            "counter" => ("_total", "counter"),
            "info" => ("_info", "gauge"),
            "unknown" => ("", "untyped"),
            other => ("", other),
        };
        push(&mut text, &["# HELP ", name, suffix, " ", help]);
        push(&mut text, &["# TYPE ", name, suffix, " ", kind]);
    }
    text
}

fn push(text: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| text.push_str(part));
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_used_only_if_accepted() {
        // The headers that Prometheus sends, before and since 2.49.
        let asked = [
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.3",
            "application/openmetrics-text",
            "APPLICATION/OpenMetrics-Text ; Version=\"1.0.0\"",
        ];
        for accept in asked {
            assert!(prefers_open_metrics(accept), "{accept}");
        }
        let others = [
            "",
            "*/*",
            "text/plain",
            "text/html, */*;q=0.1",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;version=2.0.0",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=much",
            "text/plain;q=0.9, application/openmetrics-text;q=0.8",
            ";;;=,,q=1",
        ];
        for accept in others {
            assert!(!prefers_open_metrics(accept), "{accept}");
        }
    }

    #[test]
    fn every_metric_type_converts_to_the_older_format() {
        let open_metrics = "\
# HELP a Counted.
# TYPE a counter
a_total{x=\"# EOF\"} 1
# HELP b_seconds Timed.
# TYPE b_seconds gauge
# UNIT b_seconds seconds
b_seconds 2.5
# HELP c Told.
# TYPE c info
c_info{version=\"1\"} 1
# HELP d Who knows.
# TYPE d unknown
d 3
# EOF
";
        let expected = "\
# HELP a_total Counted.
# TYPE a_total counter
a_total{x=\"# EOF\"} 1
# HELP b_seconds Timed.
# TYPE b_seconds gauge
b_seconds 2.5
# HELP c_info Told.
# TYPE c_info gauge
c_info{version=\"1\"} 1
# HELP d Who knows.
# TYPE d untyped
d 3
";
        assert_eq!(to_prometheus_text(open_metrics), expected);
    }
}
