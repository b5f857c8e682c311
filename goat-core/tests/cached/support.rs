//! A shelf in memory, a hand that holds and breaks its calls, and nodes that share it.

mod turns;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use goat_core::access::{RoleChange, RoleRows, RoleSnapshot, RoleWrite, RolesWritten};
use goat_core::session::SessionEpoch;
use goat_core::store::Recent;
use goat_core::store::cached::{Entry, Look, SharedCache, Shelf, ShelfKey, Stamp};
use goat_core::testing::{ManualClock, Pauses, Point};
use goat_core::user::{Account, Change, Snapshot, UserState, UserWrite, Written};
use goat_core::{
    Clock, Email, ErrorKind, Role, Status, StoreError, Stores, Timestamp, User, UserId,
};
use tokio::sync::Semaphore;

pub(crate) use turns::{NeverCommits, TurnAbout};

/// How old what is remembered may be.
pub(crate) const STALENESS: Duration = Duration::from_millis(1000);
/// What the shortest step of time is.
pub(crate) const MOMENT: Duration = Duration::from_millis(1);

/// The rules of a shelf, in memory, by a clock that the test moves.
#[derive(Debug)]
pub(crate) struct MemoryShelf {
    clock: ManualClock,
    places: Mutex<HashMap<ShelfKey, Place>>,
}

#[derive(Debug)]
struct Place {
    revision: u64,
    entry: Option<Entry>,
    known_until: Duration,
}

impl MemoryShelf {
    pub(crate) fn new(clock: ManualClock) -> Self {
        Self { clock, places: Mutex::default() }
    }

    fn places(&self) -> MutexGuard<'_, HashMap<ShelfKey, Place>> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.elapsed();
        places.retain(|_, place| now < place.known_until);
        places
    }

    fn now(&self) -> Stamp {
        Stamp(u64::try_from(self.clock.elapsed().as_millis()).expect("a short test"))
    }
}

#[async_trait]
impl Shelf for MemoryShelf {
    async fn look(&self, key: ShelfKey) -> Result<Look, StoreError> {
        let entry = self.places().get(&key).and_then(|place| place.entry.clone());
        Ok(Look { entry, now: self.now() })
    }

    async fn put(&self, key: ShelfKey, entry: &Entry, life: Duration) -> Result<bool, StoreError> {
        let ends_at = Duration::from_millis(entry.read_at.0) + life;
        let mut places = self.places();
        if ends_at <= self.clock.elapsed() {
            return Ok(false);
        }
        let place = places.entry(key).or_insert(Place {
            revision: 0,
            entry: None,
            known_until: Duration::ZERO,
        });
        let is_known = place.revision == entry.revision
            && place.entry.as_ref().is_some_and(|known| known.read_at >= entry.read_at);
        if entry.revision < place.revision || is_known {
            return Ok(false);
        }
        *place = Place {
            revision: entry.revision,
            entry: Some(entry.clone()),
            known_until: place.known_until.max(ends_at),
        };
        Ok(true)
    }

    async fn raise(&self, key: ShelfKey, revision: u64, life: Duration) -> Result<(), StoreError> {
        let until = self.clock.elapsed() + life;
        let mut places = self.places();
        let place =
            places.entry(key).or_insert(Place { revision, entry: None, known_until: until });
        if place.revision < revision {
            (place.revision, place.entry) = (revision, None);
        }
        place.known_until = place.known_until.max(until);
        Ok(())
    }
}

/// What happens to a call of the shelf.
#[derive(Clone, Debug)]
enum Fate {
    Held(Arc<Semaphore>, Arc<Semaphore>),
    Fails,
    Silent,
}

/// A shelf whose calls the test holds, breaks and counts: `look`, `put` and `raise`. A `put` goes on
/// when it is released, also if its caller has given it up, as it would over a network; the others
/// end with their callers, as they would where nothing was sent yet.
#[derive(Clone, Debug)]
pub(crate) struct HeldShelf {
    inner: Arc<dyn Shelf>,
    plans: Arc<Mutex<Plans>>,
}

#[derive(Debug, Default)]
struct Plans {
    once: Vec<(&'static str, Point, Fate)>,
    always: Option<Fate>,
    calls: Vec<&'static str>,
}

/// A call of the shelf that is held until it is released.
pub(crate) struct HeldCall {
    reached: Arc<Semaphore>,
    released: Arc<Semaphore>,
}

impl HeldCall {
    pub(crate) async fn reached(&self) {
        let reached = tokio::time::timeout(Duration::from_secs(30), self.reached.acquire()).await;
        reached.expect("the shelf is called").expect("it is not closed").forget();
    }

    pub(crate) fn release(self) {
        self.released.add_permits(1);
    }
}

impl HeldShelf {
    pub(crate) fn over(inner: Arc<dyn Shelf>) -> Self {
        Self { inner, plans: Arc::default() }
    }

    fn plans(&self) -> MutexGuard<'_, Plans> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the next call of this name.
    pub(crate) fn hold(&self, call: &'static str, point: Point) -> HeldCall {
        let (reached, released) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let fate = Fate::Held(Arc::clone(&reached), Arc::clone(&released));
        self.plans().once.push((call, point, fate));
        HeldCall { reached, released }
    }

    /// Breaks the next call of this name.
    pub(crate) fn fail(&self, call: &'static str, point: Point) {
        self.plans().once.push((call, point, Fate::Fails));
    }

