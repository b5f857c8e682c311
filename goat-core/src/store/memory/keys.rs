//! In-memory API keys: the key half of [`MemoryDirectory`].

use std::cmp::Reverse;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{KeyId, UserId};
use crate::key::{Key, StoredKey};
use crate::page::{Page, PageRequest};
use crate::store::{Created, KeyStore, KeyView};

use super::MemoryDirectory;
use super::users::State;

impl State {
    /// Deletes the keys of a user, or of all; returns how many.
    pub(super) fn delete_keys(&mut self, owner: Option<UserId>) -> u64 {
        let before = self.keys.len();
        self.keys.retain(|_, stored| owner.is_some_and(|owner| stored.key.owner != owner));
        (before - self.keys.len()) as u64
    }
}

#[async_trait]
impl KeyStore for MemoryDirectory {
    async fn create(&self, key: &StoredKey, most: u32) -> Result<Created, StoreError> {
        let mut state = self.lock();
        let owned = state.keys.values().filter(|stored| stored.key.owner == key.key.owner);
        if owned.count() >= most as usize {
            return Ok(Created::TooMany);
        }
        state.keys.insert(key.key.id, key.clone());
        Ok(Created::Created)
    }

    async fn find(&self, id: KeyId) -> Result<Option<KeyView>, StoreError> {
        let state = self.lock();
        let found = state.keys.get(&id).cloned();
        Ok(found.map(|stored| KeyView { owner: state.state(stored.key.owner), stored }))
    }

    async fn list(&self, owner: UserId, page: PageRequest) -> Result<Page<Key>, StoreError> {
        let state = self.lock();
        let keys = state.keys.values().map(|stored| &stored.key);
        let mut keys: Vec<Key> = keys.filter(|key| key.owner == owner).cloned().collect();
        keys.sort_by_key(|key| Reverse((key.created_at, key.id)));
        Ok(Page::of(keys, page))
    }

    async fn revoke(&self, owner: UserId, id: KeyId) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let is_owned = state.keys.get(&id).is_some_and(|stored| stored.key.owner == owner);
        Ok(is_owned && state.keys.remove(&id).is_some())
    }

    async fn revoke_all(&self, owner: Option<UserId>) -> Result<u64, StoreError> {
        Ok(self.lock().delete_keys(owner))
    }

    async fn used(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        let mut state = self.lock();
        for (id, at) in uses {
            if let Some(stored) = state.keys.get_mut(id) {
                stored.key.last_used_at = stored.key.last_used_at.max(Some(*at));
            }
        }
        Ok(())
    }
}
