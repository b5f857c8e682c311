//! Tokens in responses.
//!
//! Only here do secrets leave the process. Neither type implements `Debug`, so that they cannot be
//! logged.

use goat_core::auth::{self, TokenPair};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Time, User};

/// The tokens of a session. Neither token outlives the session.
#[derive(Serialize, ToSchema)]
pub struct Tokens {
    /// The access token, to be sent as `Authorization: Bearer …`.
    pub access_token: String,
    /// The time at which the access token expires.
    pub access_token_expires_at: Time,
    /// The refresh token, which can be exchanged once for a new pair of tokens.
    pub refresh_token: String,
    /// The time at which the refresh token expires.
    pub refresh_token_expires_at: Time,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    pub token_type: &'static str,
    /// Seconds until the access token expires, rounded down.
    pub expires_in: u64,
}

impl From<TokenPair> for Tokens {
    fn from(tokens: TokenPair) -> Self {
        Self {
            access_token: tokens.access_token.expose().clone(),
            access_token_expires_at: tokens.access_token_expires_at.into(),
            refresh_token: tokens.refresh_token.expose().clone(),
            refresh_token_expires_at: tokens.refresh_token_expires_at.into(),
            token_type: "Bearer",
            expires_in: tokens.expires_in.as_secs(),
        }
    }
}

/// The expiries of a session's tokens, which are in cookies.
#[derive(Serialize, ToSchema)]
pub struct TokenExpiries {
    /// The time at which the access token expires.
    pub access_token_expires_at: Time,
    /// The time at which the refresh token expires.
    pub refresh_token_expires_at: Time,
    /// Seconds until the access token expires, rounded down.
    pub expires_in: u64,
}

impl From<&TokenPair> for TokenExpiries {
    fn from(tokens: &TokenPair) -> Self {
        Self {
            access_token_expires_at: tokens.access_token_expires_at.into(),
            refresh_token_expires_at: tokens.refresh_token_expires_at.into(),
            expires_in: tokens.expires_in.as_secs(),
        }
    }
}

/// A response with tokens in its body, or with tokens in cookies and none in its body.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum BodyOrCookies<B, C> {
    /// The tokens are in the body.
    Body(B),
    /// The tokens are in cookies.
    Cookies(C),
}

/// The tokens of a new session, and its user.
#[derive(Serialize, ToSchema)]
pub struct SignedIn {
    /// The tokens.
    #[serde(flatten)]
    pub tokens: Tokens,
    /// The user who signed in.
    pub user: User,
    /// Proves to later sign-ins that this user signed in on this device. Valid for 180 days; grants
    /// nothing.
    pub device_token: String,
}

/// A new session with its tokens in cookies, and its user.
#[derive(Serialize, ToSchema)]
pub struct SignedInByCookie {
    /// When the cookies expire.
    #[serde(flatten)]
    pub expiries: TokenExpiries,
    /// The user who signed in.
    pub user: User,
}

impl From<auth::SignedIn> for SignedIn {
    fn from(signed_in: auth::SignedIn) -> Self {
        Self {
            tokens: signed_in.tokens.into(),
            user: signed_in.user.into(),
            device_token: signed_in.device_token.expose().clone(),
        }
    }
}

/// The new tokens of the current session after a changed password.
#[derive(Serialize, ToSchema)]
pub struct PasswordChanged {
    /// The tokens.
    #[serde(flatten)]
    pub tokens: Tokens,
    /// The number of other sessions that the change ended.
    pub revoked_sessions: u64,
    /// The number of API keys of the user, expired ones included. A new password does not touch them.
    pub keys: u64,
}

/// The expiries of the new tokens of the current session after a changed password.
#[derive(Serialize, ToSchema)]
pub struct PasswordChangedByCookie {
    /// When the cookies expire.
    #[serde(flatten)]
    pub expiries: TokenExpiries,
    /// The number of other sessions that the change ended.
    pub revoked_sessions: u64,
    /// The number of API keys of the user, expired ones included. A new password does not touch them.
    pub keys: u64,
}

impl From<auth::PasswordChanged> for PasswordChanged {
    fn from(changed: auth::PasswordChanged) -> Self {
        let auth::PasswordChanged { tokens, revoked_sessions, keys } = changed;
        Self { tokens: tokens.into(), revoked_sessions, keys }
    }
}
