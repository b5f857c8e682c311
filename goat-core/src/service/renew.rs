//! Renewal: refreshes a session and authenticates it within one request.
//!
//! Single-flight: concurrent renewals with one refresh token share one rotation.
//!
//! Invariants:
//! - only the very same verified token, from the same address, joins a rotation in progress; the store
//!   decides on every other token of the session, and sees a token that two addresses present;
//! - each caller validates the session after the rotation, so a shared rotation serves no request that
//!   began after the session ended;
//! - a rotation in progress completes if its callers are dropped.

use std::collections::HashMap;
use std::net::IpAddr;

use tokio::sync::OnceCell;

use crate::detached::run_to_completion;
use crate::error::{Error, Result};
use crate::id::TokenId;
use crate::secret::Secret;
use crate::session::Origin;
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use crate::token::RefreshClaims;

use super::{Context, Principal, TokenPair};

/// The result of a renewal.
#[derive(Clone, Debug)]
pub struct Renewed {
    /// The principal of the session.
    pub principal: Principal,
    /// The session's new tokens.
    pub tokens: TokenPair,
}

/// The refresh token and the client address of a renewal.
type Key = (TokenId, Option<IpAddr>);
type Rotation = OnceCell<Result<TokenPair, Arc<Error>>>;

/// The rotations in progress. A [`SingleFlight`](crate::single_flight::SingleFlight) is for reads: it
/// runs the operation again for callers that join late, and a second rotation is a second use of the
/// token.
#[derive(Debug, Default)]
pub(crate) struct Renewals(Mutex<HashMap<Key, Arc<Rotation>>>);

impl Renewals {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Rotation>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller of a rotation. The first one that leaves removes the rotation.
struct Caller {
    context: Arc<Context>,
    key: Key,
    rotation: Arc<Rotation>,
}

impl Caller {
    fn join(context: &Arc<Context>, key: Key) -> Self {
        let rotation = Arc::clone(context.renewals.lock().entry(key).or_default());
        Self { context: Arc::clone(context), key, rotation }
    }

    /// Returns the tokens of the rotation that is in progress, or rotates.
    async fn rotate(self, claims: RefreshClaims) -> Result<TokenPair, Arc<Error>> {
        let Self { context, key: (_, address), rotation } = &self;
        let rotate = || async move {
            let refreshed = context.exchange(claims, *address).await;
            refreshed.map(|refreshed| refreshed.tokens).map_err(Arc::new)
        };
        rotation.get_or_init(rotate).await.clone()
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let mut rotations = self.context.renewals.lock();
        if rotations.get(&self.key).is_some_and(|found| Arc::ptr_eq(found, &self.rotation)) {
            rotations.remove(&self.key);
        }
    }
}

impl Context {
    pub(crate) async fn renew(
        self: &Arc<Self>,
        token: &Secret<String>,
        origin: &Origin,
    ) -> Result<Renewed> {
        let claims = self.verify_refresh(token, origin.address)?;
        let caller = Caller::join(self, (claims.id, origin.address));
        let rotated = run_to_completion(caller.rotate(claims)).await;
        let tokens = rotated.map_err(|error| Error::shared(&error))?;
        let principal = self.authenticate(tokens.access_token.expose()).await?;
        Ok(Renewed { principal, tokens })
    }
}
