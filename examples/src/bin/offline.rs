//! Service that verifies tokens offline, with the issuer's public keys only.
//!
//! It reads a JWKS file that another program keeps current, and reloads it when a token names an
//! unknown key. Start an issuer that includes permissions in its tokens, such as the example
//! `axum`, then:
//!
//! ```text
//! curl -s localhost:3000/.well-known/jwks.json -o jwks.json
//! cargo run -p examples --bin offline jwks.json
//! curl -s localhost:4000/figures -H "authorization: Bearer <the access token>"
//! ```
//!
//! Offline verification cannot know about revocations: a user that was signed out, suspended or
//! given another role stays authorized until the token expires, five minutes at most. Where that is
//! too long, ask the issuer.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Json;
use axum::routing::{get, post};
use axum::{Router, serve};
use goat_core::limit::Limits;
use goat_core::store::memory::MemoryLimits;
use goat_core::token::{TokenSettings, Verifier};
use goat_core::{Permission, Quota, SystemClock, Time};
use goat_tower::LimitLayer;
use goat_tower::offline::{TokenPrincipal, VerifierExt as _};
use serde_json::{Value, json};
use tokio::time::timeout;

const REPORTS: Permission = Permission::new("report:read");
const AUDIT: Permission = Permission::new("report:audit");

/// Interval of regular key reloads. A key that the issuer has removed stays valid for at most this
/// long.
const RELOAD_INTERVAL: Duration = Duration::from_secs(5 * 60);

async fn figures(me: TokenPrincipal) -> Json<Value> {
    Json(json!({ "figures": [3, 1, 4], "for": me.user() }))
}

/// Greets clients with a token by user id, and anonymous clients too.
async fn hello(me: Option<TokenPrincipal>) -> String {
    me.map_or("hello, guest".into(), |me| format!("hello, {}", me.user()))
}

fn app(verifier: &Verifier) -> Router {
    // Rate limits of this service, in memory, counted by the tokens' users.
    let time = Time::new(Arc::new(SystemClock::start()));
    let limits = Limits::new(Arc::new(MemoryLimits::default()), time);
    let limit = |quota| LimitLayer::new(limits.clone(), quota);
    let protected = Router::new()
        .route("/figures", get(figures).route_layer(verifier.require(REPORTS)))
        .route("/audit", get(figures).route_layer(verifier.require(AUDIT)))
        .route(
            "/drawings",
            post(async || "drawn")
                .route_layer(limit(Quota::per_minute(5)).named("drawings").by_user()),
        )
        .layer(verifier.authenticate());
    let open = Router::new().route("/", get(hello)).layer(verifier.authenticate().optional());
    open.merge(protected).layer(limit(Quota::per_minute(300)).by_address())
}

/// Reloads the keys at intervals, and when a token names an unknown key. To fetch them over HTTP,
/// replace `read`. The verifier limits how often unknown keys trigger a reload.
async fn reload_keys(verifier: Verifier, path: PathBuf) {
    loop {
        let _ = timeout(RELOAD_INTERVAL, verifier.unknown_key()).await;
        match read(&path).and_then(|jwks| Ok(verifier.replace_keys(jwks)?)) {
            Ok(true) => eprintln!("verification keys replaced: {:?}", verifier.key_ids()),
            Ok(false) => {}
            // The file may be missing or incomplete; retry later.
            Err(error) => eprintln!("cannot reload the verification keys: {error}"),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    // A small local file, read a few times a minute at most.
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path: PathBuf = arguments.next().unwrap_or_else(|| "jwks.json".into()).into();
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:4000".into());

    // Issuer, audience and leeway must equal the issuing goat's; these are the defaults.
    let verifier = Verifier::new(read(&path)?, TokenSettings::default())?;
    tokio::spawn(reload_keys(verifier.clone(), path));

    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(serve(listener, app(&verifier).into_make_service_with_connect_info::<SocketAddr>()).await?)
}
