//! Who makes a request, as a layer found it and left it in the request's extensions.
//!
//! Invariants: the proofs are goat-core's and can be made by a check only; what stands here wraps
//! them, so that handlers can take them. A fresh principal is taken once.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use goat_core::{Actor, Goat, Result};
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
/// # use goat_core::testing::TestGoat;
/// # use goat_tower::GoatExt;
/// # use http::{Request, Response};
/// # use http_body_util::{BodyExt, Full};
/// # use tower::{Layer, ServiceExt, service_fn};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let test = TestGoat::new();
/// let alice = test.sign_in("alice", []).await;
/// let layer = test.goat.authenticate().optional();
/// let service = layer.layer(service_fn(async |request: Request<()>| {
///     Ok::<_, std::convert::Infallible>(Response::new(Full::new(bytes::Bytes::from(whose(&request)))))
/// }));
///
/// let request = Request::builder().header("authorization", alice.bearer()).body(())?;
/// let known = service.clone().oneshot(request).await?.into_body().collect().await?.to_bytes();
/// assert_eq!(known, format!("{} as client", alice.user.id));
/// let stranger = service.oneshot(Request::new(())).await?.into_body().collect().await?.to_bytes();
/// assert_eq!(stranger, "a stranger");
/// # Ok(())
/// # }
/// ```
///
/// In a handler of axum, where the type says who may come:
///
/// ```
/// # #[cfg(not(feature = "axum"))]
/// # fn main() {}
/// # #[cfg(feature = "axum")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::http::{Request, StatusCode};
/// use axum::{Router, body::Body, routing::get};
/// use goat_core::testing::TestGoat;
/// use goat_tower::{GoatExt, Principal};
/// use tower::ServiceExt;
///
/// async fn mine(me: Principal) -> String {
///     format!("what {} has", me.user())
/// }
///
/// async fn welcome(me: Option<Principal>) -> &'static str {
///     if me.is_some() { "welcome back" } else { "welcome" }
/// }
///
/// let test = TestGoat::new();
/// let app = Router::new()
///     .route("/mine", get(mine))
///     .route("/", get(welcome))
///     .layer(test.goat.authenticate().optional());
///
/// let alice = test.sign_in("alice", []).await;
/// let allowed = Request::get("/mine").header("authorization", alice.bearer()).body(Body::empty())?;
/// assert_eq!(app.clone().oneshot(allowed).await?.status(), StatusCode::OK);
/// let refused = Request::get("/mine").body(Body::empty())?;
/// assert_eq!(app.clone().oneshot(refused).await?.status(), StatusCode::UNAUTHORIZED);
/// let anybody = Request::get("/").body(Body::empty())?;
/// assert_eq!(app.oneshot(anybody).await?.status(), StatusCode::OK);
/// # Ok(())
/// # }
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

    /// Reads session, user and permissions again from the stores, past every cache, in the place of
    /// a handler where the request has been validated. Before the handler, it is
    /// [`RequireLayer::fresh`](crate::RequireLayer::fresh).
    ///
    /// ```
    /// use goat_core::{Goat, UserId};
    /// use goat_tower::{Principal, Problem};
    ///
    /// async fn delete(goat: Goat, me: Principal, user: UserId) -> Result<(), Problem> {
    ///     Ok(goat.users().delete(me.fresh(&goat).await?.into(), user).await?)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SessionRevoked`](goat_core::ErrorKind::SessionRevoked) if the session is no longer valid,
    /// [`Unavailable`](goat_core::ErrorKind::Unavailable) if a store does not respond.
    pub async fn fresh(&self, goat: &Goat) -> Result<FreshPrincipal> {
        goat.reauthenticate(&self.0).await.map(FreshPrincipal)
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
/// It is taken out of the request, once:
///
/// ```
/// use goat_core::Permission;
/// use goat_core::access::permissions::USER_DELETE;
/// use goat_core::testing::TestGoat;
/// use goat_tower::{FreshPrincipal, GoatExt};
/// use http::{Request, Response, StatusCode};
/// use http_body_util::Empty;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let test = TestGoat::new();
/// let layer = test.goat.require(USER_DELETE).fresh();
/// let service = layer.layer(service_fn(async |request: Request<()>| {
///     let me = FreshPrincipal::take(request.extensions()).expect("the layer has made one");
///     assert!(me.may(&USER_DELETE));
///     assert!(FreshPrincipal::take(request.extensions()).is_none());
///     Ok::<_, std::convert::Infallible>(Response::new(Empty::<&[u8]>::new()))
/// }));
///
/// let admin = test.sign_in("grace", [Permission::FULL_ACCESS]).await;
/// let allowed = Request::builder().header("authorization", admin.bearer()).body(())?;
/// assert_eq!(service.clone().oneshot(allowed).await?.status(), StatusCode::OK);
///
/// let client = test.sign_in("alice", []).await;
/// let refused = Request::builder().header("authorization", client.bearer()).body(())?;
/// assert_eq!(service.oneshot(refused).await?.status(), StatusCode::FORBIDDEN);
/// # Ok(())
/// # }
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
