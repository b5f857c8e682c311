//! Tokens: what they claim, the keys that sign them, and a verification that believes nothing
//! before it has checked it.
//!
//! A token is a JWT in the compact form (RFC 7515, RFC 7519), signed with HS256 or with EdDSA over
//! Ed25519. Access tokens follow RFC 9068 (`typ` is `at+jwt`); refresh tokens have a type of their
//! own (`rt+jwt`), so that neither passes for the other.
//!
//! Invariants, after RFC 8725:
//!
//! * the algorithm belongs to the key; what a header says must agree with it and decides nothing;
//! * `kid` is an index into the keys in memory; nothing is ever fetched;
//! * no claim is looked at before the signature over it has been found good;
//! * signing is deterministic: the same claims under the same key are the same bytes;
//! * no token and no key appears in an error or in `Debug` output.
//!
//! goat itself uses [`Tokens`], with keys that sign. A service that holds only the public ones uses a
//! [`Verifier`], and gets a [`TokenPrincipal`]: the same checks, without the question whether the
//! session lives.
//!
//! ```
//! use std::time::Duration;
//! use goat_core::token::{AccessClaims, TokenKeys, TokenSettings, Tokens};
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
//!     permissions: None,
//! };
//! let token = tokens.sign_access(&claims)?;
//! assert_eq!(*tokens.verify_access(&token, now)?, claims);
//!
//! let later = now + Duration::from_secs(306);
//! let error = tokens.verify_access(&token, later).unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::TokenExpired);
//! # Ok::<(), goat_core::Error>(())
//! ```

mod checks;
mod claims;
mod ed25519;
mod jwks;
mod keys;
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

pub use claims::{AccessClaims, RefreshClaims};
pub use keys::TokenKeys;
pub use principal::TokenPrincipal;
pub use service::Tokens;
pub use settings::TokenSettings;
pub use unknown::UnknownKey;
pub use verifier::Verifier;
pub use weak::weak_secret;

use crate::error::{Error, ErrorKind};

/// The longest token that is looked at, in bytes. Whoever reads one from a request refuses a longer
/// one before anything else is done with it.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The fewest bytes of a shared secret: as many as the hash puts out (RFC 7518 §3.2).
pub const MIN_SECRET_BYTES: usize = 32;

/// A token that is not accepted; `reason` is for the log and never quotes the token.
fn refused(reason: &'static str) -> Error {
    Error::new(ErrorKind::InvalidToken, reason)
}
