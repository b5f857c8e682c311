//! Authentication: verifies an access token and returns its principal.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use crate::error::{Error, Result};

use super::{Context, FreshPrincipal, Principal};

/// The authentication of an access token: a future, which is ready at once if the session is cached.
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
    /// Verifies the token locally, then looks up the cache, and only then reads the stores.
    pub(crate) fn authenticate(self: &Arc<Self>, token: &str) -> Authentication {
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

    /// Re-reads a principal's session and user from the stores. The principal is not from before a
    /// replacement of the session's tokens (D5).
    pub(crate) async fn reauthenticate(&self, principal: &Principal) -> Result<FreshPrincipal> {
        let read = self.validator.read_fresh(principal.user(), principal.session()).await?;
        Ok(FreshPrincipal::new(read.of_token(principal.session_epoch())?))
    }
}
