//! The state that handlers share: the goat, and the server's settings, metrics and lifecycle.

use std::sync::Arc;

use axum::extract::FromRef;
use goat_core::Goat;

use crate::observe::metrics::Metrics;
use crate::serve::Lifecycle;
use crate::start::settings::{HttpSettings, LimitSettings};

/// The state of the application. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct AppState {
    /// The goat.
    pub goat: Goat,
    /// The server's metrics.
    pub metrics: Arc<Metrics>,
    /// The server's lifecycle, for readiness.
    pub lifecycle: Lifecycle,
    /// Listeners, trusted proxies and CORS origins.
    pub http: Arc<HttpSettings>,
    /// Rate limits.
    pub limits: Arc<LimitSettings>,
}

impl FromRef<AppState> for Arc<HttpSettings> {
    fn from_ref(state: &AppState) -> Self {
        Self::clone(&state.http)
    }
}

impl FromRef<AppState> for Goat {
    fn from_ref(state: &AppState) -> Self {
        state.goat.clone()
    }
}
