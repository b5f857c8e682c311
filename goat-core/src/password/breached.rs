//! Port: passwords that are known from data breaches.

use std::fmt;

use async_trait::async_trait;

use crate::error::StoreError;
use crate::secret::Secret;

/// Port: a list of passwords that are known from data breaches, such as that of Have I Been Pwned.
///
/// A new password that the other rules accept is looked up before it is hashed (ASVS 5.0, 6.2.12; NIST
/// SP 800-63B-4 §3.1.1.2), and rejected as [`PasswordFault::Breached`](super::PasswordFault::Breached) if
/// the list has it. Passwords at sign-in are not looked up.
///
/// The list gets the SHA-1 of the password, by which such lists are published, never the password. An
/// implementation keeps no part of it, and shows none in an error: a SHA-1 without a salt can be reversed
/// for weak passwords.
///
/// ```
/// use std::collections::HashSet;
/// use std::sync::Arc;
///
/// use async_trait::async_trait;
/// use goat_core::password::BreachedPasswords;
/// use goat_core::{Goat, Secret, StoreError, Stores, token::TokenKeys};
///
/// #[derive(Debug)]
/// struct Few(HashSet<[u8; 20]>);
///
/// #[async_trait]
/// impl BreachedPasswords for Few {
///     async fn contains(&self, sha1: &Secret<[u8; 20]>) -> Result<bool, StoreError> {
///         Ok(self.0.contains(sha1.expose()))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> goat_core::Result<()> {
/// let list = Few(HashSet::new());
/// let goat = Goat::builder(Stores::memory(), TokenKeys::generate())
///     .breached_passwords(Arc::new(list))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait BreachedPasswords: fmt::Debug + Send + Sync {
    /// Whether the list has the password with this SHA-1, of the password's UTF-8.
    ///
    /// # Errors
    ///
    /// If the list cannot be read. The new password is then not accepted, and the request fails with
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable): the rule holds for every password that is
    /// set, and the user can try again. Sign-ins go on.
    async fn contains(&self, sha1: &Secret<[u8; 20]>) -> Result<bool, StoreError>;
}
