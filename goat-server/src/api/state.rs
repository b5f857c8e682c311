//! What every handler may reach: the goat, and what the server around it knows.

use std::sync::Arc;

use axum::extract::FromRef;
use goat_core::Goat;

use crate::observe::metrics::Metrics;
use crate::serve::Lifecycle;
use crate::start::settings::{HttpSettings, LimitSettings};

/// The state of the application. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct AppState {
    /// Users, sessions, roles and limits.
    pub goat: Goat,
    /// What is counted and measured.
    pub metrics: Arc<Metrics>,
    /// Whether the server is ready, or on its way out.
    pub lifecycle: Lifecycle,
    /// The listeners, proxies and origins.
    pub http: Arc<HttpSettings>,
    /// How much a client may ask for.
    pub limits: Arc<LimitSettings>,
}

impl FromRef<AppState> for Goat {
    fn from_ref(state: &AppState) -> Self {
        state.goat.clone()
    }
}
