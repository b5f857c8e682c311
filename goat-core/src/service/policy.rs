//! Access policy: rank, assignable roles, and the last administrator.
//!
//! Rules over a change are evaluated with the state that the write reads inside its own transaction.

use crate::access::{Permission, Rank, Rights, Role, RoleSet, RoleTable};
use crate::error::ErrorKind;
use crate::id::UserId;
use crate::store::ActorView;
use crate::user::{Status, User};

use super::{ActorFacts, Principal};

/// The rank of an authorized actor.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Standing {
    /// The system, which outranks every user.
    System,
    /// A user with a rank.
    User(UserId, Rank),
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
    /// is live, and the role has the permission. The role table decides where the user store does not
    /// keep permissions.
    pub(crate) fn authorize(
        &self,
        actor: Option<&ActorFacts>,
        view: Option<&ActorView>,
        needs: &Permission,
        table: &RoleTable,
    ) -> Result<Standing, ErrorKind> {
        let Some(facts) = actor else { return Ok(Standing::System) };
        let view = view.ok_or(ErrorKind::SessionRevoked)?;
        if !view.state.has_live_session(facts.session, facts.session_epoch) {
            return Err(ErrorKind::SessionRevoked);
        }
        // A role outside the configured set has no permissions, even if the store has grants for it.
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

    /// Returns the rank of a user as an actor.
    pub(crate) fn standing(&self, user: UserId, role: &Role) -> Standing {
        Standing::User(user, self.roles.rank(role))
    }

    /// Checks that a principal may see a user: itself, and the users that its role outranks.
    pub(crate) fn check_visible(&self, viewer: &Principal, user: &User) -> Result<(), ErrorKind> {
        let rank = self.roles.rank(viewer.role());
        if viewer.user() == user.id || self.outranks(rank, &user.role) {
            Ok(())
        } else {
            Err(ErrorKind::Outranked)
        }
    }

    /// Returns the roles that a principal may not see.
    pub(crate) fn hidden_roles(&self, viewer: &Principal) -> Vec<Role> {
        let rank = self.roles.rank(viewer.role());
        self.roles.iter().filter(|role| !self.outranks(rank, role)).cloned().collect()
    }

    /// Checks that an actor may change a user: an actor outranks the user, and is another user.
    pub(crate) fn check_target(&self, standing: Standing, target: &User) -> Result<(), ErrorKind> {
        let allowed = match standing {
            Standing::System => true,
            Standing::User(actor, rank) => actor != target.id && self.outranks(rank, &target.role),
        };
        if allowed { Ok(()) } else { Err(ErrorKind::Outranked) }
    }

    /// Checks that an actor may assign a role: it outranks users of that role.
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

    /// Whether a rank outranks users of a role: a higher rank does, and the top rank outranks all.
    pub(crate) fn outranks(&self, rank: Rank, role: &Role) -> bool {
        rank == self.roles.rank(self.roles.top()) || self.roles.rank(role) < rank
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
