//! Request context for the log: id, route, client address and user, recorded as they become known.
//!
//! An outer layer writes the request's log line, and does not see the extensions that inner layers
//! add. It therefore puts a shared [`RequestContext`] into the request, and [`RecordContextLayer`],
//! placed inside the layers that determine these facts, records them.
//!
//! While a request is polled, its context is the thread's current one, from which the log takes the
//! fields of every line. A span would do the same for more than the rest of a line costs. Only
//! requests that may start tasks have one: a task that outlives its request keeps its span.

use std::borrow::Cow;
use std::cell::Cell;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::extract::MatchedPath;
use goat_core::{Principal, UserId};
use goat_tower::RequestId;
use goat_tower::address::ClientAddress;
use http::{Extensions, Request};
use tower::{Layer, Service};
use tracing::Span;

use super::fields::Fields;

/// The context of one request, in its extensions. Clones share it.
#[derive(Clone, Debug)]
pub struct RequestContext(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    id: Option<RequestId>,
    span: Span,
    known: Mutex<Known>,
}

/// The recorded facts.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The path template of the route; `None` if no route matches.
    pub(super) route: Option<Cow<'static, str>>,
    pub(super) address: Option<IpAddr>,
    pub(super) user: Option<UserId>,
}

thread_local! {
    /// The context of the request that this thread polls.
    static CURRENT: Cell<Option<RequestContext>> = const { Cell::new(None) };
}

impl RequestContext {
    pub(super) fn new(id: Option<RequestId>, span: Span) -> Self {
        Self(Arc::new(Shared { id, span, known: Mutex::default() }))
    }

    /// Records the facts in the extensions: the route's path template ([`MatchedPath`]), the
    /// client's address ([`ClientAddress`]), the user ([`Principal`]). The user appears on every
    /// later log line of the request.
    pub fn record(&self, extensions: &Extensions) {
        let mut known = self.known();
        if let Some(path) = extensions.get::<MatchedPath>() {
            known.route = Some(Cow::Owned(path.as_str().to_owned()));
        }
        if let Some(address) = ClientAddress::of(extensions) {
            known.address = Some(address.ip());
        }
        if known.user.is_none()
            && let Some(principal) = extensions.get::<Principal>()
        {
            known.user = Some(principal.user());
            self.0.span.record("user", tracing::field::display(principal.user()));
        }
    }

    /// Records the path template of the route.
    pub(crate) fn record_route(&self, template: &'static str) {
        self.known().route = Some(Cow::Borrowed(template));
    }

    pub(super) fn id(&self) -> Option<&RequestId> {
        self.0.id.as_ref()
    }

    /// Adds the fields that every line of the request has.
    pub(super) fn add_fields(&self, fields: &mut Fields) {
        if let Some(id) = self.id() {
            fields.set("request_id", id.as_str().into());
        }
        if let Some(user) = self.known().user {
            fields.set("user", user.to_string().into());
        }
    }

    pub(super) fn span(&self) -> &Span {
        &self.0.span
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes this the current context of the thread while `work` runs.
    pub(super) fn scope<T>(&self, work: impl FnOnce() -> T) -> T {
        let _restore = Restore(CURRENT.replace(Some(self.clone())));
        let _entered = self.0.span.enter();
        work()
    }

    /// Returns the thread's current context.
    pub(super) fn current() -> Option<Self> {
        // Absent while the thread ends.
        let current = CURRENT.try_with(|current| {
            let context = current.take();
            current.set(context.clone());
            context
        });
        current.ok().flatten()
    }
}

/// Restores the previous context, also if the work panics.
struct Restore(Option<RequestContext>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
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
