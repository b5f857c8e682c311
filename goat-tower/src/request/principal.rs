//! The principal of a request, in the request's extensions.
//!
//! Invariants: only authentication in goat-core creates a principal; these types wrap it for extractors. A
//! fresh principal is taken once.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use goat_core::{Actor, Goat, Result};
use http::Extensions;

/// The authenticated user of a request, with a live session.
///
/// [`authenticate`](crate::GoatExt::authenticate) stores a [`goat_core::Principal`] in the request's
/// extensions. This type wraps it as an extractor for axum (feature `axum`): `Principal` where
/// authentication is required, `Option<Principal>` where it is optional. It dereferences to goat-core's
/// principal, so that `&me` works wherever goat takes one.
///
/// ```
/// use goat_tower::Principal;
///
/// fn describe(request: &http::Request<()>) -> String {
///     match Principal::of(request.extensions()) {
///         Some(me) => format!("{} as {}", me.user(), me.role()),
///         None => "anonymous".to_owned(),
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
///     Ok::<_, std::convert::Infallible>(Response::new(Full::new(bytes::Bytes::from(describe(&request)))))
/// }));
///
/// let request = Request::builder().header("authorization", alice.bearer()).body(())?;
/// let authenticated = service.clone().oneshot(request).await?.into_body().collect().await?.to_bytes();
/// assert_eq!(authenticated, format!("{} as client", alice.user.id));
/// let anonymous = service.oneshot(Request::new(())).await?.into_body().collect().await?.to_bytes();
/// assert_eq!(anonymous, "anonymous");
/// # Ok(())
/// # }
/// ```
///
/// In an axum handler, where the argument's type says whether authentication is required:
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
///     // The address and the attributes are from the cache entry that answered the request.
///     let theme = me.profile().attributes.text("theme").unwrap_or_else(|| "light".to_owned());
///     format!("items of {} in {theme}", me.profile().email.as_str())
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
/// let rejected = Request::get("/mine").body(Body::empty())?;
/// assert_eq!(app.clone().oneshot(rejected).await?.status(), StatusCode::UNAUTHORIZED);
/// let anonymous = Request::get("/").body(Body::empty())?;
/// assert_eq!(app.oneshot(anonymous).await?.status(), StatusCode::OK);
/// # Ok(())
/// # }
/// ```
///
/// goat-core's principal is not an extractor; the compiler then reports that "the trait `Handler<_, _>`
/// is not implemented".
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
    /// Returns the principal of a request, if a layer has authenticated it.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get::<goat_core::Principal>().cloned().map(Self)
    }

    /// Reads session, user and permissions from the stores again, past every cache: for handlers that
    /// validate their input first. [`RequireLayer::fresh`](crate::RequireLayer::fresh) does so before the
    /// handler.
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

    /// Reads session, user and permissions from the stores again, and requires a recent proof of the session:
    /// for handlers that validate their input first. [`RequireLayer::recent`](crate::RequireLayer::recent)
    /// does so before the handler.
    ///
    /// # Errors
    ///
    /// Those of [`Goat::require_recent`].
    pub async fn recent(&self, goat: &Goat) -> Result<RecentPrincipal> {
        goat.require_recent(&self.0).await.map(RecentPrincipal)
    }

    /// Returns goat-core's principal.
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

/// A principal that was read from the stores within this request, by
/// [`RequireLayer::fresh`](crate::RequireLayer::fresh) or [`Principal::fresh`]. It converts into the
/// [`Actor`] that changes of users, roles and permissions require:
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
/// A handler takes it out of the request, once:
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
///     let me = FreshPrincipal::take(request.extensions()).expect("a fresh principal");
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
/// let rejected = Request::builder().header("authorization", client.bearer()).body(())?;
/// assert_eq!(service.oneshot(rejected).await?.status(), StatusCode::FORBIDDEN);
/// # Ok(())
/// # }
/// ```
///
/// It authorizes one operation. There is no `Option` extractor, since a route either requires one or does
/// not.
pub struct FreshPrincipal(goat_core::FreshPrincipal);

impl FreshPrincipal {
    /// Takes the fresh principal of a request, if a layer stored one. A second call returns `None`.
    #[must_use]
    pub fn take(extensions: &Extensions) -> Option<Self> {
        extensions.get::<FreshSlot>()?.take().map(|held| Self(held.into()))
    }

