//! Overhead of goat's middleware per request, against the bare service; then the same on axum,
//! beside axum-login and tower_governor. `README.md` compares their features.
//!
//! All are called as services, without sockets. Each run ends with a table of medians and ratios.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::routing::get;
use benches::application::{
    REPORTS, WIDE, api_key, bare, layered, list, respond, routed, signed_in,
};
use benches::peers;
use benches::summary::Summary;
use bytes::Bytes;
use criterion::Criterion;
use goat_tower::GoatExt as _;
use goat_tower::address::{ClientAddressLayer, PeerAddress};
use http::header::{AUTHORIZATION, COOKIE};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::Value;
use tokio::runtime::Runtime;
use tower::{Layer, Service, ServiceExt as _, service_fn};

fn peer() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 40_000))
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

    /// Prints the medians of this run, the added time, and the ratios, and records them.
    fn print(self, summary: &mut Summary) {
        println!("\n{:<62} {:>9} {:>9} {:>7}", self.name, "median", "added", "ratio");
        let medians = self.measured.iter().filter_map(|name| Some((name, self.median(name)?)));
        let mut baseline = None;
        for (name, median) in medians {
            let (bare_name, bare) = *baseline.get_or_insert((*name, median));
            let (added, ratio) = (median - bare, median / bare);
            println!("{name:<62} {median:>6.0} ns {added:>6.0} ns {ratio:>7.2}");
            if *name != bare_name {
                let measured = format!("{median:.0} ns");
                summary.row(name, ratio, &measured, &format!("{bare_name}, {bare:.0} ns"));
            }
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
fn layers(runtime: &Runtime, criterion: &mut Criterion, summary: &mut Summary) {
    let (goat, bearer) = runtime.block_on(signed_in());
    let request = |bearer: &str| {
        Request::get("/reports")
            .header("authorization", bearer)
            .extension(PeerAddress(peer()))
            .body(Full::<Bytes>::default())
            .expect("a request")
    };
    let (by_address, by_user) = (goat.limit(WIDE).by_address(), goat.limit(WIDE).by_user());
    let require = goat.require(REPORTS);

    let bare = service_fn(respond::<Full<Bytes>>);
    let limited_by_address = by_address.layer(bare);
    let authenticated = goat.authenticate().layer(bare);
    let authorized = goat.authenticate().layer(require.layer(bare));
    let three = goat.authenticate().layer(by_user.layer(require.layer(bare)));
    let limited = ClientAddressLayer::new().layer(by_address.layer(three.clone()));
    let admit = goat.authenticate().limited(by_address, by_user);
    let admitted = ClientAddressLayer::new().layer(admit.layer(require.layer(bare)));

    let key = runtime.block_on(api_key(&goat));

    // An invalid signature of the right length.
    let (signed, signature) = bearer.rsplit_once('.').expect("a token has three parts");
    let forged = format!("{signed}.{}", "A".repeat(signature.len()));

    let allowed = StatusCode::OK;
    let send = || request(&bearer);
    let mut comparison = Comparison::new(runtime, criterion, "request with a cached session");
    comparison.measure("bare service", &bare, send, allowed);
    comparison.measure("limit by address", &limited_by_address, send, allowed);
    comparison.measure("authenticate", &authenticated, send, allowed);
    comparison.measure("authenticate, an API key", &authenticated, || request(&key), allowed);
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
    comparison.print(summary);
}

/// Measures one route of an axum router under goat's layers and under the others'.
fn compared_with_others(runtime: &Runtime, criterion: &mut Criterion, summary: &mut Summary) {
    let (goat, bearer) = runtime.block_on(signed_in());
    let by_address = goat.limit(WIDE).by_address();
    let require = goat.require(REPORTS);
    let authorized = routed(get(list).route_layer(require)).layer(goat.authenticate());
    let limited_by_address = routed(get(list)).layer(by_address);
    let burst = WIDE.burst(WIDE.limit());
    let gcra = routed(get(list)).layer(goat.limit(burst).by_address().named("gcra"));
    let goat_stack = layered(&goat);

    let (login, cookie) = runtime.block_on(peers::signed_in());
    let logged_in = peers::logged_in(login);
    let governor = peers::limited(bare(), false);
    let governor_headers = peers::limited(bare(), true);
    let others_stack = peers::limited(logged_in.clone(), true);
    let bare = bare();

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
    comparison.print(summary);
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be started");
    let mut criterion = Criterion::default().output_directory(&results()).configure_from_args();
    let mut summary = Summary::of("middleware");
    layers(&runtime, &mut criterion, &mut summary);
    compared_with_others(&runtime, &mut criterion, &mut summary);
    summary.write();
    criterion.final_summary();
}
