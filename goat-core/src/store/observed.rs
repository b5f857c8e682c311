//! Store decorator: a timeout for each call, and a report of each call to the observer.
//!
//! Invariants:
//! - a call without a reply returns [`StoreError::unavailable`] at the timeout: an outage neither
//!   blocks a caller nor grants access (O1);
//! - a call that times out leaves nothing half-written. Its future is dropped, and every port
//!   guarantees that a call is one transaction or one atomic step: the store rolls back or commits all
//!   of it. Which of the two is unknown, so the error states neither; a retry is safe, as after a lost
//!   connection.
//!
//! A limit that is decided synchronously passes unreported, since it waits for nothing. A call whose
//! caller is cancelled is not reported, since that is not an outcome of the store.

#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;

use super::shared_cache::{self, CacheEntry, CacheKey, Lookup, SharedCache};
use super::{Stores, challenges, factors, keys, roles, sessions, users};
use crate::access::{Role, RoleRows};
use crate::challenge::{Challenge, Purpose, Subject};
use crate::clock::{Clock, Timestamp};
use crate::error::StoreError;
use crate::event::Observer;
use crate::factor::Factors;
use crate::id::{ChallengeId, KeyId, SessionId, UserId};
use crate::invalidation::{self, Invalidation, InvalidationStats, Invalidations, Listener};
use crate::key::{Key, StoredKey};
use crate::limit::{
    self, LimitKey, LimitLoad, LimitStore, Quota, StoreAcquire, StoreDecision, StoreReply,
};
use crate::page::{Page, PageRequest};
use crate::session::{Session, SessionEpoch, TokenReplacement};
use crate::store::{
    Aged, ChallengeStore, Created, FactorStore, KeyStore, KeyView, Rehashed, Replaced, Revoked,
    RoleStore, RoleWrite, RoleWriteOutcome, Rotated, Rotation, SessionStore, SessionView,
    StoreTransaction, UserStore, UserWrite, UserWriteOutcome,
};
use crate::user::{Account, UserPage, UserQuery, UserState};

impl Stores {
    /// Adds a timeout to each call of every store, and reports each call to
    /// [`Observer::store_called`] under its operation name, such as `users.by_email`.
    ///
    /// The clock measures the durations; pass the one that the goat is built with. The timeout itself
    /// uses the runtime's timer.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use goat_core::{Stores, SystemClock, event::NoObserver};
    ///
    /// let stores = Stores::memory().observed(
    ///     Duration::from_secs(2),
    ///     Arc::new(NoObserver),
    ///     Arc::new(SystemClock::start()),
    /// );
    /// ```
    #[must_use]
    pub fn observed(
        self,
        timeout: Duration,
        observer: Arc<dyn Observer>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let policy = CallPolicy { timeout, observer, clock };
        Self {
            users: Arc::new(policy.over(self.users)),
            roles: Arc::new(policy.over(self.roles)),
            sessions: Arc::new(policy.over(self.sessions)),
            challenges: Arc::new(policy.over(self.challenges)),
            factors: Arc::new(policy.over(self.factors)),
            keys: Arc::new(policy.over(self.keys)),
            limits: Arc::new(policy.over(self.limits)),
            invalidations: Arc::new(policy.over(self.invalidations)),
            shared_cache: self.shared_cache.map(|cache| Arc::new(policy.over(cache)) as _),
        }
    }
}

/// The timeout and the observer of calls, for every port.
#[derive(Clone, Debug)]
struct CallPolicy {
    timeout: Duration,
    observer: Arc<dyn Observer>,
    clock: Arc<dyn Clock>,
}

impl CallPolicy {
    fn over<P: ?Sized>(&self, inner: Arc<P>) -> Observed<P> {
        Observed { inner, policy: self.clone() }
    }

    /// Awaits a call up to the timeout, and reports it.
    async fn call<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let begun = self.clock.elapsed();
        let result = match tokio::time::timeout(self.timeout, call).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::unavailable(operation)
                .with_source(format!("no reply within {:?}", self.timeout))),
        };
        let took = self.clock.elapsed().saturating_sub(begun);
        self.observer.store_called(operation, took, result.is_err());
        result
    }

    /// Applies the policy to a reply that is pending.
    fn reply<T: Send + 'static>(
        &self,
        operation: &'static str,
        reply: StoreReply<T>,
    ) -> StoreReply<T> {
        match reply {
            StoreReply::Ready(reply) => StoreReply::Ready(reply),
            StoreReply::Pending(pending) => {
                let policy = self.clone();
                StoreReply::Pending(Box::pin(async move { policy.call(operation, pending).await }))
            }
        }
    }
}

/// A port whose calls have a timeout and are reported.
#[derive(Debug)]
struct Observed<P: ?Sized> {
    policy: CallPolicy,
    inner: Arc<P>,
}

#[async_trait]
impl UserStore for Observed<dyn UserStore> {
    async fn by_email(&self, canonical: &str) -> Result<Option<Account>, StoreError> {
        self.policy.call(users::operation::BY_EMAIL, self.inner.by_email(canonical)).await
    }

