//! What roles may do, in memory: the other half of [`MemoryDirectory`].

use async_trait::async_trait;

use crate::access::{RoleChange, RoleRows, RoleSnapshot, RoleStore, RoleWrite, RolesWritten};
use crate::error::StoreError;

use super::MemoryDirectory;
use super::users::State;

impl State {
    fn rows(&self) -> RoleRows {
        RoleRows { revision: self.revision, grants: self.grants.values().cloned().collect() }
    }

    fn write_roles(&mut self, write: &RoleWrite<'_>) -> RolesWritten {
        let snapshot =
            RoleSnapshot { actor: write.actor.and_then(|id| self.actor(id)), rows: self.rows() };
        let changed = match (write.decide)(&snapshot) {
            Err(kind) => return RolesWritten::Refused(kind),
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
        RolesWritten::Written(self.rows())
    }
}

#[async_trait]
impl RoleStore for MemoryDirectory {
    async fn load(&self) -> Result<RoleRows, StoreError> {
        Ok(self.lock().rows())
    }

    async fn write(&self, write: RoleWrite<'_>) -> Result<RolesWritten, StoreError> {
        Ok(self.lock().write_roles(&write))
    }
}
