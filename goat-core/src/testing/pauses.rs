//! Stores whose calls a test can hold or break at will: barriers in place of luck.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::access::{Role, RoleRows, RoleStore, RoleWrite, RoleWriteOutcome};
use crate::aged::Aged;
use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{SessionId, UserId};
use crate::page::{Page, PageRequest};
use crate::session::{
    Revoked, Rotated, Rotation, Session, SessionEpoch, SessionStore, SessionView,
};
use crate::store::Stores;
use crate::user::{
    Account, Rehashed, User, UserPage, UserQuery, UserState, UserStore, UserWrite, UserWriteOutcome,
};

/// How long a test waits for a call to be made before it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where in a call something happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before the store has seen it.
    Entry,
    /// After the store has done it, before the caller hears of it.
    Return,
}

impl Point {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Entry, Self::Return];
}

/// Holds and breaks calls of the stores that it was put over. Clones are one.
///
/// A call's name is its port and its method, such as `sessions.rotate`. Limits and notices pass
/// through untouched.
///
/// ```
/// use goat_core::testing::{Pauses, Point};
/// use goat_core::{Goat, Stores, token::TokenKeys};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> goat_core::Result<()> {
/// let (stores, pauses) = Pauses::over(Stores::memory());
/// let goat = Goat::builder(stores, TokenKeys::generate()).build()?;
///
/// let held = pauses.hold("roles.cached", Point::Return);
/// let preparing = tokio::spawn({
///     let goat = goat.clone();
///     async move { goat.prepare().await }
/// });
/// held.reached().await;
/// // Whatever is to happen in between happens here.
/// assert!(!preparing.is_finished());
/// held.release();
/// preparing.await.expect("no panic")?;
/// assert_eq!(pauses.take_calls()[0], "roles.cached");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Pauses(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    calls: Vec<&'static str>,
    planned: Vec<Plan>,
}

#[derive(Debug)]
struct Plan {
    call: &'static str,
    point: Point,
    what: What,
}

#[derive(Debug)]
enum What {
    Hold(Arc<Barrier>),
    Fail,
}

#[derive(Debug)]
struct Barrier {
    reached: Semaphore,
    released: Semaphore,
}

/// A call that is held, or will be. It goes on when this is released or dropped.
#[derive(Debug)]
#[must_use = "a call that nobody holds goes on"]
pub struct Held {
    call: &'static str,
    barrier: Arc<Barrier>,
}

impl Held {
    /// Waits until the call has come to its point.
    ///
    /// # Panics
    ///
    /// If it is not made within half a minute.
    pub async fn reached(&self) {
        let reached = tokio::time::timeout(PATIENCE, self.barrier.reached.acquire()).await;
        assert!(matches!(reached, Ok(Ok(_))), "nobody called {}", self.call);
    }

    /// Lets it go on.
    pub fn release(self) {}
}

impl Drop for Held {
    fn drop(&mut self) {
        self.barrier.released.close();
    }
}

impl Pauses {
    /// Puts itself over stores.
    #[must_use]
    pub fn over(stores: Stores) -> (Stores, Self) {
        let pauses = Self::default();
        let paused = Stores {
            users: Arc::new(PausingUsers { inner: stores.users, pauses: pauses.clone() }),
            roles: Arc::new(PausingRoles { inner: stores.roles, pauses: pauses.clone() }),
            sessions: Arc::new(PausingSessions { inner: stores.sessions, pauses: pauses.clone() }),
            ..stores
        };
        (paused, pauses)
    }

    /// Holds the next call of this name at a point.
    pub fn hold(&self, call: &'static str, point: Point) -> Held {
        let barrier = Arc::new(Barrier { reached: Semaphore::new(0), released: Semaphore::new(0) });
        let what = What::Hold(Arc::clone(&barrier));
        self.lock().planned.push(Plan { call, point, what });
        Held { call, barrier }
    }

    /// Breaks the next call of this name: at entry the store never sees it, at return it is done and
    /// its answer is lost.
    pub fn fail(&self, call: &'static str, point: Point) {
        self.lock().planned.push(Plan { call, point, what: What::Fail });
    }

