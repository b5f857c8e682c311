//! Identity sources: a `Goat` authenticates against live sessions, an offline `Verifier` by the token
//! alone.
//!
//! Invariant: a source accepts only identities that it established itself. An identity of another
//! source is a configuration error, never an anonymous request.

use std::future::{self, Future};
use std::pin::Pin;

use goat_core::auth::{Authentication, TokenPair};
use goat_core::token::{TokenPrincipal, Verifier};
use goat_core::{Error, Goat, Principal, Secret};
use http::Extensions;
use http::request::Parts;

use crate::cookie::Cookies;
use crate::request::credentials::{Place, access_token};
use crate::request::origin::Origin;
use crate::request::principal::Anonymous;
use crate::request::token_principal::OfflineIdentity;
use crate::response::denial::Denial;
use crate::response::layer_order::layer_order_error;

/// Authenticates access tokens and API keys. Sealed: implemented for `Goat` and `Verifier`.
pub trait Source: Clone + Send + Sync + 'static {
    /// The result of an authentication.
    type Principal: Clone + Send + Unpin;

    /// An authentication that waits for a store.
    type Pending: Future<Output = Result<Self::Principal, Error>> + Send + Unpin;

    /// A renewal of a session by its refresh token.
    type Renewal: Future<Output = Result<(Self::Principal, TokenPair), Error>> + Send + Unpin;

    /// Authenticates the access token or, in the header, the API key of a request. `Err` means that a store
    /// must be read first.
    fn authenticate(
        &self,
        token: &str,
        place: Place,
    ) -> Result<Result<Self::Principal, Error>, Self::Pending>;

    /// Whether a principal is of an API key.
    fn is_key(principal: &Self::Principal) -> bool;

    /// Starts a renewal; `None` if the source has no sessions.
    fn renew(&self, refresh_token: Secret<String>, origin: Origin) -> Option<Self::Renewal>;

    /// Stores an identity in a request's extensions; `None` is an anonymous request.
    fn insert(&self, extensions: &mut Extensions, principal: Option<Self::Principal>);

    /// Returns the identity that an outer layer stored; `None` if no layer has authenticated the
    /// request.
    ///
    /// # Errors
    ///
    /// Another source established it.
    fn stored(&self, extensions: &Extensions) -> Result<Option<Identity<Self>>, Error>;
}

/// The identity of a request, as far as it is known without waiting.
pub enum Identity<S: Source> {
    /// The request carries no credentials.
    Anonymous,
    /// The request is authenticated.
    Known(S::Principal),
    /// A store must be read first.
    Pending(S::Pending),
}

impl<S: Source> Identity<S> {
    fn of(principal: Option<S::Principal>) -> Self {
        principal.map_or(Self::Anonymous, Self::Known)
    }
}

/// Reads and authenticates the credentials of a request, as far as possible without waiting.
pub(crate) fn identify<S: Source>(
    source: &S,
    request: &Parts,
    cookies: Option<&Cookies>,
) -> Result<Identity<S>, Denial> {
    let Some((token, place)) = access_token(request, cookies)? else {
        return Ok(Identity::Anonymous);
    };
    match source.authenticate(token, place) {
        Ok(outcome) => outcome.map(Identity::Known).map_err(Denial::new),
        Err(pending) => Ok(Identity::Pending(pending)),
    }
}

impl Source for Goat {
    type Principal = Principal;
    type Pending = Authentication;
    type Renewal = Pin<Box<dyn Future<Output = Result<(Principal, TokenPair), Error>> + Send>>;

    fn authenticate(
        &self,
        token: &str,
        place: Place,
    ) -> Result<Result<Principal, Error>, Authentication> {
        match place {
            Place::Header => self.authenticate_token(token).ready(),
            // A browser sends cookies by itself; a key is never read from one.
            Place::Cookie => self.authenticate_access_token(token).ready(),
        }
    }

    fn is_key(principal: &Principal) -> bool {
        principal.session().is_none()
    }

    fn renew(&self, refresh_token: Secret<String>, origin: Origin) -> Option<Self::Renewal> {
        let goat = self.clone();
        Some(Box::pin(async move {
            let renewed = Self::renew(&goat, &refresh_token, &origin).await?;
            Ok((renewed.principal, renewed.tokens))
        }))
    }

    fn insert(&self, extensions: &mut Extensions, principal: Option<Principal>) {
        match principal {
            Some(principal) => drop(extensions.insert(principal)),
            None => drop(extensions.insert(Anonymous)),
        }
    }

    fn stored(&self, extensions: &Extensions) -> Result<Option<Identity<Self>>, Error> {
        match extensions.get::<Principal>() {
            // A principal of another goat may have any role and permission there.
            Some(principal) if !self.issued(principal) => Err(layer_order_error(
                "a goat.require(..) is inside of another goat's authenticate(): give both clones of \
                 one goat",
            )),
            Some(principal) => Ok(Some(Identity::Known(principal.clone()))),
            None if extensions.get::<Anonymous>().is_some() => Ok(Some(Identity::Anonymous)),
            None if extensions.get::<OfflineIdentity>().is_some() => Err(layer_order_error(
                "a goat.require(..) is inside of verifier.authenticate(), which does not validate \
                 sessions: use goat.authenticate() around it, or verifier.require(..)",
            )),
            None => Ok(None),
        }
    }
}

impl Source for Verifier {
    type Principal = TokenPrincipal;
    type Pending = future::Pending<Result<TokenPrincipal, Error>>;
    type Renewal = future::Pending<Result<(TokenPrincipal, TokenPair), Error>>;

    fn authenticate(
        &self,
        token: &str,
        _: Place,
    ) -> Result<Result<TokenPrincipal, Error>, Self::Pending> {
        Ok(self.verify(token))
    }

    fn is_key(_: &TokenPrincipal) -> bool {
        false
    }

    fn renew(&self, _: Secret<String>, _: Origin) -> Option<Self::Renewal> {
        None
    }

    fn insert(&self, extensions: &mut Extensions, principal: Option<TokenPrincipal>) {
        extensions.insert(OfflineIdentity { by: self.clone(), principal });
    }

    fn stored(&self, extensions: &Extensions) -> Result<Option<Identity<Self>>, Error> {
        match extensions.get::<OfflineIdentity>() {
            // A token of another issuer may name any permission.
            Some(identity) if !identity.by.is_clone_of(self) => Err(layer_order_error(
                "a verifier.require(..) is inside of another verifier's authenticate(): give both \
                 clones of one verifier",
            )),
            Some(identity) => Ok(Some(Identity::of(identity.principal.clone()))),
            None if extensions.get::<Principal>().is_some()
                || extensions.get::<Anonymous>().is_some() =>
            {
                Err(layer_order_error(
                    "a verifier.require(..) is inside of goat.authenticate(), which knows more than \
                     a token: use goat.require(..) there",
                ))
            }
            None => Ok(None),
        }
    }
}
