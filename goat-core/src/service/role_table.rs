//! The role table in force, kept up to date with the store by its revision.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::aged::Aged;
use crate::clock::Time;
use crate::error::{Error, Result, StoreError};
use crate::id::GrantId;
use crate::invalidation::Lease;

use super::store::{
    Grant, RoleChange, RoleRows, RoleSnapshot, RoleStore, RoleWrite, RoleWriteOutcome,
};
use super::{Permission, Policy, Role, RoleSet, RoleTable, Table};

/// What roles may do, for whoever asks on a request's path.
#[derive(Debug)]
pub(crate) struct RoleTableCache {
    store: Arc<dyn RoleStore>,
    table: Table,
    /// How often an invalidation said that the table in force may be old.
    stale_generation: AtomicU64,
    /// How many of the stale_generation a load has fresh_generation that began after them.
    fresh_generation: AtomicU64,
    /// Only one load at a time: who comes meanwhile waits and finds it done. Holds how the last one
    /// ended, and which it was.
    loading: tokio::sync::Mutex<Ended>,
    /// How many loads have begun.
    begun: AtomicU64,
    /// When a load began that came to its end, by the stopwatch, in milliseconds.
    loaded_at: AtomicU64,
    /// How long the table is trusted where no store shows a revision to compare it with.
    staleness: Duration,
    /// Holds while invalidations are heard.
    lease: Arc<Lease>,
    policy: Policy,
    time: Time,
    /// Roles outside the set that were met, so that each is logged once.
    unknown: Mutex<HashSet<Role>>,
}

/// How a load ended, by its number: a failure is kept for those who waited for it.
type Ended = (u64, Result<(), Arc<Error>>);

