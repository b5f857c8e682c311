//! Stores that are watched: every call has so much time, and is reported.
//!
//! Invariants:
//! - a store that does not answer is [`StoreError::unavailable`] when the time is over: an outage is
//!   never a hang, and never a pass (O1);
//! - a call that ran out of time leaves nothing half-written. Its future is dropped, and every port
//!   promises that a call is one transaction or one atomic step: what was not committed is rolled
//!   back by the store, and what was committed is whole. Which of the two it was, nobody can know,
//!   and so the error says neither; asking again is safe, as it is after a lost connection.
//!
//! A limit that is answered at once has waited for nothing, so it passes untouched and uncounted.
//! A call whose caller went away before the answer is not reported: that tells of the caller.

#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;

use super::Stores;
use crate::access::{Role, RoleRows};
use crate::clock::{Clock, Timestamp};
use crate::error::StoreError;
use crate::event::Observer;
use crate::id::{SessionId, UserId};
use crate::invalidation::{Invalidation, InvalidationStats, Invalidations, Listener};
use crate::limit::{LimitKey, LimitLoad, LimitStore, Quota, StoreAcquire};
use crate::page::{Page, PageRequest};
use crate::session::{Session, SessionEpoch};
use crate::store::{
    Aged, Rehashed, Revoked, RoleStore, RoleWrite, RoleWriteOutcome, Rotated, Rotation,
    SessionStore, SessionView, UserStore, UserWrite, UserWriteOutcome,
};
use crate::user::{Account, User, UserPage, UserQuery, UserState};

impl Stores {
    /// The same stores, with so much time for each call, and each call reported to
    /// [`Observer::store_called`] under a name such as `users.by_email`.
    ///
    /// The clock tells how long a call took; give the one that the goat is built with. The time-out
    /// itself is the runtime's.
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
            limits: Arc::new(policy.over(self.limits)),
            invalidations: Arc::new(policy.over(self.invalidations)),
        }
    }
}

/// How calls are watched, whatever the port.
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

    /// Waits for a call, as long as it may take, and reports it.
    async fn call<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let begun = self.clock.elapsed();
        let answer = match tokio::time::timeout(self.timeout, call).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::unavailable(operation)
                .with_source(format!("no answer within {:?}", self.timeout))),
        };
        let took = self.clock.elapsed().saturating_sub(begun);
        self.observer.store_called(operation, took, answer.is_err());
        answer
    }
}

/// A port whose calls are watched.
#[derive(Debug)]
struct Observed<P: ?Sized> {
    policy: CallPolicy,
    inner: Arc<P>,
}

#[async_trait]
impl UserStore for Observed<dyn UserStore> {
    async fn by_email(&self, canonical: &str) -> Result<Option<Account>, StoreError> {
        self.policy.call("users.by_email", self.inner.by_email(canonical)).await
    }

    async fn by_id(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        self.policy.call("users.by_id", self.inner.by_id(id)).await
    }

    async fn state(&self, id: UserId) -> Result<Option<UserState>, StoreError> {
        self.policy.call("users.state", self.inner.state(id)).await
    }

    async fn cached_state(&self, id: UserId) -> Result<Aged<Option<UserState>>, StoreError> {
        self.policy.call("users.cached_state", self.inner.cached_state(id)).await
    }

    async fn invalidate(&self, id: UserId) -> Result<(), StoreError> {
        let call = self.inner.invalidate(id);
        self.policy.call("users.invalidate", call).await
    }

    async fn list(&self, query: &UserQuery) -> Result<UserPage, StoreError> {
        self.policy.call("users.list", self.inner.list(query)).await
    }

    async fn write(&self, write: UserWrite<'_>) -> Result<UserWriteOutcome, StoreError> {
        self.policy.call("users.write", self.inner.write(write)).await
    }

