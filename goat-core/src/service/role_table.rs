//! Role table cache: the role table in force, kept current with the store by its revision.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::access::{Grant, Permission, Role, RoleRows, RoleSource, RoleTable, StoredRole};
use crate::clock::Time;
use crate::error::{Error, Result, StoreError};
use crate::invalidation::Lease;
use crate::single_flight::SingleFlight;
use crate::store::{Aged, RoleChange, RoleSnapshot, RoleStore, RoleWrite, RoleWriteOutcome};

/// The role table in force.
#[derive(Debug)]
pub(crate) struct RoleTableCache {
    store: Arc<dyn RoleStore>,
    source: RoleSource,
    /// The table of a store without rows.
    initial: Arc<RoleTable>,
    /// `None` before the first load.
    current: ArcSwapOption<RoleTable>,
    /// Rises when the table in force may be outdated.
    stale_generation: AtomicU64,
    /// Highest stale generation that a completed load covers.
    fresh_generation: AtomicU64,
    /// Loads in progress, by the revision that the caller requires.
    loads: SingleFlight<Option<u64>, Arc<RoleTable>, Error>,
    /// Stopwatch reading at the start of the newest completed load, in milliseconds.
    loaded_at: AtomicU64,
    /// How long the table is valid if no store reports the current revision.
    staleness: Duration,
    /// Held while the invalidation channel is connected.
    lease: Arc<Lease>,
    time: Time,
    /// Roles outside the set that were logged already.
    unknown: Mutex<HashSet<Role>>,
    /// Whether `full_access` of the role given at sign-up was logged.
    has_warned_of_open: AtomicBool,
}

