//! Who may do what to whom: rank, assignable roles, and the last administrator.
//!
//! Every rule here is asked with what a write read inside its own transaction.

use crate::error::ErrorKind;
use crate::id::UserId;
use crate::user::{ActorView, Status, User};

use super::{ActorFacts, Permission, Rank, Rights, Role, RoleSet, RoleTable};

/// The permissions that goat's own services ask for.
pub mod permissions {
    use crate::access::Permission;

    /// To see other users and their sessions.
    pub const USER_READ: Permission = Permission::new("user:read");
    /// To make users.
    pub const USER_WRITE: Permission = Permission::new("user:write");
    /// To change other users' e-mail and password, and to end their sessions.
    pub const USER_UPDATE: Permission = Permission::new("user:update");
    /// To change other users' roles.
    pub const USER_CHANGE_ROLE: Permission = Permission::new("user:change_role");
    /// To change other users' status.
    pub const USER_CHANGE_STATUS: Permission = Permission::new("user:change_status");
    /// To delete other users.
    pub const USER_DELETE: Permission = Permission::new("user:delete");
}

/// How high somebody stands who was found to be allowed to act.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Standing {
    /// The system: above everyone.
    System,
    /// A user, of a rank.
    User(UserId, Rank),
}

/// The rules, over one set of roles.
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

    /// Checks an actor anew, as the write's transaction finds them: there, active, in a session that
    /// is alive, and allowed. The table answers for a store of users that does not keep permissions.
    pub(crate) fn admit(
        &self,
        actor: Option<&ActorFacts>,
        view: Option<&ActorView>,
        needs: &Permission,
        table: &RoleTable,
    ) -> Result<Standing, ErrorKind> {
        let Some(facts) = actor else { return Ok(Standing::System) };
        let view = view.ok_or(ErrorKind::SessionRevoked)?;
        if view.state.status != Status::Active || !facts.is_alive_in(view.state.epoch) {
            return Err(ErrorKind::SessionRevoked);
        }
        // A role that the set does not know has no permissions, whatever its rows say.
        let allowed = self.roles.contains(&view.state.role)
            && match &view.permissions {
                Some(permissions) => permissions.iter().collect::<Rights>().allow(needs),
                None => table.rights(&view.state.role).allow(needs),
            };
        if allowed {
            Ok(self.standing(facts.user, &view.state.role))
        } else {
            Err(ErrorKind::Forbidden)
        }
    }

    /// How high a user stands.
    pub(crate) fn standing(&self, user: UserId, role: &Role) -> Standing {
        Standing::User(user, self.roles.rank(role))
    }

    /// An actor may act on a user of lower rank; the top rank on everyone; nobody on themselves.
    pub(crate) fn check_target(&self, standing: Standing, target: &User) -> Result<(), ErrorKind> {
        let allowed = match standing {
            Standing::System => true,
            Standing::User(actor, rank) => actor != target.id && self.outranks(rank, &target.role),
        };
        if allowed { Ok(()) } else { Err(ErrorKind::Outranked) }
    }

    /// A role may be given by those who could act on a user of that role.
    pub(crate) fn check_assignable(
        &self,
        standing: Standing,
        role: &Role,
    ) -> Result<(), ErrorKind> {
        let allowed = match standing {
            Standing::System => true,
            Standing::User(_, rank) => self.outranks(rank, role),
        };
        if allowed { Ok(()) } else { Err(ErrorKind::RoleNotAssignable) }
    }

    /// Whether somebody of this rank may act on users of that role.
    pub(crate) fn outranks(&self, rank: Rank, role: &Role) -> bool {
        rank == self.roles.rank(self.roles.top()) || self.roles.rank(role) < rank
    }

    /// The system is never left without an administrator: an active user of the top role.
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
