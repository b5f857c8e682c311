//! What an authenticated, guarded call costs through the whole stack of layers, against the bare
//! service: the difference is what goat adds to every request.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use goat_core::auth::Login;
use goat_core::session::Origin;
use goat_core::user::NewUser;
use goat_core::{
    Actor, Email, Goat, Permission, Quota, Settings, Status, Stores, token::TokenKeys,
};
use goat_tower::GoatExt as _;
use goat_tower::address::{ClientAddressLayer, PeerAddress};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt as _, service_fn};

const REPORTS: Permission = Permission::new("report:read");
const PASSWORD: &str = "a long walk on a short pier";

async fn answer(_request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"{\"data\":[]}"))))
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

fn request(bearer: &str) -> Request<Full<Bytes>> {
    let peer = PeerAddress(SocketAddr::from(([127, 0, 0, 1], 40_000)));
    Request::get("/reports")
        .header("authorization", bearer)
        .extension(peer)
        .body(Full::default())
        .expect("a request")
}

fn guarded_call(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be started");
    let (goat, bearer) = runtime.block_on(signed_in());
    let wide = Quota::per_second(u32::MAX);

    let bare = service_fn(answer);
    let counted = goat.limit(wide).by_address().layer(service_fn(answer));
    let authenticated = goat.authenticate().layer(service_fn(answer));
    let guarded = goat.authenticate().layer(goat.require(REPORTS).layer(service_fn(answer)));
    let limited = ClientAddressLayer::new().layer(goat.limit(wide).by_address().layer(
        goat.authenticate().layer(
            goat.limit(wide).by_user().layer(goat.require(REPORTS).layer(service_fn(answer))),
        ),
    ));
    let by_user = goat.limit(wide).by_user();
    let admit = goat.authenticate().limited(goat.limit(wide).by_address(), by_user);
    let admitted = ClientAddressLayer::new()
        .layer(admit.layer(goat.require(REPORTS).layer(service_fn(answer))));

    let refusing = admitted.clone();
    // A signature that is no signature, of the right length.
    let (signed, signature) = bearer.rsplit_once('.').expect("a token has three parts");
    let forged = format!("{signed}.{}", "A".repeat(signature.len()));

    let mut group = criterion.benchmark_group("a call that the cache answers");
    macro_rules! measure {
        ($name:literal, $service:expr) => {
            measure!($name, $service, bearer, StatusCode::OK);
        };
        ($name:literal, $service:expr, $bearer:expr, $status:expr) => {
            group.bench_function($name, |bencher| {
                bencher.to_async(&runtime).iter(|| {
                    let mut service = $service.clone();
                    let request = request(&$bearer);
                    async move {
                        let response = service
                            .ready()
                            .await
                            .expect("ready")
                            .call(request)
                            .await
                            .expect("answer");
                        assert_eq!(response.status(), $status);
                        response
                    }
                });
            });
        };
    }
    measure!("bare service", bare);
    measure!("limit by address", counted);
    measure!("authenticate", authenticated);
    measure!("authenticate, require", guarded);
    measure!("limit by address, authenticate, limit by user, require", limited);
    measure!("the same, admitted by one layer", admitted);
    measure!("refused: a forged token", refusing, forged, StatusCode::UNAUTHORIZED);
    group.finish();
}

criterion_group!(benches, guarded_call);
criterion_main!(benches);
