use std::sync::{Mutex, Weak};

use async_trait::async_trait;
use goat_core::StoreError;
use goat_core::invalidation::{Invalidation, InvalidationStats, Invalidations, Listener};
use goat_core::store::shared_cache::SharedCacheStats;

use super::parser::{Format, parse};
use super::*;

/// An invalidation port with state set by the test.
#[derive(Default)]
struct FakeInvalidations {
    listeners: Mutex<Vec<Weak<dyn Listener>>>,
}

impl std::fmt::Debug for FakeInvalidations {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("FakeInvalidations")
    }
}

#[async_trait]
impl Invalidations for FakeInvalidations {
    async fn publish(&self, _: Invalidation) -> Result<(), StoreError> {
        Ok(())
    }

    fn subscribe(&self, listener: Weak<dyn Listener>) {
        self.listeners.lock().unwrap().push(listener);
    }

    fn stats(&self) -> InvalidationStats {
        InvalidationStats { sent: 4, failed: 3, received: 2, disconnects: 1 }
    }
}

impl FakeInvalidations {
    fn each(&self, tell: impl Fn(&dyn Listener)) {
        let listeners = self.listeners.lock().unwrap();
        listeners.iter().filter_map(Weak::upgrade).for_each(|listener| tell(&*listener));
    }
}

#[tokio::test]
async fn invalidation_metrics_exist_where_stores_are_shared() {
    let metrics = Metrics::new();
    let goat = goat_over(
        &metrics,
        Stores { invalidations: Arc::new(FakeInvalidations::default()), ..Stores::memory() },
    );
    let shown = || parse(&metrics.expose(&goat, None).1, Format::Prometheus);
    assert!(
        !shown().types.keys().any(|name| name.contains("invalidation") || name.contains("shared"))
    );

    metrics.follow(Some(SharedCacheStats::default()));
    let series = shown().series;
    for (name, value) in [
        ("goat_invalidations_sent_total", 4.0),
        ("goat_invalidations_failed_total", 3.0),
        ("goat_invalidations_received_total", 2.0),
        ("goat_invalidation_disconnects_total", 1.0),
        ("goat_invalidation_connected", 1.0),
        (r#"goat_shared_cache_hits_total{kind="users"}"#, 0.0),
        (r#"goat_shared_cache_misses_total{kind="roles"}"#, 0.0),
        (r#"goat_shared_cache_failures_total{kind="users"}"#, 0.0),
    ] {
        assert_eq!(series.get(name), Some(&value), "{name}");
    }
    let open_metrics = metrics.expose(&goat, Some("application/openmetrics-text")).1;
    assert_eq!(parse(&open_metrics, Format::OpenMetrics).series, series);
}

#[tokio::test]
async fn disconnected_channel_shows_until_it_recovers() {
    let metrics = Metrics::new();
    let fake = Arc::new(FakeInvalidations::default());
    let invalidations = Arc::clone(&fake) as Arc<dyn Invalidations>;
    let goat = goat_over(&metrics, Stores { invalidations, ..Stores::memory() });
    metrics.follow(None);
    let connected = || sample(&metrics, &goat, "goat_invalidation_connected");
    assert_eq!(connected(), Some(1.0), "nothing was said");
    fake.each(|listener| listener.on_disconnected());
    assert_eq!(connected(), Some(0.0));
    fake.each(|listener| listener.on_connected(Duration::from_secs(3600)));
    assert_eq!(connected(), Some(1.0));
    fake.each(|listener| listener.on_connected(Duration::ZERO));
    assert_eq!(connected(), Some(0.0), "the lease is over");
    fake.each(|listener| listener.on_connected(Duration::MAX));
    assert_eq!(connected(), Some(1.0));
}
