//! Claims of access, refresh and device tokens.
//!
//! Token times have whole seconds: signing drops fractions, so that no token outlives its
//! `expires_at`.

use crate::clock::Timestamp;
use crate::id::{SessionId, TokenId, UserId};
use crate::proof::Assurance;
use crate::user::{Attributes, Revisions};

/// Claims of an access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessClaims {
    /// The authenticated user: `sub`.
    pub user: UserId,
    /// The session of the token: `sid`.
    pub session: SessionId,
    /// The token's id: `jti`.
    pub id: TokenId,
    /// The time of issue: `iat` and `nbf`.
    pub issued_at: Timestamp,
    /// The expiry: `exp`. Must be in a later second than [`issued_at`](Self::issued_at), or every
    /// verifier refuses the token.
    pub expires_at: Timestamp,
    /// The client that the token was issued to: `client_id` (RFC 9068 §2.2).
    pub client_id: String,
    /// The time at which the user last authenticated for the session: `auth_time`. A refresh does not
    /// change it.
    pub authenticated_at: Timestamp,
    /// The methods of the session's proofs: `amr`, of RFC 8176's registry. Omitted if it is empty.
    pub amr: Vec<String>,
    /// The assurance of the session: `acr`, `single` or `multi`. Tokens of earlier versions of goat have
    /// none, and a name of another kind counts as none.
    pub acr: Option<Assurance>,
    /// The revisions of the user and the role table at the time of issue: `rev`, omitted where the stores
    /// do not count them. goat serves the token under these or later ones, so that a change that was
    /// completed before the issue shows on every node.
    pub revisions: Revisions,
    /// The session epoch in which the token was issued: `epoch`. Tokens of an earlier epoch than the
    /// session's were replaced on purpose.
    pub epoch: u64,
    /// The user's permissions at the time of issue, for services that verify tokens offline; `None`
    /// omits the claim. goat itself never uses it for decisions.
    pub permissions: Option<Vec<String>>,
    /// Attributes of the user at the time of issue, for services that verify tokens offline:
    /// `goat_attributes`, omitted if there are none. goat itself never uses it for decisions.
    pub attributes: Attributes,
}

/// Claims of a refresh token, which can be used once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshClaims {
    /// The authenticated user: `sub`.
    pub user: UserId,
    /// The session of the token: `sid`.
    pub session: SessionId,
    /// The token's id: `jti`. The session stores the current one.
    pub id: TokenId,
    /// The session epoch in which the token was issued: `epoch`. Tokens of an earlier epoch than the
    /// session's were replaced on purpose.
    pub epoch: u64,
    /// The time of issue: `iat` and `nbf`.
    pub issued_at: Timestamp,
    /// The expiry: `exp`. Must be in a later second than [`issued_at`](Self::issued_at), or every
    /// verifier refuses the token.
    pub expires_at: Timestamp,
}

/// Claims of a device token, which names the user of an earlier login on the same device. It grants
/// nothing: a login with it has rate limits of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceClaims {
    /// The user: `sub`.
    pub user: UserId,
    /// The token's id: `jti`. Attempts count by it.
    pub id: TokenId,
    /// The time of issue: `iat` and `nbf`.
    pub issued_at: Timestamp,
    /// The expiry: `exp`. Must be in a later second than [`issued_at`](Self::issued_at), or every
    /// verifier refuses the token.
    pub expires_at: Timestamp,
}
