//! Passwords: what a new one must be, how a tried one is prepared, and how both are hashed.
//!
//! The rules, and where they come from:
//!
//! - Length and a list of common passwords decide, not the kinds of characters in it (NIST SP
//!   800-63B-4 §3.1.1.2). Nothing is ever cut off.
//! - Two ways to type one text are one password: OpaqueString of RFC 8265 §4.2.
//! - Argon2id at OWASP's parameters or above, keyed with a pepper where there is one.
//! - One login attempt costs one verification, whether or not there is such a user and whatever
//!   was typed: [`HashGate::verify`] is the only way to ask, and it cannot be asked for less.
//! - So many hashes at once and so many waiting, never more: [`HashGate`].
//!
//! ```
//! use std::sync::Arc;
//! use goat_core::password::{
//!     Argon2Settings, Argon2id, GateLimits, HashGate, NewPassword, PasswordPolicy, Peppers,
//!     TriedPassword,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> goat_core::Result<()> {
//! let hasher = Argon2id::new(Argon2Settings::default(), Peppers::none());
//! let gate = HashGate::new(Arc::new(hasher), GateLimits::default());
//!
//! let policy = PasswordPolicy::default();
//! let refused = NewPassword::parse("alice@example.org", &policy, Some("alice@example.org"));
//! assert!(refused.is_err());
//!
//! let password = NewPassword::parse("seven lamps over the quay", &policy, None);
//! let stored = gate.hash(password.expect("a good password")).await?;
//!
//! let tried = TriedPassword::new("seven lamps over the quay");
//! assert!(gate.verify(&tried, Some(&stored)).await?.matches());
//! # Ok(())
//! # }
//! ```

mod argon2id;
mod buffers;
mod common;
mod gate;
mod hasher;
mod pepper;
mod policy;
mod settings;
mod text;

pub use argon2id::Argon2id;
pub use gate::{GateLimits, GateLoad, HashGate};
pub use hasher::{HashError, PasswordHasher, Verification};
pub use pepper::{PepperId, Peppers};
pub use policy::{PasswordFault, PasswordPolicy};
pub use settings::Argon2Settings;
pub use text::{NewPassword, TriedPassword};
