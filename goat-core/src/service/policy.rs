//! Access policy: rank and permissions over other users, assignable roles, and the last administrator.
//! The role table in force decides about ranks and permissions.
//!
//! Rules over a change are evaluated with the state that the write reads inside its own transaction.

use std::sync::Arc;

use crate::access::{Permission, Rights, Role, RoleRows, RoleSource, RoleTable};
use crate::error::ErrorKind;
use crate::id::UserId;
use crate::store::UserSnapshot;
use crate::user::{User, UserState};

use super::{ActorFacts, Principal};

/// The standing of an authorized actor: its role and rights, and the role table that decides on which users
/// it may act.
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
        /// The rights of the user's credential: those of the role, and of an API key what its scopes leave
        /// of them.
        rights: Arc<Rights>,
        /// The ranks and permissions of all roles.
        table: Arc<RoleTable>,
    },
}

impl Standing {
    /// Whether the actor has a permission.
    pub(crate) fn may(&self, permission: &Permission) -> bool {
        match self {
            Self::System => true,
            Self::User { rights, .. } => rights.allow(permission),
        }
    }
}

/// An actor and all roles, as a write's own transaction read them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ActorView<'a> {
    /// The actor, if it still exists.
    pub(crate) state: Option<&'a UserState>,
    /// Whether the API key by which it acts is stored.
    pub(crate) has_key: Option<bool>,
    /// The roles and grants, where the store keeps them.
    pub(crate) roles: Option<&'a RoleRows>,
}

impl<'a> From<&'a UserSnapshot> for ActorView<'a> {
    fn from(snapshot: &'a UserSnapshot) -> Self {
        let (state, roles) = (snapshot.actor.as_ref(), snapshot.roles.as_ref());
        Self { state, has_key: snapshot.has_key, roles }
    }
}

/// The rules over the roles of one source.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    source: RoleSource,
}

impl Policy {
    pub(crate) fn new(source: RoleSource) -> Self {
        Self { source }
    }

    /// Whether the roles are those of the store.
    pub(crate) fn has_stored_roles(&self) -> bool {
        self.source.is_stored
    }

    /// Returns the role table of rows that a transaction read.
    pub(crate) fn table(&self, rows: &RoleRows) -> RoleTable {
        RoleTable::new(rows.clone(), &self.source)
    }

    /// Returns the role that the store checks in a write that assigns it: none where the roles are
    /// fixed in code.
    pub(crate) fn assigned<'a>(&self, role: &'a Role) -> Option<&'a Role> {
        self.source.is_stored.then_some(role)
    }

    /// Checks that a role exists, and still will when the write that assigns it commits. `table` decides
    /// where the store does not keep roles.
    pub(crate) fn check_exists(
        &self,
        role: &Role,
        snapshot: &UserSnapshot,
        table: &RoleTable,
    ) -> Result<(), ErrorKind> {
        let exists = snapshot.has_assigned_role.unwrap_or_else(|| table.contains(role));
        if exists { Ok(()) } else { Err(ErrorKind::Invalid) }
    }

    /// Authorizes an actor by the state that the write's transaction read: the user exists, the session or
    /// API key is live, and the credential has the permission. `table` decides where the store does not keep
    /// permissions.
    pub(crate) fn authorize(
        &self,
        actor: Option<&ActorFacts>,
        view: ActorView<'_>,
        needs: &Permission,
        table: &Arc<RoleTable>,
    ) -> Result<Standing, ErrorKind> {
        let Some(facts) = actor else { return Ok(Standing::System) };
        let is_live = |state: &&UserState| facts.is_live_in(state, view.has_key);
        let state = view.state.filter(is_live).ok_or_else(|| facts.ended())?;
        let table = match view.roles {
            Some(rows) => Arc::new(self.table(rows)),
            None => Arc::clone(table),
        };
        let rights = facts.rights(&state.user.role, &table);
        if !rights.allow(needs) {
            return Err(ErrorKind::Forbidden);
        }
        Ok(Standing::User { user: facts.user(), role: state.user.role.clone(), rights, table })
    }

    /// Checks that a principal may see a user: itself, and the users that it may act on.
    pub(crate) fn check_visible(viewer: &Principal, user: &User) -> Result<(), ErrorKind> {
        let (role, rights, table) = (viewer.role(), viewer.rights(), viewer.table());
        let is_visible = viewer.user() == user.id || may_act_on(role, rights, &user.role, table);
        if is_visible { Ok(()) } else { Err(ErrorKind::Outranked) }
    }

    /// Returns the roles whose users a principal may not see.
    pub(crate) fn hidden_roles(viewer: &Principal) -> Vec<Role> {
        let (role, rights, table) = (viewer.role(), viewer.rights(), viewer.table());
        let is_hidden = |other: &&Role| !may_act_on(role, rights, other, table);
        table.ranked().iter().filter(is_hidden).cloned().collect()
    }

    /// Checks that an actor may change a user: another user, of a role that the actor may act on.
    pub(crate) fn check_target(standing: &Standing, target: &User) -> Result<(), ErrorKind> {
        let allowed = match standing {
            Standing::System => true,
            Standing::User { user, role, rights, table } => {
                *user != target.id && may_act_on(role, rights, &target.role, table)
            }
        };
        if allowed { Ok(()) } else { Err(ErrorKind::Outranked) }
    }

    /// Checks that an actor may assign a role: the actor may act on users of that role.
    pub(crate) fn check_assignable(standing: &Standing, role: &Role) -> Result<(), ErrorKind> {
        let allowed = match standing {
            Standing::System => true,
            Standing::User { role: own, rights, table, .. } => may_act_on(own, rights, role, table),
        };
        if allowed { Ok(()) } else { Err(ErrorKind::RoleNotAssignable) }
    }

    /// Checks that an administrator remains: an active person in the top role, which no write changes.
    pub(crate) fn check_administrators(
        top: &Role,
        before: &User,
        after: Option<&User>,
        others_administer: bool,
    ) -> Result<(), ErrorKind> {
        let administers = |user: &User| user.administers(top);
        if administers(before) && !after.is_some_and(administers) && !others_administer {
            return Err(ErrorKind::LastAdministrator);
        }
        Ok(())
    }
}

/// Whether an actor of one role, with these rights, may act on users of another role: it ranks higher, and
/// its rights include every permission of the other. The top role may act on all users if its rights are
/// `full_access`: those of an API key may be fewer.
fn may_act_on(role: &Role, rights: &Rights, other: &Role, table: &RoleTable) -> bool {
    (role == table.top() && rights.allow(&Permission::FULL_ACCESS))
        || (table.rank(role) > table.rank(other) && rights.include(&table.rights(other)))
}
