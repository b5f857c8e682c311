//! Authentication, permissions and rate limits as tower layers, for axum, tonic, bare hyper and
//! whatever else speaks `tower::Service<http::Request<B>>`.
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
//! // Whoever accepts connections says who is at their other end.
//! let peer = PeerAddress(([192, 0, 2, 7], 4711).into());
//! let alice = test.sign_in("alice", [REPORTS]).await;
//! let request = Request::builder().extension(peer).header("authorization", alice.bearer());
//! let response = service.clone().oneshot(request.body(())?).await?;
//! assert_eq!(response.status(), StatusCode::OK);
//! assert_eq!(response.headers()["ratelimit"], r#""address";r=299;t=60, "user";r=59;t=60"#);
//!
//! let stranger = Request::builder().extension(peer).body(())?;
//! let response = service.oneshot(stranger).await?;
//! assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
//! assert_eq!(response.headers()["ratelimit"], r#""address";r=298;t=60"#);
//! # Ok(())
//! # }
//! ```
//!
//! How somebody comes by a token is no layer's business: to sign up, sign in, refresh and sign out are
//! handlers of your own, of a few lines each, over the methods of [`Goat`](goat_core::Goat). A
//! [`Problem`] answers their errors in the words of the layers, and an [`Origin`] is what a sign-in
//! keeps of its request. The example `axum` of goat's repository has all four, and [`cookie`] says what
//! browsers want in their place.
//!
//! # The order of layers
//!
//! From the outside in, as a request meets them:
//!
//! 1. [`ClientAddressLayer`](address::ClientAddressLayer) finds the client's address. Needed behind
//!    a proxy, and where a server says who is at the other end with a type of its own, as tonic does;
//!    otherwise the client is the other end of the connection.
//! 2. [`limit`]`.by_address()` refuses a flood before anything is spent on it. A bad token charges
//!    the address alone.
//! 3. [`authenticate`] finds out whose request it is, or answers 401.
//! 4. [`limit`]`.by_user()` counts users, whatever their sessions and addresses.
//! 5. [`require`] answers 403 where the role may not.
//!
//! Between 4 and 5 there is a choice: a limit inside of a requirement counts only who may, one outside
//! of it counts those who try as well.
//!
//! How that order is written depends on where:
//!
//! | | written | so |
//! |---|---|---|
//! | tower's `ServiceBuilder` | the outermost first | top down, as in the list |
//! | tonic's `Server::builder().layer(…)` | the outermost first, around all services | top down, as in the list |
//! | tonic's `named_layer(…)`, tower's `Layer::layer(…)` | `outer.layer(inner)` | around one service |
//! | axum's `Router::layer(…)` | each around all that stands before it | bottom up: the last is met first |
//! | axum's `route_layer(…)` | each around the routes that stand before it | bottom up, and only where a route matches |
//!
//! With a `Router` of axum:
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
//!     let guarded = Router::new()
//!         .route("/reports", get(list).route_layer(goat.require(REPORTS)))       // 4th
//!         .route("/exports", post(export).route_layer(goat.limit(Quota::per_minute(5)).by_user()))
//!         .layer(goat.limit(Quota::per_minute(60)).named("all").by_user())       // 3rd
//!         .layer(goat.authenticate());                                           // 2nd
//!     let open = Router::new().route("/about", get(about));
//!     open.merge(guarded).layer(goat.limit(Quota::per_minute(300)).by_address()) // met first
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
//! What is open and what is guarded are two routers here, so that no route is open because of the line
//! that it stands on.
//!
//! With tonic, whose `Server` is written from the outside in:
//!
//! ```rust,ignore
//! use tonic::service::LayerExt as _; // for named_layer, which keeps the service's name
//!
//! let client = ClientAddressLayer::new()
//!     .peer_from(|extensions| extensions.get::<TcpConnectInfo>()?.remote_addr());
//! Server::builder()
//!     .layer(client)                                              // met first
//!     .layer(goat.limit(Quota::per_minute(300)).by_address())     // 2nd
//!     .add_service(AccountsServer::new(accounts))                 // open: signing in is a call too
//!     .add_service(goat.require(REPORTS).named_layer(ReportsServer::new(reports)))
//!     .serve(address)
//!     .await?;
//! ```
//!
//! The example `tonic` has that as a whole program, with a guard of its own for each method.
//!
//! ## Mistakes, and what becomes of a request
//!
//! | written | what happens |
//! |---|---|
//! | a route of axum is added after `.layer(goat.authenticate())` | **It is open.** Only a handler that takes a [`Principal`] is not called: 500. |
//! | a `fallback` of axum is added after it | It is open. One that was there before is guarded. |
//! | `.route_layer(goat.authenticate())` in place of `.layer` | A path that is not there is a 404 to strangers, in place of a 401: they learn which paths there are. |
//! | `limit.by_user()` outside of `authenticate()` | 500 to everybody, and the log says what to do. |
//! | `limit.by_address()` inside of `authenticate()` | Bad tokens are not counted: whoever floods with them costs a look at each. |
//! | no peer: axum without `into_make_service_with_connect_info`, hyper or tonic without a word | `by_address()` is a 500 to everybody, to gRPC callers a 13 (`INTERNAL`); the log says what to do. |
//! | `ClientAddressLayer` inside of `by_address()` | All clients of a proxy share one counter, and soon get 429. |
//! | `require(…)` outside of `authenticate()`, or without one | The same as inside: it looks at the credentials itself. With [`cookies`](AuthenticateLayer::cookies) that is a 401 to every browser: it reads the `Authorization` header alone. |
//! | `require(…)` of one `Goat` inside of `authenticate()` of another | 500 to everybody: what the one found out says nothing to the other. The log says what to do. |
//! | `authenticate()` around all of a tonic server | Nobody can sign in by a call: 16 (`UNAUTHENTICATED`). Put it around services, or make it [`optional`](AuthenticateLayer::optional). |
//! | a layer for CORS inside of `authenticate()` | Preflight requests carry no credentials and get 401, and so browsers show scripts no denial at all. Put CORS outside of all. |
//! | whoever gives out [`RequestId`]s stands inside of goat's layers | Denials do not name the request. |
//! | two limits of one name and one quota | They count together, wherever they stand. Give one another [name](LimitLayer::named). |
//!
//! Where a layer is missing or stands wrong, goat lets nobody in by mistake and takes nobody for a
//! stranger: that is a 500, and the log says what to do. What it cannot see is a route that no layer
//! stands around.
//!
//! The log is that of the crate `tracing`, which keeps nothing by itself: without a subscriber, such
//! as `tracing_subscriber::fmt::init()` at the start of `main`, a 500 is all that anybody sees. (The
//! feature `tracing` is there by default; with `default-features = false`, ask for it.)
//!
//! And two that the compiler finds, without saying what they are:
//!
//! | it says | it means |
//! |---|---|
//! | `Handler<_, _>` is not implemented for `fn(Principal) -> …` | goat-tower lacks its feature `axum`, or the handler takes the [`Principal`](goat_core::Principal) of goat-core. |
//! | no method named `authenticate`, `require` or `limit` | `use goat_tower::GoatExt;`, or for a verifier `use goat_tower::offline::VerifierExt;`. |
//!
//! # How to test
//!
//! A test gives the application a goat in memory, whose clock it moves, and asserts on what comes back
//! (feature `testing`; the module of that name has a router of axum and its test in full):
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
//! # main().expect("it holds");
//! # }
//! ```
//!
//! # Round trips
//!
//! Layers that are stacked wait for each other. Where limits and sessions are kept elsewhere, in Redis
//! say, each layer that has to ask costs a round trip: with the three in the middle of the list above
//! that is two for a session that the cache knows, and three for one that it does not.
//!
//! [`AuthenticateLayer::limited`] makes one layer of these three, which answers as the stack does and
//! asks as much at once as can be: one round trip, and two. Its [own page](AuthenticateWithLimitsLayer) says what it
//! asks when. It is what goat's server uses.
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
//! Every further limit costs one more, and so does a [fresh](RequireLayer::fresh) requirement. What is
//! kept in memory costs none, stacked or not.
//!
//! # Features
//!
//! | feature | for |
//! |---|---|
//! | `axum` | the arguments and errors of axum's handlers: [`Principal`], [`Origin`], [`Problem`] and their like; the peer and the path's template as axum knows them |
//! | `tracing` (default) | the log: which limit counts what, and what to mend where a layer is missing |
//! | `testing` | the module `testing`, and goat-core's; for `[dev-dependencies]` |
//! | `aws-lc-rs` (default), `rust-crypto` | what signs and verifies tokens; aws-lc-rs needs a C compiler |
//!
//! Where users and sessions are kept is a feature of goat-core: `sqlite`, `postgres`, `redis`.
//!
//! # What stands here
//!
//! - [`GoatExt`] gives a [`Goat`](goat_core::Goat) its layers: [`AuthenticateLayer`],
//!   [`RequireLayer`] with its [`Requirement`], and [`LimitLayer`]; [`AuthenticateWithLimitsLayer`] is authentication
//!   between two limits. [`IntoRequirement`] is what stands for a requirement.
//! - [`PathTemplate`] is which route a request is for, where a limit counts by that.
//! - [`Principal`] is whose request it is, and [`FreshPrincipal`] the same read anew.
//! - [`offline`] has the same two layers over a [`Verifier`](goat_core::token::Verifier), for services
//!   that hold only goat's public keys, and their principal, which is blind to revocation.
//! - [`Origin`] is from where a request comes, for the sign-in that keeps it.
//! - [`address`] finds the client's address, behind proxies too, and believes nobody by default.
//! - [`bearer()`] reads the bearer token of a request.
//! - [`cookie`] carries the tokens in cookies for browsers, and refuses what other sites make of them.
//! - [`LimitDecisions`] collects what every limit said and shows it in the `RateLimit` headers.
//! - [`Denial`] is why a layer refused a request, and [`RenderDenial`] how that looks:
//!   [`ProblemDetails`] unless an application wants otherwise.
//! - [`Problem`] is a problem document (RFC 9457), for denials and for handlers' own errors alike;
//!   which answer each kind of error gets is one table.
//! - The module `testing`, with the feature of that name, is for the tests of applications.
//! - [`ResponseBody`] is the body of a guarded service: the inner one, or a denial's few bytes.
//! - [`RequestId`] is what a problem document shows of the log.
//! - [`guide`] is for who comes from axum-login, tower_governor or casbin.
//!
//! # What every layer keeps to
//!
//! - No type here has a parameter that an application must name, and no layer asks more of a body
//!   than to be one. The error of a guarded service is the inner service's own.
//! - `poll_ready` only forwards, and `call` uses the very instance that was polled.
//! - A denial never reaches the inner service, and gives its readiness back: cheap 401s cannot
//!   starve a concurrency limit below.
//! - What is allowed passes unchanged, but for the headers that the layer is for.
//! - A request that is dropped while a store is asked leaves nothing half done.
//! - A request whose session the cache knows, and whose limits are kept in memory, waits for nothing,
//!   and allocates little: 8 times for [`authenticate`], [`require`] and a [`limit`]. One is the
//!   principal's place in the request's extensions, 3 are the limits' collector, 2 the values of their
//!   headers, and 2 the response's header map, which a response with headers of its own has anyway.
//!   A second limit costs none. Without limits it is 3, the principal and that map. A limit alone
//!   costs 7, and [`ClientAddressLayer`](address::ClientAddressLayer) 1. (http's own maps may grow
//!   besides, where many share them.)
//! - A denial is rendered as a document: 18 allocations where there is no token, 29 where a permission
//!   is missing, 32 where a quota is spent.
//! - 401 (who are you), 403 (you may not) and 503 (cannot tell now) are never mixed up.
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

pub use authenticate::AuthenticateLayer;
pub use authenticate::with_limits::AuthenticateWithLimitsLayer;
pub use ext::GoatExt;
/// All of goat-core, for whoever depends on goat-tower alone.
#[doc(no_inline)]
pub use goat_core;
pub use guard::{GuardFuture, Guarded};
pub use limit::LimitLayer;
pub use request::bearer::{BearerError, bearer};
pub use request::origin::Origin;
pub use request::path_template::PathTemplate;
pub use request::principal::{FreshPrincipal, Principal};
pub use request::request_id::RequestId;
pub use require::{IntoRequirement, RequireLayer, Requirement};
pub use response::body::ResponseBody;
pub use response::decisions::{Collector, LimitDecisions};
pub use response::denial::{Denial, ProblemDetails, RenderDenial};
pub use response::problem::Problem;
pub use response::rate_limit_headers::write_rate_limit_headers;
