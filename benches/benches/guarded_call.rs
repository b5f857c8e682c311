//! What an authenticated, guarded call costs through the layers, against the bare service: the
//! difference is what goat adds to every request. Then the same on axum, beside what others add to
//! the same route; what they do for it, and what not, stands in README.md.
//!
//! All are called as services, without sockets. A table of medians and ratios ends each run.

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

/// Never reached: what is measured is what lets through.
const WIDE: Quota = Quota::per_second(u32::MAX);

fn peer() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 40_000))
}

/// A goat on memory, and the bearer header of somebody who may do everything.
async fn signed_in() -> (Goat, String) {
    // Trusted for long, so that the cache answers all through the measurement.
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
        origin: Origin::default(),
    };
    let tokens = goat.login(login).await.expect("the right password").value.tokens;
    (goat, format!("Bearer {}", tokens.access_token.expose()))
}

/// Measures services under one baseline, the first of them.
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

    /// One call to a clone of the service, with a request that is made anew: that is in the baseline
    /// as well.
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
        // Not if the command line left it out: what criterion knows of it is of another run.
        self.measured.extend(chosen.then_some(name));
    }

    /// The medians of this run, and what they come to.
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

    /// What criterion has written down: in folders of these names, which hold nothing that it would
    /// replace.
    fn median(&self, name: &str) -> Option<f64> {
        let file = results().join(self.name).join(name).join("new/estimates.json");
        let estimates: Value = serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
        estimates["median"]["point_estimate"].as_f64()
    }
}

/// Where criterion keeps its results.
fn results() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("criterion")
}

/// Over a bare service that speaks no framework's types.
fn guarded_call(runtime: &Runtime, criterion: &mut Criterion) {
    async fn answer(_: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
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

    let bare = service_fn(answer);
    let counted = by_address.layer(bare);
    let authenticated = goat.authenticate().layer(bare);
    let guarded = goat.authenticate().layer(require.layer(bare));
    let three = goat.authenticate().layer(by_user.layer(require.layer(bare)));
    let limited = ClientAddressLayer::new().layer(by_address.layer(three.clone()));
    let admit = goat.authenticate().limited(by_address, by_user);
    let admitted = ClientAddressLayer::new().layer(admit.layer(require.layer(bare)));

    // A signature that is no signature, of the right length.
    let (signed, signature) = bearer.rsplit_once('.').expect("a token has three parts");
    let forged = format!("{signed}.{}", "A".repeat(signature.len()));

    let allowed = StatusCode::OK;
    let ask = || request(&bearer);
    let mut all = Comparison::new(runtime, criterion, "a call that the cache answers");
    all.measure("bare service", &bare, ask, allowed);
    all.measure("limit by address", &counted, ask, allowed);
    all.measure("authenticate", &authenticated, ask, allowed);
    all.measure("authenticate, require", &guarded, ask, allowed);
    all.measure("authenticate, limit by user, require", &three, ask, allowed);
    all.measure("limit by address, authenticate, limit by user, require", &limited, ask, allowed);
    all.measure("the same, admitted by one layer", &admitted, ask, allowed);
    let unauthorized = StatusCode::UNAUTHORIZED;
    all.measure("refused, a forged token", &admitted, || request(&forged), unauthorized);
    all.print();
}

/// The same route of one and the same router, under goat's layers and under others'.
fn beside_others(runtime: &Runtime, criterion: &mut Criterion) {
    async fn list() -> &'static [u8] {
        ANSWER
    }
    /// As an application is served: with a state, and so with nothing to be built for a call.
    fn routed(route: axum::routing::MethodRouter) -> Router {
        Router::new().route("/reports", route)
    }

    let (goat, bearer) = runtime.block_on(signed_in());
    let (by_address, by_user) = (goat.limit(WIDE).by_address(), goat.limit(WIDE).by_user());
    let require = goat.require(REPORTS);
    let bare = routed(get(list));
    let guarded = routed(get(list).route_layer(require.clone())).layer(goat.authenticate());
    let counted = routed(get(list)).layer(by_address.clone());
    let burst = WIDE.burst(WIDE.limit());
    let paced = routed(get(list)).layer(goat.limit(burst).by_address().named("paced"));
    let all_of_goat = routed(get(list).route_layer(require).route_layer(by_user))
        .layer(goat.authenticate())
        .layer(by_address);

    let (login, cookie) = runtime.block_on(login::signed_in());
    let permission = || axum_login::permission_required!(login::Users, REPORT_READ);
    let logged_in = routed(get(list).route_layer(permission())).layer(login.clone());

    let mut quota = GovernorConfigBuilder::default();
    quota.per_nanosecond(1).burst_size(u32::MAX);
    let silent = GovernorLayer::new(quota.finish().expect("not zero"));
    let showing = GovernorLayer::new(quota.use_headers().finish().expect("not zero"));
    let governed = routed(get(list)).layer(silent);
    let governed_showing = routed(get(list)).layer(showing.clone());
    let all_of_others = routed(get(list).route_layer(permission())).layer(login).layer(showing);

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
    let mut all = Comparison::new(runtime, criterion, "a route of axum");
    all.measure("bare router", &bare, with_token, allowed);
    all.measure("goat authenticate, require", &guarded, with_token, allowed);
    all.measure("axum-login, permission_required", &logged_in, with_cookie, allowed);
    all.measure("goat limit by address, sliding log", &counted, with_token, allowed);
    all.measure("goat limit by address, burst", &paced, with_token, allowed);
    all.measure("tower_governor by address", &governed, with_token, allowed);
    all.measure("tower_governor by address, use_headers", &governed_showing, with_token, allowed);
    all.measure("goat, two limits, authenticate, require", &all_of_goat, with_token, allowed);
    all.measure("tower_governor, axum-login", &all_of_others, with_cookie, allowed);
    all.print();
}

/// axum-login as favourably as can be: a user is found in a map and copied by a count of references,
/// and a permission by one look into a set.
mod login {
    use super::*;

    #[derive(Clone, Debug)]
    pub(super) struct User {
        id: u64,
        auth_hash: Arc<[u8]>,
        may: Arc<HashSet<&'static str>>,
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
            Ok(user.may.contains(name))
        }
    }

    type Layer = axum_login::AuthManagerLayer<Users, MemoryStore>;

    /// The layer, and the cookie of somebody who has signed in through it.
    pub(super) async fn signed_in() -> (Layer, String) {
        let may = Arc::new(HashSet::from([REPORT_READ]));
        let ann = User { id: 1, auth_hash: Arc::from([7; 32]), may };
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
    guarded_call(&runtime, &mut criterion);
    beside_others(&runtime, &mut criterion);
    criterion.final_summary();
}
