#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod formats;
mod nodes;
mod parser;
mod recording;

use std::sync::Arc;
use std::time::Duration;

use goat_core::testing::{ManualClock, PlainHasher};
use goat_core::token::TokenKeys;
use goat_core::{Goat, Stores};

use super::Metrics;
use crate::observe::ServerObserver;

/// Returns an in-memory goat that reports to `metrics`.
fn goat(metrics: &Arc<Metrics>) -> Goat {
    goat_over(metrics, Stores::memory())
}

/// Returns a goat over other stores.
fn goat_over(metrics: &Arc<Metrics>, stores: Stores) -> Goat {
    let clock = ManualClock::default();
    let observer = ServerObserver::new(Arc::clone(metrics));
    let stores = stores.observed(
        Duration::from_secs(2),
        Arc::clone(&observer) as _,
        Arc::new(clock.clone()),
    );
    Goat::builder(stores, TokenKeys::generate())
        .hasher(Arc::new(PlainHasher::default()))
        .clock(Arc::new(clock))
        .observer(observer)
        .build()
        .unwrap()
}

/// Returns the value of a sample in the text format of Prometheus.
fn sample(metrics: &Metrics, goat: &Goat, name: &str) -> Option<f64> {
    let (_, text) = metrics.expose(goat, None);
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}