    /// The names of all calls in their order, which are then forgotten.
    #[must_use]
    pub fn take_calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.lock().calls)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn planned(&self, call: &'static str, point: Point) -> Option<What> {
        let mut state = self.lock();
        if point == Point::Entry {
            state.calls.push(call);
        }
        let place =
            state.planned.iter().position(|plan| (plan.call, plan.point) == (call, point))?;
        Some(state.planned.remove(place).what)
    }

    async fn at(&self, call: &'static str, point: Point) -> Result<(), StoreError> {
        match self.planned(call, point) {
            None => Ok(()),
            Some(What::Fail) => Err(StoreError::unavailable(call)),
            Some(What::Hold(barrier)) => {
                barrier.reached.add_permits(1);
                // Nobody gives permits: it ends when the barrier is closed.
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
struct PausingUsers {
    inner: Arc<dyn UserStore>,
    pauses: Pauses,
}

#[derive(Debug)]
struct PausingRoles {
    inner: Arc<dyn RoleStore>,
    pauses: Pauses,
}

#[derive(Debug)]
struct PausingSessions {
    inner: Arc<dyn SessionStore>,
    pauses: Pauses,
}

#[async_trait]
impl UserStore for PausingUsers {
    async fn by_email(&self, canonical: &str) -> Result<Option<Account>, StoreError> {
        self.pauses.pass("users.by_email", self.inner.by_email(canonical)).await
    }

    async fn by_id(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        self.pauses.pass("users.by_id", self.inner.by_id(id)).await
    }

    async fn state(&self, id: UserId) -> Result<Option<UserState>, StoreError> {
        self.pauses.pass("users.state", self.inner.state(id)).await
    }

    async fn cached_state(&self, id: UserId) -> Result<Aged<Option<UserState>>, StoreError> {
        self.pauses.pass("users.cached_state", self.inner.cached_state(id)).await
    }

    async fn invalidate(&self, id: UserId) -> Result<(), StoreError> {
        let call = self.inner.invalidate(id);
        self.pauses.pass("users.invalidate", call).await
    }

    async fn list(&self, query: &UserQuery) -> Result<UserPage, StoreError> {
        self.pauses.pass("users.list", self.inner.list(query)).await
    }

    async fn write(&self, write: UserWrite<'_>) -> Result<UserWriteOutcome, StoreError> {
        self.pauses.pass("users.write", self.inner.write(write)).await
    }

    async fn signed_in(
        &self,
        id: UserId,
        at: Timestamp,
        rehashed: Option<Rehashed<'_>>,
    ) -> Result<Option<User>, StoreError> {
        self.pauses.pass("users.signed_in", self.inner.signed_in(id, at, rehashed)).await
    }

    async fn has_active_user_in(&self, role: &Role) -> Result<bool, StoreError> {
        self.pauses.pass("users.has_active_user_in", self.inner.has_active_user_in(role)).await
    }

    async fn sample_hashes(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        self.pauses.pass("users.sample_hashes", self.inner.sample_hashes(limit)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.pauses.pass("users.ping", self.inner.ping()).await
    }
}

#[async_trait]
impl RoleStore for PausingRoles {
    async fn load(&self) -> Result<RoleRows, StoreError> {
        self.pauses.pass("roles.load", self.inner.load()).await
    }

    async fn cached(&self) -> Result<Aged<RoleRows>, StoreError> {
        self.pauses.pass("roles.cached", self.inner.cached()).await
    }

    async fn write(&self, write: RoleWrite<'_>) -> Result<RoleWriteOutcome, StoreError> {
        self.pauses.pass("roles.write", self.inner.write(write)).await
    }
}

#[async_trait]
impl SessionStore for PausingSessions {
    fn keeps_users(&self) -> bool {
        self.inner.keeps_users()
    }

    async fn create(&self, session: &Session, most: u32) -> Result<Vec<SessionId>, StoreError> {
        self.pauses.pass("sessions.create", self.inner.create(session, most)).await
    }

    async fn find(&self, user: UserId, id: SessionId) -> Result<Option<SessionView>, StoreError> {
        self.pauses.pass("sessions.find", self.inner.find(user, id)).await
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<Rotated, StoreError> {
        self.pauses.pass("sessions.rotate", self.inner.rotate(rotation)).await
    }

    async fn list(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        page: PageRequest,
    ) -> Result<Page<Session>, StoreError> {
        self.pauses.pass("sessions.list", self.inner.list(user, epoch, now, page)).await
    }

    async fn revoke(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        sessions: &[SessionId],
    ) -> Result<Revoked, StoreError> {
        self.pauses.pass("sessions.revoke", self.inner.revoke(user, epoch, now, sessions)).await
    }

    async fn revoke_all(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        kept: Option<SessionId>,
    ) -> Result<u64, StoreError> {
        self.pauses.pass("sessions.revoke_all", self.inner.revoke_all(user, epoch, now, kept)).await
    }

    async fn end(&self, user: UserId, id: SessionId) -> Result<bool, StoreError> {
        self.pauses.pass("sessions.end", self.inner.end(user, id)).await
    }

    async fn purge(&self, now: Timestamp, most: u32) -> Result<u64, StoreError> {
        self.pauses.pass("sessions.purge", self.inner.purge(now, most)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.pauses.pass("sessions.ping", self.inner.ping()).await
    }
}
