//! Role table cache: the role table in force, kept current with the store by its revision.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::access::{Grant, Permission, Role, RoleRows, RoleSet, RoleTable};
use crate::clock::Time;
use crate::error::{Error, Result, StoreError};
use crate::id::GrantId;
use crate::invalidation::Lease;
use crate::single_flight::SingleFlight;
use crate::store::{Aged, RoleChange, RoleSnapshot, RoleStore, RoleWrite, RoleWriteOutcome};

/// The role table in force.
#[derive(Debug)]
pub(crate) struct RoleTableCache {
    store: Arc<dyn RoleStore>,
    roles: RoleSet,
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
        roles: RoleSet,
        staleness: Duration,
        lease: Arc<Lease>,
        time: Time,
    ) -> Self {
        Self {
            store,
            roles,
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

    async fn load(&self, required: Option<u64>) -> Result<Arc<RoleTable>> {
        // ATOMIC: a completed load covers only the generations from before it began, so neither an
        // invalidation during the load nor a dropped caller leaves an outdated table in force.
        let generation = self.stale_generation.load(Ordering::SeqCst);
        let began = self.time.elapsed();
        let Aged { value: rows, age } = self.rows(required, generation, began).await?;
        let rows = self.seeded(rows).await?;
        let loaded = self.replace(rows);
        if loaded.has_open_full_access && !self.has_warned_of_open.swap(true, Ordering::Relaxed) {
            let role = self.roles.bottom();
            tracing::error!(%role, "role given at sign-up has full_access in the database; ignored");
        }
        self.fresh_generation.fetch_max(generation, Ordering::SeqCst);
        self.loaded_at.fetch_max(milliseconds(began.saturating_sub(age)), Ordering::SeqCst);
        let newer = self.current().filter(|table| table.revision >= loaded.revision);
        Ok(newer.unwrap_or(loaded))
    }

    /// Checks that the stored grants fit the role set: that the role given at sign-up has no
    /// `full_access` (A8).
    pub(crate) async fn check(&self) -> Result<()> {
        if self.table(None).await?.has_open_full_access {
            let role = self.roles.bottom();
            return Err(Error::configuration(format!(
                "role {role} is given at sign-up and has full_access in the database: revoke it, or \
                 add a lower role"
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
        let new = Arc::new(RoleTable::new(rows, &self.roles));
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

    /// Seeds a new database with the grants of the role set, and grants `full_access` to the top role
    /// if a custom set has a new one.
    async fn seeded(&self, rows: RoleRows) -> Result<RoleRows> {
        let now = self.time.now();
        let missing = |rows: &RoleRows| -> Vec<Grant> {
            let has = |role: &Role, permission: &Permission| {
                rows.grants
                    .iter()
                    .any(|grant| grant.role == *role && grant.permission == *permission)
            };
            let seed = self.roles.seed().filter(|(role, permission)| {
                (rows.revision == 0 || permission.is_full_access()) && !has(role, permission)
            });
            let mut grants: Vec<_> = seed
                .map(|(role, permission)| Grant {
                    id: GrantId::generate(now),
                    role: role.clone(),
                    permission: permission.clone(),
                    created_at: now,
                })
                .collect();
            // Grants of one time are listed by id: sorted ids keep the order of the set.
            let mut ids: Vec<_> = grants.iter().map(|grant| grant.id).collect();
            ids.sort_unstable();
            grants.iter_mut().zip(ids).for_each(|(grant, id)| grant.id = id);
            grants
        };
        if missing(&rows).is_empty() {
            return Ok(rows);
        }
        let decide = |snapshot: &RoleSnapshot| {
            let grants = missing(&snapshot.rows);
            Ok(if grants.is_empty() { RoleChange::Nothing } else { RoleChange::Grant(grants) })
        };
        match self.store.write(RoleWrite { actor: None, decide: &decide }).await? {
            RoleWriteOutcome::Written(rows) => Ok(rows),
            RoleWriteOutcome::Refused(kind) => Err(kind.into()),
        }
    }

    /// Logs a role outside the set, once.
    pub(crate) fn warn_unknown_role(&self, role: &Role) {
        if self.roles.contains(role) {
            return;
        }
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if unknown.len() < MAX_UNKNOWN_LOGGED && unknown.insert(role.clone()) {
            tracing::warn!(%role, "user has a role outside the configured set; it has no permissions and the lowest rank");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryRoles;
    use crate::testing::ManualClock;

    fn cache() -> RoleTableCache {
        let time = Time::new(Arc::new(ManualClock::default()));
        let (store, roles) = (Arc::new(MemoryRoles::default()), RoleSet::default());
        RoleTableCache::new(store, roles, Duration::from_secs(1), Arc::default(), time)
    }

    fn rows(revision: u64) -> RoleRows {
        RoleRows { revision, grants: Vec::new() }
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
