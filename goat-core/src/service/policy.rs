//! Access policy: rank and permissions over other users, assignable roles, and the last administrator.
//!
//! Rules over a change are evaluated with the state that the write reads inside its own transaction.

use std::sync::Arc;

use crate::access::{Grant, Permission, Role, RoleRows, RoleSet, RoleTable};
use crate::error::ErrorKind;
use crate::id::UserId;
use crate::user::{Status, User, UserState};

use super::{ActorFacts, Principal};

/// The standing of an authorized actor: its role, and the role table that decides on which users it may
/// act.
#[derive(Clone, Debug)]
pub(crate) enum Standing {
    /// The system, which may act on every user.
    System,
    /// A user.
    User {
        /// The user.
        user: UserId,
        /// The user's role.
        role: Role,
        /// The permissions of all roles.
        table: Arc<RoleTable>,
    },
}

/// An actor and the grants of all roles, as a write's own transaction read them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ActorView<'a> {
    /// The actor, if it still exists.
    pub(crate) state: Option<&'a UserState>,
    /// The grants, where the store keeps them.
    pub(crate) grants: Option<&'a [Grant]>,
}

/// The rules over one set of roles.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    roles: RoleSet,
}

impl Policy {
    pub(crate) fn new(roles: RoleSet) -> Self {
        Self { roles }
    }

    pub(crate) fn roles(&self) -> &RoleSet {
        &self.roles
    }

    /// Authorizes an actor by the state that the write's transaction read: the user exists, the session
    /// is live, and the role has the permission. `table` decides where the store does not keep
    /// permissions.
    pub(crate) fn authorize(
        &self,
        actor: Option<&ActorFacts>,
        view: ActorView<'_>,
        needs: &Permission,
        table: &Arc<RoleTable>,
    ) -> Result<Standing, ErrorKind> {
        let Some(facts) = actor else { return Ok(Standing::System) };
        let state = view.state.ok_or(ErrorKind::SessionRevoked)?;
        if !state.has_live_session(facts.session, facts.session_epoch) {
            return Err(ErrorKind::SessionRevoked);
        }
        let table = match view.grants {
            Some(grants) => {
                let rows = RoleRows { revision: table.revision, grants: grants.to_vec() };
                Arc::new(RoleTable::new(rows, &self.roles))
            }
            None => Arc::clone(table),
        };
        if !table.rights(&state.user.role).allow(needs) {
            return Err(ErrorKind::Forbidden);
        }
        Ok(Standing::User { user: facts.user, role: state.user.role.clone(), table })
    }

    /// Checks that a principal may see a user: itself, and the users that it may act on.
    pub(crate) fn check_visible(&self, viewer: &Principal, user: &User) -> Result<(), ErrorKind> {
        let is_visible =
            viewer.user() == user.id || self.may_act_on(viewer.role(), &user.role, viewer.table());
        if is_visible { Ok(()) } else { Err(ErrorKind::Outranked) }
    }

    /// Returns the roles whose users a principal may not see.
    pub(crate) fn hidden_roles(&self, viewer: &Principal) -> Vec<Role> {
        let is_hidden = |role: &&Role| !self.may_act_on(viewer.role(), role, viewer.table());
        self.roles.iter().filter(is_hidden).cloned().collect()
    }

    /// Checks that an actor may change a user: another user, of a role that the actor may act on.
    pub(crate) fn check_target(&self, standing: &Standing, target: &User) -> Result<(), ErrorKind> {
        let allowed = match standing {
            Standing::System => true,
            Standing::User { user, role, table } => {
                *user != target.id && self.may_act_on(role, &target.role, table)
            }
        };
        if allowed { Ok(()) } else { Err(ErrorKind::Outranked) }
    }

    /// Checks that an actor may assign a role: the actor may act on users of that role.
    pub(crate) fn check_assignable(
        &self,
        standing: &Standing,
        role: &Role,
    ) -> Result<(), ErrorKind> {
        let allowed = match standing {
            Standing::System => true,
            Standing::User { role: own, table, .. } => self.may_act_on(own, role, table),
        };
        if allowed { Ok(()) } else { Err(ErrorKind::RoleNotAssignable) }
    }

    /// Whether users of one role may act on users of another: the first ranks higher and has every
    /// permission of the other. The top role may act on all users.
    fn may_act_on(&self, role: &Role, other: &Role, table: &RoleTable) -> bool {
        role == self.roles.top()
            || (self.roles.rank(role) > self.roles.rank(other)
                && table.rights(role).include(&table.rights(other)))
    }

    /// Checks that an administrator remains: an active user in the top role.
    pub(crate) fn check_administrators(
        &self,
        before: &User,
        after: Option<&User>,
        others_administer: bool,
    ) -> Result<(), ErrorKind> {
        let administers =
            |user: &User| user.status == Status::Active && user.role == *self.roles.top();
        if administers(before) && !after.is_some_and(administers) && !others_administer {
            return Err(ErrorKind::LastAdministrator);
        }
        Ok(())
    }
}
