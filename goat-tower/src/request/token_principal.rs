//! The principal of a verified access token, in the request's extensions.
//!
//! Invariant: made only by the verification of a token, and never treated as a live session.

use std::fmt;
use std::ops::Deref;

use goat_core::token::{self, Verifier};
use http::Extensions;

/// The user of a verified access token, as of when the token was signed. **Revocation is not visible**
/// until the token expires: read about [`goat_core::token::TokenPrincipal`], to which this dereferences,
/// before you base a decision on it.
///
/// [`authenticate`](crate::offline::VerifierExt::authenticate) stores it in the request's extensions.
/// With the feature `axum`, handlers take it as an argument: `TokenPrincipal` if a token is required,
/// `Option<TokenPrincipal>` if it is optional.
///
/// ```
/// use goat_tower::offline::TokenPrincipal;
///
/// fn describe(request: &http::Request<()>) -> String {
///     match TokenPrincipal::of(request.extensions()) {
///         Some(me) => format!("{} until {:?}", me.user(), me.expires_at()),
///         None => "anonymous".to_owned(),
///     }
/// }
///
/// assert_eq!(describe(&http::Request::new(())), "anonymous");
/// ```
#[derive(Clone)]
pub struct TokenPrincipal(token::TokenPrincipal);

impl TokenPrincipal {
    /// Returns the principal of a request's token, if a layer has verified one.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get::<OfflineIdentity>()?.principal.clone().map(Self)
    }

    /// Returns goat-core's principal.
    #[must_use]
    pub fn into_inner(self) -> token::TokenPrincipal {
        self.0
    }
}

impl Deref for TokenPrincipal {
    type Target = token::TokenPrincipal;

    fn deref(&self) -> &token::TokenPrincipal {
        &self.0
    }
}

impl From<TokenPrincipal> for token::TokenPrincipal {
    fn from(principal: TokenPrincipal) -> Self {
        principal.0
    }
}

impl From<token::TokenPrincipal> for TokenPrincipal {
    fn from(principal: token::TokenPrincipal) -> Self {
        Self(principal)
    }
}

impl fmt::Debug for TokenPrincipal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The identity that a verifier established; without a principal if the request is anonymous. A type
/// apart from a goat's [`Principal`](goat_core::Principal), so that neither is taken for the other.
#[derive(Clone)]
pub(crate) struct OfflineIdentity {
    pub(crate) by: Verifier,
    pub(crate) principal: Option<token::TokenPrincipal>,
}