/// How many unknown roles are remembered as logged.
const UNKNOWN_REMEMBERED: usize = 100;

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl RoleTableCache {
    pub(crate) fn new(
        store: Arc<dyn RoleStore>,
        roles: RoleSet,
        staleness: Duration,
        time: Time,
    ) -> Self {
        Self {
            store,
            table: Table::default(),
            stale_generation: AtomicU64::new(0),
            fresh_generation: AtomicU64::new(0),
            loading: tokio::sync::Mutex::new((0, Ok(()))),
            begun: AtomicU64::new(0),
            loaded_at: AtomicU64::new(0),
            staleness,
            lease: Arc::default(),
            policy: Policy::new(roles),
            time,
            unknown: Mutex::default(),
        }
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(crate) fn store(&self) -> &dyn RoleStore {
        self.store.as_ref()
    }

    /// Holds while invalidations are heard; whoever else depends on that shares it.
    pub(crate) fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    /// The table in force: at least of the revision that a store has shown, and no older than the
    /// staleness where none has. Says also whether it was swapped for that.
    pub(crate) async fn table(&self, shown: Option<u64>) -> Result<(Arc<RoleTable>, bool)> {
        if let Some(table) = self.good(shown) {
            return Ok((table, false));
        }
        let asked = self.begun.load(Ordering::SeqCst);
        let mut ended = self.loading.lock().await;
        if let Some(table) = self.good(shown) {
            return Ok((table, false));
        }
        // A load that began after this was asked for serves as well as one's own would, and its
        // failure too: those who wait do not fail one after another.
        if ended.0 > asked {
            if let Err(error) = &ended.1 {
                return Err(Error::shared(error));
            }
            if let Some(table) = self.table.get().filter(|table| Some(table.revision) >= shown) {
                return Ok((table, false));
            }
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        match self.load(shown).await {
            Ok(loaded) => {
                *ended = (number, Ok(()));
                Ok(loaded)
            }
            Err(error) => {
                let error = Arc::new(error);
                *ended = (number, Err(Arc::clone(&error)));
                Err(Error::shared(&error))
            }
        }
    }

    async fn load(&self, shown: Option<u64>) -> Result<(Arc<RoleTable>, bool)> {
        // ATOMIC: a doubt is fresh_generation only by a load that began after it and came to its end, so that
        // neither one that comes meanwhile nor a caller that hangs up leaves an old table in force.
        let stale_generation = self.stale_generation.load(Ordering::SeqCst);
        let began = self.time.elapsed();
        let Aged { value: rows, age } = self.rows(shown, stale_generation, began).await?;
        let rows = self.seeded(rows).await?;
        let swapped = self.put(rows.clone());
        self.fresh_generation.fetch_max(stale_generation, Ordering::SeqCst);
        self.loaded_at.fetch_max(milliseconds(began.saturating_sub(age)), Ordering::SeqCst);
        let table = self.table.get().filter(|table| table.revision >= rows.revision);
        Ok((table.unwrap_or_else(|| self.build(rows)), swapped))
    }

    /// The grants, from wherever they can be had cheaply if nothing says that they have changed:
    /// after a doubt only the store itself can settle it, since whoever wrote may have failed to
    /// tell those who remember.
    async fn rows(
        &self,
        shown: Option<u64>,
        stale_generation: u64,
        began: Duration,
    ) -> Result<Aged<RoleRows>, StoreError> {
        if self.fresh_generation.load(Ordering::SeqCst) == stale_generation
            && self.is_trusted(began)
        {
            let recent = self.store.cached().await?;
            // What is older than this process has no place on its stopwatch.
            let is_young = recent.age < self.staleness && recent.age <= began;
            let is_shown = shown.is_none_or(|shown| recent.value.revision >= shown);
            if is_young && is_shown {
                return Ok(recent);
            }
        }
        Ok(Aged::now(self.store.load().await?))
    }

    /// Whether what is remembered may be used at all now.
    fn is_trusted(&self, elapsed: Duration) -> bool {
        !self.staleness.is_zero() && self.lease.holds(elapsed)
    }

    /// The table in force if it can be trusted.
    fn good(&self, shown: Option<u64>) -> Option<Arc<RoleTable>> {
        if self.fresh_generation.load(Ordering::SeqCst)
            < self.stale_generation.load(Ordering::SeqCst)
        {
            return None;
        }
        self.table.get().filter(|table| match shown {
            Some(shown) => table.revision >= shown,
            None => self.is_young(),
        })
    }

    fn is_young(&self) -> bool {
        let elapsed = self.time.elapsed();
        let age = milliseconds(elapsed).saturating_sub(self.loaded_at.load(Ordering::SeqCst));
        age < milliseconds(self.staleness) && self.lease.holds(elapsed)
    }

    fn build(&self, rows: RoleRows) -> Arc<RoleTable> {
        Arc::new(RoleTable::new(rows, self.policy.roles()))
    }

    /// Puts rows in force, unless newer ones are.
    pub(crate) fn put(&self, rows: RoleRows) -> bool {
        self.table.swap(RoleTable::new(rows, self.policy.roles()))
    }

    /// The table in force may be old.
    pub(crate) fn mark_stale(&self) {
        self.stale_generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Gives a new database what the set of roles starts with, and the top role `full_access` if a
    /// set of one's own brought a new top.
    async fn seeded(&self, rows: RoleRows) -> Result<RoleRows> {
        let roles = self.policy.roles().clone();
        let now = self.time.now();
        let missing = move |rows: &RoleRows| -> Vec<Grant> {
            let has = |role: &Role, permission: &Permission| {
                rows.grants
                    .iter()
                    .any(|grant| grant.role == *role && grant.permission == *permission)
            };
            let mut grants: Vec<_> = roles
                .seed()
                .filter(|(role, permission)| {
                    (rows.revision == 0 || permission.is_full_access()) && !has(role, permission)
                })
                .map(|(role, permission)| Grant {
                    id: GrantId::generate(now),
                    role: role.clone(),
                    permission: permission.clone(),
                    created_at: now,
                })
                .collect();
            // All are of one time, and by their ids they are listed in the order of the set.
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

    /// Logs a role that the running set does not know, once.
    pub(crate) fn warn_unknown_role(&self, role: &Role) {
        if self.policy.roles().contains(role) {
            return;
        }
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if unknown.len() < UNKNOWN_REMEMBERED && unknown.insert(role.clone()) {
            tracing::warn!(%role, "a user has a role that the running set does not know; it has no permissions and the lowest rank");
        }
    }
}
