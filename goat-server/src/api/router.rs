//! The API as an axum router or a tower service, for an application and for the server itself.

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use bytes::Bytes;
use goat_core::Goat;
use tower::ServiceBuilder;

use super::mount::{Mount, Prefix};
use super::stack::{ApiService, assemble, routes::Path};
use super::table::{METRICS, METRICS_READ};
use super::{AppState, Endpoint, Group, Rule, guards, openapi, pages, table};
use crate::observe::metrics::Metrics;
use crate::serve::Lifecycle;
use crate::start::settings::{HttpSettings, LimitSettings};

/// The subtree of an API without a prefix.
const ROOT: &str = "/api";

/// The API of a [`Goat`]: routes, guards and all middleware, to be mounted in an application.
///
/// Without further calls it is the API of the server, with the default settings: every route group, at
/// `/api/v1/…`. The environment is not read; see [`MountSettings`](crate::start::settings::MountSettings)
/// for the settings in it.
///
/// ```
/// use axum::{Router, routing::get};
/// use goat_core::{Goat, Stores, token::TokenKeys};
/// use goat_server::{Api, Group};
///
/// # fn app() -> Result<Router, Box<dyn std::error::Error>> {
/// let goat = Goat::builder(Stores::memory(), TokenKeys::generate()).build()?;
/// let auth = Api::new(goat).prefix("/auth").groups([Group::Accounts, Group::Operations]);
/// let app = Router::new()
///     .route("/", get(async || "the shop"))
///     .merge(auth.into_router())
///     .fallback(async || "no such page");
/// # Ok(app)
/// # }
/// # app().unwrap();
/// ```
///
/// Sign-in is `POST /auth/api/v1/auth/login` there, and the documentation page `/auth/api/docs`.
///
/// Mounts of one goat share its limits: an attempt to sign in counts once, whichever mount it uses.
#[derive(Clone, Debug)]
pub struct Api {
    goat: Goat,
    prefix: Prefix,
    groups: BTreeSet<Group>,
    http: HttpSettings,
    limits: LimitSettings,
    metrics: Arc<Metrics>,
    lifecycle: Lifecycle,
}

impl Api {
    /// Creates the API of a goat.
    #[must_use]
    pub fn new(goat: Goat) -> Self {
        let lifecycle = Lifecycle::new();
        lifecycle.ready();
        Self {
            goat,
            prefix: Prefix::default(),
            groups: Group::ALL.iter().copied().collect(),
            http: HttpSettings::default(),
            limits: LimitSettings::default(),
            metrics: Metrics::new(),
            lifecycle,
        }
    }

