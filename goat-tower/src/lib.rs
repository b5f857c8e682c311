//! Authentication, authorization and rate limiting as tower middleware, for axum, tonic, bare hyper and
//! anything else that implements `tower::Service<http::Request<B>>`.
//!
//! ```
//! use goat_core::testing::TestGoat;
//! use goat_core::{Permission, Quota};
//! use goat_tower::GoatExt;
//! use goat_tower::address::PeerAddress;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Empty;
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! const REPORTS: Permission = Permission::new("report:read");
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let test = TestGoat::new(); // in an application: Goat::builder(stores, keys).build()?
//! let goat = &test.goat;
//!
//! let service = ServiceBuilder::new()
//!     .layer(goat.limit(Quota::per_minute(300)).by_address())
//!     .layer(goat.authenticate())
//!     .layer(goat.limit(Quota::per_minute(60)).by_user())
//!     .layer(goat.require(REPORTS))
//!     .service_fn(async |_: Request<()>| {
//!         Ok::<_, std::convert::Infallible>(Response::new(Empty::<&[u8]>::new()))
//!     });
//!
//! // The server stores the address of the connection's peer.
//! let peer = PeerAddress(([192, 0, 2, 7], 4711).into());
//! let alice = test.sign_in("alice", [REPORTS]).await;
//! let request = Request::builder().extension(peer).header("authorization", alice.bearer());
//! let response = service.clone().oneshot(request.body(())?).await?;
//! assert_eq!(response.status(), StatusCode::OK);
//! assert_eq!(response.headers()["ratelimit"], r#""address";r=299;t=60, "user";r=59;t=60"#);
//!
//! let anonymous = Request::builder().extension(peer).body(())?;
//! let response = service.oneshot(anonymous).await?;
//! assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
//! assert_eq!(response.headers()["ratelimit"], r#""address";r=298;t=60"#);
//! # Ok(())
//! # }
//! ```
//!
//! Sign-up, login, refresh and logout are handlers of your own, of a few lines each, over the methods of
//! [`Goat`](goat_core::Goat). A [`Problem`] renders their errors as the layers do, and an [`Origin`] is the
//! client address and user agent that a login stores with the session. The example `axum` in goat's
//! repository has all four. [`cookie`] covers sessions for browsers, with ready routes for axum.
//!
//! # Layers
//!
//! | layer | made by | rejects with |
//! |---|---|---|
//! | [`ClientAddressLayer`](address::ClientAddressLayer): the client's address behind proxies | `ClientAddressLayer::new()` | |
//! | [`LimitLayer`]: rate limits by address, user, route, … | [`goat.limit(quota)`](GoatExt::limit) | 429 |
//! | [`AuthenticateLayer`]: access token or API key → [`Principal`] | [`goat.authenticate()`](GoatExt::authenticate) | 401 |
//! | [`RequireLayer`]: permissions, roles, predicates ([`Requirement`]) | [`goat.require(…)`](GoatExt::require) | 403 |
//! | [`AuthenticateWithLimitsLayer`]: authentication and two limits in one round trip | [`.limited(…)`](AuthenticateLayer::limited) | 429, 401 |
//! | authentication and requirements by the token alone, with public keys | [`offline`] | 401, 403 |
//!
//! Beside the layers:
//!
//! - [`Principal`], [`FreshPrincipal`] and [`RecentPrincipal`]: the authenticated user, from the cache, read
//!   again, or with a recent proof.
//! - [`cookie`]: tokens in cookies, with a CSRF check.
//! - [`Problem`]: problem documents (RFC 9457), for rejections and for the errors of handlers.
//! - [`Denial`] and [`RenderDenial`]: the reason of a rejection in the response's extensions, and its
//!   form, [`ProblemDetails`] by default.
//! - [`LimitDecisions`], [`RateLimitHeaders`]: the decisions of all limits of a request, and the choice of
//!   their headers.
//! - [`PathTemplate`], [`RequestId`], [`Origin`], [`bearer()`]: parts of a request.
//! - [`guide`]: for users of axum-login, tower_governor or casbin.
//! - The module `testing` (feature of that name): for the tests of applications.
//!
//! # The order of layers
//!
//! From the outside in, as a request passes them:
//!
//! 1. [`ClientAddressLayer`](address::ClientAddressLayer) determines the client's address. It is necessary
//!    behind a proxy, and with servers that expose the peer in a type of their own; otherwise the client
//!    is the peer of the connection.
//! 2. [`limit`]`.by_address()` bounds floods before any other work. A request with an invalid token
//!    counts here only.
//! 3. [`authenticate`] validates the access token or API key, or responds with 401.
//! 4. [`limit`]`.by_user()` counts per user, across sessions and addresses.
//! 5. [`require`] responds with 403 if the principal lacks the permission.
//!
//! Steps 4 and 5 can be swapped: a limit inside of a requirement counts only authorized requests, a limit
//! outside of it counts rejected ones too.
//!
//! How to write that order:
//!
//! | | form | order in the code |
//! |---|---|---|
//! | tower's `ServiceBuilder` | the outermost first | top down, as in the list |
//! | tonic's `Server::builder().layer(…)` | the outermost first, around all services | top down, as in the list |
//! | tonic's `named_layer(…)`, tower's `Layer::layer(…)` | `outer.layer(inner)` | around one service |
//! | axum's `Router::layer(…)` | each around everything before it | bottom up: the last one runs first |
//! | axum's `route_layer(…)` | each around the routes before it | bottom up, and only if a route matches |
//!
//! With an axum `Router`:
//!
//! ```
//! # #[cfg(feature = "axum")] {
//! use axum::{Router, routing::{get, post}};
//! use goat_core::{Goat, Permission, Quota};
//! use goat_tower::{GoatExt, Principal};
//!
//! const REPORTS: Permission = Permission::new("report:read");
//!
//! fn app(goat: &Goat) -> Router {
//!     let protected = Router::new()
//!         .route("/reports", get(list).route_layer(goat.require(REPORTS)))       // 4th
//!         .route("/exports", post(export).route_layer(goat.limit(Quota::per_minute(5)).by_user()))
//!         .layer(goat.limit(Quota::per_minute(60)).named("all").by_user())       // 3rd
//!         .layer(goat.authenticate());                                           // 2nd
//!     let public = Router::new().route("/about", get(about));
//!     public.merge(protected).layer(goat.limit(Quota::per_minute(300)).by_address()) // 1st
//! }
//!
//! async fn list(me: Principal) -> String {
//!     format!("the reports of {}", me.user())
//! }
//!
//! async fn export() {}
//! async fn about() {}
//! # let _ = app;
//! # }
//! ```
//!
//! Public and protected routes are two routers here, so that no route is public because of the line that
//! it is on.
//!
//! With tonic (its `Server` takes layers from the outside in) and the feature `tonic`:
//!
//! ```rust,ignore
//! let reports = goat.require_by_method(
//!     ReportsServer::new(reports),
//!     tonic::include_file_descriptor_set!("reports"),
//!     [("List", REPORTS), ("Follow", REPORTS), ("Audit", AUDIT)],
//! )?;
//! Server::builder()
//!     .layer(goat.limit(Quota::per_minute(300)).by_address())     // 2nd
//!     .add_service(AccountsServer::new(accounts))                 // public: login is a call too
//!     .add_service(reports)                                       // 3rd and 5th
//!     .serve(address)
//!     .await?;
//! ```
//!
//! The example `tonic` is the whole program; the module `tonic` (feature of that name) has the details.
//!
//! ## Common mistakes
//!
//! | mistake | effect |
//! |---|---|
//! | an axum route added after `.layer(goat.authenticate())` | **The route is public.** Only a handler that takes a [`Principal`] is not called: 500. |
//! | an axum `fallback` added after it | It is public. One that was added before is protected. |
//! | `.route_layer(goat.authenticate())` instead of `.layer` | An unknown path is a 404 without credentials instead of a 401, which reveals the known paths. |
//! | `limit.by_user()` outside of `authenticate()` | 500 for every request; the log says how to correct it. |
//! | `limit.by_address()` inside of `authenticate()` | Invalid tokens are not counted: each costs a signature check. |
//! | unknown peer: axum without `into_make_service_with_connect_info`, tonic without the feature `tonic`, hyper without a `PeerAddress` | `by_address()` responds to every request with 500, in gRPC with 13 (`INTERNAL`); the log says how to correct it. |
//! | `ClientAddressLayer` inside of `by_address()` | All clients of a proxy share one counter, and soon get 429. |
//! | `require(…)` outside of `authenticate()`, or without one | As inside: it authenticates the request itself. With [`cookies`](AuthenticateLayer::cookies) that is a 401 for every browser, since it reads the `Authorization` header only. |
//! | `require(…)` of one `Goat` inside of `authenticate()` of another | 500 for every request: a principal counts only for the goat that issued it. The log says how to correct it. |
//! | `authenticate()` around all of a tonic server | Login is unreachable: 16 (`UNAUTHENTICATED`). Put the layer around services, or make it [`optional`](AuthenticateLayer::optional). |
//! | a CORS layer inside of `authenticate()` | Preflight requests carry no credentials and get 401, and browsers hide every rejection from scripts. Put CORS outside of all layers. |
//! | the layer that sets [`RequestId`] inside of goat's layers | Rejections carry no request id. |
//! | two limits with the same name and quota | They share their counters. Give one of them a different [name](LimitLayer::named). |
//!
//! A missing or misplaced layer never admits a request by mistake, and never makes an authenticated request
//! anonymous: the response is 500, and the log says how to correct it. A route without any layer cannot be
//! detected.
//!
//! goat logs through the crate `tracing`, which discards everything without a subscriber such as
//! `tracing_subscriber::fmt::init()` at the start of `main`. (The feature `tracing` is on by default; with
//! `default-features = false`, enable it.)
//!
//! Two compiler messages that do not name their cause:
//!
//! | message | cause |
//! |---|---|
//! | `Handler<_, _>` is not implemented for `fn(Principal) -> …` | The feature `axum` of goat-tower is off, or the handler takes [`goat_core::Principal`]. |
//! | no method named `authenticate`, `require` or `limit` | `use goat_tower::GoatExt;` is missing, or for a verifier `use goat_tower::offline::VerifierExt;`. |
//!
//! # Testing
//!
//! A test gives the application an in-memory goat with a manual clock, and asserts on responses (feature
//! `testing`; its module has an axum router with a complete test):
//!
//! ```
//! # #[cfg(feature = "testing")] {
//! use goat_core::Permission;
//! use goat_core::testing::TestGoat;
//! use goat_tower::GoatExt;
//! use goat_tower::testing::{RequestBuilderExt, assert_allowed, assert_denied};
//! use http::{Request, Response};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! const REPORTS: Permission = Permission::new("report:read");
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let test = TestGoat::new();
//! let service = test.goat.require(REPORTS).layer(service_fn(async |_: Request<()>| {
//!     Ok::<_, std::convert::Infallible>(Response::new(()))
//! }));
//! let alice = test.sign_in("alice", [REPORTS]).await;
//! let request = || Request::get("/reports").signed_in(&alice).body(());
//! assert_allowed(&service.clone().oneshot(request()?).await?);
//!
//! test.clock.advance(std::time::Duration::from_secs(3600));
//! assert_denied(&service.oneshot(request()?).await?, "token-expired");
//! # Ok(())
//! # }
//! # main().expect("the example runs");
//! # }
//! ```
//!
//! # Round trips
//!
//! Stacked layers wait for each other. If limits and sessions are kept in a remote store such as Redis,
//! each layer that reads it costs a round trip: steps 2 to 4 of the list above cost two for a session in
//! the cache, and three otherwise.
//!
//! [`AuthenticateLayer::limited`] combines these three into one layer with the same responses, which runs
//! the store operations concurrently: one round trip, and two otherwise. See
//! [`AuthenticateWithLimitsLayer`]. goat-server uses it.
//!
//! ```
//! # use goat_core::{Goat, Quota};
//! use goat_tower::GoatExt;
//! use tower::ServiceBuilder;
//!
//! # fn app(goat: &Goat) {
//! let address = goat.limit(Quota::per_minute(300)).by_address();
//! let user = goat.limit(Quota::per_minute(60)).by_user();
//! let stack = ServiceBuilder::new()
//!     .layer(goat.authenticate().limited(address, user))
//!     .layer(goat.require(goat_core::access::permissions::USER_READ));
//! # let _ = stack;
//! # }
//! ```
//!
//! Each further limit costs one more round trip, and so does a [fresh](RequireLayer::fresh) requirement.
//! Limits kept in memory cost none.
//!
//! # Features
//!
//! | feature | content |
//! |---|---|
//! | `axum` | extractors and `IntoResponse`: [`Principal`], [`Origin`], [`Problem`] and others; peer address and path template from axum |
//! | `tracing` (default) | log: the configuration of each limit, and how to correct misplaced layers |
//! | `testing` | the module `testing`, and that of goat-core; for `[dev-dependencies]` |
//! | `aws-lc-rs` (default), `rust-crypto` | the cryptography of tokens; aws-lc-rs needs a C compiler |
//!
//! Storage backends are features of goat-core: `sqlite`, `postgres`, `redis`.
//!
//! # Guarantees of every layer
//!
//! - No type requires a type parameter that an application must name, and no bound on a body exceeds
//!   `Body`. The error of a guarded service is the inner service's own.
//! - `poll_ready` only forwards, and `call` uses the instance that was polled.
//! - A rejected request never reaches the inner service, and its readiness is released: cheap 401s cannot
//!   starve a concurrency limit below.
//! - An allowed request and its response pass unchanged, except for the headers that the layer sets.
//! - A request that is dropped while a store is read leaves nothing half done.
//! - A request with a cached session or API key and in-memory limits never waits and makes 8
//!   allocations for [`authenticate`], [`require`] and a [`limit`]: 1 for the principal in the request's
//!   extensions, 3 for the collected decisions, 2 for the values of their headers, and 2 for the response's
//!   header map, which a response with headers has anyway. A second limit adds none. Without limits it is
//!   3: the principal and that map. A limit alone makes 7, and
//!   [`ClientAddressLayer`](address::ClientAddressLayer) 1 for a client behind a proxy. (Maps of the crate
//!   `http` may grow in addition.)
//! - Rendering a rejection makes 18 allocations without a token, 28 for a missing permission, 30 for an
//!   exceeded limit.
//! - 401 (unauthenticated), 403 (forbidden) and 503 (cannot decide now) are never mixed up.
//!
//! [`limit`]: GoatExt::limit
//! [`authenticate`]: GoatExt::authenticate
//! [`require`]: GoatExt::require

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod address;
mod authenticate;
#[cfg(feature = "axum")]
mod axum;
pub mod cookie;
mod ext;
mod guard;
pub mod guide;
mod limit;
pub mod offline;
mod request;
mod require;
mod response;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "tonic")]
pub mod tonic;

pub use authenticate::AuthenticateLayer;
pub use authenticate::with_limits::AuthenticateWithLimitsLayer;
pub use ext::GoatExt;
/// All of goat-core, for applications that depend on goat-tower only.
#[doc(no_inline)]
pub use goat_core;
pub use guard::{GuardFuture, Guarded};
pub use limit::LimitLayer;
pub use request::bearer::{BearerError, bearer};
pub use request::origin::Origin;
pub use request::path_template::PathTemplate;
pub use request::principal::{FreshPrincipal, Principal, RecentPrincipal};
pub use request::request_id::RequestId;
pub use require::{IntoRequirement, RequireLayer, Requirement};
pub use response::body::ResponseBody;
pub use response::decisions::{Collector, LimitDecisions};
pub use response::denial::{Denial, ProblemDetails, RenderDenial};
pub use response::problem::Problem;
pub use response::rate_limit_headers::{RateLimitHeaders, write_rate_limit_headers};
