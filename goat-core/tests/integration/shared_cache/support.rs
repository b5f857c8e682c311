//! Nodes that share a database and a cache, and operations on users and roles.

mod cache;

use std::sync::Arc;
use std::time::Duration;

use goat_core::access::RoleRows;
use goat_core::session::SessionEpoch;
use goat_core::store::shared_cache::{CacheEntry, CacheKey, SharedCache, SharedCacheStats};
use goat_core::store::{
    Aged, RoleChange, RoleSnapshot, RoleWrite, RoleWriteOutcome, UserChange, UserSnapshot,
    UserWrite, UserWriteOutcome,
};
use goat_core::testing::{Failpoints, ManualClock};
use goat_core::token::TokenKeys;
use goat_core::user::{Account, Attributes, UserState};
use goat_core::{
    Clock, Email, ErrorKind, Role, Secret, Status, StoreError, Stores, Timestamp, User, UserId,
};

pub(crate) use cache::{FaultyCache, HeldCall, MemoryCache};

/// The staleness of cached values.
pub(crate) const STALENESS: Duration = Duration::from_millis(1000);
/// The shortest step of time.
pub(crate) const MOMENT: Duration = Duration::from_millis(1);

/// An in-memory database and shared cache, for any number of nodes.
pub(crate) struct Deployment {
    pub(crate) clock: ManualClock,
    pub(crate) database: Stores,
    pub(crate) cache: FaultyCache,
}

/// A node with a shared cache, whose database calls can be held and are counted.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) stores: Stores,
    pub(crate) database: Failpoints,
    pub(crate) cache: SharedCacheStats,
}

impl Deployment {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::default();
        let cache = FaultyCache::over(Arc::new(MemoryCache::new(clock.clone())));
        Self { clock, database: Stores::memory(), cache }
    }

    pub(crate) fn node(&self) -> Node {
        self.node_over(self.database.clone(), STALENESS)
    }

    pub(crate) fn node_over(&self, database: Stores, staleness: Duration) -> Node {
        let cache = Arc::new(self.cache.clone());
        cached(database, cache, staleness, Arc::new(self.clock.clone()))
    }

    /// Creates a user in the database, without the cache.
    pub(crate) async fn user(&self) -> UserId {
        let account = account();
        put(&self.database, &account).await;
        account.user.id
    }

    pub(crate) async fn entry(&self, key: CacheKey) -> Option<CacheEntry> {
        self.cache.inner.get(key).await.expect("the in-memory cache").entry
    }
}

pub(crate) fn cached(
    database: Stores,
    cache: Arc<dyn SharedCache>,
    staleness: Duration,
    clock: Arc<dyn Clock>,
) -> Node {
    let (stores, database) = with_failpoints(database, cache);
    let (stores, stats) = stores.read_through(&keys(), staleness, clock);
    Node { stores, database, cache: stats.expect("a shared cache") }
}

/// The text of a cached state, with this role and session epoch.
pub(crate) fn state_text(role: &str, epoch: u64) -> String {
    format!("4 01KE1Q0J0000000000000000YY {role} active 0 0 - - {epoch} - - 1 1 0 aa")
}

/// The token keys of all nodes.
pub(crate) fn keys() -> TokenKeys {
    keys_of(&["a secret of more than thirty-two bytes"])
}

/// A key ring of shared secrets.
pub(crate) fn keys_of(secrets: &[&str]) -> TokenKeys {
    let secrets = secrets.iter().map(|secret| Secret::new(secret.as_bytes().to_vec()));
    TokenKeys::hs256(secrets.collect()).expect("keys")
}

/// Like [`cached`], with timeouts that a busy server does not exceed.
#[cfg(feature = "redis")]
pub(crate) fn cached_patiently(
    database: Stores,
    cache: Arc<dyn SharedCache>,
    keys: &TokenKeys,
    staleness: Duration,
    clock: Arc<dyn Clock>,
) -> Node {
    const TIMEOUT: Duration = Duration::from_secs(30);
    let (stores, database) = with_failpoints(database, cache);
    let (stores, stats) = stores.read_through_with_timeout(TIMEOUT, keys, staleness, clock);
    Node { stores, database, cache: stats.expect("a shared cache") }
}

fn with_failpoints(database: Stores, cache: Arc<dyn SharedCache>) -> (Stores, Failpoints) {
    let (database, failpoints) = Failpoints::over(database);
    (Stores { shared_cache: Some(cache), ..database }, failpoints)
}

