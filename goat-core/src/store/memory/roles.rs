//! In-memory role permissions: the role half of [`MemoryDirectory`], and a store without users.

use std::fmt;

use async_trait::async_trait;

use crate::access::RoleRows;
use crate::error::StoreError;
use crate::store::{RoleChange, RoleSnapshot, RoleStore, RoleWrite, RoleWriteOutcome};

use super::MemoryDirectory;
use super::users::State;

impl State {
    fn rows(&self) -> RoleRows {
        RoleRows { revision: self.revision, grants: self.grants.values().cloned().collect() }
    }

    fn write_roles(&mut self, write: &RoleWrite<'_>, keeps_users: bool) -> RoleWriteOutcome {
        let snapshot = RoleSnapshot {
            actor: write.actor.filter(|_| keeps_users).and_then(|id| self.state(id)),
            keeps_users,
            rows: self.rows(),
        };
        let changed = match (write.decide)(&snapshot) {
            Err(kind) => return RoleWriteOutcome::Refused(kind),
            Ok(RoleChange::Nothing) => false,
            Ok(RoleChange::Grant(grants)) => {
                let any = !grants.is_empty();
                self.grants.extend(grants.into_iter().map(|grant| (grant.id, grant)));
                any
            }
            Ok(RoleChange::Revoke(id)) => self.grants.remove(&id).is_some(),
        };
        if changed {
            self.revision += 1;
        }
        RoleWriteOutcome::Written(self.rows())
    }
}

#[async_trait]
impl RoleStore for MemoryDirectory {
    async fn load(&self) -> Result<RoleRows, StoreError> {
        Ok(self.lock().rows())
    }

    async fn write(&self, write: RoleWrite<'_>) -> Result<RoleWriteOutcome, StoreError> {
        Ok(self.lock().write_roles(&write, true))
    }
}

/// In-memory role permissions, for users in another store. Not persistent.
///
/// ```
/// use std::sync::Arc;
/// use goat_core::{Stores, store::UserStore, store::memory::MemoryRoles};
///
/// /// Users in another store, and everything else in memory.
/// fn beside(users: Arc<dyn UserStore>) -> Stores {
///     Stores { users, roles: Arc::new(MemoryRoles::default()), ..Stores::memory() }
/// }
/// # let _ = beside;
/// ```
#[derive(Default)]
pub struct MemoryRoles {
    /// Has no users.
    directory: MemoryDirectory,
}

impl fmt::Debug for MemoryRoles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MemoryRoles")
    }
}

#[async_trait]
impl RoleStore for MemoryRoles {
    async fn load(&self) -> Result<RoleRows, StoreError> {
        self.directory.load().await
    }

    async fn write(&self, write: RoleWrite<'_>) -> Result<RoleWriteOutcome, StoreError> {
        Ok(self.directory.lock().write_roles(&write, false))
    }
}
