//! Authentication and permissions by what a token says alone, for services that hold only the public
//! keys of a goat and ask nobody.
//!
//! - [`VerifierExt`] gives a [`Verifier`] its layers: [`authenticate`](VerifierExt::authenticate) and
//!   [`require`](VerifierExt::require). They wait for nothing and have no store.
//! - [`TokenPrincipal`] is what they find: who was there **when the token was signed**. It is no
//!   [`Principal`](crate::Principal): that a session was ended since, that somebody was suspended or
//!   lost a role, is not seen until the token expires. [Its page](goat_core::token::TokenPrincipal)
//!   says how long that is, and what to use where it matters.
//! - [`Permissions`] is what can be asked of it. A token names no role, so none can be required here.
//! - Denials, headers and answers to gRPC are those of the layers over a [`Goat`](goat_core::Goat).
//!   There is no 503: no store can fail.
//! - The issuer signs with EdDSA and puts permissions into its tokens
//!   ([`Settings::access_token_permissions`](goat_core::Settings::access_token_permissions); for
//!   goat-server `GOAT_TOKEN_ALGORITHM=EdDSA` and `GOAT_ACCESS_TOKEN_PERMISSIONS=true`). A token without
//!   them passes [`authenticate`](VerifierExt::authenticate), and meets no permission that is required.
//! - A service without a `Goat` has limits too: [`LimitLayer::new`](crate::LimitLayer::new).
//!
//! The two kinds of layers do not stand in for each other. A requirement over a `Goat` inside of
//! `verifier.authenticate()`, a requirement here inside of `goat.authenticate()` or of another
//! verifier's, a handler that takes the one principal where the other was left: each is a 500, and the
//! log says what to mend.
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
//!         let who = TokenPrincipal::of(request.extensions()).expect("somebody with a token");
//!         let response = Response::builder().header("x-user", who.user().to_string());
//!         response.body(Empty::<&[u8]>::new())
//!     });
//!
//! let allowed = Request::builder().header("authorization", alice.bearer()).body(())?;
//! let response = service.clone().oneshot(allowed).await?;
//! assert_eq!(response.headers()["x-user"], alice.user.id.to_string());
//!
//! let refused = Request::builder().header("authorization", bob.bearer()).body(())?;
//! let response = service.clone().oneshot(refused).await?;
//! assert_eq!(response.status(), StatusCode::FORBIDDEN);
//! let stranger = service.oneshot(Request::new(())).await?;
//! assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);
//! # Ok(())
//! # }
//! ```
//!
//! Who gives the verifier new keys is the application: see
//! [there](goat_core::token::Verifier#keys-that-change).

mod authenticate;
mod permissions;
mod principal;
mod require;

use goat_core::token::Verifier;

pub use authenticate::AuthenticateLayer;
pub use permissions::Permissions;
pub use principal::TokenPrincipal;
pub use require::RequireLayer;

pub(crate) use principal::OfflineIdentity;

mod sealed {
    pub trait Sealed {}
    impl Sealed for goat_core::token::Verifier {}
}

/// Layers over a [`Verifier`]. Implemented for it and for nothing else.
pub trait VerifierExt: sealed::Sealed {
    /// Lets in who shows a good access token, and leaves a [`TokenPrincipal`].
    #[must_use]
    fn authenticate(&self) -> AuthenticateLayer;

    /// Lets through whose token says so: a permission, all of several, or any of several.
    #[must_use]
    fn require(&self, permissions: impl Into<Permissions>) -> RequireLayer;
}

impl VerifierExt for Verifier {
    fn authenticate(&self) -> AuthenticateLayer {
        AuthenticateLayer::new(self.clone())
    }

    fn require(&self, permissions: impl Into<Permissions>) -> RequireLayer {
        RequireLayer::new(self.clone(), permissions.into())
    }
}
