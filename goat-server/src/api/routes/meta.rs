//! Routes of the server itself: public keys, health, readiness, metrics, and the documentation of
//! the API. These routes ignore the query, which probes, scrapers and caches may add (W1).

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use goat_core::{Error, Goat};
use goat_tower::Problem;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::document;
use crate::api::view::{json, json_bytes};
use crate::api::{AppState, Mount};

/// `Retry-After` of a failed probe.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Get the public keys
///
/// Returns a JWK set (RFC 7517), with which other services verify access tokens offline. The set is
/// empty if tokens are signed with HS256.
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    operation_id = "jwks",
    tag = "Server",
    responses((status = 200, description = "The JWK set.", body = Object)),
)]
pub(crate) async fn jwks(State(goat): State<Goat>) -> Response {
    json(StatusCode::OK, &goat.jwks())
}

/// The server is running.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
    /// The version of the server.
    #[schema(example = "0.1.0")]
    version: &'static str,
}

/// Check liveness
///
/// Succeeds while the process is running. Checks neither the database nor Redis.
#[utoipa::path(
    get,
    path = "/api/health",
    operation_id = "health",
    tag = "Server",
    responses((status = 200, description = "The process is running.", body = Health)),
)]
pub(crate) async fn health() -> Response {
    static HEALTH: LazyLock<Bytes> = LazyLock::new(|| {
        let health = Health { status: "ok", version: env!("CARGO_PKG_VERSION") };
        // Serializing two strings does not fail.
        serde_json::to_vec(&health).unwrap_or_default().into()
    });
    json_bytes(StatusCode::OK, HEALTH.clone())
}

/// The server is ready.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct Ready {
    /// Always `ready`.
    #[schema(example = "ready")]
    status: &'static str,
}

/// Check readiness
///
/// Succeeds while the server can serve requests. Fails while it is starting or shutting down, and
/// while the database or Redis is unavailable. Concurrent probes share one check of these, which takes
/// at most a second and is kept for 250 ms.
///
/// Also fails after the machine's clock was set back by more than five seconds, since the server would
/// date its tokens in the future, until the clock catches up or the server is restarted.
#[utoipa::path(
    get,
    path = "/api/ready",
    operation_id = "ready",
    tag = "Server",
    responses(
        (status = 200, description = "The server is ready.", body = Ready),
        (status = 503, description = "The server is not ready."),
    ),
)]
pub(crate) async fn ready(State(state): State<AppState>) -> Result<Response, Problem> {
    if !state.lifecycle.is_ready() {
        return Err(Error::unavailable("the server is starting or draining", RETRY_AFTER).into());
    }
    if state.goat.time().is_ahead() {
        let reason = "the wall clock was set back: restart the server to follow it again";
        return Err(Error::unavailable(reason, RETRY_AFTER).into());
    }
    state.goat.ping().await?;
    Ok(json(StatusCode::OK, &Ready { status: "ready" }))
}

/// Get metrics
///
/// Returns metrics in the Prometheus text format, or in OpenMetrics if `Accept` asks for it.
///
/// In production, requires an access token or an API key with the permission `metrics:read`. Public in
/// development, and on the address of `GOAT_METRICS_LISTEN`.
#[utoipa::path(
    get,
    path = "/api/metrics",
    operation_id = "metrics",
    tag = "Server",
    responses(
        (status = 200, description = "The metrics.", body = String, content_type = "text/plain"),
        (
            status = 401,
            description = "In production: `unauthenticated`, `invalid-token`, `token-expired` or `session-revoked`.",
        ),
        (status = 403, description = "In production: `forbidden`: your role lacks `metrics:read`."),
    ),
)]
pub(crate) async fn metrics(State(state): State<AppState>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let (content_type, body) = state.metrics.expose(&state.goat, accept);
    ([(CONTENT_TYPE, content_type)], body).into_response()
}

/// Get the OpenAPI document
///
/// Returns this description of the API, in OpenAPI 3.1.
#[utoipa::path(
    get,
    path = "/api/openapi.json",
    operation_id = "openapi",
    tag = "Server",
    responses((status = 200, description = "The OpenAPI document.", body = Object)),
)]
pub(crate) async fn openapi(State(mount): State<Arc<Mount>>) -> Response {
    json_bytes(StatusCode::OK, mount.document())
}

/// Get the documentation page
///
/// Returns an HTML page that shows the OpenAPI document and can send requests.
#[utoipa::path(
    get,
    path = "/api/docs",
    operation_id = "docs",
    tag = "Server",
    responses((status = 200, description = "The HTML page.", body = String, content_type = "text/html")),
)]
pub(crate) async fn docs() -> Response {
    document::page(include_str!("../../../assets/docs/page.html"))
}

/// Get the page's style sheet.
pub(crate) async fn docs_style() -> Response {
    document::style(include_str!("../../../assets/docs/page.css"))
}

/// Get the page's script.
pub(crate) async fn docs_script() -> Response {
    document::script(include_str!("../../../assets/docs/page.js"))
}
