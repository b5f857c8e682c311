//! Overhead of goat's middleware per request, against the bare service; then the same on axum,
//! beside axum-login and tower_governor. `README.md` compares their features.
//!
//! All are called as services, without sockets. Each run ends with a table of medians and ratios.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::routing::{get, post};
use axum_login::{AuthManagerLayerBuilder, AuthSession, AuthUser, AuthnBackend, AuthzBackend};
use bytes::Bytes;
use criterion::Criterion;
use goat_core::auth::Login;
use goat_core::session::Origin;
use goat_core::user::NewUser;
use goat_core::{
    Actor, Email, Goat, Permission, Quota, Settings, Status, Stores, token::TokenKeys,
};
use goat_tower::GoatExt as _;
use goat_tower::address::{ClientAddressLayer, PeerAddress};
use http::header::{AUTHORIZATION, COOKIE, SET_COOKIE};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::Value;
use tokio::runtime::Runtime;
use tower::{Layer, Service, ServiceExt as _, service_fn};
use tower_governor::GovernorLayer;
use tower_governor::governor::GovernorConfigBuilder;
use tower_sessions::{MemoryStore, SessionManagerLayer};

const REPORT_READ: &str = "report:read";
const REPORTS: Permission = Permission::new(REPORT_READ);
const PASSWORD: &str = "a long walk on a short pier";
const ANSWER: &[u8] = b"{\"data\":[]}";

/// Never reached: only allowed requests are measured.
const WIDE: Quota = Quota::per_second(u32::MAX);

fn peer() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 40_000))
}

/// Returns an in-memory goat, and an administrator's bearer token.
async fn signed_in() -> (Goat, String) {
    // A long staleness, so that the session cache answers throughout the measurement.
    let staleness = std::time::Duration::from_secs(60);
    let settings = Settings { cache_staleness: staleness, ..Settings::default() };
    let goat = Goat::builder(Stores::memory(), TokenKeys::generate())
        .settings(settings)
        .build()
        .expect("the settings are in bounds");
    let new = NewUser {
        email: Email::parse("ann@example.org").expect("an address"),
        password: PASSWORD.into(),
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

/// Measures services against a baseline, the first of them.
struct Comparison<'a> {
    runtime: &'a Runtime,
    criterion: &'a mut Criterion,
    name: &'static str,
    measured: Vec<&'static str>,
}

impl<'a> Comparison<'a> {
    fn new(runtime: &'a Runtime, criterion: &'a mut Criterion, name: &'static str) -> Self {
        Self { runtime, criterion, name, measured: Vec::new() }
    }

    /// Measures one call to a clone of the service. The baseline includes the creation of the
    /// request.
    fn measure<S, B, R>(
        &mut self,
        name: &'static str,
        service: &S,
        request: impl Fn() -> Request<B>,
        status: StatusCode,
    ) where
        S: Service<Request<B>, Response = Response<R>, Error = Infallible> + Clone,
    {
        let mut group = self.criterion.benchmark_group(self.name);
        let mut chosen = false;
        group.bench_function(name, |bencher| {
            chosen = true;
            bencher.to_async(self.runtime).iter(|| {
                let (mut service, request) = (service.clone(), request());
                async move {
                    let Ok(ready) = service.ready().await;
                    let Ok(response) = ready.call(request).await;
                    assert_eq!(response.status(), status);
                    response
                }
            });
        });
        group.finish();
        // Skips services filtered out on the command line; criterion's result would be an earlier
        // run's.
        self.measured.extend(chosen.then_some(name));
    }

    /// Prints the medians of this run, the added time, and the ratios.
    fn print(self) {
        println!("\n{:<62} {:>9} {:>9} {:>7}", self.name, "median", "added", "ratio");
        let medians = self.measured.iter().filter_map(|name| Some((name, self.median(name)?)));
        let mut baseline = None;
        for (name, median) in medians {
            let bare = *baseline.get_or_insert(median);
            let (added, ratio) = (median - bare, median / bare);
            println!("{name:<62} {median:>6.0} ns {added:>6.0} ns {ratio:>7.2}");
        }
        println!();
    }

    /// Returns the median from criterion's output. Its folders have these names, which contain no
    /// characters that criterion would replace.
    fn median(&self, name: &str) -> Option<f64> {
        let file = results().join(self.name).join(name).join("new/estimates.json");
        let estimates: Value = serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
        estimates["median"]["point_estimate"].as_f64()
    }
}

/// The folder of criterion's output.
fn results() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("criterion")
}