    /// Returns goat-core's fresh principal.
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

/// A fresh principal whose session was proven a short time ago, by
/// [`RequireLayer::recent`](crate::RequireLayer::recent) or [`Principal::recent`]. Services that change the
/// user's own credentials take goat-core's, so that a handler without the check does not compile:
///
/// ```
/// use goat_tower::RecentPrincipal;
///
/// /// Changes a credential that the application keeps.
/// async fn pair_device(me: RecentPrincipal) -> String {
///     format!("paired for {}", me.user())
/// }
/// ```
///
/// A handler takes it out of the request, once, as a [`FreshPrincipal`]; a route that requires a recent proof
/// gives either of them.
///
/// ```
/// use goat_core::testing::TestGoat;
/// use goat_tower::{GoatExt, RecentPrincipal, Requirement};
/// use http::{Request, Response};
/// use http_body_util::Empty;
/// use std::time::Duration;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let test = TestGoat::new();
/// let layer = test.goat.require(Requirement::signed_in()).recent();
/// let service = layer.layer(service_fn(async |request: Request<()>| {
///     let me = RecentPrincipal::take(request.extensions()).expect("a recent proof");
///     assert_eq!(me.role().as_str(), "client");
///     Ok::<_, std::convert::Infallible>(Response::new(Empty::<&[u8]>::new()))
/// }));
///
/// let alice = test.sign_in("alice", []).await;
/// let request = || Request::builder().header("authorization", alice.bearer()).body(());
/// assert_eq!(service.clone().oneshot(request()?).await?.status(), 200);
/// test.clock.advance(Duration::from_secs(301));
/// assert_eq!(service.oneshot(request()?).await?.status(), 401);
/// # Ok(())
/// # }
/// ```
pub struct RecentPrincipal(goat_core::RecentPrincipal);

impl RecentPrincipal {
    /// Takes the recent principal of a request, if a layer stored one. A second call returns `None`.
    #[must_use]
    pub fn take(extensions: &Extensions) -> Option<Self> {
        extensions.get::<FreshSlot>()?.take_recent().map(Self)
    }

    /// Returns goat-core's recent principal.
    #[must_use]
    pub fn into_inner(self) -> goat_core::RecentPrincipal {
        self.0
    }
}

impl Deref for RecentPrincipal {
    type Target = goat_core::Principal;

    fn deref(&self) -> &goat_core::Principal {
        self.0.principal()
    }
}

impl From<RecentPrincipal> for goat_core::RecentPrincipal {
    fn from(recent: RecentPrincipal) -> Self {
        recent.0
    }
}

impl From<RecentPrincipal> for Actor {
    fn from(recent: RecentPrincipal) -> Self {
        recent.0.into()
    }
}

impl fmt::Debug for RecentPrincipal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A principal from the stores, with what was checked of its session.
pub(crate) enum Held {
    Fresh(goat_core::FreshPrincipal),
    Recent(goat_core::RecentPrincipal),
}

impl From<Held> for goat_core::FreshPrincipal {
    fn from(held: Held) -> Self {
        match held {
            Held::Fresh(fresh) => fresh,
            Held::Recent(recent) => recent.into(),
        }
    }
}

/// Holds a fresh or recent principal until a handler takes it. Clones of the extensions share the slot, since
/// neither can be cloned.
#[derive(Clone)]
pub struct FreshSlot(Arc<Mutex<Option<Held>>>);

impl FreshSlot {
    pub(crate) fn holding(held: Held) -> Self {
        Self(Arc::new(Mutex::new(Some(held))))
    }

    /// Whether it holds a principal that no handler has taken.
    #[cfg(feature = "axum")]
    pub(crate) fn is_full(&self) -> bool {
        self.lock().is_some()
    }

    fn take(&self) -> Option<Held> {
        self.lock().take()
    }

    fn take_recent(&self) -> Option<goat_core::RecentPrincipal> {
        let mut held = self.lock();
        match held.take() {
            Some(Held::Recent(recent)) => Some(recent),
            other => {
                *held = other;
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks a request without credentials that optional authentication allowed, to tell it from a request
/// that no layer has authenticated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anonymous;
