//! What tokens claim, in goat's own types.
//!
//! A token carries whole seconds: signing drops the fraction of a second, so that no token ends
//! after the instant it was given.

use crate::clock::Timestamp;
use crate::id::{SessionId, TokenId, UserId};

/// What an access token says: who calls, in which session, from when until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessClaims {
    /// Who signed in: the `sub` claim.
    pub user: UserId,
    /// The session that the token belongs to: `sid`.
    pub session: SessionId,
    /// This token: `jti`.
    pub id: TokenId,
    /// When it was made: `iat`, and `nbf` as well.
    pub issued_at: Timestamp,
    /// When it ends: `exp`. Must be in a later second than [`issued_at`](Self::issued_at), or
    /// nobody accepts it.
    pub expires_at: Timestamp,
    /// What the user could do at that moment, for services that verify tokens without asking goat;
    /// `None` leaves the claim out. goat itself never decides by it.
    pub permissions: Option<Vec<String>>,
}

/// What a refresh token says. It is good for one use only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshClaims {
    /// Who signed in: the `sub` claim.
    pub user: UserId,
    /// The session that the token belongs to: `sid`.
    pub session: SessionId,
    /// This token: `jti`. The session knows which one is current.
    pub id: TokenId,
    /// When it was made: `iat`, and `nbf` as well.
    pub issued_at: Timestamp,
    /// When it ends: `exp`. Must be in a later second than [`issued_at`](Self::issued_at), or
    /// nobody accepts it.
    pub expires_at: Timestamp,
}
