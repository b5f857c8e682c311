//! The measured application: one route, bare, and behind goat's layers.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use goat_core::auth::Login;
use goat_core::key::{NewKey, Scopes};
use goat_core::session::Origin;
use goat_core::user::{NewService, NewUser, ServiceName};
use goat_core::{
    Actor, Email, Goat, Permission, Quota, RecentActor, Settings, Status, Stores, token::TokenKeys,
};
use goat_tower::GoatExt as _;
use http::{Request, Response};
use http_body_util::Full;

/// The permission that the route requires, as text.
pub const REPORT_READ: &str = "report:read";
/// The permission that the route requires.
pub const REPORTS: Permission = Permission::new(REPORT_READ);
/// The body of every response.
pub const ANSWER: &[u8] = b"{\"data\":[]}";
/// A password of every user.
pub const PASSWORD: &str = "a long walk on a short pier";
/// Never reached: only allowed requests are measured.
pub const WIDE: Quota = Quota::per_second(u32::MAX);

/// Returns an in-memory goat, and an administrator's bearer token.
///
/// # Panics
/// If the user cannot sign in.
pub async fn signed_in() -> (Goat, String) {
    // A long staleness, so that the session cache answers throughout the measurement.
    let staleness = Duration::from_secs(60);
    let settings = Settings { cache_staleness: staleness, ..Settings::default() };
    let goat = Goat::builder(Stores::memory(), TokenKeys::generate())
        .settings(Settings { access_ttl: Duration::from_secs(3600), ..settings })
        .build()
        .expect("the settings are in bounds");
    let new = NewUser {
        email: Email::parse("ann@example.org").expect("an address"),
        password: Some(PASSWORD.into()),
        role: goat.roles().get("admin").expect("a shipped role"),
        status: Status::Active,
    };
    goat.users().create(Actor::system("bench"), new).await.expect("a new user");
    let login = Login {
        email: "ann@example.org".into(),
        password: PASSWORD.into(),
        device_token: None,
        origin: Origin::default(),
    };
    let tokens = goat.login(login).await.expect("the right password").value.tokens;
    (goat, format!("Bearer {}", tokens.access_token.expose()))
}

/// Returns the bearer value of an API key with all rights.
///
/// # Panics
/// If the key cannot be created.
pub async fn api_key(goat: &Goat) -> String {
    let name = ServiceName::parse("bench").expect("a name");
    let role = goat.roles().get("admin").expect("a shipped role");
    let account = goat.users().create_service(Actor::system("bench"), NewService { name, role });
    let account = account.await.expect("a service account");
    let new = NewKey { name: "bench".to_owned(), scopes: Scopes::Role, expires_in: None };
    let created = goat.keys().create_for(RecentActor::system("bench"), account.id, new).await;
    format!("Bearer {}", created.expect("a key").secret.expose())
}

/// Responds with [`ANSWER`].
///
/// # Errors
/// None.
pub async fn respond<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(ANSWER))))
}

/// An axum handler that responds with [`ANSWER`].
pub async fn list() -> &'static [u8] {
    ANSWER
}

/// A router with one route. It has no state, so it does nothing per call beyond its routing.
pub fn routed(route: MethodRouter) -> Router {
    Router::new().route("/reports", route)
}

/// The route without layers.
pub fn bare() -> Router {
    routed(get(list))
}

/// The route behind four layers: both limits, authentication, and the permission.
pub fn layered(goat: &Goat) -> Router {
    let (by_address, by_user) = (goat.limit(WIDE).by_address(), goat.limit(WIDE).by_user());
    let route = get(list).route_layer(goat.require(REPORTS)).route_layer(by_user);
    routed(route).layer(goat.authenticate()).layer(by_address)
}
