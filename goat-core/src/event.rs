//! Domain events and the observer port. Metrics and the audit log build on them.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::access::Role;
use crate::challenge::Purpose;
use crate::clock::Timestamp;
use crate::error::ErrorKind;
use crate::id::{KeyId, SessionId, UserId};
use crate::proof::MethodName;
use crate::user::{Email, User};

/// The kind of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A user signed up.
    SignedUp,
    /// A user logged in.
    SignedIn,
    /// A first proof was right, and the sign-in waits for a second factor.
    SignInPending,
    /// A letter that recovers an account was asked for, by an address that may belong to none.
    RecoveryRequested,
    /// A user set a new password by the answer to a letter.
    PasswordRecovered,
    /// A user proved the address of the account.
    EmailVerified,
    /// The old address took a change of the address back.
    EmailChangeUndone,
    /// A user was invited, or the letter sent again.
    UserInvited,
    /// A user accepted an invitation.
    InvitationAccepted,
    /// A wrong answer to a letter of this purpose.
    AnswerFailed(Purpose),
    /// A sign-in failed, for this reason.
    SignInFailed(ErrorKind),
    /// A refresh token was rotated.
    Refreshed,
    /// A refresh token was presented again within the grace period, and its successor returned again.
    RefreshRepeated,
    /// Like [`EventKind::RefreshRepeated`], from another client address than the first use. The session
    /// continues, but a copy of the token may be in use.
    RefreshRepeatedElsewhere,
    /// A refresh failed, for this reason. Reuse is a separate event.
    RefreshFailed(ErrorKind),
    /// Refresh-token reuse: an old refresh token was presented, and the session was ended because the
    /// token may have been stolen.
    TokenReused,
    /// A user showed a proof again, and the session was replaced by this one.
    SteppedUp,
    /// A user logged out.
    SignedOut,
    /// This many sessions were ended.
    SessionsRevoked(u64),
    /// This many sessions were evicted because the user had too many.
    SessionsEvicted(u64),
    /// A password was changed by its user, or set by an administrator.
    PasswordChanged,
    /// A password was rehashed with newer parameters or a newer pepper.
    PasswordRehashed,
    /// An e-mail address was changed.
    EmailChanged,
    /// The attributes of these keys were changed.
    AttributesChanged(Vec<String>),
    /// A wrong current password was presented.
    WrongPassword,
    /// A wrong code of a second factor was presented in a session.
    WrongCode,
    /// An API key was created.
    KeyCreated,
    /// An API key was revoked.
    KeyRevoked,
    /// This many API keys, those of all users, were revoked.
    KeysRevoked(u64),
    /// A user was created.
    UserCreated,
    /// A user's role was changed.
    RoleChanged,
    /// A user's status was changed.
    StatusChanged,
    /// A user was deleted.
    UserDeleted,
    /// A role was created.
    RoleCreated,
    /// A role was given another rank.
    RoleRanked,
    /// A role was deleted, with its permissions.
    RoleDeleted,
    /// A permission was granted to a role.
    PermissionGranted,
    /// A permission was revoked from a role.
    PermissionRevoked,
    /// The limit of this name rejected a request.
    Limited(String),
}

