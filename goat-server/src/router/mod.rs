//! The routes.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::StatusCode;

use crate::state::AppState;

/// The API.
pub fn router(state: AppState) -> Router {
    Router::new()
        .route("/api/health", get(async || "{\"status\":\"ok\"}"))
        .route("/api/ready", get(ready))
        .with_state(state)
}

/// The second listener.
pub fn metrics_router(state: AppState) -> Router {
    Router::new().route("/api/metrics", get(async || "")).with_state(state)
}

async fn ready(State(state): State<AppState>) -> StatusCode {
    if state.lifecycle.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
