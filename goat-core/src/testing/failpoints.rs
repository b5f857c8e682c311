//! Failpoints: hold or fail chosen calls of the stores, for deterministic interleavings.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::access::{Role, RoleRows};
use crate::challenge::{Challenge, Purpose, Subject};
use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::factor::Factors;
use crate::id::{ChallengeId, KeyId, SessionId, UserId};
use crate::key::{Key, StoredKey};
use crate::page::{Page, PageRequest};
use crate::session::{Session, SessionEpoch, TokenReplacement};
use crate::store::{
    Aged, ChallengeStore, Created, FactorStore, KeyStore, KeyView, Rehashed, Replaced, Revoked,
    RoleStore, RoleWrite, RoleWriteOutcome, Rotated, Rotation, SessionStore, SessionView,
    StoreTransaction, Stores, UserStore, UserWrite, UserWriteOutcome, challenges, factors, keys,
    roles, sessions, users,
};
use crate::user::{Account, UserPage, UserQuery, UserState};

/// How long a test waits for an expected call.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The point of a call at which a failpoint acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before the store is called.
    Entry,
    /// After the store has finished, before the caller receives the result.
    Return,
}

impl Point {
    /// Both points.
    pub const ALL: [Self; 2] = [Self::Entry, Self::Return];
}

/// Holds and fails calls of the wrapped stores. Clones share their state.
///
/// A call is named by port and method, such as `sessions.rotate`. Limits and invalidations pass
/// through.
///
/// ```
/// use goat_core::testing::{Failpoints, Point};
/// use goat_core::{Goat, Stores, token::TokenKeys};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> goat_core::Result<()> {
/// let (stores, failpoints) = Failpoints::over(Stores::memory());
/// let goat = Goat::builder(stores, TokenKeys::generate()).build()?;
///
/// let held = failpoints.hold("roles.cached", Point::Return);
/// let preparing = tokio::spawn({
///     let goat = goat.clone();
///     async move { goat.prepare().await }
/// });
/// held.reached().await;
/// // Interleaved work goes here.
/// assert!(!preparing.is_finished());
/// held.release();
/// preparing.await.expect("no panic")?;
/// assert_eq!(failpoints.take_calls()[0], "roles.cached");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Failpoints(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    calls: Vec<&'static str>,
    planned: Vec<Plan>,
}

#[derive(Debug)]
struct Plan {
    call: &'static str,
    point: Point,
    action: Action,
}

#[derive(Debug)]
enum Action {
    Hold(Arc<Barrier>),
    Fail,
}

#[derive(Debug)]
struct Barrier {
    reached: Semaphore,
    released: Semaphore,
}

/// A call that is held, or will be. It continues when this is released or dropped.
#[derive(Debug)]
#[must_use = "the call continues when this is dropped"]
pub struct HeldCall {
    call: &'static str,
    barrier: Arc<Barrier>,
}

impl HeldCall {
    /// Waits until the call has reached the point.
    ///
    /// # Panics
    ///
    /// If the call is not made within half a minute.
    pub async fn reached(&self) {
        let reached = tokio::time::timeout(TIMEOUT, self.barrier.reached.acquire()).await;
        assert!(matches!(reached, Ok(Ok(_))), "{} was not called", self.call);
    }

    /// Lets the call continue.
    pub fn release(self) {}
}

impl Drop for HeldCall {
    fn drop(&mut self) {
        self.barrier.released.close();
    }
}

impl Failpoints {
    /// Wraps the stores.
    #[must_use]
    pub fn over(stores: Stores) -> (Stores, Self) {
        let failpoints = Self::default();
        let wrapped = Stores {
            users: Arc::new(FailpointUsers { inner: stores.users, failpoints: failpoints.clone() }),
            roles: Arc::new(FailpointRoles { inner: stores.roles, failpoints: failpoints.clone() }),
            sessions: Arc::new(FailpointSessions {
                inner: stores.sessions,
                failpoints: failpoints.clone(),
            }),
            challenges: Arc::new(FailpointChallenges {
                inner: stores.challenges,
                failpoints: failpoints.clone(),
            }),
            factors: Arc::new(FailpointFactors {
                inner: stores.factors,
                failpoints: failpoints.clone(),
            }),
            keys: Arc::new(FailpointKeys { inner: stores.keys, failpoints: failpoints.clone() }),
            ..stores
        };
        (wrapped, failpoints)
    }

    /// Holds the next call of this name at a point.
    pub fn hold(&self, call: &'static str, point: Point) -> HeldCall {
        let barrier = Arc::new(Barrier { reached: Semaphore::new(0), released: Semaphore::new(0) });
        let action = Action::Hold(Arc::clone(&barrier));
        self.lock().planned.push(Plan { call, point, action });
        HeldCall { call, barrier }
    }

    /// Fails the next call of this name: at entry the store is not called, at return its result is
    /// lost.
    pub fn fail(&self, call: &'static str, point: Point) {
        self.lock().planned.push(Plan { call, point, action: Action::Fail });
    }

