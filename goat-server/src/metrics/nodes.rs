//! What a node tells others and hears of them, and what they remember together: counted elsewhere, and
//! read at each scrape.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use goat_core::notice::{Listener, Notice, Notices};
use goat_core::store::cached::{SharedCache, SharedCounts};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::Metrics;

/// What there is to read where several nodes share their state.
#[derive(Debug, Default)]
pub(super) struct Nodes(OnceLock<Sources>);

#[derive(Debug)]
struct Sources {
    notices: Arc<dyn Notices>,
    shared: Option<SharedCache>,
    hearing: Arc<Hearing>,
}

/// What is remembered together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// Whether notices arrive.
#[derive(Debug, Default)]
struct Hearing(Mutex<State>);

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Whoever is told nothing may trust that it hears.
    #[default]
    Untold,
    Deaf,
    Until(Instant),
}

impl Hearing {
    fn set(&self, state: State) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn is_deaf(&self) -> bool {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Untold => false,
            State::Deaf => true,
            State::Until(end) => Instant::now() >= end,
        }
    }
}

impl Listener for Hearing {
    fn heard(&self, _: Notice) {}

    fn deaf(&self) {
        self.set(State::Deaf);
    }

    fn hears(&self, lease: Duration) {
        self.set(Instant::now().checked_add(lease).map_or(State::Untold, State::Until));
    }
}

impl Metrics {
    /// Tells from now on what these notices and this memory have done. Only the first call counts.
    pub fn follow(&self, notices: &Arc<dyn Notices>, shared: Option<SharedCache>) {
        let hearing = Arc::new(Hearing::default());
        let sources = Sources { notices: Arc::clone(notices), shared, hearing };
        if let Ok(()) = self.nodes.0.set(sources)
            && let Some(Sources { notices, hearing, .. }) = self.nodes.0.get()
        {
            let listener: Weak<Hearing> = Arc::downgrade(hearing);
            notices.subscribe(listener);
        }
    }
}

impl Nodes {
    /// All of it, as it is now.
    pub(super) fn read(&self, registry: &mut Registry) {
        let Some(Sources { notices, shared, hearing }) = self.0.get() else { return };
        let counts = notices.counts();
        for (name, help, value) in [
            ("goat_notices_sent", "Notices that were handed on to other nodes", counts.sent),
            ("goat_notices_unsent", "Notices that could not be", counts.unsent),
            ("goat_notices_heard", "Notices of other nodes that arrived", counts.heard),
            ("goat_notices_deafened", "Times that notices stopped arriving", counts.deafened),
        ] {
            registry.register(name, help, ConstCounter::new(value));
        }
        registry.register(
            "goat_notices_deaf",
            "Whether notices do not arrive, so that nothing is remembered",
            ConstGauge::new(u64::from(hearing.is_deaf())),
        );
        let Some(shared) = shared else { return };
        let kinds = [("users", shared.users()), ("roles", shared.roles())];
        let mut register = |name: &str, help: &str, of: fn(&SharedCounts) -> u64| {
            let family = Family::<KindLabel, Counter>::default();
            for (kind, counts) in &kinds {
                family.get_or_create(&KindLabel { kind }).inc_by(of(counts));
            }
            registry.register(name, help, family);
        };
        register("goat_shared_cache_hits", "Questions that Redis answered", |counts| counts.hits);
        register("goat_shared_cache_misses", "Questions that went on to the database", |counts| {
            counts.misses
        });
        register(
            "goat_shared_cache_failures",
            "Calls of Redis for what is remembered that failed",
            |counts| counts.failures,
        );
    }
}