    /// Every call fails from now on.
    pub(crate) fn go_down(&self) {
        self.plans().always = Some(Fate::Fails);
    }

    /// No call is answered from now on.
    pub(crate) fn fall_silent(&self) {
        self.plans().always = Some(Fate::Silent);
    }

    /// Calls are answered again.
    pub(crate) fn come_back(&self) {
        self.plans().always = None;
    }

    /// The calls so far, which are then forgotten.
    pub(crate) fn take_calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.plans().calls)
    }

    async fn at(&self, call: &'static str, point: Point) -> Result<(), StoreError> {
        let fate = {
            let mut plans = self.plans();
            if point == Point::Entry {
                plans.calls.push(call);
            }
            let planned = plans.once.iter().position(|plan| (plan.0, plan.1) == (call, point));
            planned.map(|place| plans.once.remove(place).2).or_else(|| plans.always.clone())
        };
        match fate {
            None => Ok(()),
            Some(Fate::Fails) => Err(StoreError::unavailable("shelf")),
            Some(Fate::Silent) => std::future::pending().await,
            Some(Fate::Held(reached, released)) => {
                reached.add_permits(1);
                released.acquire().await.expect("it is not closed").forget();
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

#[async_trait]
impl Shelf for HeldShelf {
    async fn look(&self, key: ShelfKey) -> Result<Look, StoreError> {
        self.pass("look", self.inner.look(key)).await
    }

    async fn put(&self, key: ShelfKey, entry: &Entry, life: Duration) -> Result<bool, StoreError> {
        let (this, entry) = (self.clone(), entry.clone());
        let putting = async move { this.pass("put", this.inner.put(key, &entry, life)).await };
        tokio::spawn(putting).await.expect("no panic")
    }

    async fn raise(&self, key: ShelfKey, revision: u64, life: Duration) -> Result<(), StoreError> {
        self.pass("raise", self.inner.raise(key, revision, life)).await
    }
}

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
    pub(crate) cache: SharedCache,
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

    pub(crate) async fn on_the_shelf(&self, key: ShelfKey) -> Option<Entry> {
        self.shelf.inner.look(key).await.expect("the shelf in memory answers").entry
    }
}

pub(crate) fn cached(
    database: Stores,
    shelf: Arc<dyn Shelf>,
    staleness: Duration,
    clock: Arc<dyn Clock>,
) -> Node {
    let (database, pauses) = Pauses::over(database);
    let (stores, cache) = database.cached(shelf, staleness, clock);
    Node { stores, database: pauses, cache }
}

impl Node {
    pub(crate) async fn recent_state(&self, id: UserId) -> Recent<Option<UserState>> {
        self.stores.users.recent_state(id).await.expect("the stores answer")
    }

    /// The revision of the state that the node would go by.
    pub(crate) async fn sees(&self, id: UserId) -> u64 {
        self.recent_state(id).await.value.expect("the user").revision
    }

    /// The same, on a task of its own.
    pub(crate) fn seeing(&self, id: UserId) -> tokio::task::JoinHandle<u64> {
        let node = self.clone();
        tokio::spawn(async move { node.sees(id).await })
    }

    /// Writes the user once more, as it is.
    pub(crate) async fn touch(&self, id: UserId) -> Result<Written, StoreError> {
        touch(&self.stores, id).await
    }

    /// How often the database was asked for a state since this was last asked.
    pub(crate) fn state_reads(&self) -> usize {
        self.database.take_calls().iter().filter(|call| **call == "users.state").count()
    }

    pub(crate) async fn recent_rows(&self) -> Recent<RoleRows> {
        self.stores.roles.recent().await.expect("the stores answer")
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
    decide: &(dyn Fn(&Snapshot) -> Result<Change, ErrorKind> + Send + Sync),
) -> Result<Written, StoreError> {
    let top_role = &Role::parse("admin").expect("a role");
    stores.users.write(UserWrite { actor: None, target, top_role, decide }).await
}

pub(crate) async fn put(stores: &Stores, account: &Account) {
    let decide = |_: &Snapshot| Ok(Change::Put(account.clone()));
    let written = write(stores, account.user.id, &decide).await.expect("the store answers");
    assert!(matches!(written, Written::Changed { .. }), "{written:?}");
}

/// Writes a user once more, as it is.
pub(crate) async fn touch(stores: &Stores, id: UserId) -> Result<Written, StoreError> {
    let decide =
        |snapshot: &Snapshot| snapshot.target.clone().map(Change::Put).ok_or(ErrorKind::NotFound);
    write(stores, id, &decide).await
}

pub(crate) async fn leave(stores: &Stores, id: UserId) -> Result<Written, StoreError> {
    write(stores, id, &|_: &Snapshot| Ok(Change::Nothing)).await
}

pub(crate) async fn refuse(stores: &Stores, id: UserId) -> Result<Written, StoreError> {
    write(stores, id, &|_: &Snapshot| Err(ErrorKind::Forbidden)).await
}

pub(crate) async fn delete(stores: &Stores, id: UserId) -> Result<Written, StoreError> {
    write(stores, id, &|_: &Snapshot| Ok(Change::Delete)).await
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
        RolesWritten::Written(rows) => Ok(rows.revision),
        RolesWritten::Refused(kind) => panic!("nothing refuses: {kind:?}"),
    }
}
