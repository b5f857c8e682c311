//! Session store port.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{SessionId, TokenId, UserId};
use crate::page::{Page, PageRequest};
use crate::session::{RefreshToken, Session, SessionEpoch, TokenReplacement};
use crate::user::UserState;

/// A session, with its user's state where the store keeps users too and reads both at once.
#[derive(Clone, Debug)]
pub struct SessionView {
    /// The session.
    pub session: Session,
    /// The state of its user; `None` where this store does not keep users.
    pub owner: Option<UserState>,
}

/// The rotation of a presented refresh token.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// The token's session.
    pub session: SessionId,
    /// The token's user.
    pub user: UserId,
    /// The token's `jti`.
    pub presented: TokenId,
    /// The session epoch in which the token was issued.
    pub epoch: u64,
    /// The token that replaces the presented one if that is the current one.
    pub successor: RefreshToken,
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The current time.
    pub now: Timestamp,
    /// The grace period after its use in which a direct predecessor is accepted again; zero for none.
    pub leeway: Duration,
}

/// The outcome of a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotated {
    /// The successor is current now; the session after the rotation.
    Rotated(Session),
    /// The token is the direct predecessor, within the grace period; the unchanged session.
    Repeated(Session),
    /// The token was used before, and the session has been ended; the session before its end.
    Reused(Session),
    /// The token was issued before the session's tokens were replaced on purpose; nothing changed.
    Replaced,
    /// The session does not exist or has expired.
    Unknown,
}

/// The outcome of a replacement of a session by another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// The new session is in the place of the old one.
    Replaced,
    /// The old session does not exist or has expired; nothing changed.
    Missing,
}

/// The outcome of a revocation of named sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// All of them were live and have been ended; their number.
    All(u64),
    /// At least one of them does not exist or belongs to another user; none was ended.
    Missing,
}

/// The port to sessions.
///
/// An implementer guarantees:
/// - [`SessionStore::rotate`] is one atomic compare-and-set by the rule of
///   [`Session::rotation_decision`], and [`SessionStore::replace_tokens`] one by that of
///   [`Session::replace_tokens`];
/// - only [`SessionStore::create`] and [`SessionStore::replace`] create a session: a late rotation never
///   restores an ended one;
/// - a completed write survives a crash as far as the store's medium does; a store that loses sessions
///   only logs users out;
/// - a dropped call took effect completely or not at all.
///
/// `epoch` decides which sessions of a user are live; the store itself need not know users. `now` is
/// the caller's clock; a store with a clock of its own uses that instead. Every call that concerns a
/// session names its user too, so that a store can keep all sessions of a user together.
#[async_trait]
pub trait SessionStore: fmt::Debug + Send + Sync {
    /// Creates a session. If the user then has more than `most`, ends the expired and then the oldest
    /// other sessions; returns the evicted ones.
    async fn create(&self, session: &Session, most: u32) -> Result<Vec<SessionId>, StoreError>;

    /// Replaces a session of the user of `new` by `new`, in one atomic step, as a step-up does. The old one
    /// must exist and not have expired at `new.last_used_at`. Evicts no session.
    ///
    /// By default creates the new session and then ends the old one: of concurrent replacements one
    /// succeeds, but a call that is dropped in between leaves both sessions, and no client has the tokens of
    /// the new one. A store that can do it in one step implements it.
    async fn replace(&self, old: SessionId, new: &Session) -> Result<Replaced, StoreError> {
        let found = self.find(new.user, old).await?;
        if found.is_none_or(|found| found.session.is_expired(new.last_used_at)) {
            return Ok(Replaced::Missing);
        }
        self.create(new, u32::MAX).await?;
        if self.end(new.user, old).await? {
            return Ok(Replaced::Replaced);
        }
        self.end(new.user, new.id).await?;
        Ok(Replaced::Missing)
    }

    /// Whether [`SessionStore::find`] returns the owner's state too, which saves a separate read of the
    /// user.
    fn keeps_users(&self) -> bool {
        false
    }

    /// Returns the session of this user, if it exists, even if it has expired.
    async fn find(&self, user: UserId, id: SessionId) -> Result<Option<SessionView>, StoreError>;

    /// Consumes a refresh token.
    async fn rotate(&self, rotation: &Rotation) -> Result<Rotated, StoreError>;

    /// Replaces the tokens of a session, if it exists and this replacement or a later one was not applied
    /// before; returns whether it was applied now.
    async fn replace_tokens(
        &self,
        user: UserId,
        replacement: &TokenReplacement,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Returns a page of the user's live sessions, newest first.
    async fn list(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        page: PageRequest,
    ) -> Result<Page<Session>, StoreError>;

    /// Ends the named sessions of the user, all or none. No id is named twice.
    async fn revoke(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        sessions: &[SessionId],
    ) -> Result<Revoked, StoreError>;

    /// Ends every session of the user but `kept`; returns how many of them were live by `epoch`.
    ///
    /// The epoch of a session does not matter for its removal: after a restore of the user's row the
    /// epoch counts from a lower number again, and a leftover session of a later epoch would become
    /// live once the count reaches it. A concurrent login may be ended too; the user logs in again.
    async fn revoke_all(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        kept: Option<SessionId>,
    ) -> Result<u64, StoreError>;

    /// Ends a session of this user, live or not, as logout does; returns whether it existed.
    async fn end(&self, user: UserId, id: SessionId) -> Result<bool, StoreError>;

    /// Removes at most `most` expired sessions; returns how many.
    async fn purge(&self, now: Timestamp, most: u32) -> Result<u64, StoreError>;

    /// Checks that the store responds, over a connection of its own that no other call can exhaust. The
    /// caller bounds the time, and makes one such call at a time.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// Operation names of [`SessionStore`], as errors and metrics report them.
pub(crate) mod operation {
    pub(crate) const CREATE: &str = "sessions.create";
    pub(crate) const REPLACE: &str = "sessions.replace";
    pub(crate) const FIND: &str = "sessions.find";
    pub(crate) const ROTATE: &str = "sessions.rotate";
    pub(crate) const REPLACE_TOKENS: &str = "sessions.replace_tokens";
    pub(crate) const LIST: &str = "sessions.list";
    pub(crate) const REVOKE: &str = "sessions.revoke";
    pub(crate) const REVOKE_ALL: &str = "sessions.revoke_all";
    pub(crate) const END: &str = "sessions.end";
    pub(crate) const PURGE: &str = "sessions.purge";
    pub(crate) const PING: &str = "sessions.ping";
}
