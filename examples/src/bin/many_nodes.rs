//! Reports API on several nodes.
//!
//! Users and roles are in PostgreSQL; sessions, rate limits, the shared cache and the invalidation
//! channel are in Redis. A login at one node is valid at all, a logout takes effect at all, and
//! limits are counted together.
//!
//! All nodes get the same configuration:
//!
//! ```text
//! export DATABASE_URL=postgres://app@localhost/app REDIS_URL=redis://localhost
//! export TOKEN_KEY="$(openssl genpkey -algorithm ed25519)" PASSWORD_PEPPER="$(openssl rand -hex 32)"
//! cargo run -p examples --bin many_nodes -- 127.0.0.1:3001 &
//! cargo run -p examples --bin many_nodes -- 127.0.0.1:3002 &
//! form='{"email": "ann@example.org", "password": "a long walk on a short pier"}'
//! curl -s localhost:3001/signup -H 'content-type: application/json' -d "$form"
//! curl -s localhost:3001/login -H 'content-type: application/json' -d "$form"
//! curl -s localhost:3002/reports -H "authorization: Bearer <the access token>"
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use axum::{Router, serve};
use goat_core::auth::{Login, SignUp};
use goat_core::event::NoObserver;
use goat_core::password::{Argon2Settings, Argon2id, Peppers};
use goat_core::session::OtherSessions;
use goat_core::store::redis::{RedisDatabase, RedisOptions};
use goat_core::store::sql::{MigrateOptions, PostgresDatabase, PostgresOptions};
use goat_core::token::TokenKeys;
use goat_core::{
    Clock, Email, Goat, Permission, Quota, RoleSet, Secret, Settings, Stores, SystemClock,
};
use goat_tower::{GoatExt as _, Origin, Principal, Problem};
use serde::Deserialize;
use serde_json::{Value, json};

const REPORTS: Permission = Permission::new("report:read");

/// Timeout of one call to PostgreSQL or Redis.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest time for which a node that misses an invalidation may use the cached result of a session
/// validation. While the invalidation channel is disconnected, the node bypasses its cache.
const STALENESS: Duration = Duration::from_secs(10);

async fn goat() -> Result<Goat, Box<dyn Error>> {
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} must be set"));
    let database = PostgresDatabase::open(&PostgresOptions::new(variable("DATABASE_URL")?))?;
    // Concurrent migrations wait for each other.
    database.migrate(MigrateOptions::default()).await?;
    let redis = RedisDatabase::open(&RedisOptions::new(variable("REDIS_URL")?))?;

    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let stores = Stores {
        sessions: redis.sessions(),
        invalidations: redis.invalidations(STALENESS),
        shared_cache: Some(redis.shared_cache()),
        ..database.stores(redis.limits())
    };
    let stores = stores.observed(STORE_TIMEOUT, Arc::new(NoObserver), Arc::clone(&clock));

    // All nodes need the same keys and pepper, so that each verifies the others' tokens and hashes.
    let keys = TokenKeys::eddsa(&[variable("TOKEN_KEY")?.into()])?;
    let peppers = Peppers::new([Secret::new(variable("PASSWORD_PEPPER")?.into_bytes())])?;
    let roles = RoleSet::new([("reader", vec!["report:read"]), ("editor", vec!["full_access"])])?;
    let goat = Goat::builder(stores, keys)
        .hasher(Arc::new(Argon2id::new(Argon2Settings::default(), peppers)))
        .roles(roles)
        .settings(Settings { cache_staleness: STALENESS, ..Settings::default() })
        .clock(clock)
        .build()?;
    // Fails at startup, not at a login, if the pepper differs from the other nodes'.
    goat.prepare().await?;
    Ok(goat)
}

#[derive(Deserialize)]
struct Credentials {
    email: String,
    password: String,
}

async fn sign_up(
    State(goat): State<Goat>,
    origin: Origin,
    Json(form): Json<Credentials>,
) -> Result<StatusCode, Problem> {
    goat.sign_up(SignUp::new(Email::parse(&form.email)?, form.password, origin)).await?;
    Ok(StatusCode::CREATED)
}

async fn sign_in(
    State(goat): State<Goat>,
    origin: Origin,
    Json(form): Json<Credentials>,
) -> Result<Json<Value>, Problem> {
    let tokens = goat.login(Login::new(form.email, form.password, origin)).await?.value.tokens;
    Ok(Json(json!({ "access_token": tokens.access_token.expose() })))
}

async fn sign_out(
    State(goat): State<Goat>,
    origin: Origin,
    me: Principal,
) -> Result<StatusCode, Problem> {
    goat.logout(&me, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Revokes every session of the user.
async fn revoke_sessions(State(goat): State<Goat>, me: Principal) -> Result<StatusCode, Problem> {
    goat.sessions().revoke_all(&me, OtherSessions::EndCurrentToo).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn reports(me: Principal) -> Json<Value> {
    Json(json!({ "reports": ["january", "february"], "for": me.user() }))
}

fn app(goat: &Goat) -> Router {
    Router::new()
        .route("/logout", post(sign_out))
        .route("/sessions", delete(revoke_sessions))
        .route("/reports", get(reports).route_layer(goat.require(REPORTS)))
        .route(
            "/exports",
            // Five per minute and user, across all nodes.
            post(reports).route_layer(goat.limit(Quota::per_minute(5)).named("exports").by_user()),
        )
        .layer(goat.authenticate())
        .route("/signup", post(sign_up))
        .route("/login", post(sign_in))
        .layer(goat.limit(Quota::per_minute(300)).by_address())
        .with_state(goat.clone())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".into());
    let goat = goat().await?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // Behind a load balancer, all connections come from the balancer's address: add
    // goat_tower::address::ClientAddressLayer as the last layer, with the balancer as trusted
    // proxy.
    Ok(serve(listener, app(&goat).into_make_service_with_connect_info::<SocketAddr>()).await?)
}
