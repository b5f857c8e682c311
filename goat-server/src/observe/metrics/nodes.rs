//! Metrics of invalidations between nodes and of the shared cache, read at each scrape.

use std::sync::OnceLock;

use goat_core::Goat;
use goat_core::store::shared_cache::{SharedCacheCounts, SharedCacheStats};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::{KindLabel, Metrics};

/// The shared cache's statistics, if there is one; set once stores can be shared by several nodes.
#[derive(Debug, Default)]
pub(super) struct Nodes(OnceLock<Option<SharedCacheStats>>);

impl Metrics {
    /// Exposes the metrics of invalidations and of the shared cache from now on. Only the first
    /// call counts.
    pub fn follow(&self, shared: Option<SharedCacheStats>) {
        // Later calls change nothing.
        let _ = self.nodes.0.set(shared);
    }
}

impl Nodes {
    /// Reads the current values.
    pub(super) fn read(&self, goat: &Goat, registry: &mut Registry) {
        let Some(shared) = self.0.get() else { return };
        let counts = goat.sessions().invalidation_stats();
        for (name, help, value) in [
            ("goat_invalidations_sent", "Invalidations sent to other nodes", counts.sent),
            ("goat_invalidations_failed", "Invalidations that could not be sent", counts.failed),
            (
                "goat_invalidations_received",
                "Invalidations received from other nodes",
                counts.received,
            ),
            (
                "goat_invalidation_disconnects",
                "Times that the invalidation channel was lost",
                counts.disconnects,
            ),
        ] {
            registry.register(name, help, ConstCounter::new(value));
        }
        registry.register(
            "goat_invalidation_connected",
            "Whether the invalidation channel is connected; the session cache is disabled while it is 0",
            ConstGauge::new(u64::from(goat.sessions().invalidations_connected())),
        );
        let Some(shared) = shared else { return };
        let kinds = [("users", shared.users()), ("roles", shared.roles())];
        let mut register = |name: &str, help: &str, of: fn(&SharedCacheCounts) -> u64| {
            let family = Family::<KindLabel, Counter>::default();
            for (kind, counts) in &kinds {
                family.get_or_create(&KindLabel { kind }).inc_by(of(counts));
            }
            registry.register(name, help, family);
        };
        register("goat_shared_cache_hits", "Lookups answered by the shared cache", |counts| {
            counts.hits
        });
        register("goat_shared_cache_misses", "Lookups that read the database", |counts| {
            counts.misses
        });
        register("goat_shared_cache_failures", "Calls to the shared cache that failed", |counts| {
            counts.failures
        });
    }
}