    /// Puts a path such as `/auth` in front of every path of the API. `Location` headers, the `instance`
    /// of problem documents, the `servers` of the OpenAPI document, the documentation page and the redirects of
    /// the sign-in page have it too. The log and the metrics name routes without it.
    ///
    /// Cookies have the path `/`, so that they also reach the application's own routes; `__Host-` cookies
    /// have no other.
    ///
    /// Use it in place of axum's `nest`, which hides the beginning of the path from the API.
    ///
    /// # Panics
    ///
    /// If the prefix is neither empty nor a path of letters, digits and `-._~`, without a slash at the end.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        let parsed = Prefix::parse(prefix);
        assert!(
            parsed.is_some(),
            "a prefix must be empty, or a path such as `/auth` of letters, digits, `-`, `.`, `_` and `~`, \
             without a slash at its end: {prefix:?}"
        );
        self.prefix = parsed.unwrap_or_default();
        self
    }

    /// Mounts these route groups only. A route of another group does not exist, also not in the OpenAPI
    /// document. Without [`Group::Administration`], the response to a sign-up has no `Location`.
    #[must_use]
    pub fn groups(mut self, groups: impl IntoIterator<Item = Group>) -> Self {
        self.groups = groups.into_iter().collect();
        self
    }

    /// Replaces the HTTP settings: trusted proxies, CORS, session cookies, the sign-in page and others. Those
    /// of listeners and connections have no effect here, except that the metrics are left out if
    /// they have a listener of their own.
    #[must_use]
    pub fn http(mut self, http: HttpSettings) -> Self {
        self.http = http;
        self
    }

    /// Replaces the rate limits by client address, user and session. Those by account are settings of the
    /// goat.
    #[must_use]
    pub fn limits(mut self, limits: LimitSettings) -> Self {
        self.limits = limits;
        self
    }

    /// Counts requests in these metrics, which the goat's
    /// [`ServerObserver`](crate::observe::ServerObserver) counts its events in.
    #[must_use]
    pub fn metrics(mut self, metrics: Arc<Metrics>) -> Self {
        self.metrics = metrics;
        self
    }

    /// Lets `GET /api/ready` follow a lifecycle. Without one, it is ready while the stores respond.
    #[must_use]
    pub fn lifecycle(mut self, lifecycle: Lifecycle) -> Self {
        self.lifecycle = lifecycle;
        self
    }

    /// Returns the OpenAPI document of the mounted routes, as indented JSON.
    #[must_use]
    pub fn openapi(&self) -> String {
        openapi::text(&Mount::new(self.prefix.clone(), self.groups.clone()))
    }

    /// Returns a router to merge into that of an application, before or after the application's own
    /// routes and fallback.
    ///
    /// It has the subtree of the prefix, where it responds to unknown paths and methods with problem
    /// documents. Without a prefix it has the subtree `/api`, `/.well-known/jwks.json`, and the paths of the
    /// sign-in page. All its middleware is around its own paths only.
    ///
    /// Each request needs the socket address of the client, as axum's
    /// `into_make_service_with_connect_info::<SocketAddr>()` and [`serve`](crate::serve::serve) add it.
    ///
    /// # Panics
    ///
    /// `Router::merge` panics if two APIs without a prefix, or with the same one, are merged.
    pub fn into_router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        let state = self.into_state();
        let (endpoints, pages) = routes(&state);
        let prefix = state.mount.prefix().as_str();
        let root = if prefix.is_empty() { ROOT } else { prefix };
        let mut paths = BTreeSet::from(["", "/", "/{*path}"].map(|rest| format!("{root}{rest}")));
        if prefix.is_empty() {
            let templates =
                endpoints.iter().map(Endpoint::path).chain(pages.iter().map(Path::template));
            let outside = templates.filter(|path| !path.starts_with(&format!("{ROOT}/")));
            paths.extend(outside.map(str::to_owned));
        }
        let address = guards::client_address_with_warning(&state.http);
        let service = assemble::<Body>(endpoints, pages, state, address);
        let service = ServiceBuilder::new().map_request(without_route).service(service);
        paths.iter().fold(Router::new(), |router, path| router.route_service(path, service.clone()))
    }

    /// Returns a service that is the whole program for [`serve`](crate::serve::serve): without the
    /// allocations that axum's router makes for each request. Every path outside of the API is a 404.
    pub fn into_service<B>(self) -> impl ApiService<B> + use<B>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let state = self.into_state();
        let (endpoints, pages) = routes(&state);
        let address = guards::client_address_with_warning(&state.http);
        assemble(endpoints, pages, state, address)
    }

    /// Returns the metrics alone, for a listener of their own, which only scrapers can reach: public.
    pub fn into_metrics_service<B>(self) -> impl ApiService<B> + use<B>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let state = self.into_state();
        let endpoints = table().into_iter().filter(|endpoint| endpoint.path() == METRICS);
        let address = guards::client_address(&state.http);
        assemble(endpoints.collect(), Vec::new(), state, address)
    }

    fn into_state(self) -> AppState {
        let Self { goat, prefix, groups, http, limits, metrics, lifecycle } = self;
        AppState {
            goat,
            mount: Arc::new(Mount::new(prefix, groups)),
            metrics,
            lifecycle,
            http: Arc::new(http),
            limits: Arc::new(limits),
        }
    }
}

/// Removes the route of the application's router, which is none of the API's, for the log and the metrics.
fn without_route(mut request: Request) -> Request {
    request.extensions_mut().remove::<MatchedPath>();
    request
}

/// Returns the mounted endpoints, and the paths of the sign-in page. The metrics require the permission
/// `metrics:read` unless the settings make them public: they would tell strangers whether a sign-in
/// found an account (L6).
fn routes(state: &AppState) -> (Vec<Endpoint>, Vec<Path>) {
    let (moved, public) = (state.http.metrics_listen.is_some(), state.http.public_metrics);
    let mounted = table().into_iter().filter(|endpoint| state.mount.includes(endpoint));
    let endpoints = mounted.filter_map(|endpoint| match endpoint.path() {
        METRICS if moved => None,
        METRICS if !public => Some(endpoint.under(Rule::Scrape(METRICS_READ))),
        _ => Some(endpoint),
    });
    let pages = if state.mount.has(Group::Accounts) { pages::paths(state) } else { Vec::new() };
    (endpoints.collect(), pages)
}