/// How many unknown roles are logged at most.
const MAX_UNKNOWN_LOGGED: usize = 100;

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl RoleTableCache {
    pub(crate) fn new(
        store: Arc<dyn RoleStore>,
        source: RoleSource,
        staleness: Duration,
        lease: Arc<Lease>,
        time: Time,
    ) -> Self {
        let initial = Arc::new(RoleTable::new(RoleRows::default(), &source));
        Self {
            store,
            source,
            initial,
            current: ArcSwapOption::empty(),
            stale_generation: AtomicU64::new(0),
            fresh_generation: AtomicU64::new(0),
            loads: SingleFlight::default(),
            loaded_at: AtomicU64::new(0),
            staleness,
            lease,
            time,
            unknown: Mutex::default(),
            has_warned_of_open: AtomicBool::new(false),
        }
    }

    /// Returns a table of at least the revision `required`, or without one a table no older than the
    /// staleness.
    pub(crate) async fn table(&self, required: Option<u64>) -> Result<Arc<RoleTable>> {
        if let Some(table) = self.valid(required) {
            return Ok(table);
        }
        let load = || async {
            match self.valid(required) {
                Some(table) => Ok(table),
                None => self.load(required).await,
            }
        };
        self.loads.run(required, load).await.map_err(|error| Error::shared(&error))
    }

    /// Returns the newest table that this node has loaded, however old; before the first load, the table
    /// of the seed.
    pub(crate) fn known(&self) -> Arc<RoleTable> {
        self.current().unwrap_or_else(|| Arc::clone(&self.initial))
    }

    /// Returns a table with the roles in force; its permissions may be outdated. Reads no store for roles
    /// that are fixed in code.
    pub(crate) async fn roles(&self) -> Result<Arc<RoleTable>> {
        if self.source.is_stored { self.table(None).await } else { Ok(self.known()) }
    }

    /// Returns the newest table that this node has loaded, however old, or loads the first one.
    pub(crate) async fn known_or_loaded(&self) -> Result<Arc<RoleTable>> {
        match self.current() {
            Some(table) => Ok(table),
            None if !self.source.is_stored => Ok(Arc::clone(&self.initial)),
            None => self.table(None).await,
        }
    }

    /// Whether the roles are those of the store.
    pub(crate) fn is_stored(&self) -> bool {
        self.source.is_stored
    }

    /// Returns the highest role, which never changes. Writes nothing.
    pub(crate) async fn top(&self) -> Result<Role> {
        let table = match self.current() {
            Some(table) => table,
            // The set's is the highest, without a read of the store.
            None if !self.source.is_stored => Arc::clone(&self.initial),
            None => Arc::new(RoleTable::new(self.store.load().await?, &self.source)),
        };
        Ok(table.top().clone())
    }

    /// Returns the stored rows as they are once the store is seeded. Writes nothing.
    pub(crate) async fn rows_with_seed(&self) -> Result<RoleRows> {
        let mut rows = self.store.load().await?;
        if let Some((roles, grants)) = self.missing(&rows) {
            rows.roles.extend(roles);
            rows.grants.extend(grants);
        }
        Ok(rows)
    }

    async fn load(&self, required: Option<u64>) -> Result<Arc<RoleTable>> {
        // ATOMIC: a completed load covers only the generations from before it began, so neither an
        // invalidation during the load nor a dropped caller leaves an outdated table in force.
        let generation = self.stale_generation.load(Ordering::SeqCst);
        let began = self.time.elapsed();
        let Aged { value: rows, age } = self.rows(required, generation, began).await?;
        let rows = self.seeded(rows).await?;
        let loaded = self.replace(rows);
        if let Some(role) = &loaded.open_full_access
            && !self.has_warned_of_open.swap(true, Ordering::Relaxed)
        {
            tracing::error!(%role, "role given at sign-up has full_access in the database; ignored");
        }
        self.fresh_generation.fetch_max(generation, Ordering::SeqCst);
        self.loaded_at.fetch_max(milliseconds(began.saturating_sub(age)), Ordering::SeqCst);
        let newer = self.current().filter(|table| table.revision >= loaded.revision);
        Ok(newer.unwrap_or(loaded))
    }

    /// Checks that the stored rows fit the settings: that the role given at sign-up exists, and has no
    /// `full_access` (A8).
    pub(crate) async fn check(&self) -> Result<()> {
        let table = self.table(None).await?;
        if let (None, Some(role)) = (table.signup(), &self.source.signup) {
            let requirement = table.requirement();
            return Err(Error::configuration(format!(
                "the role given at sign-up {requirement}; {role} does not exist"
            )));
        }
        if let Some(role) = &table.open_full_access {
            return Err(Error::configuration(format!(
                "role {role} is given at sign-up and has full_access in the database: revoke it, or \
                 have another role given at sign-up"
            )));
        }
        Ok(())
    }

    /// Reads the grants, from the shared cache unless the table is stale. A stale table is reloaded
    /// from the store, since the writer may have failed to invalidate the shared cache.
    async fn rows(
        &self,
        required: Option<u64>,
        generation: u64,
        began: Duration,
    ) -> Result<Aged<RoleRows>, StoreError> {
        if self.fresh_generation.load(Ordering::SeqCst) == generation && self.may_cache(began) {
            let cached = self.store.cached().await?;
            // The stopwatch cannot express a time before the start of the process.
            let is_young = cached.age < self.staleness && cached.age <= began;
            let is_current = required.is_none_or(|revision| cached.value.revision >= revision);
            if is_young && is_current {
                return Ok(cached);
            }
        }
        Ok(Aged::now(self.store.load().await?))
    }

    /// Whether cached data may be used.
    fn may_cache(&self, elapsed: Duration) -> bool {
        !self.staleness.is_zero() && self.lease.holds(elapsed)
    }

    fn current(&self) -> Option<Arc<RoleTable>> {
        self.current.load_full()
    }

    /// Returns the table in force if it is valid for a caller that requires this revision.
    fn valid(&self, required: Option<u64>) -> Option<Arc<RoleTable>> {
        let fresh = self.fresh_generation.load(Ordering::SeqCst);
        if fresh < self.stale_generation.load(Ordering::SeqCst) {
            return None;
        }
        self.current().filter(|table| match required {
            Some(revision) => table.revision >= revision,
            None => self.is_young(),
        })
    }

    fn is_young(&self) -> bool {
        let elapsed = self.time.elapsed();
        let age = milliseconds(elapsed).saturating_sub(self.loaded_at.load(Ordering::SeqCst));
        age < milliseconds(self.staleness) && self.lease.holds(elapsed)
    }

    /// Puts a table in force, unless the present one is as new; returns the built table.
    pub(crate) fn replace(&self, rows: RoleRows) -> Arc<RoleTable> {
        let new = Arc::new(RoleTable::new(rows, &self.source));
        self.current.rcu(|old| match old {
            Some(old) if old.revision >= new.revision => Some(Arc::clone(old)),
            _ => Some(Arc::clone(&new)),
        });
        new
    }

    /// Handles the invalidation of all tables before `revision`.
    pub(crate) fn invalidate_below(&self, revision: u64) {
        if self.current().is_none_or(|table| table.revision < revision) {
            self.mark_stale();
        }
    }

    /// Marks the table in force as possibly outdated.
    pub(crate) fn mark_stale(&self) {
        self.stale_generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Seeds a new database with the roles and grants of the role set, and grants `full_access` to the top
    /// role if a custom set has a new one.
    async fn seeded(&self, rows: RoleRows) -> Result<RoleRows> {
        if self.missing(&rows).is_none() {
            return Ok(rows);
        }
        let decide = |snapshot: &RoleSnapshot| {
            let missing = self.missing(&snapshot.rows);
            Ok(missing.map_or(RoleChange::Nothing, |(roles, grants)| RoleChange::Put {
                roles,
                grants,
                revoked: Vec::new(),
            }))
        };
        let write = RoleWrite { actor: None, key: None, deletes: None, decide: &decide };
        match self.store.write(write).await? {
            RoleWriteOutcome::Written(rows) => Ok(rows),
            RoleWriteOutcome::Refused(kind) => Err(kind.into()),
        }
    }

    /// Returns the roles and grants of the seed that the rows lack, if any.
    fn missing(&self, rows: &RoleRows) -> Option<(Vec<StoredRole>, Vec<Grant>)> {
        let (now, set) = (self.time.now(), &self.source.set);
        let lacks_roles = self.source.is_stored && rows.roles.is_empty();
        let stored =
            |(role, rank): (&Role, _)| StoredRole { role: role.clone(), rank, created_at: now };
        let roles: Vec<_> = set.ranked().filter(|_| lacks_roles).map(stored).collect();

        let table = RoleTable::new(rows.clone(), &self.source);
        let has = |role: &Role, permission: &Permission| {
            rows.grants.iter().any(|grant| grant.role == *role && grant.permission == *permission)
        };
        let is_new = rows.revision == 0;
        let seed = set.seed().filter(|(role, permission)| {
            is_new && table.contains(role) && !permission.is_full_access()
        });
        let seed = seed.chain([(table.top(), &Permission::FULL_ACCESS)]);
        let grants = Grant::all(seed.filter(|(role, permission)| !has(role, permission)), now);
        (!roles.is_empty() || !grants.is_empty()).then_some((roles, grants))
    }

    /// Logs a role outside the table, once.
    pub(crate) fn warn_unknown_role(&self, role: &Role, table: &RoleTable) {
        if table.contains(role) {
            return;
        }
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if unknown.len() < MAX_UNKNOWN_LOGGED && unknown.insert(role.clone()) {
            tracing::warn!(%role, "user has a role that does not exist; it has no permissions and the lowest rank");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Rank, RoleSet};
    use crate::store::memory::MemoryRoles;
    use crate::testing::ManualClock;

    fn cache() -> RoleTableCache {
        of(RoleSource::default())
    }

    fn of(source: RoleSource) -> RoleTableCache {
        let time = Time::new(Arc::new(ManualClock::default()));
        let store = Arc::new(MemoryRoles::default());
        RoleTableCache::new(store, source, Duration::from_secs(1), Arc::default(), time)
    }

    fn rows(revision: u64) -> RoleRows {
        RoleRows { revision, ..RoleRows::default() }
    }

    #[tokio::test]
    async fn store_without_roles_is_seeded_once() {
        let set = RoleSet::new([("reader", vec!["book:read"]), ("chief", vec!["full_access"])]);
        let source = RoleSource { set: set.expect("a set"), is_stored: true, signup: None };
        let cache = of(source);
        assert_eq!(cache.known().top().as_str(), "chief");
        let table = cache.table(None).await.expect("the store responds");
        assert_eq!(table.revision, 1, "one write");
        let stored = cache.store.load().await.expect("the store responds");
        let ranks = stored.roles.iter().map(|stored| (stored.role.as_str(), stored.rank));
        assert_eq!(ranks.collect::<Vec<_>>(), [("chief", Rank(1000)), ("reader", Rank(500))]);
        assert_eq!(stored.grants.len(), 2);
        cache.mark_stale();
        assert_eq!(cache.table(None).await.expect("the store responds").revision, 1);
    }

    #[test]
    fn older_table_never_replaces_a_newer_one() {
        let cache = cache();
        assert!(cache.current().is_none());
        for (revision, in_force) in [(2, 2), (1, 2), (3, 3)] {
            cache.replace(rows(revision));
            assert_eq!(cache.current().expect("a table").revision, in_force);
        }
    }

    #[tokio::test]
    async fn invalidation_of_an_older_revision_leaves_the_table_valid() {
        let cache = cache();
        let loaded = cache.table(None).await.expect("the store responds").revision;
        cache.replace(rows(loaded + 1));
        cache.invalidate_below(loaded + 1);
        assert!(cache.valid(None).is_some(), "the table in force contains the change");
        cache.invalidate_below(loaded + 2);
        assert!(cache.valid(None).is_none(), "another node's change is newer");
    }
}
