//! The state that handlers share: the goat, its mount, and the settings, metrics and lifecycle.

use std::sync::Arc;

use axum::extract::FromRef;
use goat_core::Goat;

use crate::api::Mount;
use crate::observe::metrics::Metrics;
use crate::serve::Lifecycle;
use crate::start::settings::{HttpSettings, LimitSettings};

/// The state of an API. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct AppState {
    pub(crate) goat: Goat,
    /// Its prefix and route groups.
    pub(crate) mount: Arc<Mount>,
    pub(crate) metrics: Arc<Metrics>,
    /// For readiness.
    pub(crate) lifecycle: Lifecycle,
    pub(crate) http: Arc<HttpSettings>,
    pub(crate) limits: Arc<LimitSettings>,
}

impl FromRef<AppState> for Arc<HttpSettings> {
    fn from_ref(state: &AppState) -> Self {
        Self::clone(&state.http)
    }
}

impl FromRef<AppState> for Arc<Mount> {
    fn from_ref(state: &AppState) -> Self {
        Self::clone(&state.mount)
    }
}

impl FromRef<AppState> for Goat {
    fn from_ref(state: &AppState) -> Self {
        state.goat.clone()
    }
}
