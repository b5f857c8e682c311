//! Token pairs: the access and the refresh token of a session.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::access::{Role, RoleTable};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::id::{TokenId, UserId};
use crate::secret::Secret;
use crate::session::{RefreshToken, Session};
use crate::token::{AccessClaims, AddedClaims, RefreshClaims};
use crate::user::{Attributes, Revisions, User};

use super::Context;

/// The application's claims of access tokens, by user.
pub(crate) struct ClaimSource(Box<dyn Fn(&User) -> Value + Send + Sync>);

impl ClaimSource {
    pub(crate) fn new(claims: impl Fn(&User) -> Value + Send + Sync + 'static) -> Self {
        Self(Box::new(claims))
    }

    fn of(&self, user: &User) -> Value {
        (self.0)(user)
    }
}

impl fmt::Debug for ClaimSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ClaimSource")
    }
}

/// The tokens of a session.
#[derive(Clone, Debug)]
pub struct TokenPair {
    /// Authenticates requests.
    pub access_token: Secret<String>,
    /// The expiry of the access token, a whole second.
    pub access_token_expires_at: Timestamp,
    /// Exchanged once for the next pair.
    pub refresh_token: Secret<String>,
    /// The expiry of the refresh token, a whole second.
    pub refresh_token_expires_at: Timestamp,
    /// The remaining lifetime of the access token.
    pub expires_in: Duration,
}

impl Context {
    /// Returns the next refresh token of a session with absolute expiry `ends_at`. It is valid for the
    /// idle time, and never longer than the session.
    pub(super) fn next_refresh_token(&self, now: Timestamp, ends_at: Timestamp) -> RefreshToken {
        let issued_at = now.floor_to_second();
        RefreshToken {
            id: TokenId::generate(now),
            issued_at,
            expires_at: (issued_at + self.settings.refresh_ttl).floor_to_second().min(ends_at),
            key: self.tokens.signing_key().to_owned(),
        }
    }

    /// Returns the permissions to include in access tokens, if the settings ask for it.
    pub(super) async fn token_permissions(
        &self,
        user: UserId,
        role: &Role,
    ) -> Result<Option<Vec<String>>> {
        if !self.settings.access_token_permissions {
            return Ok(None);
        }
        let permissions = |table: &RoleTable, role: &Role| {
            Some(table.permissions(role).iter().map(ToString::to_string).collect())
        };
        let table = self.role_table.table(None).await?;
        // A role is deleted only once no user has it, so the user has another one by now.
        if self.policy.has_stored_roles()
            && !table.contains(role)
            && let Some(state) = self.stores.users.state(user).await?
        {
            let table = self.role_table.table(state.roles_revision).await?;
            return Ok(permissions(&table, &state.user.role));
        }
        Ok(permissions(&table, role))
    }

    /// Returns the application's claims. Invalid ones are omitted, so that they lock out no user.
    fn added_claims(&self, user: &User) -> Option<AddedClaims> {
        let claims = self.claims.as_ref()?;
        match AddedClaims::parse(claims.of(user)) {
            Ok(added) => Some(added),
            Err(reason) => {
                tracing::error!(reason, user = %user.id, "access token signed without the application's claims");
                None
            }
        }
    }

    /// Returns the attributes to include in access tokens. Those that do not fit are omitted.
    fn token_attributes(&self, user: &User) -> Attributes {
        const MOST_BYTES: usize = 1024;
        user.attributes.selected(&self.settings.token_attributes, MOST_BYTES)
    }

    /// Signs both tokens of a session from its stored claims: a new access token, and the same refresh
    /// token each time. `revisions` are those that the flow has read or written: no node serves the access
    /// token under earlier ones. No I/O: this follows the commit.
    pub(super) fn sign(
        &self,
        session: &Session,
        user: &User,
        permissions: Option<Vec<String>>,
        revisions: Revisions,
        now: Timestamp,
    ) -> Result<TokenPair> {
        let issued_at = now.floor_to_second();
        let expires_at = (issued_at + self.settings.access_ttl).min(session.expires_at());
        let access = AccessClaims {
            user: session.user,
            session: session.id,
            id: TokenId::generate(now),
            issued_at,
            expires_at,
            client_id: self.tokens.settings().client_id().to_owned(),
            authenticated_at: session.authenticated_at,
            amr: session.methods.amr(session.assurance()),
            acr: Some(session.assurance()),
            revisions,
            epoch: session.epoch,
            permissions,
            attributes: self.token_attributes(user),
        };
        let added = self.added_claims(user);
        let access_token = match self.tokens.sign_access_with(&access, added.as_ref()) {
            // Permissions that exceed the token size are omitted, so that a grant locks out no user.
            Err(error) if access.permissions.is_some() => {
                tracing::warn!(%error, "access token signed without its permissions");
                let access = AccessClaims { permissions: None, ..access };
                self.tokens.sign_access_with(&access, added.as_ref())
            }
            signed => signed,
        };
        let refresh = RefreshClaims {
            user: session.user,
            session: session.id,
            id: session.current.id,
            epoch: session.epoch,
            issued_at: session.current.issued_at,
            expires_at: session.current.expires_at,
        };
        Ok(TokenPair {
            access_token: Secret::new(access_token?),
            access_token_expires_at: expires_at,
            refresh_token: Secret::new(self.tokens.sign_refresh(&refresh, &session.current.key)?),
            refresh_token_expires_at: session.current.expires_at,
            expires_in: expires_at.since(now),
        })
    }
}
