//! Migration guides: from other crates to goat.
//!
//! | from | for | guide |
//! |---|---|---|
//! | axum-login, tower-sessions | authentication and sessions | [`from_axum_login`] |
//! | tower_governor | rate limiting | [`from_tower_governor`] |
//! | casbin, axum-casbin | authorization | [`from_casbin`] |
//!
//! Each guide maps the other crate's concepts to goat's, shows the code before and after, lists the
//! differences and missing features, and ends with steps for a gradual migration. The guides are
//! independent: goat's layers work beside those that you have. Rate limits are the easiest start,
//! since they need neither users nor sessions; then authentication and sessions, then permissions.
//! The code with goat is compiled and run as documentation tests; the code with the other crate is
//! abridged, for the version named.
//!
//! goat does not provide:
//!
//! - **Session data.** A session only authenticates a user. Keep a shopping cart in tower-sessions,
//!   or in a table keyed by [user](goat_core::Principal::user). A few small fields of a user fit into the
//!   [attributes](goat_core::user::Attributes) of `me.profile()`.
//! - **Federated login.** Users log in by e-mail address and password. There is no OAuth and no
//!   passkey support. An application that authenticates its users by these or other means
//!   [vouches](goat_core::Goat::vouch) for them, and goat opens the session; see below.
//! - **A policy language.** A role has permissions, and a route requires them.
//!
//! # Sign-in by other means
//!
//! A session opens by a [`Proof`](goat_core::auth::Proof). A password of goat's is one; an application's
//! statement about a user that it authenticated itself (LDAP, a wallet, an identity provider) is another.
//! Status, session limit, required second factors and the end of all sessions apply to both alike.
//!
//! ```
//! use goat_core::auth::{TokenPair, Vouch};
//! use goat_core::testing::TestGoat;
//! use goat_core::{Email, ErrorKind, Goat, Result};
//! use goat_tower::Origin;
//!
//! # fn bind(name: &str, password: &str) -> Option<Email> {
//! #     let email = Email::parse(&format!("{name}@example.org")).ok();
//! #     email.filter(|_| password == "right")
//! # }
//! async fn sign_in(goat: &Goat, origin: Origin, name: &str, password: &str) -> Result<TokenPair> {
//!     // The application's own check, with its own limit of attempts.
//!     let email = bind(name, password).ok_or(ErrorKind::InvalidCredentials)?;
//!     let user = goat.users().find_by_email(&email).await?;
//!     let user = user.ok_or(ErrorKind::InvalidCredentials)?;
//!     let proof = goat.vouch(user.id, Vouch::single("ldap")).await?;
//!     Ok(goat.open_session(proof, origin.into()).await?.tokens)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let test = TestGoat::new();
//! let alice = test.sign_in("alice", []).await.user.id;
//! let origin = Origin::of(&http::Request::new(()).into_parts().0);
//! let tokens = sign_in(&test.goat, origin.clone(), "alice", "right").await?;
//! let principal = test.goat.authenticate_token(tokens.access_token.expose()).await?;
//! assert_eq!(principal.user(), alice);
//! sign_in(&test.goat, origin, "alice", "wrong").await.expect_err("rejected");
//! # Ok(())
//! # }
//! ```
//!
//! Where a second factor of the user is in force, a login and a proof of one factor are
//! [`SecondFactorRequired`](goat_core::ErrorKind::SecondFactorRequired), also in code that knows of no
//! factors. [`Error::pending`](goat_core::Error::pending) has what the client needs, and a
//! [`Problem`](crate::Problem) shows it: `challenge`, `secret`, `methods`, `enrol` and `expires_at`.
//! [`Goat::answer`](goat_core::Goat::answer) completes the sign-in. No kind of factor can be enrolled yet; in
//! tests, `goat_core::testing::TestFactors` are.
//!
//! The example `vouch` is a complete application, which creates a user without a password at the first
//! sign-in.
//!
//! # Calls by programs
//!
//! [`authenticate`](crate::GoatExt::authenticate) accepts an API key in place of an access token: a
//! credential that a user creates for a program, with a part of the user's rights. Handlers, permissions and
//! limits per user stay as they are. A change of the role, a suspension and a revocation are in force for
//! keys as for sessions. Changes of the user's own credentials take a
//! [`RecentPrincipal`](crate::RecentPrincipal), which a key never is.
//! [`keys(false)`](crate::AuthenticateLayer::keys) rejects keys on a whole router,
//! [`Requirement::person`](crate::Requirement::person) on a route, and [`by_key`](crate::LimitLayer::by_key)
//! counts each key on its own.
//!
//! ```
//! use goat_core::key::{NewKey, Scopes};
//! use goat_core::testing::TestGoat;
//! use goat_core::{Credential, Permission};
//! use goat_tower::{GoatExt, Principal};
//! use http::{Request, Response};
//! use http_body_util::Empty;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! const READ: Permission = Permission::new("report:read");
//! const WRITE: Permission = Permission::new("report:write");
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let test = TestGoat::new();
//! let alice = test.sign_in("alice", [READ, WRITE]).await;
//! let me = test.goat.authenticate_token(alice.access_token()).await?;
//! let recent = test.goat.require_recent(&me).await?;
//! let new = NewKey { name: "nightly".into(), scopes: Scopes::only([READ])?, expires_in: None };
//! let key = test.goat.keys().create(recent, new).await?.secret;
//!
//! let reports = service_fn(async |request: Request<()>| {
//!     let me = Principal::of(request.extensions()).expect("an authenticated request");
//!     assert!(matches!(me.credential(), Credential::Key(_)));
//!     Ok::<_, std::convert::Infallible>(Response::new(Empty::<&[u8]>::new()))
//! });
//! let bearer = format!("Bearer {}", key.expose());
//! for (permission, expected) in [(READ, 200), (WRITE, 403)] {
//!     let service = test.goat.require(permission).layer(reports.clone());
//!     let request = Request::builder().header("authorization", &bearer).body(())?;
//!     assert_eq!(test.goat.authenticate().layer(service).oneshot(request).await?.status(), expected);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The example `keys` is a complete application.
//!
//! # Letters
//!
//! goat decides on the letters of an application, and a [`Courier`](goat_core::courier::Courier) of the
//! application renders and delivers them: confirmed sign-up, recovery of a forgotten password, verification and
//! change of an address, invitations, sign-in by e-mail, and notices to the owner of an account. Handlers are a
//! few lines over the methods of [`Goat`](goat_core::Goat); an [`Origin`](crate::Origin) also has the languages
//! of the request, in which the letter is written. Three rules are the application's:
//!
//! - The token of a link follows a `#`, and only a POST by the page behind it uses the token: programs that scan
//!   mail open every link.
//! - The address of that page is a constant, and no part of a request.
//! - The response to a request for a letter is the same for every address. It comes from goat unchanged.
//!
//! In tests, `goat.testing().letters()` has the letters of a goat that was built with
//! `Builder::test_letters` (feature `testing` of goat-core):
//!
//! ```
//! # #[cfg(all(feature = "axum", feature = "testing"))]
//! # mod with_axum {
//! use axum::{Router, body::Body, extract::State, routing::post};
//! use goat_core::auth::MailAnswer;
//! use goat_core::courier::Message;
//! use goat_core::testing::TestGoat;
//! use goat_core::{Email, Goat, Stores};
//! use goat_tower::testing::{RequestBuilderExt, assert_allowed};
//! use goat_tower::{Origin, Problem};
//! use http::{Request, Response, StatusCode};
//! use serde_json::{Value, json};
//! use tower::ServiceExt;
//!
//! /// Returns a member of a body: with the feature `json` of axum, `Json` with a type of your own.
//! fn member(body: &str, name: &str) -> String {
//!     let body: Value = serde_json::from_str(body).unwrap_or_default();
//!     body[name].as_str().unwrap_or_default().to_owned()
//! }
//!
//! async fn recover(
//!     State(goat): State<Goat>,
//!     origin: Origin,
//!     body: String,
//! ) -> Result<StatusCode, Problem> {
//!     let email = Email::parse(&member(&body, "email"))?;
//!     goat.request_recovery(email, &origin).await?;
//!     Ok(StatusCode::ACCEPTED)
//! }
//!
//! async fn new_password(
//!     State(goat): State<Goat>,
//!     origin: Origin,
//!     body: String,
//! ) -> Result<(), Problem> {
//!     let answer = MailAnswer::link(member(&body, "token"));
//!     let password = member(&body, "password").into();
//!     goat.confirm_recovery(&answer, &password, None, &origin).await?;
//!     Ok(())
//! }
//!
//! fn router(goat: &Goat) -> Router {
//!     let router = Router::new().route("/recover", post(recover));
//!     router.route("/new-password", post(new_password)).with_state(goat.clone())
//! }
//!
//! async fn send(router: &Router, path: &str, body: Value) -> Response<Body> {
//!     let request = Request::post(path).header("accept-language", "de");
//!     let request = request.coming_from("192.0.2.7");
//!     router.clone().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap()
//! }
//!
//! # pub async fn a_user_recovers_an_account() {
//! // #[tokio::test]
//! // async fn a_user_recovers_an_account() {
//! let test = TestGoat::build(Stores::memory(), |builder| builder.test_letters());
//! let letters = test.goat.testing().letters();
//! let router = router(&test.goat);
//! let alice = test.sign_in("alice", []).await.user.email;
//!
//! // The response is the same for an address without an account, which receives no letter.
//! for email in ["nobody@example.org", alice.as_str()] {
//!     assert_eq!(send(&router, "/recover", json!({ "email": email })).await.status(), 202);
//! }
//! let letter = letters.next_to(alice.as_str()).await;
//! assert!(matches!(letter.message, Message::ResetPassword { .. }));
//! assert_eq!(letter.languages.pick(["en", "de"]), Some("de"));
//! let token = letter.message.secret().expect("a link").link.text();
//!
//! let answer = json!({ "token": token.expose(), "password": "seven lamps over the quay" });
//! assert_allowed(&send(&router, "/new-password", answer.clone()).await);
//! assert_eq!(send(&router, "/new-password", answer).await.status(), 400, "it works once");
//! let notice = letters.next_to(alice.as_str()).await;
//! assert!(matches!(notice.message, Message::PasswordChanged { .. }));
//!
//! // A full queue refuses every address alike.
//! letters.set_full(true);
//! assert_eq!(send(&router, "/recover", json!({ "email": alice.as_str() })).await.status(), 503);
//! assert!(letters.take().is_empty());
//! # }
//! # }
//! # #[cfg(all(feature = "axum", feature = "testing"))]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! #     with_axum::a_user_recovers_an_account().await
//! # }
//! # #[cfg(not(all(feature = "axum", feature = "testing")))]
//! # fn main() {}
//! ```
//!
//! The example `letters` is a complete application.

/// Migrating from axum-login and tower-sessions.
#[doc = include_str!("axum_login.md")]
pub mod from_axum_login {}

/// Migrating from tower_governor.
#[doc = include_str!("tower_governor.md")]
pub mod from_tower_governor {}

/// Migrating from casbin and axum-casbin.
#[doc = include_str!("casbin.md")]
pub mod from_casbin {}