    /// Takes the names of all calls, in order.
    #[must_use]
    pub fn take_calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.lock().calls)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn planned(&self, call: &'static str, point: Point) -> Option<Action> {
        let mut state = self.lock();
        if point == Point::Entry {
            state.calls.push(call);
        }
        let place =
            state.planned.iter().position(|plan| (plan.call, plan.point) == (call, point))?;
        Some(state.planned.remove(place).action)
    }

    async fn at(&self, call: &'static str, point: Point) -> Result<(), StoreError> {
        match self.planned(call, point) {
            None => Ok(()),
            Some(Action::Fail) => Err(StoreError::unavailable(call)),
            Some(Action::Hold(barrier)) => {
                barrier.reached.add_permits(1);
                // No permits are ever added: this returns when the semaphore is closed.
                let _closed = barrier.released.acquire().await;
                Ok(())
            }
        }
    }

    async fn pass<T>(
        &self,
        call: &'static str,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.at(call, Point::Entry).await?;
        let answer = work.await;
        self.at(call, Point::Return).await?;
        answer
    }
}

#[derive(Debug)]
struct FailpointUsers {
    inner: Arc<dyn UserStore>,
    failpoints: Failpoints,
}

#[derive(Debug)]
struct FailpointRoles {
    inner: Arc<dyn RoleStore>,
    failpoints: Failpoints,
}

#[derive(Debug)]
struct FailpointSessions {
    inner: Arc<dyn SessionStore>,
    failpoints: Failpoints,
}

#[derive(Debug)]
struct FailpointChallenges {
    inner: Arc<dyn ChallengeStore>,
    failpoints: Failpoints,
}

#[derive(Debug)]
struct FailpointFactors {
    inner: Arc<dyn FactorStore>,
    failpoints: Failpoints,
}

#[derive(Debug)]
struct FailpointKeys {
    inner: Arc<dyn KeyStore>,
    failpoints: Failpoints,
}

#[async_trait]
impl UserStore for FailpointUsers {
    async fn by_email(&self, canonical: &str) -> Result<Option<Account>, StoreError> {
        self.failpoints.pass(users::operation::BY_EMAIL, self.inner.by_email(canonical)).await
    }

    async fn by_id(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        self.failpoints.pass(users::operation::BY_ID, self.inner.by_id(id)).await
    }

    async fn state(&self, id: UserId) -> Result<Option<UserState>, StoreError> {
        self.failpoints.pass(users::operation::STATE, self.inner.state(id)).await
    }

    async fn cached_state(&self, id: UserId) -> Result<Aged<Option<UserState>>, StoreError> {
        self.failpoints.pass(users::operation::CACHED_STATE, self.inner.cached_state(id)).await
    }

    async fn invalidate(&self, id: UserId) -> Result<(), StoreError> {
        let call = self.inner.invalidate(id);
        self.failpoints.pass(users::operation::INVALIDATE, call).await
    }

    async fn list(&self, query: &UserQuery) -> Result<UserPage, StoreError> {
        self.failpoints.pass(users::operation::LIST, self.inner.list(query)).await
    }

    async fn write(&self, write: UserWrite<'_>) -> Result<UserWriteOutcome, StoreError> {
        self.failpoints.pass(users::operation::WRITE, self.inner.write(write)).await
    }

    async fn write_in(
        &self,
        transaction: &mut StoreTransaction<'_>,
        write: UserWrite<'_>,
    ) -> Result<UserWriteOutcome, StoreError> {
        let call = self.inner.write_in(transaction, write);
        self.failpoints.pass(users::operation::WRITE_IN, call).await
    }

    async fn signed_in(
        &self,
        id: UserId,
        at: Timestamp,
        rehashed: Option<Rehashed<'_>>,
    ) -> Result<Option<UserState>, StoreError> {
        self.failpoints
            .pass(users::operation::SIGNED_IN, self.inner.signed_in(id, at, rehashed))
            .await
    }

    async fn has_active_user_in(&self, role: &Role) -> Result<bool, StoreError> {
        self.failpoints
            .pass(users::operation::HAS_ACTIVE_USER_IN, self.inner.has_active_user_in(role))
            .await
    }

    async fn sample_hashes(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        self.failpoints.pass(users::operation::SAMPLE_HASHES, self.inner.sample_hashes(limit)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.failpoints.pass(users::operation::PING, self.inner.ping()).await
    }
}

#[async_trait]
impl RoleStore for FailpointRoles {
    async fn load(&self) -> Result<RoleRows, StoreError> {
        self.failpoints.pass(roles::operation::LOAD, self.inner.load()).await
    }

    async fn cached(&self) -> Result<Aged<RoleRows>, StoreError> {
        self.failpoints.pass(roles::operation::CACHED, self.inner.cached()).await
    }

    async fn write(&self, write: RoleWrite<'_>) -> Result<RoleWriteOutcome, StoreError> {
        self.failpoints.pass(roles::operation::WRITE, self.inner.write(write)).await
    }
}

#[async_trait]
impl SessionStore for FailpointSessions {
    fn keeps_users(&self) -> bool {
        self.inner.keeps_users()
    }

    async fn create(&self, session: &Session, most: u32) -> Result<Vec<SessionId>, StoreError> {
        self.failpoints.pass(sessions::operation::CREATE, self.inner.create(session, most)).await
    }

