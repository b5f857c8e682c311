//! Who a token says makes a request, as a layer found it and left it in the request's extensions.
//!
//! Invariant: made by a check of a token only, and never taken for a live session.

use std::fmt;
use std::ops::Deref;

use goat_core::token::Verifier;
use http::Extensions;

/// Who showed a good access token, as things were when it was signed: **blind to revocation** until the
/// token expires. Read [the same in goat-core](goat_core::token::TokenPrincipal), to which it
/// dereferences, before letting it decide.
///
/// [`authenticate`](super::VerifierExt::authenticate) leaves it in the request's extensions. Axum's
/// handlers can take it as an argument (feature `axum`): `TokenPrincipal` where somebody must have shown
/// a token, `Option<TokenPrincipal>` where that is optional.
///
/// ```
/// use goat_tower::offline::TokenPrincipal;
///
/// fn whose(request: &http::Request<()>) -> String {
///     match TokenPrincipal::of(request.extensions()) {
///         Some(who) => format!("{} until {:?}", who.user(), who.expires_at()),
///         None => "a stranger".to_owned(),
///     }
/// }
///
/// assert_eq!(whose(&http::Request::new(())), "a stranger");
/// ```
#[derive(Clone)]
pub struct TokenPrincipal(goat_core::token::TokenPrincipal);

impl TokenPrincipal {
    /// Whose token came with a request, if a layer has let somebody in by it.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get::<OfflineIdentity>()?.principal.clone().map(Self)
    }

    /// The same in goat-core.
    #[must_use]
    pub fn into_inner(self) -> goat_core::token::TokenPrincipal {
        self.0
    }
}

impl Deref for TokenPrincipal {
    type Target = goat_core::token::TokenPrincipal;

    fn deref(&self) -> &goat_core::token::TokenPrincipal {
        &self.0
    }
}

impl From<TokenPrincipal> for goat_core::token::TokenPrincipal {
    fn from(principal: TokenPrincipal) -> Self {
        principal.0
    }
}

impl From<goat_core::token::TokenPrincipal> for TokenPrincipal {
    fn from(principal: goat_core::token::TokenPrincipal) -> Self {
        Self(principal)
    }
}

impl fmt::Debug for TokenPrincipal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What a verifier saw of a request's credentials: somebody, or nobody where that may be. It stands in
/// the request's extensions beside what a goat leaves there, so that neither is taken for the other.
#[derive(Clone)]
pub(crate) struct OfflineIdentity {
    pub(super) by: Verifier,
    pub(super) principal: Option<goat_core::token::TokenPrincipal>,
}

impl OfflineIdentity {
    /// What was seen of a request, if a verifier's layer has looked at it.
    pub(crate) fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Who it was, if somebody was there.
    pub(crate) fn principal(&self) -> Option<&goat_core::token::TokenPrincipal> {
        self.principal.as_ref()
    }
}
