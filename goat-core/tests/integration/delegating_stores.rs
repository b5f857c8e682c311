//! Stores of users and roles that delegate to others with one difference: they alternate between two
//! nodes, never commit, or return cached values that the test sets.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use goat_core::access::RoleRows;
use goat_core::store::{
    Aged, Rehashed, RoleStore, RoleWrite, RoleWriteOutcome, UserSnapshot, UserStore, UserWrite,
    UserWriteOutcome,
};
use goat_core::testing::ManualClock;
use goat_core::user::{Account, UserPage, UserQuery, UserState};
use goat_core::{Clock as _, ErrorKind, Role, StoreError, Stores, Timestamp, UserId};

#[derive(Debug)]
struct DelegatingStores {
    nodes: Vec<Stores>,
    turn: AtomicUsize,
    commits: bool,
    /// Whether it passes on the API key of a write.
    asks_for_keys: bool,
    user_cache: StubCache<Option<UserState>>,
    role_cache: StubCache<RoleRows>,
}

/// Stores that alternate between two nodes, call by call.
pub(crate) fn round_robin(nodes: [&Stores; 2]) -> Stores {
    delegating(nodes.map(Clone::clone).into(), |_| ())
}

/// Stores whose writes of users are decided, and then fail before the commit.
pub(crate) fn never_committing(stores: &Stores) -> Stores {
    delegating(vec![stores.clone()], |stores| stores.commits = false)
}

/// Stores that do not ask whether the API key of a write is stored.
pub(crate) fn ignoring_keys(stores: &Stores) -> Stores {
    delegating(vec![stores.clone()], |stores| stores.asks_for_keys = false)
}

/// Stores with caches whose values the test sets.
pub(crate) fn with_stub_caches(
    stores: &Stores,
    user_cache: StubCache<Option<UserState>>,
    role_cache: StubCache<RoleRows>,
) -> Stores {
    delegating(vec![stores.clone()], |stores| {
        (stores.user_cache, stores.role_cache) = (user_cache, role_cache);
    })
}

fn delegating(nodes: Vec<Stores>, change: impl FnOnce(&mut DelegatingStores)) -> Stores {
    let rest = nodes[0].clone();
    let mut stores = DelegatingStores {
        nodes,
        turn: AtomicUsize::new(0),
        commits: true,
        asks_for_keys: true,
        user_cache: StubCache::new(ManualClock::default()),
        role_cache: StubCache::new(ManualClock::default()),
    };
    change(&mut stores);
    let stores = Arc::new(stores);
    Stores { users: Arc::clone(&stores) as _, roles: stores, ..rest }
}

impl DelegatingStores {
    fn next(&self) -> &Stores {
        &self.nodes[self.turn.fetch_add(1, Ordering::Relaxed) % self.nodes.len()]
    }
}

/// Returns the value that the test has set, with its growing age. Clones share their state.
#[derive(Clone, Debug)]
pub(crate) struct StubCache<T> {
    clock: ManualClock,
    /// The value, and the time at which its read began.
    value: Arc<Mutex<Option<(T, Duration)>>>,
}

impl<T: Clone> StubCache<T> {
    pub(crate) fn new(clock: ManualClock) -> Self {
        Self { clock, value: Arc::default() }
    }

    pub(crate) fn set(&self, value: T, age: Duration) {
        let began = self.clock.elapsed().checked_sub(age).expect("not before the test");
        *self.value.lock().expect("no panic") = Some((value, began));
    }

    fn get(&self) -> Option<Aged<T>> {
        let value = self.value.lock().expect("no panic").clone();
        value.map(|(value, began)| Aged { value, age: self.clock.elapsed() - began })
    }
}

#[async_trait]
impl UserStore for DelegatingStores {
    async fn by_email(&self, canonical: &str) -> Result<Option<Account>, StoreError> {
        self.next().users.by_email(canonical).await
    }

    async fn by_id(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        self.next().users.by_id(id).await
    }

    async fn state(&self, id: UserId) -> Result<Option<UserState>, StoreError> {
        self.next().users.state(id).await
    }

    async fn cached_state(&self, id: UserId) -> Result<Aged<Option<UserState>>, StoreError> {
        match self.user_cache.get() {
            Some(aged) => Ok(aged),
            None => self.next().users.cached_state(id).await,
        }
    }

    async fn list(&self, query: &UserQuery) -> Result<UserPage, StoreError> {
        self.next().users.list(query).await
    }

    async fn write(&self, write: UserWrite<'_>) -> Result<UserWriteOutcome, StoreError> {
        if !self.asks_for_keys {
            return self.next().users.write(UserWrite { key: None, ..write }).await;
        }
        if self.commits {
            return self.next().users.write(write).await;
        }
        let decide = |snapshot: &UserSnapshot| {
            (write.decide)(snapshot).ok();
            Err(ErrorKind::Internal)
        };
        self.next().users.write(UserWrite { decide: &decide, ..write }).await?;
        Err(StoreError::unavailable("users.write"))
    }

    async fn signed_in(
        &self,
        id: UserId,
        at: Timestamp,
        rehashed: Option<Rehashed<'_>>,
    ) -> Result<Option<UserState>, StoreError> {
        self.next().users.signed_in(id, at, rehashed).await
    }

    async fn has_active_user_in(&self, role: &Role) -> Result<bool, StoreError> {
        self.next().users.has_active_user_in(role).await
    }

    async fn sample_hashes(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        self.next().users.sample_hashes(limit).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.next().users.ping().await
    }
}

#[async_trait]
impl RoleStore for DelegatingStores {
    async fn load(&self) -> Result<RoleRows, StoreError> {
        self.next().roles.load().await
    }

    async fn cached(&self) -> Result<Aged<RoleRows>, StoreError> {
        match self.role_cache.get() {
            Some(aged) => Ok(aged),
            None => self.next().roles.cached().await,
        }
    }

    async fn write(&self, write: RoleWrite<'_>) -> Result<RoleWriteOutcome, StoreError> {
        self.next().roles.write(write).await
    }
}
