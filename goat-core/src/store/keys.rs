//! Key store port.

use std::fmt;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{KeyId, UserId};
use crate::key::{Key, StoredKey};
use crate::page::{Page, PageRequest};
use crate::user::UserState;

/// A key, with its owner's state where the store keeps users too and reads both at once.
#[derive(Clone, Debug)]
pub struct KeyView {
    /// The key.
    pub stored: StoredKey,
    /// The state of its owner; `None` where this store does not keep users, or has no such user.
    pub owner: Option<UserState>,
}

/// The outcome of the creation of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The key is stored.
    Created,
    /// The owner has as many keys as there may be; nothing changed.
    TooMany,
}

/// The port to API keys.
///
/// An implementer guarantees:
/// - the number of an owner's keys holds under concurrent calls of [`KeyStore::create`];
/// - a revoked key never returns;
/// - where users are kept in the same database, the deletion of a user deletes its keys in the same
///   transaction; goat deletes them elsewhere, right after it;
/// - a completed write survives a crash, and a dropped call took effect completely or not at all.
///
/// The store compares no secrets: it returns the hash. A key without its owner counts as absent.
#[async_trait]
pub trait KeyStore: fmt::Debug + Send + Sync {
    /// Stores a key, if the owner has fewer than `most`; expired ones count.
    async fn create(&self, key: &StoredKey, most: u32) -> Result<Created, StoreError>;

    /// Returns the key with an id, even if it has expired, with the state of its owner where the store keeps
    /// users too. One read.
    async fn find(&self, id: KeyId) -> Result<Option<KeyView>, StoreError>;

    /// Returns a page of a user's keys, newest first.
    async fn list(&self, owner: UserId, page: PageRequest) -> Result<Page<Key>, StoreError>;

    /// Deletes a key of this user; returns whether it existed.
    async fn revoke(&self, owner: UserId, id: KeyId) -> Result<bool, StoreError>;

    /// Deletes every key of the user, or of all users; returns how many.
    async fn revoke_all(&self, owner: Option<UserId>) -> Result<u64, StoreError>;

    /// Records uses of keys. The time of a use never falls. May lose uses; ignores keys that do not exist.
    async fn used(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError>;
}

/// Holds no keys, and accepts none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoKeys;

#[async_trait]
impl KeyStore for NoKeys {
    async fn create(&self, _: &StoredKey, _: u32) -> Result<Created, StoreError> {
        Ok(Created::TooMany)
    }

    async fn find(&self, _: KeyId) -> Result<Option<KeyView>, StoreError> {
        Ok(None)
    }

    async fn list(&self, _: UserId, page: PageRequest) -> Result<Page<Key>, StoreError> {
        Ok(Page::of(Vec::new(), page))
    }

    async fn revoke(&self, _: UserId, _: KeyId) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn revoke_all(&self, _: Option<UserId>) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn used(&self, _: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Operation names of [`KeyStore`], as errors and metrics report them.
pub(crate) mod operation {
    pub(crate) const CREATE: &str = "keys.create";
    pub(crate) const FIND: &str = "keys.find";
    pub(crate) const LIST: &str = "keys.list";
    pub(crate) const REVOKE: &str = "keys.revoke";
    pub(crate) const REVOKE_ALL: &str = "keys.revoke_all";
    pub(crate) const USED: &str = "keys.used";
}
