//! The service of the API: route guards, and the middleware around every route, in one order.

mod cors;
mod finish_response;
pub(super) mod problems;
mod request_id;
pub(super) mod routes;
mod security_headers;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error as StdError;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use goat_tower::address::ClientAddressLayer;
use http::{Request, Response};
use tower::{Service, ServiceBuilder};

use cors::CorsLayer;
use finish_response::FinishResponseLayer;
use request_id::RequestIdLayer;
use routes::Routes;

use super::{AppState, Endpoint, guards};
use crate::observe::logging::{LoggedBody, RequestLogLayer};
use crate::serve::catch_panic::CatchPanicLayer;
use crate::serve::deadline::DeadlineLayer;

/// A service of the API over requests with a body `B`.
pub trait ApiService<B>:
    Service<Request<B>, Response = Response<LoggedBody<Body>>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S, B> ApiService<B> for S where
    S: Service<Request<B>, Response = Response<LoggedBody<Body>>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// Builds the service of endpoints, each behind its guards, with the middleware around all of them.
///
/// From the outside in; a request passes down this list, its response back up. No entry makes an
/// allocation of its own per request: they are one value and one future.
///
/// 1. The request id, so that everything below can name the request.
/// 2. The client's address, for the log, the limits and the sessions.
/// 3. The request log and metrics, which see the response as it leaves.
/// 4. [`finish_response`]: problem documents, the limits' headers, headers for caches and browsers.
///    It completes every response from further in: rejections, timeouts and panics too.
/// 5. CORS, where origins are configured.
/// 6. The deadline, which also covers waiting for limits and for authentication.
/// 7. Panic catching, as close as possible to the code that may panic.
/// 8. The [`routes`], each with its own [`guards`].
pub(super) fn assemble<B>(
    endpoints: Vec<Endpoint>,
    pages: Vec<routes::Path>,
    state: AppState,
    address: ClientAddressLayer,
) -> impl ApiService<B> + use<B>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let mut paths = BTreeMap::<_, Vec<_>>::new();
    for endpoint in endpoints {
        paths.entry(endpoint.path()).or_default().push(endpoint);
    }
    let mut limits = guards::Limits::new(&state);
    let unmatched = guards::unmatched(&mut limits);
    let paths = paths.iter().map(|(path, endpoints)| guards::path(path, endpoints, &mut limits));
    let prefix = state.mount.prefix().clone();
    let routes = Arc::new(Routes::new(prefix, paths.chain(pages), unmatched));

    let AppState { goat, mount, metrics, http, .. } = state;
    let time = goat.time().clone();
    let cors = CorsLayer::new(&http.cors_origins, http.session_cookies.is_some(), &routes);
    ServiceBuilder::new()
        .layer(RequestIdLayer::new(http.proxies(), time.clone()))
        .layer(address)
        .layer(RequestLogLayer::new(metrics))
        .layer(FinishResponseLayer::new(time, &http, mount))
        .option_layer(cors)
        .layer(DeadlineLayer::new(http.request_timeout, problems::too_late))
        .layer(CatchPanicLayer::new(problems::panicked))
        .service(routes.into_service())
}
