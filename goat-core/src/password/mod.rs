//! Passwords: policy, normalization, hashing with Argon2id, and a bulkhead around it.
//!
//! The rules and their sources:
//!
//! - The length and a list of common passwords decide, not character classes (NIST SP 800-63B-4
//!   §3.1.1.2). Passwords are never truncated.
//! - Equivalent spellings are the same password: OpaqueString of RFC 8265 §4.2.
//! - A list of passwords that are known from data breaches, if the application has one:
//!   [`BreachedPasswords`] (ASVS 5.0, 6.2.12).
//! - Argon2id at or above OWASP's parameters, keyed with a pepper if one is configured.
//! - A login attempt costs exactly one verification, whether or not the user exists and for any
//!   input: [`HashBulkhead::verify`] is the only entry point.
//! - Hashes of other systems (bcrypt, scrypt, PBKDF2, Argon2i and Argon2d) are verified by
//!   `ForeignHashes`, behind the feature `foreign-hashes`, and replaced at the next login.
//! - Concurrent hashes and their queue are bounded: [`HashBulkhead`].
//!
//! ```
//! use std::sync::Arc;
//! use goat_core::password::{
//!     Argon2Settings, Argon2id, BulkheadLimits, HashBulkhead, NewPassword, PasswordPolicy, Peppers,
//!     TriedPassword,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> goat_core::Result<()> {
//! let hasher = Argon2id::new(Argon2Settings::default(), Peppers::none());
//! let hashing = HashBulkhead::new(Arc::new(hasher), BulkheadLimits::default());
//!
//! let policy = PasswordPolicy::default();
//! let refused = NewPassword::parse("alice@example.org", &policy, Some("alice@example.org"));
//! assert!(refused.is_err());
//!
//! let password = NewPassword::parse("seven lamps over the quay", &policy, None);
//! let stored = hashing.hash(password.expect("a good password")).await?;
//!
//! let tried = TriedPassword::new("seven lamps over the quay");
//! assert!(hashing.verify(&tried, Some(&stored)).await?.matches());
//! # Ok(())
//! # }
//! ```

mod argon2id;
mod breached;
mod buffers;
mod bulkhead;
mod common;
#[cfg(feature = "foreign-hashes")]
mod foreign;
mod hasher;
mod pepper;
mod policy;
mod settings;
mod text;

pub use argon2id::Argon2id;
pub use breached::BreachedPasswords;
pub use bulkhead::{BulkheadLimits, BulkheadLoad, HashBulkhead};
#[cfg(feature = "foreign-hashes")]
pub use foreign::ForeignHashes;
pub(crate) use hasher::is_password;
pub use hasher::{HashError, PasswordHasher, Verification, check_sample};
pub use pepper::{PepperId, Peppers};
pub use policy::{PasswordFault, PasswordPolicy};
pub use settings::Argon2Settings;
pub use text::{NewPassword, TriedPassword};
