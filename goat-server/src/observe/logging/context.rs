//! What becomes known of a request on its way inwards: its route, its client, its user.
//!
//! The line about a request is written by an outer layer, which never sees what inner layers put
//! into the request's extensions. So it sends a sheet along, and [`RecordContextLayer`], placed where
//! something has become known, writes it down.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::extract::MatchedPath;
use goat_core::Principal;
use goat_tower::address::ClientAddress;
use http::{Extensions, Request};
use tower::{Layer, Service};
use tracing::Span;

/// The sheet of one request, in its extensions. Clones are the same sheet.
#[derive(Clone, Debug)]
pub struct RequestContext {
    known: Arc<Mutex<Known>>,
    span: Span,
}

/// What is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The template of the route; none where no route matches.
    pub(super) route: Option<String>,
    pub(super) address: Option<IpAddr>,
    user: bool,
}

impl RequestContext {
    pub(super) fn new(span: Span) -> Self {
        Self { known: Arc::default(), span }
    }

    /// Writes down what extensions tell: the route's template ([`MatchedPath`]), the client's
    /// address ([`ClientAddress`]), the user ([`Principal`]). The user is also on every line of the
    /// request from now on.
    pub fn record(&self, extensions: &Extensions) {
        let mut known = self.known();
        if let Some(path) = extensions.get::<MatchedPath>() {
            known.route = Some(path.as_str().to_owned());
        }
        if let Some(address) = ClientAddress::of(extensions) {
            known.address = Some(address.ip());
        }
        if !known.user
            && let Some(principal) = extensions.get::<Principal>()
        {
            known.user = true;
            self.span.record("user", tracing::field::display(principal.user()));
        }
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes down what is known of a request at this place; see [`RequestContext::record`]. It belongs
/// right inside the router (`Router::layer`), for the route, and right inside authentication, for
/// the user. Without a [`RequestLogLayer`](super::RequestLogLayer) outside it does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordContextLayer;

impl<S> Layer<S> for RecordContextLayer {
    type Service = RecordContextService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RecordContextService { inner }
    }
}

/// What [`RecordContextLayer`] makes of a service.
#[derive(Clone, Copy, Debug)]
pub struct RecordContextService<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for RecordContextService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        if let Some(context) = request.extensions().get::<RequestContext>() {
            context.record(request.extensions());
        }
        self.inner.call(request)
    }
}
