//! Validation of API keys: whether a key is live, and its principal, from the cache or the stores.
//!
//! Invariants:
//! - a secret is compared in constant time; a wrong one reads the store as an unknown key does, whether or
//!   not the key is cached, and the error is the same (K4);
//! - the cache groups keys by their owner, so that an eviction of the user evicts them too.

use crate::error::{Error, ErrorKind, Result};
use crate::id::{Credential, KeyId, UserId};
use crate::key::KeyHash;
use crate::store::KeyView;
use crate::user::{Revisions, Status, UserState};

use super::{Principal, SessionValidator};

/// How many uses of keys one write records.
const USES_AT_ONCE: usize = 100;

/// Concurrent reads of one key with one secret are shared, within one window of fill tokens.
pub(super) type KeyReadKey = (Option<UserId>, KeyId, [u8; 32], (u64, u128));

/// The error of an unknown key, of one with another secret, and of one that its owner may not use.
pub(in crate::service) fn invalid_key() -> Error {
    Error::from(ErrorKind::InvalidToken)
        .with_client_message("The API key is invalid, or it was revoked. Create a new one.")
}

fn expired_key() -> Error {
    Error::from(ErrorKind::TokenExpired)
        .with_client_message("The API key has expired. Create a new one.")
}

impl SessionValidator {
    /// Returns the cached principal of a key with this hash of its secret.
    pub(in crate::service) fn cached_key(&self, key: KeyId, hash: &KeyHash) -> Option<Principal> {
        let known = self.known_keys.get(key)?;
        let (owner, elapsed) = (known.owner, self.time.elapsed());
        let found = self.cache.get(owner, Credential::Key(key), Revisions::default(), elapsed);
        let principal = self.unexpired(found).filter(|principal| principal.has_hash(hash))?;
        let now = self.time.now();
        if known.is_unused(now) {
            self.known_keys.note_use(key, owner, now);
        }
        Some(principal)
    }

    /// Validates a key by the stores, and caches the result unless the key is new to this node: a fill
    /// token needs the owner. Concurrent calls share one read, unless caching is disabled.
    pub(in crate::service) async fn read_key(
        &self,
        key: KeyId,
        hash: KeyHash,
    ) -> Result<Principal> {
        let principal = self.read_shared(key, hash).await?;
        self.known_keys.note_use(key, principal.user(), self.time.now());
        Ok(principal)
    }

    async fn read_shared(&self, key: KeyId, hash: KeyHash) -> Result<Principal> {
        let elapsed = self.time.elapsed();
        if !self.cache.is_enabled(elapsed) {
            return self.validate_key(key, &hash).await;
        }
        let owner = self.known_keys.get(key).map(|known| known.owner);
        let window = owner.map(|owner| self.cache.begin(owner, elapsed).window());
        let read = || async {
            let Some(owner) = owner else {
                let principal = self.validate_key(key, &hash).await?;
                self.cache.count_miss(principal.user());
                return Ok(principal);
            };
            // An earlier read may have filled the cache since the miss.
            let (credential, elapsed) = (Credential::Key(key), self.time.elapsed());
            let found = self.cache.get_uncounted(owner, credential, Revisions::default(), elapsed);
            match self.unexpired(found).filter(|principal| principal.has_hash(&hash)) {
                Some(principal) => Ok(principal),
                None => self.fill_key(owner, key, &hash).await,
            }
        };
        let shared = (owner, key, *hash.as_bytes(), window.unwrap_or_default());
        self.key_reads.run(shared, read).await.map_err(|error| Error::shared(&error))
    }

    /// Validates a key by a read of the stores themselves that begins now.
    pub(in crate::service) async fn fill_key(
        &self,
        owner: UserId,
        key: KeyId,
        hash: &KeyHash,
    ) -> Result<Principal> {
        let fill_token = self.cache.begin(owner, self.time.elapsed());
        let principal = self.validate_key(key, hash).await?;
        let elapsed = self.time.elapsed();
        self.cache.insert(fill_token, &principal, std::time::Duration::ZERO, elapsed);
        Ok(principal)
    }

    /// Records the uses of keys that were noted since the last call; returns how many. A failure leaves them
    /// to the next call.
    pub(in crate::service) async fn record_key_uses(&self) -> Result<u64> {
        let mut recorded = 0;
        loop {
            let uses = self.known_keys.take_uses(USES_AT_ONCE);
            if uses.is_empty() {
                return Ok(recorded);
            }
            if let Err(error) = self.stores.keys.used(&uses).await {
                self.known_keys.return_uses(uses);
                return Err(error.into());
            }
            recorded += uses.len() as u64;
        }
    }

    async fn validate_key(&self, key: KeyId, hash: &KeyHash) -> Result<Principal> {
        // TIMING: a wrong secret takes no step more than an unknown key.
        let found = self.stores.keys.find(key).await?;
        let KeyView { stored, owner } =
            found.filter(|view| view.stored.hash.is_same_as(hash)).ok_or_else(invalid_key)?;
        if stored.key.is_expired(self.time.now()) {
            return Err(expired_key());
        }
        let is_with_owner = owner.is_some();
        let owner = match owner {
            Some(state) => Some(state),
            None => self.stores.users.state(stored.key.owner).await?,
        };
        let is_active = |state: &UserState| state.user.status == Status::Active;
        let state = owner.filter(is_active).ok_or_else(invalid_key)?;
        let with_table = self.with_table(state, None, &is_active).await?;
        let (state, table, _) = with_table.ok_or_else(invalid_key)?;
        Ok(Principal::of_key(self.issuer, state, stored, table, is_with_owner))
    }
}