impl EventKind {
    /// Returns a stable name, for labels and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SignedUp => "signed-up",
            Self::SignedIn => "signed-in",
            Self::SignInPending => "sign-in-pending",
            Self::RecoveryRequested => "recovery-requested",
            Self::PasswordRecovered => "password-recovered",
            Self::EmailVerified => "email-verified",
            Self::EmailChangeUndone => "email-change-undone",
            Self::UserInvited => "user-invited",
            Self::InvitationAccepted => "invitation-accepted",
            Self::AnswerFailed(_) => "answer-failed",
            Self::SignInFailed(_) => "sign-in-failed",
            Self::Refreshed => "refreshed",
            Self::RefreshRepeated => "refresh-repeated",
            Self::RefreshRepeatedElsewhere => "refresh-repeated-elsewhere",
            Self::RefreshFailed(_) => "refresh-failed",
            Self::TokenReused => "token-reused",
            Self::SteppedUp => "stepped-up",
            Self::SignedOut => "signed-out",
            Self::SessionsRevoked(_) => "sessions-revoked",
            Self::SessionsEvicted(_) => "sessions-evicted",
            Self::PasswordChanged => "password-changed",
            Self::PasswordRehashed => "password-rehashed",
            Self::EmailChanged => "email-changed",
            Self::AttributesChanged(_) => "attributes-changed",
            Self::WrongPassword => "wrong-password",
            Self::WrongCode => "wrong-code",
            Self::KeyCreated => "key-created",
            Self::KeyRevoked => "key-revoked",
            Self::KeysRevoked(_) => "keys-revoked",
            Self::UserCreated => "user-created",
            Self::RoleChanged => "role-changed",
            Self::StatusChanged => "status-changed",
            Self::UserDeleted => "user-deleted",
            Self::RoleCreated => "role-created",
            Self::RoleRanked => "role-ranked",
            Self::RoleDeleted => "role-deleted",
            Self::PermissionGranted => "permission-granted",
            Self::PermissionRevoked => "permission-revoked",
            Self::Limited(_) => "limited",
        }
    }
}

/// The actor of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventActor {
    /// An unauthenticated client.
    Anonymous,
    /// A user.
    User(UserId),
    /// The system, for this reason.
    System(String),
}

impl From<UserId> for EventActor {
    fn from(user: UserId) -> Self {
        Self::User(user)
    }
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The kind.
    pub kind: EventKind,
    /// The time.
    pub at: Timestamp,
    /// The actor of an event.
    pub actor: EventActor,
    /// The affected user.
    pub user: Option<UserId>,
    /// The affected session.
    pub session: Option<SessionId>,
    /// The affected API key.
    pub key: Option<KeyId>,
    /// The number of the user's API keys, expired ones included, of [`EventKind::PasswordChanged`] by the user.
    pub keys: Option<u64>,
    /// The method behind the proof, of a sign-in or a step-up: `password`, or the application's name for its
    /// own.
    pub method: Option<MethodName>,
    /// The affected role, of a change of roles or permissions.
    pub role: Option<Role>,
    /// The client's address, if known.
    pub address: Option<IpAddr>,
    /// The affected user's e-mail address at that time, for a message to the user: in events about an
    /// account, its password, its role or a login. `Debug` redacts it; an observer must not log it.
    pub email: Option<Email>,
    /// The e-mail address before [`EventKind::EmailChanged`], where the owner reads a warning.
    pub previous_email: Option<Email>,
}

impl Event {
    pub(crate) fn new(kind: EventKind, at: Timestamp, actor: EventActor) -> Self {
        Self {
            kind,
            at,
            actor,
            user: None,
            session: None,
            key: None,
            keys: None,
            method: None,
            role: None,
            address: None,
            email: None,
            previous_email: None,
        }
    }

    pub(crate) fn on(mut self, user: UserId) -> Self {
        self.user = Some(user);
        self
    }

    pub(crate) fn about(mut self, user: &User) -> Self {
        self.email = Some(user.email.clone());
        self.on(user.id)
    }

    pub(crate) fn in_session(mut self, session: SessionId) -> Self {
        self.session = Some(session);
        self
    }

    pub(crate) fn of_key(mut self, key: KeyId) -> Self {
        self.key = Some(key);
        self
    }

    pub(crate) fn of_role(mut self, role: Role) -> Self {
        self.role = Some(role);
        self
    }

    pub(crate) fn with_address(mut self, address: Option<IpAddr>) -> Self {
        self.address = address;
        self
    }
}

/// The port to the observer of events.
///
/// Called on the request's own task after the fact: it must be fast and must not block.
pub trait Observer: fmt::Debug + Send + Sync {
    /// Handles an event.
    fn observe(&self, event: &Event);

    /// Handles a completed store call.
    fn store_called(&self, operation: &'static str, took: Duration, failed: bool) {
        let _ = (operation, took, failed);
    }
}

/// An observer that ignores all events.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn observe(&self, _event: &Event) {}
}