    async fn signed_in(
        &self,
        id: UserId,
        at: Timestamp,
        rehashed: Option<Rehashed<'_>>,
    ) -> Result<Option<User>, StoreError> {
        self.policy.call("users.signed_in", self.inner.signed_in(id, at, rehashed)).await
    }

    async fn has_active_user_in(&self, role: &Role) -> Result<bool, StoreError> {
        self.policy.call("users.has_active_user_in", self.inner.has_active_user_in(role)).await
    }

    async fn sample_hashes(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        self.policy.call("users.sample_hashes", self.inner.sample_hashes(limit)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.policy.call("users.ping", self.inner.ping()).await
    }
}

#[async_trait]
impl RoleStore for Observed<dyn RoleStore> {
    async fn load(&self) -> Result<RoleRows, StoreError> {
        self.policy.call("roles.load", self.inner.load()).await
    }

    async fn cached(&self) -> Result<Aged<RoleRows>, StoreError> {
        self.policy.call("roles.cached", self.inner.cached()).await
    }

    async fn write(&self, write: RoleWrite<'_>) -> Result<RoleWriteOutcome, StoreError> {
        self.policy.call("roles.write", self.inner.write(write)).await
    }
}

#[async_trait]
impl SessionStore for Observed<dyn SessionStore> {
    fn keeps_users(&self) -> bool {
        self.inner.keeps_users()
    }

    async fn create(&self, session: &Session, most: u32) -> Result<Vec<SessionId>, StoreError> {
        self.policy.call("sessions.create", self.inner.create(session, most)).await
    }

    async fn find(&self, user: UserId, id: SessionId) -> Result<Option<SessionView>, StoreError> {
        self.policy.call("sessions.find", self.inner.find(user, id)).await
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<Rotated, StoreError> {
        self.policy.call("sessions.rotate", self.inner.rotate(rotation)).await
    }

    async fn list(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        page: PageRequest,
    ) -> Result<Page<Session>, StoreError> {
        self.policy.call("sessions.list", self.inner.list(user, epoch, now, page)).await
    }

    async fn revoke(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        sessions: &[SessionId],
    ) -> Result<Revoked, StoreError> {
        self.policy.call("sessions.revoke", self.inner.revoke(user, epoch, now, sessions)).await
    }

    async fn revoke_all(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        kept: Option<SessionId>,
    ) -> Result<u64, StoreError> {
        self.policy.call("sessions.revoke_all", self.inner.revoke_all(user, epoch, now, kept)).await
    }

    async fn end(&self, user: UserId, id: SessionId) -> Result<bool, StoreError> {
        self.policy.call("sessions.end", self.inner.end(user, id)).await
    }

    async fn purge(&self, now: Timestamp, most: u32) -> Result<u64, StoreError> {
        self.policy.call("sessions.purge", self.inner.purge(now, most)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.policy.call("sessions.ping", self.inner.ping()).await
    }
}

impl LimitStore for Observed<dyn LimitStore> {
    fn acquire(&self, key: LimitKey, quota: Quota, elapsed: Duration) -> StoreAcquire {
        match self.inner.acquire(key, quota, elapsed) {
            StoreAcquire::Ready(spent) => StoreAcquire::Ready(spent),
            StoreAcquire::Pending(pending) => {
                let policy = self.policy.clone();
                StoreAcquire::Pending(Box::pin(async move {
                    policy.call("limits.acquire", pending).await
                }))
            }
        }
    }

    fn load(&self) -> Option<LimitLoad> {
        self.inner.load()
    }
}

#[async_trait]
impl Invalidations for Observed<dyn Invalidations> {
    async fn publish(&self, invalidation: Invalidation) -> Result<(), StoreError> {
        self.policy.call("invalidations.publish", self.inner.publish(invalidation)).await
    }

    fn subscribe(&self, listener: Weak<dyn Listener>) {
        self.inner.subscribe(listener);
    }

    fn stats(&self) -> InvalidationStats {
        self.inner.stats()
    }
}
