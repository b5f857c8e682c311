//! In-memory roles and permissions: the role half of [`MemoryDirectory`], and a store without users.

use std::fmt;

use async_trait::async_trait;

use crate::access::{Grant, RoleRows, StoredRole};
use crate::error::StoreError;
use crate::id::GrantId;
use crate::store::{RoleChange, RoleSnapshot, RoleStore, RoleWrite, RoleWriteOutcome};

use super::MemoryDirectory;
use super::users::State;

impl State {
    pub(super) fn rows(&self) -> RoleRows {
        RoleRows {
            revision: self.revision,
            roles: self.roles.values().cloned().collect(),
            grants: self.grants.values().cloned().collect(),
        }
    }

    fn write_roles(&mut self, write: &RoleWrite<'_>, keeps_users: bool) -> RoleWriteOutcome {
        let snapshot = RoleSnapshot {
            actor: write.actor.filter(|_| keeps_users).and_then(|id| self.state(id)),
            has_key: write.key.filter(|_| keeps_users).map(|key| self.keys.contains_key(&key)),
            keeps_users,
            users: write.deletes.filter(|_| keeps_users).map(|role| self.users_in(role)),
            rows: self.rows(),
        };
        let changed = match (write.decide)(&snapshot) {
            Err(kind) => return RoleWriteOutcome::Refused(kind),
            Ok(RoleChange::Nothing) => false,
            Ok(RoleChange::Grant(grants)) => self.put_roles(Vec::new(), grants, Vec::new()),
            Ok(RoleChange::Revoke(id)) => self.grants.remove(&id).is_some(),
            Ok(RoleChange::Put { roles, grants, revoked }) => {
                self.put_roles(roles, grants, revoked)
            }
            Ok(RoleChange::Delete) => match write.deletes {
                Some(role) => {
                    self.grants.retain(|_, grant| grant.role != *role);
                    self.roles.remove(role).is_some()
                }
                None => false,
            },
        };
        if changed {
            self.revision += 1;
        }
        RoleWriteOutcome::Written(self.rows())
    }
}

impl State {
    /// Returns whether anything changed.
    fn put_roles(
        &mut self,
        roles: Vec<StoredRole>,
        grants: Vec<Grant>,
        revoked: Vec<GrantId>,
    ) -> bool {
        let mut is_changed = !grants.is_empty();
        for id in revoked {
            is_changed |= self.grants.remove(&id).is_some();
        }
        for new in roles {
            let known = self.roles.get(&new.role);
            is_changed |= known.is_none_or(|known| known.rank != new.rank);
            let created_at = known.map_or(new.created_at, |known| known.created_at);
            self.roles.insert(new.role.clone(), StoredRole { created_at, ..new });
        }
        self.grants.extend(grants.into_iter().map(|grant| (grant.id, grant)));
        is_changed
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

/// In-memory roles and permissions, for users in another store. Not persistent.
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
