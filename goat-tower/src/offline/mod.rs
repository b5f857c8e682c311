//! Offline verification: authentication and permissions by the access token alone, for services that hold
//! only goat's public keys and call no other service.
//!
//! - [`VerifierExt`] gives a [`Verifier`](goat_core::token::Verifier) the layers
//!   [`authenticate`](VerifierExt::authenticate) and [`require`](VerifierExt::require). They have no store
//!   and never wait.
//! - [`TokenPrincipal`] is the user **as of when the token was signed**. It is not a
//!   [`Principal`](crate::Principal): a session that was revoked since, a suspension or a lost role is not
//!   visible until the token expires. [Its page](goat_core::token::TokenPrincipal) says how long that is,
//!   and which alternatives there are.
//! - [`TokenRequirement`] is a rule about the permissions in a token, with the same `and` and `or` as a
//!   [`Requirement`](crate::Requirement). A token names no role, and a predicate needs a live principal:
//!   neither compiles here.
//! - Rejections, headers and gRPC responses are those of the layers over a [`Goat`](goat_core::Goat).
//!   There is no 503, since there is no store.
//! - The issuer signs with EdDSA and puts permissions into its tokens
//!   ([`Settings::access_token_permissions`](goat_core::Settings::access_token_permissions); for
//!   goat-server `GOAT_TOKEN_ALGORITHM=EdDSA` and `GOAT_ACCESS_TOKEN_PERMISSIONS=true`). A token without
//!   permissions passes [`authenticate`](VerifierExt::authenticate) and satisfies no requirement of one.
//! - [`LimitLayer::new`](crate::LimitLayer::new) makes limits for a service without a `Goat`.
//!
//! Layers over a `Goat` and over a `Verifier` do not replace each other. A `goat.require(…)` inside of
//! `verifier.authenticate()`, a `verifier.require(…)` inside of `goat.authenticate()` or of another
//! verifier's, a handler that takes the principal of the other kind: each is a 500, and the log says how
//! to correct it.
//!
//! ```
//! # use std::sync::Arc;
//! use goat_core::token::{TokenSettings, Verifier};
//! use goat_core::{Permission, Settings, Stores};
//! use goat_tower::offline::{TokenPrincipal, VerifierExt};
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Empty;
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! const REPORTS: Permission = Permission::new("report:read");
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let issuer = goat_core::testing::TestGoat::build(Stores::memory(), |goat| {
//! #     goat.settings(Settings { access_token_permissions: true, ..Settings::default() })
//! # });
//! # let alice = issuer.sign_in("alice", [REPORTS]).await;
//! # let bob = issuer.sign_in("bob", []).await;
//! # let (jwks, clock) = (issuer.goat.jwks().to_string(), Arc::new(issuer.clock.clone()));
//! // In an application: Verifier::new(jwks, settings), with what /.well-known/jwks.json served.
//! let verifier = Verifier::with_clock(jwks, TokenSettings::default(), clock)?;
//!
//! let service = ServiceBuilder::new()
//!     .layer(verifier.authenticate())
//!     .layer(verifier.require(REPORTS))
//!     .service_fn(async |request: Request<()>| {
//!         let me = TokenPrincipal::of(request.extensions()).expect("an authenticated request");
//!         let response = Response::builder().header("x-user", me.user().to_string());
//!         response.body(Empty::<&[u8]>::new())
//!     });
//!
//! let allowed = Request::builder().header("authorization", alice.bearer()).body(())?;
//! let response = service.clone().oneshot(allowed).await?;
//! assert_eq!(response.headers()["x-user"], alice.user.id.to_string());
//!
//! let rejected = Request::builder().header("authorization", bob.bearer()).body(())?;
//! let response = service.clone().oneshot(rejected).await?;
//! assert_eq!(response.status(), StatusCode::FORBIDDEN);
//! let anonymous = service.oneshot(Request::new(())).await?;
//! assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);
//! # Ok(())
//! # }
//! ```
//!
//! The application gives the verifier new keys: see
//! [key rotation](goat_core::token::Verifier#key-rotation).

pub use crate::ext::VerifierExt;
pub use crate::request::token_principal::TokenPrincipal;
pub use crate::require::TokenRequirement;
