//! API keys: credentials of programs.
//!
//! Invariant: the rights of a key are the present rights of its owner's role, intersected with its scopes.

mod format;
mod hash;
mod prefix;
mod scopes;

use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::{KeyId, UserId};
use crate::secret::Secret;

pub use format::PresentedKey;
pub use hash::KeyHash;
pub use prefix::{InvalidKeyPrefix, KeyPrefix};
pub use scopes::{InvalidScopes, MAX_SCOPES, Scopes};

/// The longest name of a key, in characters.
pub const MAX_KEY_NAME: usize = 100;

/// An API key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The id, which is also part of the key's text.
    pub id: KeyId,
    /// The user that the key acts for.
    pub owner: UserId,
    /// The user that made the key; `None` for the system.
    pub made_by: Option<UserId>,
    /// The name, for people.
    pub name: String,
    /// The rights that the key has, of those of the owner's role.
    pub scopes: Scopes,
    /// The time of its creation.
    pub created_at: Timestamp,
    /// The time at which it expires, if it does.
    pub expires_at: Option<Timestamp>,
    /// The time of its last use, to the hour; `None` of a key that was never used.
    pub last_used_at: Option<Timestamp>,
}

impl Key {
    /// Whether the key has expired at `now`.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

/// A key as it is stored: with the hash of its secret.
#[derive(Clone, Debug)]
pub struct StoredKey {
    /// The key.
    pub key: Key,
    /// The hash of its secret.
    pub hash: KeyHash,
}

/// A key to be created.
///
/// ```
/// use goat_core::Permission;
/// use goat_core::key::{NewKey, Scopes};
///
/// let key = NewKey {
///     name: "nightly report".into(),
///     scopes: Scopes::only([Permission::new("report:read")]).expect("a few permissions"),
///     expires_in: None,
/// };
/// # let _ = key;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// The name, of 1 to 100 characters.
    pub name: String,
    /// The rights, none of which the owner's role lacks.
    pub scopes: Scopes,
    /// The life, from one second to [`Settings::key_ttl`](crate::Settings::key_ttl), which is also the
    /// default.
    pub expires_in: Option<Duration>,
}

/// A key that was created, with its text.
#[derive(Clone, Debug)]
pub struct CreatedKey {
    /// The key.
    pub key: Key,
    /// The text that a program presents. It is shown only now: the store has a hash.
    pub secret: Secret<String>,
}

#[cfg(test)]
mod tests;