    async fn by_id(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        self.policy.call(users::operation::BY_ID, self.inner.by_id(id)).await
    }

    async fn state(&self, id: UserId) -> Result<Option<UserState>, StoreError> {
        self.policy.call(users::operation::STATE, self.inner.state(id)).await
    }

    async fn cached_state(&self, id: UserId) -> Result<Aged<Option<UserState>>, StoreError> {
        self.policy.call(users::operation::CACHED_STATE, self.inner.cached_state(id)).await
    }

    async fn invalidate(&self, id: UserId) -> Result<(), StoreError> {
        self.policy.call(users::operation::INVALIDATE, self.inner.invalidate(id)).await
    }

    async fn list(&self, query: &UserQuery) -> Result<UserPage, StoreError> {
        self.policy.call(users::operation::LIST, self.inner.list(query)).await
    }

    async fn write(&self, write: UserWrite<'_>) -> Result<UserWriteOutcome, StoreError> {
        self.policy.call(users::operation::WRITE, self.inner.write(write)).await
    }

    async fn write_in(
        &self,
        transaction: &mut StoreTransaction<'_>,
        write: UserWrite<'_>,
    ) -> Result<UserWriteOutcome, StoreError> {
        let call = self.inner.write_in(transaction, write);
        self.policy.call(users::operation::WRITE_IN, call).await
    }

    async fn signed_in(
        &self,
        id: UserId,
        at: Timestamp,
        rehashed: Option<Rehashed<'_>>,
    ) -> Result<Option<UserState>, StoreError> {
        let call = self.inner.signed_in(id, at, rehashed);
        self.policy.call(users::operation::SIGNED_IN, call).await
    }

    async fn has_active_user_in(&self, role: &Role) -> Result<bool, StoreError> {
        let call = self.inner.has_active_user_in(role);
        self.policy.call(users::operation::HAS_ACTIVE_USER_IN, call).await
    }

    async fn sample_hashes(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        self.policy.call(users::operation::SAMPLE_HASHES, self.inner.sample_hashes(limit)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.policy.call(users::operation::PING, self.inner.ping()).await
    }
}

#[async_trait]
impl RoleStore for Observed<dyn RoleStore> {
    async fn load(&self) -> Result<RoleRows, StoreError> {
        self.policy.call(roles::operation::LOAD, self.inner.load()).await
    }

    async fn cached(&self) -> Result<Aged<RoleRows>, StoreError> {
        self.policy.call(roles::operation::CACHED, self.inner.cached()).await
    }

    async fn write(&self, write: RoleWrite<'_>) -> Result<RoleWriteOutcome, StoreError> {
        self.policy.call(roles::operation::WRITE, self.inner.write(write)).await
    }
}

#[async_trait]
impl SessionStore for Observed<dyn SessionStore> {
    fn keeps_users(&self) -> bool {
        self.inner.keeps_users()
    }

    async fn create(&self, session: &Session, most: u32) -> Result<Vec<SessionId>, StoreError> {
        self.policy.call(sessions::operation::CREATE, self.inner.create(session, most)).await
    }

    async fn replace(&self, old: SessionId, new: &Session) -> Result<Replaced, StoreError> {
        self.policy.call(sessions::operation::REPLACE, self.inner.replace(old, new)).await
    }

