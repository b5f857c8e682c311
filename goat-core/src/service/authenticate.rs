//! Authentication: verifies an access token or an API key, and returns its principal.
//!
//! Invariant: a text is a key if it begins as one, so that a key never passes for a token nor a token for a
//! key.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use crate::error::{Error, Result};
use crate::id::Credential;
use crate::key::PresentedKey;

use super::session_validator::invalid_key;
use super::{Context, FreshPrincipal, Principal};

/// The authentication of an access token or an API key: a future, which is ready at once if the session or
/// the key is cached.
///
/// Cancel safe: dropping it has no effect.
#[must_use = "futures do nothing unless polled"]
pub struct Authentication(State);

enum State {
    Ready(Option<Result<Principal>>),
    Pending(Pin<Box<dyn Future<Output = Result<Principal>> + Send>>),
}

impl Authentication {
    fn done(result: Result<Principal>) -> Self {
        Self(State::Ready(Some(result)))
    }

    /// Returns the result if it is available without waiting.
    ///
    /// # Errors
    ///
    /// Returns the future itself, if the stores must be read or the result was polled already.
    pub fn ready(self) -> Result<Result<Principal>, Self> {
        match self.0 {
            State::Ready(Some(result)) => Ok(result),
            state => Err(Self(state)),
        }
    }
}

impl Future for Authentication {
    type Output = Result<Principal>;

    fn poll(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            #[expect(clippy::expect_used, reason = "polling again is a defect of the caller")]
            State::Ready(result) => {
                Poll::Ready(result.take().expect("`Authentication` polled after completion"))
            }
            State::Pending(future) => future.as_mut().poll(context),
        }
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.0 {
            State::Ready(_) => "Authentication(ready)",
            State::Pending(_) => "Authentication(pending)",
        })
    }
}

impl Context {
    /// Verifies the token or key locally, then looks up the cache, and only then reads the stores.
    pub(crate) fn authenticate(self: &Arc<Self>, text: &str) -> Authentication {
        // An access token begins with `eyJ`, and a prefix is in lower case.
        if self.settings.key_prefix.begins(text) {
            self.authenticate_key(text)
        } else {
            self.authenticate_access_token(text)
        }
    }

    /// K4: a malformed key asks no store.
    fn authenticate_key(self: &Arc<Self>, text: &str) -> Authentication {
        let parsed = PresentedKey::parse(&self.settings.key_prefix, text);
        let Some(presented) = parsed.filter(|_| self.settings.keys) else {
            return Authentication::done(Err(invalid_key()));
        };
        let (key, hash) = (presented.id(), presented.hash());
        if let Some(principal) = self.validator.cached_key(key, &hash) {
            return Authentication::done(Ok(principal));
        }
        let validator = Arc::clone(&self.validator);
        Authentication(State::Pending(Box::pin(async move { validator.read_key(key, hash).await })))
    }

    /// Like [`Self::authenticate`], for an access token only.
    pub(crate) fn authenticate_access_token(self: &Arc<Self>, token: &str) -> Authentication {
        let claims = match self.tokens.verify_access(token, self.time.now()) {
            Ok(claims) => claims,
            Err(error) => return Authentication::done(Err(error)),
        };
        let (user, session, epoch) = (claims.user, claims.session, claims.epoch);
        let revisions = claims.revisions;
        if let Some(principal) = self.validator.cached(user, session, revisions) {
            return Authentication::done(principal.of_token(epoch).map_err(Error::from));
        }
        let validator = Arc::clone(&self.validator);
        Authentication(State::Pending(Box::pin(async move {
            Ok(validator.read(user, session, revisions).await?.of_token(epoch)?)
        })))
    }

    /// Re-reads a principal's session or API key, and its user, from the stores. The principal is not from
    /// before a replacement of the session's tokens (D5).
    pub(crate) async fn reauthenticate(&self, principal: &Principal) -> Result<FreshPrincipal> {
        let user = principal.user();
        let read = match (principal.credential(), principal.hash()) {
            (Credential::Session(session), _) => self.validator.read_fresh(user, session).await?,
            (Credential::Key(key), Some(hash)) => self.validator.fill_key(user, key, hash).await?,
            (Credential::Key(_), None) => return Err(invalid_key()),
        };
        Ok(FreshPrincipal::new(principal.reread(read)?))
    }
}
