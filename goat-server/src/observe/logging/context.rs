//! Request context for the log: route, client address and user, recorded as they become known.
//!
//! An outer layer writes the request's log line, and does not see the extensions that inner layers
//! add. It therefore puts a shared [`RequestContext`] into the request, and [`RecordContextLayer`],
//! placed inside the layers that determine these facts, records them.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::extract::MatchedPath;
use goat_core::Principal;
use goat_tower::address::ClientAddress;
use http::{Extensions, Request};
use tower::{Layer, Service};
use tracing::Span;

/// The context of one request, in its extensions. Clones share it.
#[derive(Clone, Debug)]
pub struct RequestContext {
    known: Arc<Mutex<Known>>,
    span: Span,
}

/// The recorded facts.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The path template of the route; `None` if no route matches.
    pub(super) route: Option<String>,
    pub(super) address: Option<IpAddr>,
    user: bool,
}

impl RequestContext {
    pub(super) fn new(span: Span) -> Self {
        Self { known: Arc::default(), span }
    }

    /// Records the facts in the extensions: the route's path template ([`MatchedPath`]), the
    /// client's address ([`ClientAddress`]), the user ([`Principal`]). The user appears on every
    /// later log line of the request.
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

/// Records the context of a request at this place; see [`RequestContext::record`]. It belongs
/// directly inside the router (`Router::layer`), for the route, and directly inside authentication,
/// for the user. Without a [`RequestLogLayer`](super::RequestLogLayer) further out it does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordContextLayer;

impl<S> Layer<S> for RecordContextLayer {
    type Service = RecordContextService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RecordContextService { inner }
    }
}

/// Service of [`RecordContextLayer`].
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