    async fn find(&self, user: UserId, id: SessionId) -> Result<Option<SessionView>, StoreError> {
        self.policy.call(sessions::operation::FIND, self.inner.find(user, id)).await
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<Rotated, StoreError> {
        self.policy.call(sessions::operation::ROTATE, self.inner.rotate(rotation)).await
    }

    async fn replace_tokens(
        &self,
        user: UserId,
        replacement: &TokenReplacement,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let call = self.inner.replace_tokens(user, replacement, now);
        self.policy.call(sessions::operation::REPLACE_TOKENS, call).await
    }

    async fn list(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        page: PageRequest,
    ) -> Result<Page<Session>, StoreError> {
        let call = self.inner.list(user, epoch, now, page);
        self.policy.call(sessions::operation::LIST, call).await
    }

    async fn revoke(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        sessions: &[SessionId],
    ) -> Result<Revoked, StoreError> {
        let call = self.inner.revoke(user, epoch, now, sessions);
        self.policy.call(sessions::operation::REVOKE, call).await
    }

    async fn revoke_all(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        kept: Option<SessionId>,
    ) -> Result<u64, StoreError> {
        let call = self.inner.revoke_all(user, epoch, now, kept);
        self.policy.call(sessions::operation::REVOKE_ALL, call).await
    }

    async fn end(&self, user: UserId, id: SessionId) -> Result<bool, StoreError> {
        self.policy.call(sessions::operation::END, self.inner.end(user, id)).await
    }

    async fn purge(&self, now: Timestamp, most: u32) -> Result<u64, StoreError> {
        self.policy.call(sessions::operation::PURGE, self.inner.purge(now, most)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.policy.call(sessions::operation::PING, self.inner.ping()).await
    }
}

#[async_trait]
impl ChallengeStore for Observed<dyn ChallengeStore> {
    async fn put(
        &self,
        challenge: &Challenge,
        subject: &Subject,
        live: u32,
    ) -> Result<(), StoreError> {
        let call = self.inner.put(challenge, subject, live);
        self.policy.call(challenges::operation::PUT, call).await
    }

    async fn find(
        &self,
        id: ChallengeId,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<Option<Challenge>, StoreError> {
        self.policy.call(challenges::operation::FIND, self.inner.find(id, purpose, now)).await
    }

    async fn is_pending(
        &self,
        purpose: Purpose,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let call = self.inner.is_pending(purpose, subject, now);
        self.policy.call(challenges::operation::IS_PENDING, call).await
    }

    async fn attempt(
        &self,
        id: ChallengeId,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.policy.call(challenges::operation::ATTEMPT, self.inner.attempt(id, purpose, now)).await
    }

    async fn take(&self, id: ChallengeId) -> Result<bool, StoreError> {
        self.policy.call(challenges::operation::TAKE, self.inner.take(id)).await
    }

    async fn remove_all(
        &self,
        user: UserId,
        keep: Option<(Purpose, Timestamp)>,
    ) -> Result<u64, StoreError> {
        self.policy.call(challenges::operation::REMOVE_ALL, self.inner.remove_all(user, keep)).await
    }

    async fn purge(&self, now: Timestamp, most: u32) -> Result<u64, StoreError> {
        self.policy.call(challenges::operation::PURGE, self.inner.purge(now, most)).await
    }
}

#[async_trait]
impl KeyStore for Observed<dyn KeyStore> {
    async fn create(&self, key: &StoredKey, most: u32) -> Result<Created, StoreError> {
        self.policy.call(keys::operation::CREATE, self.inner.create(key, most)).await
    }

    async fn find(&self, id: KeyId) -> Result<Option<KeyView>, StoreError> {
        self.policy.call(keys::operation::FIND, self.inner.find(id)).await
    }

    async fn list(&self, owner: UserId, page: PageRequest) -> Result<Page<Key>, StoreError> {
        self.policy.call(keys::operation::LIST, self.inner.list(owner, page)).await
    }

    async fn revoke(&self, owner: UserId, id: KeyId) -> Result<bool, StoreError> {
        self.policy.call(keys::operation::REVOKE, self.inner.revoke(owner, id)).await
    }

    async fn revoke_all(&self, owner: Option<UserId>) -> Result<u64, StoreError> {
        self.policy.call(keys::operation::REVOKE_ALL, self.inner.revoke_all(owner)).await
    }

    async fn used(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        self.policy.call(keys::operation::USED, self.inner.used(uses)).await
    }
}

#[async_trait]
impl FactorStore for Observed<dyn FactorStore> {
    async fn of(&self, user: UserId) -> Result<Factors, StoreError> {
        self.policy.call(factors::operation::OF, self.inner.of(user)).await
    }
}

impl LimitStore for Observed<dyn LimitStore> {
    fn acquire(&self, key: LimitKey, quota: Quota, elapsed: Duration) -> StoreAcquire {
        self.policy.reply(limit::operation::ACQUIRE, self.inner.acquire(key, quota, elapsed))
    }

    fn acquire_both(
        &self,
        counters: [(LimitKey, Quota); 2],
        elapsed: Duration,
    ) -> StoreReply<[StoreDecision; 2]> {
        self.policy.reply(limit::operation::ACQUIRE, self.inner.acquire_both(counters, elapsed))
    }

    fn reset(&self, key: LimitKey, quota: Quota) -> StoreReply<()> {
        self.policy.reply(limit::operation::RESET, self.inner.reset(key, quota))
    }

    fn load(&self) -> Option<LimitLoad> {
        self.inner.load()
    }
}

#[async_trait]
impl Invalidations for Observed<dyn Invalidations> {
    async fn publish(&self, invalidation: Invalidation) -> Result<(), StoreError> {
        let call = self.inner.publish(invalidation);
        self.policy.call(invalidation::operation::PUBLISH, call).await
    }

    fn subscribe(&self, listener: Weak<dyn Listener>) {
        self.inner.subscribe(listener);
    }

    fn stats(&self) -> InvalidationStats {
        self.inner.stats()
    }
}

#[async_trait]
impl SharedCache for Observed<dyn SharedCache> {
    fn name(&self, key: CacheKey) -> String {
        self.inner.name(key)
    }

    async fn get(&self, key: CacheKey) -> Result<Lookup, StoreError> {
        self.policy.call(shared_cache::operation::GET, self.inner.get(key)).await
    }

    async fn put(
        &self,
        key: CacheKey,
        entry: &CacheEntry,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        self.policy.call(shared_cache::operation::PUT, self.inner.put(key, entry, ttl)).await
    }

    async fn invalidate_below(
        &self,
        key: CacheKey,
        revision: u64,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let call = self.inner.invalidate_below(key, revision, ttl);
        self.policy.call(shared_cache::operation::INVALIDATE_BELOW, call).await
    }
}