impl Node {
    pub(crate) async fn cached_state(&self, id: UserId) -> Aged<Option<UserState>> {
        self.stores.users.cached_state(id).await.expect("the store responds")
    }

    /// The revision of the state that the node uses.
    pub(crate) async fn revision(&self, id: UserId) -> u64 {
        self.cached_state(id).await.value.expect("the user").revision
    }

    /// The same, in a task of its own.
    pub(crate) fn spawn_revision(&self, id: UserId) -> tokio::task::JoinHandle<u64> {
        let node = self.clone();
        tokio::spawn(async move { node.revision(id).await })
    }

    /// Writes the user once more, unchanged.
    pub(crate) async fn touch(&self, id: UserId) -> Result<UserWriteOutcome, StoreError> {
        touch(&self.stores, id).await
    }

    /// Number of database reads of states since the last call.
    pub(crate) fn state_reads(&self) -> usize {
        self.database.take_calls().iter().filter(|call| **call == "users.state").count()
    }

    pub(crate) async fn cached_rows(&self) -> Aged<RoleRows> {
        self.stores.roles.cached().await.expect("the store responds")
    }
}

fn a_role() -> Role {
    Role::parse("client").expect("a role")
}

pub(crate) fn account() -> Account {
    account_of("client")
}

pub(crate) fn account_of(role: &str) -> Account {
    let now = ManualClock::default().now();
    let id = UserId::generate(now);
    Account {
        user: User {
            id,
            email: Email::parse(&format!("{}@example.org", id.to_string().to_lowercase()))
                .expect("an address"),
            email_verified_at: None,
            role: Role::parse(role).expect("a role"),
            status: Status::Active,
            created_at: now,
            updated_at: now,
            last_login_at: None,
            attributes: Attributes::default(),
        },
        password_hash: "hash".into(),
        epoch: SessionEpoch::default(),
        replacement: None,
        revision: 0,
    }
}

async fn write(
    stores: &Stores,
    target: UserId,
    decide: &(dyn Fn(&UserSnapshot) -> Result<UserChange, ErrorKind> + Send + Sync),
) -> Result<UserWriteOutcome, StoreError> {
    let top_role = &Role::parse("admin").expect("a role");
    stores
        .users
        .write(UserWrite { actor: None, key: None, target, top_role, assigns: None, decide })
        .await
}

pub(crate) async fn put(stores: &Stores, account: &Account) {
    let decide = |_: &UserSnapshot| Ok(UserChange::Put(account.clone()));
    let written = write(stores, account.user.id, &decide).await.expect("the store responds");
    assert!(matches!(written, UserWriteOutcome::Changed { .. }), "{written:?}");
}

/// Writes a user once more, unchanged.
pub(crate) async fn touch(stores: &Stores, id: UserId) -> Result<UserWriteOutcome, StoreError> {
    let decide = |snapshot: &UserSnapshot| {
        snapshot.target.clone().map(UserChange::Put).ok_or(ErrorKind::NotFound)
    };
    write(stores, id, &decide).await
}

pub(crate) async fn leave(stores: &Stores, id: UserId) -> Result<UserWriteOutcome, StoreError> {
    write(stores, id, &|_: &UserSnapshot| Ok(UserChange::Nothing)).await
}

pub(crate) async fn refuse(stores: &Stores, id: UserId) -> Result<UserWriteOutcome, StoreError> {
    write(stores, id, &|_: &UserSnapshot| Err(ErrorKind::Forbidden)).await
}

pub(crate) async fn delete(stores: &Stores, id: UserId) -> Result<UserWriteOutcome, StoreError> {
    write(stores, id, &|_: &UserSnapshot| Ok(UserChange::Delete)).await
}

/// Adds a grant and returns the revision.
pub(crate) async fn grant(stores: &Stores) -> Result<u64, StoreError> {
    let created_at = ManualClock::default().now();
    let grant = goat_core::access::Grant {
        id: goat_core::GrantId::generate(created_at),
        role: a_role(),
        permission: goat_core::Permission::new("report:read"),
        created_at: Timestamp::from_millis(created_at.as_millis()),
    };
    let decide = |_: &RoleSnapshot| Ok(RoleChange::Grant(vec![grant.clone()]));
    match stores
        .roles
        .write(RoleWrite { actor: None, key: None, deletes: None, decide: &decide })
        .await?
    {
        RoleWriteOutcome::Written(rows) => Ok(rows.revision),
        RoleWriteOutcome::Refused(kind) => panic!("refused: {kind:?}"),
    }
}
