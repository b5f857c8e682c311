//! Be let in: an access token for a principal.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::access::{FreshPrincipal, Principal};
use crate::error::Result;

use super::Flows;

/// The answer to an access token: there already where the cache knows the session, or on its way.
///
/// A future. Dropping it changes nothing.
#[must_use = "nobody is let in by an answer that nobody reads"]
pub struct Authentication(State);

enum State {
    Ready(Option<Result<Principal>>),
    Pending(Pin<Box<dyn Future<Output = Result<Principal>> + Send>>),
}

impl Authentication {
    fn of(result: Result<Principal>) -> Self {
        Self(State::Ready(Some(result)))
    }

    /// The answer without waiting, where it is there already; otherwise the future back.
    ///
    /// # Errors
    ///
    /// The future, if the stores must be asked, or if it was polled and has answered.
    pub fn ready(self) -> Result<Result<Principal>, Self> {
        match self.0 {
            State::Ready(Some(result)) => Ok(result),
            state => Err(Self(state)),
        }
    }
}

impl Future for Authentication {
    type Output = Result<Principal>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            #[expect(
                clippy::expect_used,
                reason = "polled after it was ready: the caller's defect"
            )]
            State::Ready(result) => {
                Poll::Ready(result.take().expect("an answer is read only once"))
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

impl Flows {
    /// Verifies the token locally, then asks the cache, and only then the stores.
    pub(crate) fn authenticate(self: &Arc<Self>, token: &str) -> Authentication {
        let claims = match self.tokens.verify_access(token, self.time().now()) {
            Ok(claims) => claims,
            Err(error) => return Authentication::of(Err(error)),
        };
        if let Some(principal) = self.users.validator.cached(claims.user, claims.session) {
            return Authentication::of(Ok(principal));
        }
        let users = Arc::clone(&self.users);
        Authentication(State::Pending(Box::pin(async move {
            users.validator.read(claims.user, claims.session).await
        })))
    }

    /// Reads a principal's session and user again.
    pub(crate) async fn reauthenticate(&self, principal: &Principal) -> Result<FreshPrincipal> {
        let validator = &self.users.validator;
        let read = validator.read_fresh(principal.user(), principal.session()).await?;
        Ok(FreshPrincipal::new(read))
    }
}
