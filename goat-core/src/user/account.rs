//! A user, the states that one passes through, and what is kept of one.

use std::fmt;

use crate::access::Role;
use crate::clock::Timestamp;
use crate::id::UserId;
use crate::secret::Secret;
use crate::session::SessionEpoch;

use super::Email;

/// A user, as an application sees one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Names the user for ever.
    pub id: UserId,
    /// Where the user is reached, and what they sign in with.
    pub email: Email,
    /// What the user may do.
    pub role: Role,
    /// Whether the user may sign in.
    pub status: Status,
    /// When the user was made.
    pub created_at: Timestamp,
    /// When e-mail, password, role or status last changed. Signing in does not count.
    pub updated_at: Timestamp,
    /// When the user last signed in, if ever.
    pub last_login_at: Option<Timestamp>,
}

/// Whether a user may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Not activated yet.
    Inactive,
    /// May sign in.
    Active,
    /// Shut out, until made active again.
    Suspended,
}

impl Status {
    /// All of them, in the order in which they follow one another.
    pub const ALL: [Self; 3] = [Self::Inactive, Self::Active, Self::Suspended];

    /// The name, as it stands in the API and in the schema.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }

    /// Parses a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether `next` follows from this: inactive, active, suspended, active.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Inactive | Self::Suspended, Self::Active) | (Self::Active, Self::Suspended)
        )
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What decides on every request whether a user's sessions are good, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserState {
    /// What the user may do.
    pub role: Role,
    /// Whether the user may sign in.
    pub status: Status,
    /// Which sessions of the user are alive.
    pub epoch: SessionEpoch,
    /// The revision of the role table when this was read, where the store keeps that too. A node
    /// that missed a change of permissions learns of it here.
    pub roles_revision: Option<u64>,
    /// How often the user was written; see [`Account::revision`].
    pub revision: u64,
}

/// Everything that a store keeps of a user.
#[derive(Clone, Debug)]
pub struct Account {
    /// The part that an application sees.
    pub user: User,
    /// The password's hash, as the hasher wrote it.
    pub password_hash: Secret<String>,
    /// Which sessions of the user are alive.
    pub epoch: SessionEpoch,
    /// Rises with every write of the user, so that of two states the newer one is known. The store
    /// counts it, from one up, whatever a change says; zero where the store does not count, and then
    /// nothing may remember the user's state beside it.
    pub revision: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_moves_inactive_active_suspended_active() {
        use Status::{Active, Inactive, Suspended};
        let allowed = [(Inactive, Active), (Active, Suspended), (Suspended, Active)];
        for from in Status::ALL {
            for to in Status::ALL {
                assert_eq!(from.may_become(to), allowed.contains(&(from, to)), "{from} to {to}");
            }
        }
    }
}
