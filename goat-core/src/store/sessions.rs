//! The port of sessions.

use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{SessionId, TokenId, UserId};
use crate::page::{Page, PageRequest};
use crate::user::UserState;

use super::{RefreshToken, Session, SessionEpoch};

/// A session, and its user's state where the store keeps users too and read both at once.
#[derive(Clone, Debug)]
pub struct SessionView {
    /// The session.
    pub session: Session,
    /// The state of its user: `None` where this store does not keep users.
    pub owner: Option<UserState>,
}

/// A refresh token was presented: what to make of it.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// The session that the token names.
    pub session: SessionId,
    /// The user that the token names.
    pub user: UserId,
    /// The token's `jti`.
    pub presented: TokenId,
    /// What becomes current if the token is current now.
    pub successor: RefreshToken,
    /// Now.
    pub now: Timestamp,
    /// How long after its use a direct predecessor is honoured again. Zero: never.
    pub leeway: Duration,
}

/// How a rotation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotated {
    /// The successor is current now; this is the session.
    Rotated(Session),
    /// The token is the direct predecessor, within the leeway; the session is as it was.
    Repeated(Session),
    /// The token was used before; the session has been ended. This is what it was.
    Reused(Session),
    /// There is no such session, or its time is over.
    Unknown,
}

/// How the end of named sessions ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// All of them were alive and are no more: this many.
    All(u64),
    /// One of them does not exist or is not this user's; nothing was ended.
    Missing,
}

/// Where sessions are kept.
///
/// An implementer guarantees:
/// - [`SessionStore::rotate`] is one atomic compare-and-set by the rule of [`Session::rotation_decision`];
/// - nothing but [`SessionStore::create`] makes a session: a rotation that comes late never brings
///   back what was ended;
/// - what was answered survives a crash as far as the store's medium does; a store that loses
///   sessions only logs people out;
/// - a call that is dropped did all or nothing.
///
/// `epoch` tells which sessions of a user are alive; the store itself need not know users. `now` is
/// the caller's; a store with a clock of its own uses that instead. Whatever is asked of a session
/// names its user too, so that a store may keep all sessions of a user in one place.
#[async_trait]
pub trait SessionStore: std::fmt::Debug + Send + Sync {
    /// Makes a session. If the user has more than `most` then, those that are over and then the
    /// oldest others are ended, never the new one; answers which.
    async fn create(&self, session: &Session, most: u32) -> Result<Vec<SessionId>, StoreError>;

    /// Whether [`SessionStore::find`] answers the owner too, so that nobody need ask for the user's
    /// state beside it.
    fn keeps_users(&self) -> bool {
        false
    }

    /// The session of this user, if it exists. Whether it is over is the caller's to rotation_decision.
    async fn find(&self, user: UserId, id: SessionId) -> Result<Option<SessionView>, StoreError>;

    /// Uses up a refresh token.
    async fn rotate(&self, rotation: &Rotation) -> Result<Rotated, StoreError>;

    /// A page of the user's sessions that are alive, the newest first.
    async fn list(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        page: PageRequest,
    ) -> Result<Page<Session>, StoreError>;

    /// Ends the named sessions of the user, all of them or none. No id is named twice.
    async fn revoke(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        sessions: &[SessionId],
    ) -> Result<Revoked, StoreError>;

    /// Ends every session of the user but `kept`; answers how many of them were alive by `epoch`.
    ///
    /// Whatever number a session was born under, it goes: after a restore of the users the number
    /// starts again lower, and what was left of a later one would come alive when the number gets
    /// there. A sign-in in the very moment goes with the rest, which costs signing in again.
    async fn revoke_all(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        kept: Option<SessionId>,
    ) -> Result<u64, StoreError>;

    /// Ends a session of this user whether or not it is alive, as sign-out does; answers whether
    /// there was one.
    async fn end(&self, user: UserId, id: SessionId) -> Result<bool, StoreError>;

    /// Removes at most `most` sessions whose time is over; answers how many.
    async fn purge(&self, now: Timestamp, most: u32) -> Result<u64, StoreError>;

    /// Whether the store answers. Bounded in time by the caller.
    async fn ping(&self) -> Result<(), StoreError>;
}
