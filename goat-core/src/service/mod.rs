//! The flows: sign up, sign in, be let in, go on, sign out. One a file, readable top to bottom.

mod authenticate;
mod login;
mod logout;
mod refresh;
mod signup;

pub use authenticate::Authentication;
pub use login::{Login, SignedIn};
pub use refresh::Refreshed;
pub use signup::SignUp;

use std::sync::Arc;
use std::time::Duration;

use crate::access::Role;
use crate::clock::{Time, Timestamp};
use crate::error::Result;
use crate::event::Observer;
use crate::id::TokenId;
use crate::secret::Secret;
use crate::session::{RefreshToken, Session};
use crate::settings::Settings;
use crate::token::{AccessClaims, RefreshClaims, Tokens};
use crate::user;

/// What the flows stand on.
#[derive(Debug)]
pub(crate) struct Flows {
    pub(crate) users: Arc<user::Inner>,
    pub(crate) tokens: Tokens,
    pub(crate) settings: Settings,
    /// When sessions were last purged, so that it happens now and then.
    pub(crate) purged_at: std::sync::atomic::AtomicI64,
}

impl Flows {
    fn time(&self) -> &Time {
        &self.users.time
    }

    fn observer(&self) -> &dyn Observer {
        self.users.observer.as_ref()
    }

    /// A refresh token for a session that ends at `ends_at`: good for the idle time, and never past
    /// the session's end.
    fn next_refresh_token(&self, now: Timestamp, ends_at: Timestamp) -> RefreshToken {
        let issued_at = now.floor_to_second();
        RefreshToken {
            id: TokenId::generate(now),
            issued_at,
            expires_at: (issued_at + self.settings.refresh_ttl).floor_to_second().min(ends_at),
            key: self.tokens.signing_key().to_owned(),
        }
    }

    /// The permissions that go into access tokens, where they do.
    async fn token_permissions(&self, role: &Role) -> Result<Option<Vec<String>>> {
        if !self.settings.access_token_permissions {
            return Ok(None);
        }
        let (table, _) = self.users.access.table(None).await?;
        Ok(Some(table.permissions(role).iter().map(ToString::to_string).collect()))
    }

    /// Signs both tokens of a session from what is stored of it: a new access token, and the very
    /// same refresh token each time. No I/O: this comes after the commit.
    fn sign(
        &self,
        session: &Session,
        permissions: Option<Vec<String>>,
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
            permissions,
        };
        let access_token = match self.tokens.sign_access(&access) {
            // Permissions that fit into no token are left out: nobody is locked out by a grant.
            Err(error) if access.permissions.is_some() => {
                tracing::warn!(%error, "an access token was signed without its permissions");
                self.tokens.sign_access(&AccessClaims { permissions: None, ..access })
            }
            signed => signed,
        };
        let refresh = RefreshClaims {
            user: session.user,
            session: session.id,
            id: session.current.id,
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

/// What a client holds of a session.
#[derive(Clone, Debug)]
pub struct TokenPair {
    /// Shown with each request.
    pub access_token: Secret<String>,
    /// When the access token ends, a whole second.
    pub access_token_expires_at: Timestamp,
    /// Exchanged for the next pair, once.
    pub refresh_token: Secret<String>,
    /// When the refresh token ends, a whole second.
    pub refresh_token_expires_at: Timestamp,
    /// How long the access token is good from now.
    pub expires_in: Duration,
}
