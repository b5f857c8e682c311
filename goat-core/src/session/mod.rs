//! Sessions: one sign-in on one device, alive until it is idle too long, too old, or ended.

mod cache;
mod flight;
mod service;
mod store;
mod verdict;

use std::net::IpAddr;
use std::time::Duration;

pub use cache::CacheStats;
pub(crate) use cache::SessionCache;
pub use service::{OtherSessions, Sessions};
pub use store::{Revoked, Rotated, Rotation, SessionStore, SessionView};
pub(crate) use verdict::SessionValidator;

use crate::clock::Timestamp;
use crate::id::{SessionId, TokenId, UserId};

/// From where a request comes, as far as the application knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The client's software, such as the `User-Agent`. Cut at 256 characters when it is stored.
    pub device: Option<String>,
}

/// Which sessions of a user are alive: those of the present number, and the one that was kept when
/// the number last rose.
///
/// It stands in the user's row, so that suspension, a new password or an end to all sessions
/// commits together with its effect on every session, wherever sessions are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionEpoch {
    /// Rises when sessions end.
    pub number: u64,
    /// The session that went on when the number last rose.
    pub kept: Option<SessionId>,
}

impl SessionEpoch {
    /// Whether a session that was session_epoch under `session_epoch` is alive.
    #[must_use]
    pub fn covers(self, session: SessionId, session_epoch: u64) -> bool {
        session_epoch == self.number || self.kept == Some(session)
    }

    /// The next epoch, in which only `kept` goes on.
    #[must_use]
    pub const fn next(self, kept: Option<SessionId>) -> Self {
        Self { number: self.number.saturating_add(1), kept }
    }
}

/// What is stored of a refresh token: enough to sign the very same bytes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// Its `jti`.
    pub id: TokenId,
    /// Its `iat`, a whole second.
    pub issued_at: Timestamp,
    /// Its `exp`, a whole second.
    pub expires_at: Timestamp,
    /// The `kid` of the key that signs it.
    pub key: String,
}

/// A refresh token that was used, and is honoured again for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Predecessor {
    /// Its `jti`.
    pub id: TokenId,
    /// When it was used.
    pub used_at: Timestamp,
}

/// A session, as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Names the session.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// The number of the user's epoch when the session was made.
    pub epoch: u64,
    /// The client's software at sign-in.
    pub device: String,
    /// The client's address at sign-in.
    pub address: Option<IpAddr>,
    /// When the user signed in.
    pub created_at: Timestamp,
    /// When the user signed in or last refreshed.
    pub last_used_at: Timestamp,
    /// When it ends if it is not refreshed: the end of its refresh token, a whole second, and never
    /// past [`Session::ends_at`].
    pub idle_at: Timestamp,
    /// When it ends at the latest, a whole second.
    pub ends_at: Timestamp,
    /// The refresh token that is good now.
    pub current: RefreshToken,
    /// The refresh token before it.
    pub previous: Option<Predecessor>,
}

impl Session {
    /// When it ends if nothing more happens.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.idle_at.min(self.ends_at)
    }

    /// Whether its time is over.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.expires_at()
    }

    /// What becomes of it when a refresh token is presented: the rule of rotation, for every store
    /// that can run it inside its own transaction.
    ///
    /// A token works once. The direct predecessor of the current token is honoured again while the
    /// leeway since its use lasts, and until the current token is used, since then it is the direct
    /// predecessor no more. With a leeway of zero it is never honoured, also where `now` lies before
    /// its use, because nodes' clocks differ.
    #[must_use]
    pub fn rotation_decision(
        &self,
        presented: TokenId,
        now: Timestamp,
        leeway: Duration,
    ) -> RotationDecision {
        let is_honoured = |previous: Predecessor| {
            previous.id == presented && !leeway.is_zero() && now < previous.used_at + leeway
        };
        if self.is_expired(now) {
            RotationDecision::Expired
        } else if presented == self.current.id {
            RotationDecision::Rotate
        } else if self.previous.is_some_and(is_honoured) {
            RotationDecision::Repeat
        } else {
            RotationDecision::Reuse
        }
    }

    /// What [`RotationDecision::Rotate`] makes of it: the successor is current, the current token is the
    /// predecessor, and the session lives as long as the successor does.
    pub fn rotate(&mut self, successor: RefreshToken, now: Timestamp) {
        self.previous = Some(Predecessor { id: self.current.id, used_at: now });
        self.last_used_at = now;
        self.idle_at = successor.expires_at.min(self.ends_at);
        self.current = successor;
    }
}

/// What a presented refresh token means to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationDecision {
    /// It is the current one.
    Rotate,
    /// It is the direct predecessor, within the leeway.
    Repeat,
    /// It is an old one.
    Reuse,
    /// The session's time is over.
    Expired,
}
