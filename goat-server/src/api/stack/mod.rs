//! The router: route guards, and the middleware around every route, in one order.

mod cors;
mod finish_response;
pub(super) mod problems;
mod request_id;
mod security_headers;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use goat_tower::address::ClientAddressLayer;
use http::Response;
use tower::{ServiceBuilder, ServiceExt as _, service_fn};
use tower_http::catch_panic::CatchPanicLayer;

use cors::Cors;
use finish_response::{Completion, finish_response};
use request_id::RequestIdLayer;

use super::table::{METRICS, METRICS_READ};
use super::{AppState, Endpoint, Rule, guards, table};
use crate::api::extract::path_is_canonical;
use crate::observe::logging::RequestLogLayer;
use crate::serve::deadline::DeadlineLayer;

/// Returns the API with all its middleware. Requires a
/// [`PeerAddress`](goat_tower::address::PeerAddress) in each request's extensions, as
/// [`serve`](crate::serve::serve) adds it.
///
/// Includes the metrics, unless they have a listener of their own. They require the permission
/// `metrics:read` unless the settings make them public: they would tell strangers whether a sign-in
/// found an account (L6).
pub fn router(state: AppState) -> Router {
    let (moved, public) = (state.http.metrics_listen.is_some(), state.http.public_metrics);
    let endpoints = table().into_iter().filter_map(|endpoint| match endpoint.path() {
        METRICS if moved => None,
        METRICS if !public => Some(endpoint.under(Rule::Scrape(METRICS_READ))),
        _ => Some(endpoint),
    });
    let address = guards::client_address_with_warning(&state.http);
    assemble(endpoints, state, &address)
}

/// Returns the metrics alone, for a listener of their own, which only scrapers can reach: public.
pub fn metrics_router(state: AppState) -> Router {
    let endpoints = table().into_iter().filter(|endpoint| endpoint.path() == METRICS);
    let address = guards::client_address(&state.http);
    assemble(endpoints, state, &address)
}

/// Builds a router of endpoints, each behind its guards.
///
/// The path check runs before routing: a non-canonical path matches no route (A5) and gets the
/// response of an unmatched path.
fn assemble(
    endpoints: impl Iterator<Item = Endpoint>,
    state: AppState,
    address: &ClientAddressLayer,
) -> Router {
    let mut paths = BTreeMap::<_, Vec<_>>::new();
    for endpoint in endpoints {
        paths.entry(endpoint.path()).or_default().push(endpoint);
    }
    let mut limits = guards::Limits::new(&state);
    let unmatched = guards::unmatched(&mut limits);
    let mut routes = unmatched.clone();
    for (path, endpoints) in paths {
        routes = routes.route(path, guards::path(endpoints, &mut limits));
    }
    let unmatched = surround(unmatched, &state, address).with_state(state.clone());
    let routes = surround(routes, &state, address).with_state(state);
    Router::new().fallback_service(service_fn(move |request: Request| {
        let router = if path_is_canonical(request.uri().path()) { &routes } else { &unmatched };
        router.clone().oneshot(request)
    }))
}

/// The middleware around every route, from the outside in. A request passes down this list, its
/// response back up.
///
/// 1. The request id, so that everything below can name the request.
/// 2. The client's address, for the log, the limits and the sessions.
/// 3. The request log and metrics, which see the response as it leaves.
/// 4. [`finish_response`]: problem documents, the limits' headers, headers for caches and browsers.
///    It completes every response from further in: rejections, timeouts and panics too.
/// 5. CORS, where origins are configured.
/// 6. The deadline, which also covers waiting for limits and for authentication.
/// 7. Panic catching, as close as possible to the code that may panic.
///
/// Then come the route's own [`guards`].
fn surround(
    routes: Router<AppState>,
    state: &AppState,
    address: &ClientAddressLayer,
) -> Router<AppState> {
    let time = state.goat.time().clone();
    let cors = Cors::new(&state.http.cors_origins);
    routes.layer(
        ServiceBuilder::new()
            .layer(RequestIdLayer::new(state.http.proxies(), time.clone()))
            .layer(address.clone())
            .layer(RequestLogLayer::new(Arc::clone(&state.metrics)))
            .layer(from_fn_with_state(Completion::new(time, &state.http), finish_response))
            .option_layer(cors.map(|state| from_fn_with_state(state, cors::cors)))
            .layer(DeadlineLayer::new(state.http.request_timeout, problems::too_late))
            .map_response(|response: Response<_>| response.map(Body::new))
            .layer(CatchPanicLayer::custom(problems::panicked)),
    )
}
