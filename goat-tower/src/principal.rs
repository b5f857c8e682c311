//! Who makes a request, as a layer found it and left it in the request's extensions.
//!
//! Invariants: the proofs are goat-core's and can be made by a check only; what stands here wraps
//! them, so that handlers can take them. A fresh principal is taken once.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use goat_core::Actor;
use http::Extensions;

/// Whose request this is: a live session of an active user.
///
/// [`authenticate`](crate::GoatExt::authenticate) leaves a [`goat_core::Principal`] in the request's
/// extensions. This is the same, in a type that axum's handlers can take as an argument (feature
/// `axum`): `Principal` where somebody must be signed in, `Option<Principal>` where signing in is
/// optional. It dereferences to the principal of goat-core, so `&me` is one wherever goat asks for
/// one.
///
/// ```
/// use goat_tower::Principal;
///
/// fn whose(request: &http::Request<()>) -> String {
///     match Principal::of(request.extensions()) {
///         Some(me) => format!("{} as {}", me.user(), me.role()),
///         None => "a stranger".to_owned(),
///     }
/// }
///
/// assert_eq!(whose(&http::Request::new(())), "a stranger");
/// ```
///
/// The principal of goat-core is no argument of a handler, and what the compiler says of it then does
/// not name it: that "the trait `Handler<_, _>` is not implemented".
///
/// ```compile_fail,E0277
/// use axum::{Router, routing::get};
///
/// async fn list(me: goat_core::Principal) {} // goat_tower::Principal
/// let app: Router = Router::new().route("/reports", get(list));
/// ```
#[derive(Clone)]
pub struct Principal(goat_core::Principal);

impl Principal {
    /// Who makes a request, if a layer has let somebody in.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get::<goat_core::Principal>().cloned().map(Self)
    }

    /// The principal of goat-core.
    #[must_use]
    pub fn into_inner(self) -> goat_core::Principal {
        self.0
    }
}

impl Deref for Principal {
    type Target = goat_core::Principal;

    fn deref(&self) -> &goat_core::Principal {
        &self.0
    }
}

impl From<Principal> for goat_core::Principal {
    fn from(principal: Principal) -> Self {
        principal.0
    }
}

impl From<goat_core::Principal> for Principal {
    fn from(principal: goat_core::Principal) -> Self {
        Self(principal)
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A principal that was read again from the stores within this request, by
/// [`RequireLayer::fresh`](crate::RequireLayer::fresh). What changes users or rights is done by the
/// [`Actor`] that it becomes:
///
/// ```
/// use goat_core::{Goat, Result, UserId};
/// use goat_tower::FreshPrincipal;
///
/// async fn remove(goat: Goat, me: FreshPrincipal, user: UserId) -> Result<()> {
///     goat.users().delete(me.into(), user).await
/// }
/// ```
///
/// It proves one act, and a request has one; there is no `Option` of it for handlers, since a route
/// asks for one or does not.
pub struct FreshPrincipal(goat_core::FreshPrincipal);

impl FreshPrincipal {
    /// Takes the fresh principal of a request, if a layer made one. It proves one act: the second
    /// time there is none.
    #[must_use]
    pub fn take(extensions: &Extensions) -> Option<Self> {
        extensions.get::<FreshSlot>()?.take().map(Self)
    }

    /// The fresh principal of goat-core.
    #[must_use]
    pub fn into_inner(self) -> goat_core::FreshPrincipal {
        self.0
    }
}

impl Deref for FreshPrincipal {
    type Target = goat_core::Principal;

    fn deref(&self) -> &goat_core::Principal {
        self.0.principal()
    }
}

impl From<FreshPrincipal> for goat_core::FreshPrincipal {
    fn from(fresh: FreshPrincipal) -> Self {
        fresh.0
    }
}

impl From<FreshPrincipal> for Actor {
    fn from(fresh: FreshPrincipal) -> Self {
        fresh.0.into()
    }
}

impl fmt::Debug for FreshPrincipal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Where a fresh principal lies until it is taken. Extensions can be cloned, a proof cannot: clones
/// share the slot.
#[derive(Clone)]
pub(crate) struct FreshSlot(Arc<Mutex<Option<goat_core::FreshPrincipal>>>);

impl FreshSlot {
    pub(crate) fn holding(fresh: goat_core::FreshPrincipal) -> Self {
        Self(Arc::new(Mutex::new(Some(fresh))))
    }

    fn take(&self) -> Option<goat_core::FreshPrincipal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Left in the extensions of a request that may pass without credentials and has none, so that
/// nobody takes a missing layer for a stranger.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anonymous;
