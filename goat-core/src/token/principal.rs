//! Who a token says is there, where nobody asked goat whether that still holds.
//!
//! Invariant: made by a [`Verifier`](super::Verifier) only, from a token that passed every check.

use std::fmt;
use std::sync::Arc;

use super::claims::AccessClaims;
use crate::access::{Permission, Rights};
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};

/// Somebody who showed a good access token, **as things were when it was signed**. Cheap to clone.
///
/// It is not a [`Principal`](crate::Principal), which says that the session lives. This one is blind
/// to all that happens after the signature, until the token expires: signing out, the end of the
/// session by its user or by whoever administers, suspension and deletion of the user, another
/// password, another role, permissions that a role lost. The token of somebody who was thrown out
/// goes on doing for at most the issuer's [`access_ttl`](crate::Settings::access_ttl) (five minutes
/// unless set) and the [leeway](super::TokenSettings::clock_leeway) of whoever verifies.
///
/// So guard by it what may be that late: reading, mostly. Where a minute matters (money, secrets,
/// what cannot be undone), have the token looked at by the goat that issued it:
/// [`Goat::authenticate_token`](crate::Goat::authenticate_token) in its process, or
/// `/api/v1/auth/verify` of goat-server.
///
/// ```
/// use goat_core::token::{TokenPrincipal, TokenSettings, Verifier};
/// use goat_core::{Permission, Result};
///
/// const REPORTS: Permission = Permission::new("report:read");
///
/// fn reader(verifier: &Verifier, token: &str) -> Result<Option<TokenPrincipal>> {
///     let who = verifier.verify(token)?;
///     Ok(who.may(&REPORTS).then_some(who))
/// }
/// # let _ = reader;
/// ```
#[derive(Clone)]
pub struct TokenPrincipal(Arc<Facts>);

/// What is kept of a token. Permissions are in the form in which goat itself asks for them.
pub(super) struct Facts {
    user: UserId,
    session: SessionId,
    issued_at: Timestamp,
    expires_at: Timestamp,
    rights: Option<Rights>,
}

impl From<AccessClaims> for Facts {
    fn from(claims: AccessClaims) -> Self {
        // What is no permission can be asked for by nobody, so it allows nothing and is left out.
        let rights = claims.permissions.map(|texts| {
            let parsed = texts.iter().filter_map(|text| Permission::parse(text).ok());
            parsed.collect::<Vec<_>>().iter().collect()
        });
        Self {
            user: claims.user,
            session: claims.session,
            issued_at: claims.issued_at,
            expires_at: claims.expires_at,
            rights,
        }
    }
}

impl TokenPrincipal {
    pub(super) fn new(facts: Arc<Facts>) -> Self {
        Self(facts)
    }

    /// Who.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.0.user
    }

    /// In which session, which may have ended since.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.0.session
    }

    /// As of when all this holds.
    #[must_use]
    pub fn issued_at(&self) -> Timestamp {
        self.0.issued_at
    }

    /// When the token ends. Until then, and for the leeway after it, nothing that happens elsewhere
    /// is noticed here.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.0.expires_at
    }

    /// Whether the user had a permission when the token was signed: by itself, by its resource's
    /// wildcard or by `full_access`, just as goat decides. `false` for everything where the token
    /// does not say.
    #[must_use]
    pub fn may(&self, permission: &Permission) -> bool {
        self.0.rights.as_ref().is_some_and(|rights| rights.allow(permission))
    }

    /// What the user was allowed when the token was signed. `None` where the token does not say:
    /// its issuer leaves permissions out unless
    /// [`access_token_permissions`](crate::Settings::access_token_permissions) is set
    /// (`GOAT_ACCESS_TOKEN_PERMISSIONS` of goat-server), and always where they fit into no token.
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
