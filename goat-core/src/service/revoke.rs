//! Revocation of a token by its bearer (RFC 7009): ends the session of an access or refresh token.
//!
//! Invariants:
//! - only a token that goat has signed ends a session, and only its own;
//! - a token from before a replacement of the session's tokens ends nothing, as elsewhere;
//! - the result does not tell whether there was something to revoke.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::id::{SessionId, UserId};
use crate::session::Origin;

use super::Context;

impl Context {
    pub(crate) async fn revoke_token(self: &Arc<Self>, token: &str, origin: &Origin) -> Result<()> {
        let Some((user, session, epoch)) = self.session_of(token) else { return Ok(()) };
        let read = self.validator.read_fresh(user, session).await;
        let ended = match read.and_then(|principal| principal.of_token(epoch).map_err(Error::from))
        {
            Ok(principal) => self.logout(&principal, origin).await,
            Err(error) => Err(error),
        };
        match ended {
            Err(error) if error.kind() == ErrorKind::SessionRevoked => Ok(()),
            ended => ended,
        }
    }

    /// Returns user, session and session epoch of a token. An access token may have expired, since its client
    /// may not know the refresh token; an expired refresh token ends nothing, as at a refresh.
    fn session_of(&self, token: &str) -> Option<(UserId, SessionId, u64)> {
        let now = self.time.now();
        if let Ok(claims) = self.tokens.verify_access_or_expired(token, now) {
            return Some((claims.user, claims.session, claims.epoch));
        }
        let claims = self.tokens.verify_refresh(token, now).ok()?;
        Some((claims.user, claims.session, claims.epoch))
    }
}
