//! Routing: from the path and the method of a request to a guarded handler.
//!
//! - Paths are compared behind the prefix of the mount. A path without it, or one that is not canonical
//!   (A5), matches no route and gets the response of an unmatched path.
//! - GET also serves HEAD; [`finish_response`](super::finish_response) removes the body.
//!
//! axum's router is not used here: it boxes each layer of each route, and clones those boxes for every
//! request. These routes are shared by all requests, and a request makes one allocation per guarded
//! handler, for its future, besides that of the handler itself.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use goat_tower::{PathTemplate, ResponseBody};
use http::Method;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::{Service, ServiceExt as _};

use crate::api::extract::path_is_canonical;
use crate::api::mount::Prefix;
use crate::observe::logging::RequestContext;
use crate::serve::unread::{LargeResponses, Turn};

/// The response of a route or a handler.
pub(in crate::api) type BoxedResponse = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A handler, with or without guards. Clones share it.
#[derive(Clone)]
pub(in crate::api) struct Route(Arc<dyn Fn(Request) -> BoxedResponse + Send + Sync>);

impl Route {
    /// Creates a route that calls `respond`.
    pub(in crate::api) fn new(
        respond: impl Fn(Request) -> BoxedResponse + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(respond))
    }

    /// Creates a route from guards around another one.
    pub(in crate::api) fn guarded<S, B>(service: S) -> Self
    where
        S: Service<Request, Response = http::Response<B>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
        B: IntoBody,
    {
        Self::new(move |request| {
            let response = service.clone().oneshot(request);
            Box::pin(async move {
                let Ok(response) = response.await;
                response.map(B::into_body)
            })
        })
    }

    /// Returns the route for large responses: an HTTP/2 connection has one of them at a time, until the
    /// client has read it.
    pub(in crate::api) fn one_at_a_time(self) -> Self {
        Self::new(move |mut request| {
            let Some(large) = request.extensions_mut().remove::<LargeResponses>() else {
                return self.respond(request);
            };
            let route = self.clone();
            Box::pin(async move {
                let turn = large.turn().await;
                let response = route.respond(request).await;
                response.map(|body| Body::new(BodyInTurn { body, _turn: turn }))
            })
        })
    }

    /// Responds to a request.
    pub(in crate::api) fn respond(&self, request: Request) -> BoxedResponse {
        (self.0)(request)
    }
}

impl Service<Request> for Route {
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> RouteFuture {
        RouteFuture(self.respond(request))
    }
}

/// Response future of a [`Route`].
pub(in crate::api) struct RouteFuture(BoxedResponse);

impl Future for RouteFuture {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context).map(Ok)
    }
}

pin_project! {
    /// The body of a large response, which ends its turn when it is dropped.
    struct BodyInTurn {
        #[pin]
        body: Body,
        _turn: Turn,
    }
}

impl http_body::Body for BodyInTurn {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.project().body.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body that is axum's, or that guards have wrapped around it.
pub(in crate::api) trait IntoBody {
    /// Returns axum's body, without another box around it.
    fn into_body(self) -> Body;
}

impl IntoBody for Body {
    fn into_body(self) -> Body {
        self
    }
}

impl<B: IntoBody> IntoBody for ResponseBody<B> {
    fn into_body(self) -> Body {
        self.map_either(B::into_body, Body::from)
    }
}

/// The routes of one path.
pub(in crate::api) struct Path {
    template: &'static str,
    methods: Vec<(Method, Route)>,
    wrong_method: Route,
}

impl Path {
    /// Takes the routes by method, and that of all other methods.
    pub(in crate::api) fn new(
        template: &'static str,
        methods: Vec<(Method, Route)>,
        wrong_method: Route,
    ) -> Self {
        Self { template, methods, wrong_method }
    }

    /// Returns the path template.
    pub(in crate::api) const fn template(&self) -> &'static str {
        self.template
    }

    fn route(&self, method: &Method) -> &Route {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let found = self.methods.iter().find(|(known, _)| known == method);
        found.map_or(&self.wrong_method, |(_, route)| route)
    }

    fn has_parameters(&self) -> bool {
        self.template.contains('{')
    }
}

/// The routes of an API.
pub(super) struct Routes {
    prefix: Prefix,
    paths: matchit::Router<Path>,
    unmatched: Route,
}

impl Routes {
    /// Takes the paths behind a prefix, and the route of all other paths.
    ///
    /// # Panics
    ///
    /// If two paths conflict.
    pub(super) fn new(prefix: Prefix, paths: impl Iterator<Item = Path>, unmatched: Route) -> Self {
        let mut routes = Self { prefix, paths: matchit::Router::new(), unmatched };
        for path in paths {
            let inserted = routes.paths.insert(path.template, path);
            #[expect(clippy::expect_used, reason = "the paths are constants, and tests use them")]
            inserted.expect("paths without conflicts");
        }
        routes
    }

    fn find(&self, path: &str) -> Option<&Path> {
        let path = self.prefix.strip(path).filter(|path| path_is_canonical(path))?;
        Some(self.paths.at(path).ok()?.value)
    }

    /// Whether a path exists.
    pub(super) fn contains(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    /// Returns the service of these routes.
    pub(super) fn into_service(self: Arc<Self>) -> RoutesService {
        RoutesService(self)
    }
}

/// Service of [`Routes`]: records the path template for the log, and puts one with parameters into the
/// request's extensions, for the extractors.
#[derive(Clone)]
pub(super) struct RoutesService(Arc<Routes>);

impl<B> Service<http::Request<B>> for RoutesService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> RouteFuture {
        // A request without a body needs no box for it.
        let mut request = request.map(|body| match body.is_end_stream() {
            true => Body::empty(),
            false => Body::new(body),
        });
        let Some(path) = self.0.find(request.uri().path()) else {
            return RouteFuture(self.0.unmatched.respond(request));
        };
        if let Some(context) = request.extensions().get::<RequestContext>() {
            context.record_route(path.template);
        }
        if path.has_parameters() {
            request.extensions_mut().insert(PathTemplate::new(path.template));
        }
        RouteFuture(path.route(request.method()).respond(request))
    }
}
