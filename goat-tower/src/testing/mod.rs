//! Test support for applications (feature `testing`): authenticated requests, and assertions on
//! responses.
//!
//! goat-core signs test users in, on an in-memory [`TestGoat`](goat_core::testing::TestGoat) or,
//! through [`Goat::testing`](goat_core::Goat::testing), on the application's own goat. The tokens
//! are real and the layers run unchanged. This module
//!
//! - adds a user's token and an address to a request: [`RequestBuilderExt`];
//! - asserts that a response was allowed, or rejected for a reason: [`assert_allowed`],
//!   [`assert_denied`]. If a layer is missing, both fail with the message that the log would
//!   contain, so a test that sends one request per route finds it.
//!
//! Enable the feature under `[dev-dependencies]`: `goat-tower = { version = "..", features =
//! ["testing"] }`.
//!
//! An axum router with a complete test. The application builds its router from a [`Goat`], or from
//! a state that contains one; the test passes a goat with a manual clock:
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
//! /// Sends one request to the router, as a client would.
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
//! // Permissions change: for every user of her role, or for her alone by a new sign-in.
//! test.goat.roles().grant(Actor::system("a test"), alice.user.role.as_str(), WRITE).await?;
//! assert_allowed(&send(&router, "POST", &alice).await);
//! let alice = test.sign_in("alice", []).await;
//! assert_denied(&send(&router, "GET", &alice).await, "forbidden").lacking(READ);
//!
//! // Attributes that a handler reads from `me.profile()`.
//! test.goat.testing().set_attributes(alice.user.id, serde_json::json!({ "plan": "pro" })).await;
//!
//! // Time passes until her access token has expired.
//! test.clock.advance(Duration::from_secs(5 * 60 + 10));
//! assert_denied(&send(&router, "GET", &alice).await, "token-expired");
//!
//! // Her sessions are revoked, or she is suspended.
//! let bob = test.sign_in("bob", [READ]).await;
//! test.goat.sessions().revoke_all_of(Actor::system("a test"), bob.user.id).await?;
//! assert_denied(&send(&router, "GET", &bob).await, "session-revoked");
//! let bob = test.sign_in("bob", [READ]).await;
//! test.goat.users().change_status(Actor::system("a test"), bob.user.id, Status::Suspended).await?;
//! assert_denied(&send(&router, "GET", &bob).await, "session-revoked");
//!
//! // Rate limit: too many requests from one address, until `Retry-After` has passed.
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