/// Measures the layers around a bare tower service.
fn layers(runtime: &Runtime, criterion: &mut Criterion) {
    async fn handler(_: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
        Ok(Response::new(Full::new(Bytes::from_static(ANSWER))))
    }

    let (goat, bearer) = runtime.block_on(signed_in());
    let request = |bearer: &str| {
        Request::get("/reports")
            .header("authorization", bearer)
            .extension(PeerAddress(peer()))
            .body(Full::default())
            .expect("a request")
    };
    let (by_address, by_user) = (goat.limit(WIDE).by_address(), goat.limit(WIDE).by_user());
    let require = goat.require(REPORTS);

    let bare = service_fn(handler);
    let limited_by_address = by_address.layer(bare);
    let authenticated = goat.authenticate().layer(bare);
    let authorized = goat.authenticate().layer(require.layer(bare));
    let three = goat.authenticate().layer(by_user.layer(require.layer(bare)));
    let limited = ClientAddressLayer::new().layer(by_address.layer(three.clone()));
    let admit = goat.authenticate().limited(by_address, by_user);
    let admitted = ClientAddressLayer::new().layer(admit.layer(require.layer(bare)));

    // An invalid signature of the right length.
    let (signed, signature) = bearer.rsplit_once('.').expect("a token has three parts");
    let forged = format!("{signed}.{}", "A".repeat(signature.len()));

    let allowed = StatusCode::OK;
    let send = || request(&bearer);
    let mut comparison = Comparison::new(runtime, criterion, "request with a cached session");
    comparison.measure("bare service", &bare, send, allowed);
    comparison.measure("limit by address", &limited_by_address, send, allowed);
    comparison.measure("authenticate", &authenticated, send, allowed);
    comparison.measure("authenticate, require", &authorized, send, allowed);
    comparison.measure("authenticate, limit by user, require", &three, send, allowed);
    comparison.measure(
        "limit by address, authenticate, limit by user, require",
        &limited,
        send,
        allowed,
    );
    comparison.measure(
        "the same, limits and authentication as one layer",
        &admitted,
        send,
        allowed,
    );
    let unauthorized = StatusCode::UNAUTHORIZED;
    comparison.measure("rejected, a forged token", &admitted, || request(&forged), unauthorized);
    comparison.print();
}

/// Measures one route of an axum router under goat's layers and under the others'.
fn compared_with_others(runtime: &Runtime, criterion: &mut Criterion) {
    async fn list() -> &'static [u8] {
        ANSWER
    }
    /// Without a state, so the router does nothing per call beyond its routing.
    fn routed(route: axum::routing::MethodRouter) -> Router {
        Router::new().route("/reports", route)
    }

    let (goat, bearer) = runtime.block_on(signed_in());
    let (by_address, by_user) = (goat.limit(WIDE).by_address(), goat.limit(WIDE).by_user());
    let require = goat.require(REPORTS);
    let bare = routed(get(list));
    let authorized = routed(get(list).route_layer(require.clone())).layer(goat.authenticate());
    let limited_by_address = routed(get(list)).layer(by_address.clone());
    let burst = WIDE.burst(WIDE.limit());
    let gcra = routed(get(list)).layer(goat.limit(burst).by_address().named("gcra"));
    let goat_stack = routed(get(list).route_layer(require).route_layer(by_user))
        .layer(goat.authenticate())
        .layer(by_address);

    let (login, cookie) = runtime.block_on(login::signed_in());
    let permission = || axum_login::permission_required!(login::Users, REPORT_READ);
    let logged_in = routed(get(list).route_layer(permission())).layer(login.clone());

    let mut quota = GovernorConfigBuilder::default();
    quota.per_nanosecond(1).burst_size(u32::MAX);
    let no_headers = GovernorLayer::new(quota.finish().expect("not zero"));
    let use_headers = GovernorLayer::new(quota.use_headers().finish().expect("not zero"));
    let governor = routed(get(list)).layer(no_headers);
    let governor_headers = routed(get(list)).layer(use_headers.clone());
    let others_stack = routed(get(list).route_layer(permission())).layer(login).layer(use_headers);

    let request = |name, credentials: &str| {
        Request::get("/reports")
            .header(name, credentials)
            .extension(ConnectInfo(peer()))
            .body(Body::empty())
            .expect("a request")
    };
    let allowed = StatusCode::OK;
    let with_token = || request(AUTHORIZATION, &bearer);
    let with_cookie = || request(COOKIE, &cookie);
    let mut comparison = Comparison::new(runtime, criterion, "axum route");
    comparison.measure("bare router", &bare, with_token, allowed);
    comparison.measure("goat authenticate, require", &authorized, with_token, allowed);
    comparison.measure("axum-login, permission_required", &logged_in, with_cookie, allowed);
    comparison.measure(
        "goat limit by address, sliding log",
        &limited_by_address,
        with_token,
        allowed,
    );
    comparison.measure("goat limit by address, burst", &gcra, with_token, allowed);
    comparison.measure("tower_governor by address", &governor, with_token, allowed);
    comparison.measure(
        "tower_governor by address, use_headers",
        &governor_headers,
        with_token,
        allowed,
    );
    comparison.measure("goat, two limits, authenticate, require", &goat_stack, with_token, allowed);
    comparison.measure("tower_governor, axum-login", &others_stack, with_cookie, allowed);
    comparison.print();
}

/// axum-login in a favourable setup: users in a map, shared by reference count, and permissions in
/// a set.
mod login {
    use super::*;

    #[derive(Clone, Debug)]
    pub(super) struct User {
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

    #[derive(Clone, Debug)]
    pub(super) struct Users(Arc<HashMap<u64, User>>);

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

    type Layer = axum_login::AuthManagerLayer<Users, MemoryStore>;

    /// Returns the layer, and the cookie of a user signed in through it.
    pub(super) async fn signed_in() -> (Layer, String) {
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
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be started");
    let mut criterion = Criterion::default().output_directory(&results()).configure_from_args();
    layers(&runtime, &mut criterion);
    compared_with_others(&runtime, &mut criterion);
    criterion.final_summary();
}
