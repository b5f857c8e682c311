//! A service beside goat that holds only its public keys: it asks nobody who its callers are. It reads
//! them from a file, which something else keeps current, and sees to it that it notices. Run an issuer
//! that puts permissions into its tokens, such as the `axum` example, and then this:
//!
//! ```text
//! curl -s localhost:3000/.well-known/jwks.json -o jwks.json
//! cargo run -p examples --bin offline jwks.json
//! curl -s localhost:4000/figures -H "authorization: Bearer <the access token>"
//! ```
//!
//! What it cannot know: that somebody was signed out, suspended or given another role since their token
//! was made. It lets them in until the token expires, five minutes at most. Where that is too long, ask
//! the issuer.

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

/// How often the keys are read anew though nobody asked for it. A key that the issuer has removed is
/// believed for as long.
const READ_KEYS_EVERY: Duration = Duration::from_secs(5 * 60);

async fn figures(who: TokenPrincipal) -> Json<Value> {
    Json(json!({ "figures": [3, 1, 4], "for": who.user() }))
}

async fn draw() -> &'static str {
    "drawn"
}

/// Whoever comes, by name if they show a token.
async fn hello(who: Option<TokenPrincipal>) -> String {
    who.map_or("hello, whoever you are".into(), |who| format!("hello, {}", who.user()))
}

fn app(verifier: &Verifier) -> Router {
    // Limits of its own, in memory. They count the users of the tokens.
    let time = Time::new(Arc::new(SystemClock::start()));
    let limits = Limits::new(Arc::new(MemoryLimits::default()), time);
    let limit = |quota| LimitLayer::new(limits.clone(), quota);
    let protected = Router::new()
        .route("/figures", get(figures).route_layer(verifier.require(REPORTS)))
        .route("/audit", get(figures).route_layer(verifier.require(AUDIT)))
        .route(
            "/drawings",
            post(draw).route_layer(limit(Quota::per_minute(5)).named("drawings").by_user()),
        )
        .layer(verifier.authenticate());
    let open = Router::new().route("/", get(hello)).layer(verifier.authenticate().optional());
    open.merge(protected).layer(limit(Quota::per_minute(300)).by_address())
}

/// Reads the keys again when a token came whose key is not known, and now and then. A service that
/// fetches them over HTTP does it in the place of `read`. How often strangers can bring it about is the
/// verifier's business, and not often.
async fn keep_keys(verifier: Verifier, path: PathBuf) {
    loop {
        let _ = timeout(READ_KEYS_EVERY, verifier.unknown_key()).await;
        match read(&path).and_then(|jwks| Ok(verifier.replace_keys(jwks)?)) {
            Ok(true) => eprintln!("the keys are {:?} now", verifier.key_ids()),
            Ok(false) => {}
            // Half a file, or none: the next one may be better.
            Err(error) => eprintln!("the keys stay as they were: {error}"),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    // A small file of one's own machine, a few times a minute at most.
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path: PathBuf = arguments.next().unwrap_or_else(|| "jwks.json".into()).into();
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:4000".into());

    // Issuer, audience and leeway are those of the goat that signs; these are what it has unless told.
    let verifier = Verifier::new(read(&path)?, TokenSettings::default())?;
    tokio::spawn(keep_keys(verifier.clone(), path));

    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(serve(listener, app(&verifier).into_make_service_with_connect_info::<SocketAddr>()).await?)
}
