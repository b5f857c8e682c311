//! Users and accounts: profile, status, and the state that decides on their sessions.

use std::fmt;

use crate::access::Role;
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use crate::password::is_password;
use crate::secret::Secret;
use crate::session::{SessionEpoch, TokenReplacement};

use super::{Attributes, Email, UserKind};

/// A user, as an application sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The permanent identifier.
    pub id: UserId,
    /// The e-mail address, which is also the login name.
    pub email: Email,
    /// When the address was proven to belong to the user; `None`: never. It changes in the same write as the
    /// address.
    pub email_verified_at: Option<Timestamp>,
    /// The role.
    pub role: Role,
    /// Whether the user may log in.
    pub status: Status,
    /// The time of creation.
    pub created_at: Timestamp,
    /// The time of the last change of e-mail, password, role, status or attributes. A login does not count.
    pub updated_at: Timestamp,
    /// The time of the last login, if any.
    pub last_login_at: Option<Timestamp>,
    /// The fields of the application.
    pub attributes: Attributes,
}

impl User {
    /// Returns the kind: a service account has no way to sign in.
    #[must_use]
    pub fn kind(&self) -> UserKind {
        if self.email.is_of_service() { UserKind::Service } else { UserKind::Person }
    }

    /// Replaces the address. Another address is not verified; another spelling of the same address stays as
    /// verified as it was.
    pub(crate) fn set_email(&mut self, email: Email) {
        if email != self.email {
            self.email_verified_at = None;
        }
        self.email = email;
    }

    /// Whether the user is an administrator, where `top` is the highest role: an active person in that role.
    #[must_use]
    pub fn administers(&self, top: &Role) -> bool {
        self.status == Status::Active && self.role == *top && self.kind() == UserKind::Person
    }
}

/// Whether a user may log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Not activated yet.
    Inactive,
    /// May log in.
    Active,
    /// Blocked until made active again.
    Suspended,
}

impl Status {
    /// All statuses, in the order of a user's life.
    pub const ALL: [Self; 3] = [Self::Inactive, Self::Active, Self::Suspended];

    /// Returns the name, as in the API and in the schema.
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

    /// Whether a user may change to `next`: inactive to active, active to suspended and back.
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

/// A user to be created by an administrator.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The e-mail address.
    pub email: Email,
    /// The initial password; `None` for a user that signs in by other means.
    pub password: Option<Secret<String>>,
    /// The role.
    pub role: Role,
    /// Active, or inactive until activated.
    pub status: Status,
}

/// An administrator's change of a user.
#[derive(Clone, Debug, Default)]
pub struct UserUpdate {
    /// The new e-mail address.
    pub email: Option<Email>,
    /// The new password; it ends all sessions of the user.
    pub password: Option<Secret<String>>,
}

/// The part of an account that every request needs: the user, and the epoch that decides which of its
/// sessions are live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserState {
    /// The user. Role and status decide on a request.
    pub user: User,
    /// Decides which sessions of the user are live.
    pub epoch: SessionEpoch,
    /// The revision of the role table at the time of the read, where the store keeps both. It shows a
    /// node that missed an invalidation that its role table is outdated.
    pub roles_revision: Option<u64>,
    /// See [`Account::revision`].
    pub revision: u64,
}

impl UserState {
    /// Whether a session of the user that was issued in `session_epoch` is live: the user is active,
    /// and the user's epoch covers the session. Expiry is the session's own matter.
    #[must_use]
    pub fn has_live_session(&self, session: SessionId, session_epoch: u64) -> bool {
        is_live(self.user.status, self.epoch, session, session_epoch)
    }

    /// Returns the revisions that the state is from.
    #[must_use]
    pub fn revisions(&self) -> Revisions {
        Revisions { user: self.revision, roles: self.roles_revision.unwrap_or_default() }
    }
}

/// The revisions of a user and of the role table. An access token carries those at its issue, and is
/// served under these or later ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Revisions {
    /// See [`Account::revision`].
    pub user: u64,
    /// The revision of the role table; zero if it is not known.
    pub roles: u64,
}

impl Revisions {
    /// Whether neither revision is earlier than the other's.
    #[must_use]
    pub const fn include(self, other: Self) -> bool {
        self.user >= other.user && self.roles >= other.roles
    }
}

/// Everything that a store keeps about a user.
#[derive(Clone, Debug)]
pub struct Account {
    /// The part that is visible to an application.
    pub user: User,
    /// The password hash, in the hasher's format; [`Account::NO_PASSWORD`] for a user without a password.
    pub password_hash: Secret<String>,
    /// Decides which sessions of the user are live.
    pub epoch: SessionEpoch,
    /// The last replacement of a session's tokens. It commits with the epoch, and remains until the next.
    pub replacement: Option<TokenReplacement>,
    /// Rises with every write of the user and with every login, so that the newer of two states is
    /// known. The store counts it from one up and ignores the value in a change. Zero in a store that
    /// does not count: its states must not be cached, and a node that missed an invalidation may serve a
    /// new token under an earlier state, within the staleness.
    pub revision: u64,
}

impl Account {
    /// The stored hash of a user without a password. Of an adopted table, any text that is empty or begins
    /// with `!` or `*` means the same.
    pub const NO_PASSWORD: &str = "!";

    /// Whether the user has a password: the stored hash is neither empty nor marked by `!` or `*`.
    #[must_use]
    pub fn has_password(&self) -> bool {
        is_password(self.password_hash.expose())
    }

    /// Like [`UserState::has_live_session`].
    #[must_use]
    pub fn has_live_session(&self, session: SessionId, session_epoch: u64) -> bool {
        is_live(self.user.status, self.epoch, session, session_epoch)
    }
}

fn is_live(status: Status, epoch: SessionEpoch, session: SessionId, session_epoch: u64) -> bool {
    status == Status::Active && epoch.covers(session, session_epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_is_live_for_an_active_user_whose_epoch_covers_it() {
        let now = Timestamp::from_millis(0);
        let (kept, other) = (SessionId::generate(now), SessionId::generate(now));
        let epoch = SessionEpoch { number: 1, kept: Some(kept) };
        for status in Status::ALL {
            let is_active = status == Status::Active;
            assert_eq!(is_live(status, epoch, other, 1), is_active, "{status}: current epoch");
            assert_eq!(is_live(status, epoch, kept, 0), is_active, "{status}: kept session");
            assert!(!is_live(status, epoch, other, 0), "{status}: older epoch");
        }
    }

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
