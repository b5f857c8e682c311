//! Revocation of a token or an API key by its bearer (RFC 7009): ends the session of an access or refresh
//! token, or deletes the key.
//!
//! Invariants:
//! - only a token that goat has signed ends a session, and only its own;
//! - a token from before a replacement of the session's tokens ends nothing, as elsewhere;
//! - a key is revoked by its whole text only, and a wrong secret costs and looks like an unknown key;
//! - the result does not tell whether there was something to revoke.

use std::sync::Arc;

use crate::detached::run_to_completion;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{SessionId, UserId};
use crate::key::PresentedKey;
use crate::session::Origin;

use super::Context;

impl Context {
    pub(crate) async fn revoke_token(self: &Arc<Self>, text: &str, origin: &Origin) -> Result<()> {
        if self.settings.key_prefix.begins(text) {
            return self.revoke_presented(text, origin).await;
        }
        let Some((user, session, epoch)) = self.session_of(text) else { return Ok(()) };
        let read = self.validator.read_fresh(user, session).await;
        let ended = match read.and_then(|principal| principal.of_token(epoch).map_err(Error::from))
        {
            Ok(principal) => self.logout(&principal, origin).await,
            Err(error) => Err(error),
        };
        match ended {
            // It had ended, or another call was faster.
            Err(error) if error.kind() == ErrorKind::SessionRevoked => Ok(()),
            ended => ended,
        }
    }

    /// Revokes the key of a text, also one that has expired, and one of a suspended owner.
    async fn revoke_presented(self: &Arc<Self>, text: &str, origin: &Origin) -> Result<()> {
        let parsed = PresentedKey::parse(&self.settings.key_prefix, text);
        let Some(presented) = parsed else { return Ok(()) };
        // TIMING: a wrong secret takes no step more than an unknown key.
        let found = self.stores.keys.find(presented.id()).await?;
        let found = found.filter(|view| view.stored.hash.is_same_as(&presented.hash()));
        let Some(view) = found else { return Ok(()) };
        let key = view.stored.key;
        let owner = match view.owner {
            Some(state) => Some(state),
            None => self.stores.users.state(key.owner).await?,
        };
        // A key without its owner counts as absent.
        let Some(owner) = owner.map(|state| state.user) else { return Ok(()) };
        let (context, address) = (Arc::clone(self), origin.address);
        run_to_completion(async move {
            let revoked = context.revoke_key(&owner, key.id, owner.id.into(), address).await;
            match revoked {
                // Revoked in the meantime.
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                revoked => revoked,
            }
        })
        .await
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
