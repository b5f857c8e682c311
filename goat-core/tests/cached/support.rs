//! Nodes that share one database and one shelf, and what they do with users and roles.

mod shelf;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use goat_core::access::{RoleChange, RoleRows, RoleSnapshot, RoleWrite, RoleWriteOutcome};
use goat_core::session::SessionEpoch;
use goat_core::store::Aged;
use goat_core::store::shared_cache::{CacheEntry, CacheKey, SharedCache, SharedCacheStats};
use goat_core::testing::{ManualClock, Pauses};
use goat_core::user::{Account, UserChange, UserSnapshot, UserState, UserWrite, UserWriteOutcome};
use goat_core::{
    Clock, Email, ErrorKind, Role, Status, StoreError, Stores, Timestamp, User, UserId,
};

pub(crate) use shelf::{HeldCall, HeldShelf, MemoryShelf};
pub(crate) use turns::{NeverCommits, TurnAbout};

/// How old what is remembered may be.
pub(crate) const STALENESS: Duration = Duration::from_millis(1000);
/// What the shortest step of time is.
pub(crate) const MOMENT: Duration = Duration::from_millis(1);

/// One database and one shelf, both in memory, for as many nodes as a test wants.
pub(crate) struct Ground {
    pub(crate) clock: ManualClock,
    pub(crate) database: Stores,
    pub(crate) shelf: HeldShelf,
}

/// A node: its stores are cached, and its calls of the database can be held and are counted.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) stores: Stores,
    pub(crate) database: Pauses,
    pub(crate) cache: SharedCacheStats,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::default();
        let shelf = HeldShelf::over(Arc::new(MemoryShelf::new(clock.clone())));
        Self { clock, database: Stores::memory(), shelf }
    }

    pub(crate) fn node(&self) -> Node {
        self.node_over(self.database.clone(), STALENESS)
    }

    pub(crate) fn node_over(&self, database: Stores, staleness: Duration) -> Node {
        let shelf = Arc::new(self.shelf.clone());
        cached(database, shelf, staleness, Arc::new(self.clock.clone()))
    }

    /// A user that is in the database and that no cache knows.
    pub(crate) async fn user(&self) -> UserId {
        let account = account();
        put(&self.database, &account).await;
        account.user.id
    }

    pub(crate) async fn on_the_shelf(&self, key: CacheKey) -> Option<CacheEntry> {
        self.shelf.inner.get(key).await.expect("the shelf in memory answers").entry
    }
}

pub(crate) fn cached(
    database: Stores,
    shelf: Arc<dyn SharedCache>,
    staleness: Duration,
    clock: Arc<dyn Clock>,
) -> Node {
    let (database, pauses) = Pauses::over(database);
    let (stores, cache) = database.cached(shelf, staleness, clock);
    Node { stores, database: pauses, cache }
}

impl Node {
    pub(crate) async fn cached_state(&self, id: UserId) -> Aged<Option<UserState>> {
        self.stores.users.cached_state(id).await.expect("the stores answer")
    }

    /// The revision of the state that the node would go by.
    pub(crate) async fn sees(&self, id: UserId) -> u64 {
        self.cached_state(id).await.value.expect("the user").revision
    }

    /// The same, on a task of its own.
    pub(crate) fn seeing(&self, id: UserId) -> tokio::task::JoinHandle<u64> {
        let node = self.clone();
        tokio::spawn(async move { node.sees(id).await })
    }

    /// Writes the user once more, as it is.
    pub(crate) async fn touch(&self, id: UserId) -> Result<UserWriteOutcome, StoreError> {
        touch(&self.stores, id).await
    }

    /// How often the database was asked for a state since this was last asked.
    pub(crate) fn state_reads(&self) -> usize {
        self.database.take_calls().iter().filter(|call| **call == "users.state").count()
    }

    pub(crate) async fn recent_rows(&self) -> Aged<RoleRows> {
        self.stores.roles.cached().await.expect("the stores answer")
    }
}

fn a_role() -> Role {
    Role::parse("client").expect("a role")
}

pub(crate) fn account() -> Account {
    let now = ManualClock::default().now();
    let id = UserId::generate(now);
    Account {
        user: User {
            id,
            email: Email::parse(&format!("{}@example.org", id.to_string().to_lowercase()))
                .expect("an address"),
            role: a_role(),
            status: Status::Active,
            created_at: now,
            updated_at: now,
            last_login_at: None,
        },
        password_hash: "hash".into(),
        epoch: SessionEpoch::default(),
        revision: 0,
    }
}

async fn write(
    stores: &Stores,
    target: UserId,
    decide: &(dyn Fn(&UserSnapshot) -> Result<UserChange, ErrorKind> + Send + Sync),
) -> Result<UserWriteOutcome, StoreError> {
    let top_role = &Role::parse("admin").expect("a role");
    stores.users.write(UserWrite { actor: None, target, top_role, decide }).await
}

pub(crate) async fn put(stores: &Stores, account: &Account) {
    let decide = |_: &UserSnapshot| Ok(UserChange::Put(account.clone()));
    let written = write(stores, account.user.id, &decide).await.expect("the store answers");
    assert!(matches!(written, UserWriteOutcome::Changed { .. }), "{written:?}");
}

/// Writes a user once more, as it is.
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

/// Grants something new; answers the revision.
pub(crate) async fn grant(stores: &Stores) -> Result<u64, StoreError> {
    let created_at = ManualClock::default().now();
    let grant = goat_core::access::Grant {
        id: goat_core::GrantId::generate(created_at),
        role: a_role(),
        permission: goat_core::Permission::new("report:read"),
        created_at: Timestamp::from_millis(created_at.as_millis()),
    };
    let decide = |_: &RoleSnapshot| Ok(RoleChange::Grant(vec![grant.clone()]));
    match stores.roles.write(RoleWrite { actor: None, decide: &decide }).await? {
        RoleWriteOutcome::Written(rows) => Ok(rows.revision),
        RoleWriteOutcome::Refused(kind) => panic!("nothing refuses: {kind:?}"),
    }
}
