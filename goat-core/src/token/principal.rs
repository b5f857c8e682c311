//! The principal of an offline verification.
//!
//! Invariant: only [`Verifier`](super::Verifier) creates one, from a token that passed every check.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::claims::AccessClaims;
use crate::access::{Permission, Rights};
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use crate::proof::Assurance;
use crate::user::Attributes;

/// The principal of a valid access token, **as of when the token was signed**. Cheap to clone.
///
/// Unlike a [`Principal`](crate::Principal), it does not mean that the session is live. Until the
/// token expires it does not reflect any later change: logout, revocation of the session,
/// suspension or deletion of the user, a changed password or role, a permission removed from a
/// role. A revoked token stays valid for at most the issuer's
/// [`access_ttl`](crate::Settings::access_ttl) (five minutes by default) plus the verifier's
/// [leeway](super::TokenSettings::clock_leeway).
///
/// So use it where a decision may be that old, which is mostly reading. For sensitive operations
/// (money, secrets, irreversible changes), have goat verify the token:
/// [`Goat::authenticate_token`](crate::Goat::authenticate_token) in its process, or goat-server's
/// `/api/v1/auth/verify`.
///
/// ```
/// use goat_core::token::{TokenPrincipal, TokenSettings, Verifier};
/// use goat_core::{Permission, Result};
///
/// const REPORTS: Permission = Permission::new("report:read");
///
/// fn reader(verifier: &Verifier, token: &str) -> Result<Option<TokenPrincipal>> {
///     let caller = verifier.verify(token)?;
///     Ok(caller.may(&REPORTS).then_some(caller))
/// }
/// # let _ = reader;
/// ```
#[derive(Clone)]
pub struct TokenPrincipal(Arc<Facts>);

/// The cached part of a token's claims, with its permissions parsed.
pub(super) struct Facts {
    user: UserId,
    session: SessionId,
    issued_at: Timestamp,
    expires_at: Timestamp,
    client_id: String,
    authenticated_at: Timestamp,
    amr: Vec<String>,
    acr: Option<Assurance>,
    rights: Option<Rights>,
    attributes: Attributes,
}

impl From<AccessClaims> for Facts {
    fn from(claims: AccessClaims) -> Self {
        // An invalid permission cannot be required, so it grants nothing and is dropped.
        let rights = claims.permissions.map(|texts| {
            let parsed = texts.iter().filter_map(|text| Permission::parse(text).ok());
            parsed.collect::<Vec<_>>().iter().collect()
        });
        Self {
            user: claims.user,
            session: claims.session,
            issued_at: claims.issued_at,
            expires_at: claims.expires_at,
            client_id: claims.client_id,
            authenticated_at: claims.authenticated_at,
            amr: claims.amr,
            acr: claims.acr,
            rights,
            attributes: claims.attributes,
        }
    }
}

impl TokenPrincipal {
    pub(super) fn new(facts: Arc<Facts>) -> Self {
        Self(facts)
    }

    /// The authenticated user.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.0.user
    }

    /// The session, which may have ended since.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.0.session
    }

    /// The time of issue, as of which all of this holds.
    #[must_use]
    pub fn issued_at(&self) -> Timestamp {
        self.0.issued_at
    }

    /// The expiry of the token. Until then, plus the leeway, later changes are not seen.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.0.expires_at
    }

    /// The client that the token was issued to: `client_id` (RFC 9068 §2.2).
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.0.client_id
    }

    /// The time at which the user last authenticated for the session: `auth_time`. A refresh does not
    /// change it, so it shows how long ago the password was entered.
    #[must_use]
    pub fn authenticated_at(&self) -> Timestamp {
        self.0.authenticated_at
    }

    /// Whether the user last authenticated at most `within` before `now`, by `auth_time`.
    ///
    /// Unlike that of a live principal, it does not tell a proof of several factors from one of one:
    /// combine it with [`acr`](Self::acr).
    #[must_use]
    pub fn is_recent(&self, within: Duration, now: Timestamp) -> bool {
        let at = self.0.authenticated_at;
        now <= at + within && at <= now + within
    }

    /// The methods of the session's proofs: `amr` (RFC 8176).
    #[must_use]
    pub fn amr(&self) -> &[String] {
        &self.0.amr
    }

    /// The assurance of the session: `acr`. `None` for a token of a version of goat before this claim.
    #[must_use]
    pub fn acr(&self) -> Option<Assurance> {
        self.0.acr
    }

    /// Whether the user had a permission when the token was signed: directly, by its resource's
    /// wildcard or by `full_access`, with goat's own rules. Always `false` if the token has no
    /// permissions claim.
    #[must_use]
    pub fn may(&self, permission: &Permission) -> bool {
        self.0.rights.as_ref().is_some_and(|rights| rights.allow(permission))
    }

    /// Attributes of the user when the token was signed: those that
    /// [`token_attributes`](crate::Settings::token_attributes) of its issuer lists
    /// (`GOAT_TOKEN_ATTRIBUTES` of goat-server) and that fit into a token.
    #[must_use]
    pub fn attributes(&self) -> &Attributes {
        &self.0.attributes
    }

    /// The user's rights when the token was signed. `None` if the token has no permissions claim:
    /// its issuer omits it unless
    /// [`access_token_permissions`](crate::Settings::access_token_permissions) is set
    /// (`GOAT_ACCESS_TOKEN_PERMISSIONS` of goat-server), and always for rights that do not fit into
    /// a token.
    #[must_use]
    pub fn rights(&self) -> Option<&Rights> {
        self.0.rights.as_ref()
    }
}

impl fmt::Debug for TokenPrincipal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TokenPrincipal")
            .field("user", &self.0.user)
            .field("session", &self.0.session)
            .field("expires_at", &self.0.expires_at)
            .finish_non_exhaustive()
    }
}