    async fn replace(&self, old: SessionId, new: &Session) -> Result<Replaced, StoreError> {
        self.failpoints.pass(sessions::operation::REPLACE, self.inner.replace(old, new)).await
    }

    async fn find(&self, user: UserId, id: SessionId) -> Result<Option<SessionView>, StoreError> {
        self.failpoints.pass(sessions::operation::FIND, self.inner.find(user, id)).await
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<Rotated, StoreError> {
        self.failpoints.pass(sessions::operation::ROTATE, self.inner.rotate(rotation)).await
    }

    async fn replace_tokens(
        &self,
        user: UserId,
        replacement: &TokenReplacement,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let call = self.inner.replace_tokens(user, replacement, now);
        self.failpoints.pass(sessions::operation::REPLACE_TOKENS, call).await
    }

    async fn list(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        page: PageRequest,
    ) -> Result<Page<Session>, StoreError> {
        self.failpoints
            .pass(sessions::operation::LIST, self.inner.list(user, epoch, now, page))
            .await
    }

    async fn revoke(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        sessions: &[SessionId],
    ) -> Result<Revoked, StoreError> {
        self.failpoints
            .pass(sessions::operation::REVOKE, self.inner.revoke(user, epoch, now, sessions))
            .await
    }

    async fn revoke_all(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        kept: Option<SessionId>,
    ) -> Result<u64, StoreError> {
        self.failpoints
            .pass(sessions::operation::REVOKE_ALL, self.inner.revoke_all(user, epoch, now, kept))
            .await
    }

    async fn end(&self, user: UserId, id: SessionId) -> Result<bool, StoreError> {
        self.failpoints.pass(sessions::operation::END, self.inner.end(user, id)).await
    }

    async fn purge(&self, now: Timestamp, most: u32) -> Result<u64, StoreError> {
        self.failpoints.pass(sessions::operation::PURGE, self.inner.purge(now, most)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.failpoints.pass(sessions::operation::PING, self.inner.ping()).await
    }
}

#[async_trait]
impl ChallengeStore for FailpointChallenges {
    async fn put(
        &self,
        challenge: &Challenge,
        subject: &Subject,
        live: u32,
    ) -> Result<(), StoreError> {
        let call = self.inner.put(challenge, subject, live);
        self.failpoints.pass(challenges::operation::PUT, call).await
    }

    async fn find(
        &self,
        id: ChallengeId,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<Option<Challenge>, StoreError> {
        self.failpoints.pass(challenges::operation::FIND, self.inner.find(id, purpose, now)).await
    }

    async fn is_pending(
        &self,
        purpose: Purpose,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let call = self.inner.is_pending(purpose, subject, now);
        self.failpoints.pass(challenges::operation::IS_PENDING, call).await
    }

    async fn attempt(
        &self,
        id: ChallengeId,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.failpoints
            .pass(challenges::operation::ATTEMPT, self.inner.attempt(id, purpose, now))
            .await
    }

    async fn take(&self, id: ChallengeId) -> Result<bool, StoreError> {
        self.failpoints.pass(challenges::operation::TAKE, self.inner.take(id)).await
    }

    async fn remove_all(
        &self,
        user: UserId,
        keep: Option<(Purpose, Timestamp)>,
    ) -> Result<u64, StoreError> {
        self.failpoints
            .pass(challenges::operation::REMOVE_ALL, self.inner.remove_all(user, keep))
            .await
    }

    async fn purge(&self, now: Timestamp, most: u32) -> Result<u64, StoreError> {
        self.failpoints.pass(challenges::operation::PURGE, self.inner.purge(now, most)).await
    }
}

#[async_trait]
impl FactorStore for FailpointFactors {
    async fn of(&self, user: UserId) -> Result<Factors, StoreError> {
        self.failpoints.pass(factors::operation::OF, self.inner.of(user)).await
    }
}

#[async_trait]
impl KeyStore for FailpointKeys {
    async fn create(&self, key: &StoredKey, most: u32) -> Result<Created, StoreError> {
        self.failpoints.pass(keys::operation::CREATE, self.inner.create(key, most)).await
    }

    async fn find(&self, id: KeyId) -> Result<Option<KeyView>, StoreError> {
        self.failpoints.pass(keys::operation::FIND, self.inner.find(id)).await
    }

    async fn list(&self, owner: UserId, page: PageRequest) -> Result<Page<Key>, StoreError> {
        self.failpoints.pass(keys::operation::LIST, self.inner.list(owner, page)).await
    }

    async fn revoke(&self, owner: UserId, id: KeyId) -> Result<bool, StoreError> {
        self.failpoints.pass(keys::operation::REVOKE, self.inner.revoke(owner, id)).await
    }

    async fn revoke_all(&self, owner: Option<UserId>) -> Result<u64, StoreError> {
        self.failpoints.pass(keys::operation::REVOKE_ALL, self.inner.revoke_all(owner)).await
    }

    async fn used(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        self.failpoints.pass(keys::operation::USED, self.inner.used(uses)).await
    }
}
