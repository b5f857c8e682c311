//! Reports API on axum, the smallest complete application: one process, SQLite.
//!
//! Sign up, log in, refresh, list sessions, log out; read reports with a permission, export them at
//! most five times a minute.
//!
//! ```text
//! cargo run -p examples --bin axum
//! form='{"email": "ann@example.org", "password": "a long walk on a short pier"}'
//! curl -s localhost:3000/signup -H 'content-type: application/json' -d "$form"
//! curl -s localhost:3000/login -H 'content-type: application/json' -d "$form"
//! curl -s localhost:3000/reports -H "authorization: Bearer <the access token>"
//! curl -s localhost:3000/audit -H "authorization: Bearer <the access token>"   # 403
//! ```

use std::net::SocketAddr;

use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Router, serve};
use goat_core::auth::{Login, SignUp, TokenPair};
use goat_core::token::TokenKeys;
use goat_core::{Email, Goat, PageRequest, Permission, Quota, RoleSet, Settings, Stores};
use goat_tower::{GoatExt as _, Origin, Principal, Problem};
use serde::Deserialize;
use serde_json::{Value, json};

const REPORTS: Permission = Permission::new("report:read");
const AUDIT: Permission = Permission::new("report:audit");

#[derive(Deserialize)]
struct Credentials {
    email: String,
    password: String,
}

#[derive(Deserialize)]
struct Refresh {
    refresh_token: String,
}

async fn sign_up(
    State(goat): State<Goat>,
    origin: Origin,
    Json(form): Json<Credentials>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let request = SignUp::new(Email::parse(&form.email)?, form.password, origin);
    let user = goat.sign_up(request).await?;
    Ok((StatusCode::CREATED, Json(json!({ "id": user.id }))))
}

async fn sign_in(
    State(goat): State<Goat>,
    origin: Origin,
    Json(form): Json<Credentials>,
) -> Result<Json<Value>, Problem> {
    let login = Login::new(form.email, form.password, origin);
    Ok(tokens_json(&goat.login(login).await?.value.tokens))
}

async fn refresh(
    State(goat): State<Goat>,
    origin: Origin,
    Json(form): Json<Refresh>,
) -> Result<Json<Value>, Problem> {
    Ok(tokens_json(&goat.refresh(&form.refresh_token.into(), &origin).await?.tokens))
}

fn tokens_json(tokens: &TokenPair) -> Json<Value> {
    Json(json!({
        "access_token": tokens.access_token.expose(),
        "refresh_token": tokens.refresh_token.expose(),
        "expires_in": tokens.expires_in.as_secs(),
    }))
}

async fn sign_out(
    State(goat): State<Goat>,
    origin: Origin,
    me: Principal,
) -> Result<StatusCode, Problem> {
    goat.logout(&me, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn sessions(State(goat): State<Goat>, me: Principal) -> Result<Json<Value>, Problem> {
    let page = goat.sessions().list(&me, PageRequest::default()).await?;
    let items = page.items.iter().map(|session| {
        json!({
            "id": session.id,
            "device": session.device,
            "current": Some(session.id) == me.session(),
        })
    });
    Ok(Json(json!({ "sessions": items.collect::<Vec<_>>() })))
}

async fn list(me: Principal) -> Json<Value> {
    Json(json!({ "reports": ["january", "february"], "for": me.user() }))
}

async fn export() -> &'static str {
    "january;february"
}

/// Publishes the verification keys, for services that verify tokens offline; see the example
/// `offline`.
async fn keys(State(goat): State<Goat>) -> Json<Value> {
    Json(goat.jwks())
}

/// Greets signed-in users by id, and anonymous clients too.
async fn hello(me: Option<Principal>) -> String {
    me.map_or("hello, guest".into(), |me| format!("hello, {}", me.user()))
}

fn app(goat: &Goat) -> Router {
    let protected = Router::new()
        .route("/logout", post(sign_out))
        .route("/sessions", get(sessions))
        .route("/reports", get(list).route_layer(goat.require(REPORTS)))
        .route("/audit", get(list).route_layer(goat.require(AUDIT)))
        .route(
            "/exports",
            // The layer added last is the outermost.
            post(export)
                .route_layer(goat.limit(Quota::per_minute(5)).named("exports").by_user())
                .route_layer(goat.require(REPORTS)),
        )
        .layer(goat.authenticate());
    let open = Router::new()
        .route("/", get(hello))
        .route("/signup", post(sign_up))
        .route("/login", post(sign_in))
        .route("/refresh", post(refresh))
        .route("/.well-known/jwks.json", get(keys))
        .layer(goat.authenticate().optional());
    open.merge(protected)
        .layer(goat.limit(Quota::per_minute(300)).by_address())
        .with_state(goat.clone())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let database = arguments.next().unwrap_or_else(|| "reports.db".into());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".into());

    // goat logs the configuration of its limits, and missing layers when they cause a 500.
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    // Generated keys are lost on restart, and all tokens with them; load stored keys in production.
    // Access tokens include the permissions, for services that verify them offline.
    let settings = Settings { access_token_permissions: true, ..Settings::default() };
    let goat = Goat::builder(Stores::sqlite(database).await?, TokenKeys::generate())
        .roles(RoleSet::new([("reader", vec!["report:read"]), ("admin", vec!["full_access"])])?)
        .settings(settings)
        .build()?;
    tokio::spawn(goat.clone().maintain()); // removes expired sessions

    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // Limits by address use the connection's peer. Behind a proxy, add
    // goat_tower::address::ClientAddressLayer as the last layer, with the proxy's addresses as
    // trusted.
    Ok(serve(listener, app(&goat).into_make_service_with_connect_info::<SocketAddr>()).await?)
}
