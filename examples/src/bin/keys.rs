//! Report service that programs call with API keys: a person creates a key with the scopes that a program
//! needs, and revokes it.
//!
//! ```text
//! cargo run -p examples --bin keys
//! form='{"email": "ann@example.org", "password": "a long walk on a short pier"}'
//! curl -s localhost:3000/sign-up -H 'content-type: application/json' -d "$form"
//! curl -s localhost:3000/sign-in -H 'content-type: application/json' -d "$form"
//! key='{"name": "nightly", "scopes": ["report:read"]}'
//! curl -s localhost:3000/keys -H "authorization: Bearer <the access token>" \
//!   -H 'content-type: application/json' -d "$key"
//! curl -s localhost:3000/reports -H "authorization: Bearer <the key>"
//! curl -s -X POST localhost:3000/reports -H "authorization: Bearer <the key>"   # 403
//! ```
//!
//! `authenticate()` takes access tokens and keys alike. A key has the rights of its owner's role, cut by its
//! scopes; a handler that only a person may call requires a recent proof, or refuses keys.

use std::net::SocketAddr;

use axum::extract::{Json, Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use axum::{Router, serve};
use goat_core::auth::{Login, SignUp};
use goat_core::key::{NewKey, Scopes};
use goat_core::token::TokenKeys;
use goat_core::{
    Credential, Email, Error, ErrorKind, Goat, KeyId, PageRequest, Permission, Quota, RoleSet,
    Stores, Violation,
};
use goat_tower::{GoatExt as _, Origin, Principal, Problem, RecentPrincipal, Requirement};
use serde::Deserialize;
use serde_json::{Value, json};

const READ: Permission = Permission::new("report:read");
const WRITE: Permission = Permission::new("report:write");

#[derive(Deserialize)]
struct Credentials {
    email: String,
    password: String,
}

#[derive(Deserialize)]
struct KeyForm {
    name: String,
    scopes: Vec<String>,
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
    let tokens = goat.login(login).await?.value.tokens;
    Ok(Json(json!({ "access_token": tokens.access_token.expose() })))
}

/// Takes a [`RecentPrincipal`]: the user has signed in within the last five minutes.
async fn create_key(
    State(goat): State<Goat>,
    me: RecentPrincipal,
    Json(form): Json<KeyForm>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let invalid = |message: String| Error::invalid(vec![Violation::new("scopes", message)]);
    let scopes = form.scopes.iter().map(|scope| Permission::parse(scope));
    let scopes: Vec<_> = scopes.collect::<Result<_, _>>().map_err(|e| invalid(e.to_string()))?;
    let scopes = Scopes::only(scopes).map_err(|error| invalid(error.to_string()))?;
    let new = NewKey { name: form.name, scopes, expires_in: None };
    let created = goat.keys().create(me.into(), new).await?;
    // The text is shown only now.
    let body = json!({ "id": created.key.id, "key": created.secret.expose() });
    Ok((StatusCode::CREATED, Json(body)))
}

async fn list_keys(State(goat): State<Goat>, me: Principal) -> Result<Json<Value>, Problem> {
    let keys = goat.keys().list(&me, PageRequest::default()).await?.items;
    Ok(Json(keys.iter().map(|key| json!({ "id": key.id, "name": key.name })).collect()))
}

async fn revoke_key(
    State(goat): State<Goat>,
    me: Principal,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id = KeyId::parse(&id).map_err(|_| ErrorKind::NotFound)?;
    goat.keys().revoke(&me, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn read_reports(me: Principal) -> Json<Value> {
    let by = match me.credential() {
        Credential::Session(_) => "a person",
        Credential::Key(_) => "a program",
    };
    Json(json!({ "reports": ["January", "February"], "read_by": by }))
}

async fn write_report() -> StatusCode {
    StatusCode::CREATED
}

fn app(goat: &Goat) -> Router {
    let recent = goat.require(Requirement::signed_in()).recent();
    Router::new()
        .route("/reports", get(read_reports).route_layer(goat.require(READ)))
        .route("/reports", post(write_report).route_layer(goat.require(WRITE)))
        .route("/keys", post(create_key).route_layer(recent))
        .route("/keys", get(list_keys))
        .route("/keys/{id}", delete(revoke_key))
        .layer(goat.authenticate())
        .route("/sign-up", post(sign_up))
        .route("/sign-in", post(sign_in))
        .layer(goat.limit(Quota::per_minute(300)).by_address())
        .with_state(goat.clone())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let database = arguments.next().unwrap_or_else(|| "keys.db".into());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".into());

    // A new user is an analyst.
    let roles = RoleSet::new([
        ("analyst", vec!["report:read", "report:write"]),
        ("admin", vec!["full_access"]),
    ])?;
    // Token keys that are generated are lost on restart, and all tokens with them; API keys stay valid.
    let stores = Stores::sqlite(database).await?;
    let goat = Goat::builder(stores, TokenKeys::generate()).roles(roles).build()?;
    tokio::spawn(goat.clone().maintain()); // removes expired sessions

    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(serve(listener, app(&goat).into_make_service_with_connect_info::<SocketAddr>()).await?)
}
