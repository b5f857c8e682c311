//! Events: what happened, to whom, by whom, when and from where. Metrics and audit hang on them.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::ErrorKind;
use crate::id::{SessionId, UserId};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// Somebody signed up.
    SignedUp,
    /// Somebody signed in.
    SignedIn,
    /// A sign-in failed, for this reason.
    SignInFailed(ErrorKind),
    /// A refresh token was exchanged for its successor.
    Refreshed,
    /// A refresh token was presented again within the leeway, and its successor answered again.
    RefreshRepeated,
    /// A refresh failed, for this reason. Reuse is an event of its own.
    RefreshFailed(ErrorKind),
    /// An old refresh token was presented and the session has been ended: somebody else may have
    /// had it.
    TokenReused,
    /// Somebody signed out.
    SignedOut,
    /// Sessions were ended: this many.
    SessionsRevoked(u64),
    /// The oldest session was ended because there were too many: this many.
    SessionsEvicted(u64),
    /// A password was changed by its owner, or set by an administrator.
    PasswordChanged,
    /// A password was hashed anew, under newer parameters or a newer pepper.
    PasswordRehashed,
    /// An e-mail address was changed.
    EmailChanged,
    /// A current password was tried and was wrong.
    WrongPassword,
    /// A user was made.
    UserCreated,
    /// A user's role was changed.
    RoleChanged,
    /// A user's status was changed.
    StatusChanged,
    /// A user was deleted.
    UserDeleted,
    /// A role was given a permission.
    PermissionGranted,
    /// A role lost a permission.
    PermissionRevoked,
    /// A limit refused. The name is the limit's.
    Limited(String),
}

impl EventKind {
    /// A stable name, for labels and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SignedUp => "signed-up",
            Self::SignedIn => "signed-in",
            Self::SignInFailed(_) => "sign-in-failed",
            Self::Refreshed => "refreshed",
            Self::RefreshRepeated => "refresh-repeated",
            Self::RefreshFailed(_) => "refresh-failed",
            Self::TokenReused => "token-reused",
            Self::SignedOut => "signed-out",
            Self::SessionsRevoked(_) => "sessions-revoked",
            Self::SessionsEvicted(_) => "sessions-evicted",
            Self::PasswordChanged => "password-changed",
            Self::PasswordRehashed => "password-rehashed",
            Self::EmailChanged => "email-changed",
            Self::WrongPassword => "wrong-password",
            Self::UserCreated => "user-created",
            Self::RoleChanged => "role-changed",
            Self::StatusChanged => "status-changed",
            Self::UserDeleted => "user-deleted",
            Self::PermissionGranted => "permission-granted",
            Self::PermissionRevoked => "permission-revoked",
            Self::Limited(_) => "limited",
        }
    }
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventActor {
    /// Nobody who is known.
    Anonymous,
    /// A user.
    User(UserId),
    /// The system itself, for this reason.
    System(String),
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// When.
    pub at: Timestamp,
    /// Who did it.
    pub actor: EventActor,
    /// To which user.
    pub user: Option<UserId>,
    /// To which session.
    pub session: Option<SessionId>,
    /// From where, as far as it is known.
    pub address: Option<IpAddr>,
}

impl Event {
    pub(crate) fn new(kind: EventKind, at: Timestamp, actor: EventActor) -> Self {
        Self { kind, at, actor, user: None, session: None, address: None }
    }

    pub(crate) fn on(mut self, user: UserId) -> Self {
        self.user = Some(user);
        self
    }

    pub(crate) fn in_session(mut self, session: SessionId) -> Self {
        self.session = Some(session);
        self
    }

    pub(crate) fn from_address(mut self, address: Option<IpAddr>) -> Self {
        self.address = address;
        self
    }
}

/// The port that hears of events.
///
/// It is called on the request's own task after the fact: it must be quick and must not block.
pub trait Observer: fmt::Debug + Send + Sync {
    /// Something happened.
    fn observe(&self, event: &Event);

    /// A store was called. `failed` is set where it did not answer.
    fn store_called(&self, operation: &'static str, took: Duration, failed: bool) {
        let _ = (operation, took, failed);
    }
}

/// No observer: events are forgotten.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn observe(&self, _event: &Event) {}
}
