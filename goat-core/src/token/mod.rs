//! JWT access, refresh and device tokens: claims, the key ring, signing and strict verification.
//!
//! A token is a JWT in compact form (RFC 7515, RFC 7519), signed with HS256 or with EdDSA over
//! Ed25519. Access tokens follow RFC 9068 (`typ` is `at+jwt`); refresh tokens have a type of their
//! own (`rt+jwt`) and so have [device tokens](DeviceClaims) (`dt+jwt`), so that none is accepted as
//! another. The claims are:
//!
//! | claim | access token | refresh token |
//! |---|---|---|
//! | `iss` | the issuer | the issuer |
//! | `aud` | the audience | the issuer, so that a service that checks `aud` but not `typ` refuses it |
//! | `sub`, `sid`, `jti` | user, session, id of the token | the same |
//! | `iat`, `nbf`, `exp` | issue and expiry, in whole seconds | the same |
//! | `client_id` | the client that the token was issued to | |
//! | `auth_time` | when the user authenticated for the session; a refresh keeps it | |
//! | `permissions` | the permissions of the role, if the settings ask for it | |
//! | `epoch` | the session epoch of issue, by which replaced tokens are known | the same |
//!
//! Invariants, after RFC 8725:
//!
//! * the algorithm is a property of the key; the header must agree with it and never selects it;
//! * `kid` is an index into the keys in memory; keys are never fetched;
//! * no claim is read before the signature is verified;
//! * signing is deterministic: the same claims and key give the same bytes;
//! * no token and no key appears in an error or in `Debug` output.
//!
//! goat itself uses [`Tokens`], which has signing keys. A service with only the public keys uses a
//! [`Verifier`] and gets a [`TokenPrincipal`]: the same checks, except that the session is not
//! looked up.
//!
//! ```
//! use std::time::Duration;
//! use goat_core::auth::Assurance;
//! use goat_core::token::{AccessClaims, TokenKeys, TokenSettings, Tokens};
//! use goat_core::user::{Attributes, Revisions};
//! use goat_core::{Clock, ErrorKind, SessionId, TokenId, UserId, testing::ManualClock};
//!
//! let now = ManualClock::default().now();
//! let tokens = Tokens::new(TokenKeys::generate(), TokenSettings::default());
//! let claims = AccessClaims {
//!     user: UserId::generate(now),
//!     session: SessionId::generate(now),
//!     id: TokenId::generate(now),
//!     issued_at: now,
//!     expires_at: now + Duration::from_secs(300),
//!     client_id: "goat".to_owned(),
//!     authenticated_at: now,
//!     amr: vec!["pwd".to_owned()],
//!     acr: Some(Assurance::Single),
//!     revisions: Revisions::default(),
//!     epoch: 0,
//!     permissions: None,
//!     attributes: Attributes::default(),
//! };
//! let token = tokens.sign_access(&claims)?;
//! assert_eq!(*tokens.verify_access(&token, now)?, claims);
//!
//! let later = now + Duration::from_secs(306);
//! let error = tokens.verify_access(&token, later).unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::TokenExpired);
//! # Ok::<(), goat_core::Error>(())
//! ```

mod added;
mod checks;
mod claims;
mod device;
mod ed25519;
mod fingerprint;
mod jwks;
mod keys;
mod mac;
mod principal;
mod provider;
mod ring;
mod service;
mod settings;
mod small_order;
mod strict;
#[cfg(test)]
mod tests;
mod unknown;
mod verified;
mod verifier;
mod weak;
mod wire;

pub(crate) use added::AddedClaims;
pub use claims::{AccessClaims, DeviceClaims, RefreshClaims};
pub use keys::TokenKeys;
pub(crate) use mac::MacKeys;
pub use principal::TokenPrincipal;
pub use service::Tokens;
pub use settings::TokenSettings;
pub use unknown::UnknownKey;
pub use verifier::Verifier;
pub use weak::weak_secret;

use crate::error::{Error, ErrorKind};

/// The longest accepted token, in bytes. Code that reads a token from a request should refuse
/// longer ones first.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Minimum length of a shared secret, in bytes: that of the hash output (RFC 7518 §3.2).
pub const MIN_SECRET_BYTES: usize = 32;

/// An error for a token that is not accepted; `reason` is for the log and never quotes the token.
fn refused(reason: &'static str) -> Error {
    Error::new(ErrorKind::InvalidToken, reason)
}
