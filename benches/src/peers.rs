//! axum-login and tower_governor around the same route, in favourable setups.
//!
//! axum-login's users are in a map, shared by reference count, and their permissions in a set.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use axum_login::{
    AuthManagerLayer, AuthManagerLayerBuilder, AuthSession, AuthUser, AuthnBackend, AuthzBackend,
};
use http::Request;
use http::header::SET_COOKIE;
use tower::ServiceExt as _;
use tower_governor::GovernorLayer;
use tower_governor::governor::GovernorConfigBuilder;
use tower_sessions::{MemoryStore, SessionManagerLayer};

use crate::application::{REPORT_READ, list, routed};

/// A user of axum-login.
#[derive(Clone, Debug)]
pub struct User {
    id: u64,
    auth_hash: Arc<[u8]>,
    permissions: Arc<HashSet<&'static str>>,
}

impl AuthUser for User {
    type Id = u64;

    fn id(&self) -> u64 {
        self.id
    }

    fn session_auth_hash(&self) -> &[u8] {
        &self.auth_hash
    }
}

/// The users of axum-login.
#[derive(Clone, Debug)]
pub struct Users(Arc<HashMap<u64, User>>);

impl AuthnBackend for Users {
    type User = User;
    type Credentials = u64;
    type Error = Infallible;

    async fn authenticate(&self, id: u64) -> Result<Option<User>, Infallible> {
        self.get_user(&id).await
    }

    async fn get_user(&self, id: &u64) -> Result<Option<User>, Infallible> {
        Ok(self.0.get(id).cloned())
    }
}

impl AuthzBackend for Users {
    type Permission = &'static str;

    async fn has_perm(&self, user: &User, name: &'static str) -> Result<bool, Infallible> {
        Ok(user.permissions.contains(name))
    }
}

/// axum-login's layer, on tower-sessions' in-memory store.
pub type LoginLayer = AuthManagerLayer<Users, MemoryStore>;

/// Returns the layer, and the cookie of a user signed in through it.
///
/// # Panics
/// If the sign-in fails.
pub async fn signed_in() -> (LoginLayer, String) {
    let permissions = Arc::new(HashSet::from([REPORT_READ]));
    let ann = User { id: 1, auth_hash: Arc::from([7; 32]), permissions };
    let users = Users(Arc::new(HashMap::from([(1, ann)])));
    let sessions = SessionManagerLayer::new(MemoryStore::default());
    let layer = AuthManagerLayerBuilder::new(users, sessions).build();

    async fn sign_in(mut session: AuthSession<Users>) {
        let ann = session.authenticate(1).await.expect("a user").expect("ann");
        session.login(&ann).await.expect("signed in");
    }
    let app = Router::new().route("/login", post(sign_in)).layer(layer.clone());
    let request = Request::post("/login").body(Body::empty()).expect("a request");
    let Ok(response) = app.oneshot(request).await;
    let cookie = response.headers()[SET_COOKIE].to_str().expect("ASCII");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    (layer, cookie)
}

/// The route behind axum-login and a required permission.
pub fn logged_in(login: LoginLayer) -> Router {
    let permission = axum_login::permission_required!(Users, REPORT_READ);
    routed(get(list).route_layer(permission)).layer(login)
}

/// A router behind tower_governor's limit by address, with or without its headers.
///
/// # Panics
/// Never: the quota is not zero.
pub fn limited(router: Router, headers: bool) -> Router {
    let mut quota = GovernorConfigBuilder::default();
    quota.per_nanosecond(1).burst_size(u32::MAX);
    if headers {
        router.layer(GovernorLayer::new(quota.use_headers().finish().expect("not zero")))
    } else {
        router.layer(GovernorLayer::new(quota.finish().expect("not zero")))
    }
}
