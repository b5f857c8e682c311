//! For an application's tests (feature `testing`): requests of somebody, and assertions on denials.
//!
//! Who asks is signed in by goat-core, on a [`TestGoat`](goat_core::testing::TestGoat) in memory or on
//! the application's own goat, by [`Goat::testing`](goat_core::Goat::testing); the tokens are real, and
//! the layers know nothing of a test. What stands here
//!
//! - puts somebody's token and an address into a request: [`RequestBuilderExt`];
//! - says of a response whether it was let through, or refused and why: [`assert_allowed`],
//!   [`assert_denied`]. Where a layer is missing, both fail with what the log would say, so that a test
//!   that calls each route once finds it.
//!
//! Put the feature into `[dev-dependencies]`: `goat-tower = { version = "..", features = ["testing"] }`.
//!
//! A router of axum, and its test in full. The application makes its router from a [`Goat`], or from a
//! state that has one; the test gives it a goat whose clock it moves:
//!
//! ```
//! # #[cfg(feature = "axum")]
//! # mod with_axum {
//! use std::time::Duration;
//!
//! use axum::body::Body;
//! use axum::routing::{get, post};
//! use axum::{Router, extract::State};
//! use goat_core::testing::{TestGoat, TestUser};
//! use goat_core::{Actor, Goat, Permission, Quota, Status};
//! use goat_tower::testing::{RequestBuilderExt, assert_allowed, assert_denied};
//! use goat_tower::{GoatExt, Principal};
//! use http::{Request, Response};
//! use tower::ServiceExt;
//!
//! const READ: Permission = Permission::new("report:read");
//! const WRITE: Permission = Permission::new("report:write");
//!
//! #[derive(Clone)]
//! struct App {
//!     goat: Goat, // and a pool, a mailer, ..
//! }
//!
//! fn router(app: App) -> Router {
//!     let goat = app.goat.clone();
//!     Router::new()
//!         .route("/reports", get(list).route_layer(goat.require(READ)))
//!         .route("/reports", post(write).route_layer(goat.require(WRITE)))
//!         .layer(goat.authenticate())
//!         .layer(goat.limit(Quota::per_minute(60)).by_address())
//!         .with_state(app)
//! }
//!
//! async fn list(State(_): State<App>, me: Principal) -> String {
//!     format!("the reports of {}", me.user())
//! }
//!
//! async fn write() {}
//!
//! /// One request to the router, as a client would send it.
//! async fn send(router: &Router, method: &str, user: &TestUser) -> Response<Body> {
//!     let request = Request::builder().method(method).uri("/reports");
//!     let request = request.signed_in(user).coming_from("192.0.2.7");
//!     router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
//! }
//!
//! # pub async fn reports_are_for_readers() -> goat_core::Result<()> {
//! // #[tokio::test]
//! // async fn reports_are_for_readers() -> goat_core::Result<()> {
//! let test = TestGoat::new();
//! let router = router(App { goat: test.goat.clone() });
//! let alice = test.sign_in("alice", [READ]).await;
//!
//! assert_allowed(&send(&router, "GET", &alice).await);
//! assert_denied(&send(&router, "POST", &alice).await, "forbidden").lacking(WRITE);
//!
//! // Her permissions change: for all who share her role, or by another sign-in for her alone.
//! test.goat.roles().grant(Actor::system("a test"), alice.user.role.as_str(), WRITE).await?;
//! assert_allowed(&send(&router, "POST", &alice).await);
//! let alice = test.sign_in("alice", []).await;
//! assert_denied(&send(&router, "GET", &alice).await, "forbidden").lacking(READ);
//!
//! // Time passes: her token grows old.
//! test.clock.advance(Duration::from_secs(5 * 60 + 10));
//! assert_denied(&send(&router, "GET", &alice).await, "token-expired");
//!
//! // Her sessions end, or she is suspended.
//! let bob = test.sign_in("bob", [READ]).await;
//! test.goat.sessions().revoke_all_of(Actor::system("a test"), bob.user.id).await?;
//! assert_denied(&send(&router, "GET", &bob).await, "session-revoked");
//! let bob = test.sign_in("bob", [READ]).await;
//! test.goat.users().change_status(Actor::system("a test"), bob.user.id, Status::Suspended).await?;
//! assert_denied(&send(&router, "GET", &bob).await, "session-revoked");
//!
//! // Too many requests from one address, until it has waited.
//! let carol = test.sign_in("carol", [READ]).await;
//! let mut response = send(&router, "GET", &carol).await;
//! while response.status() == 200 {
//!     response = send(&router, "GET", &carol).await;
//! }
//! let wait = assert_denied(&response, "rate-limited").retry_after();
//! test.clock.advance(wait);
//! assert_allowed(&send(&router, "GET", &carol).await);
//! # Ok(())
//! # }
//! # }
//! # #[cfg(feature = "axum")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> goat_core::Result<()> {
//! #     with_axum::reports_are_for_readers().await
//! # }
//! # #[cfg(not(feature = "axum"))]
//! # fn main() {}
//! ```
//!
//! [`Goat`]: goat_core::Goat

mod outcome;
mod request;
mod response;

pub use request::RequestBuilderExt;
pub use response::{Code, Refused, assert_allowed, assert_denied};
