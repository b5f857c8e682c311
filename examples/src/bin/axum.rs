//! An API of reports on axum: sign up, sign in, read reports with the permission, export a few a
//! minute. Run it with `cargo run -p examples --bin axum`, then:
//!
//! ```text
//! curl -s localhost:3000/signup -H 'content-type: application/json' \
//!   -d '{"email": "ann@example.org", "password": "a long walk on a short pier"}'
//! ```

use std::net::SocketAddr;

use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use goat_core::auth::{Login, SignUp};
use goat_core::session::Origin;
use goat_core::token::TokenKeys;
use goat_core::{Actor, Email, Error, ErrorKind, Goat, Permission, Quota, Stores, Violation};
use goat_tower::address::{ClientAddress, ClientAddressLayer};
use goat_tower::{GoatExt as _, Principal, Problem};
use serde::Deserialize;
use serde_json::{Value, json};

const REPORTS: Permission = Permission::new("report:read");
const EXPORTS: Permission = Permission::new("report:export");

#[derive(Deserialize)]
struct Credentials {
    email: String,
    password: String,
}

async fn sign_up(
    State(goat): State<Goat>,
    Json(form): Json<Credentials>,
) -> Result<Response, Problem> {
    let email = Email::parse(&form.email)
        .map_err(|error| Error::invalid(vec![Violation::new("email", error.message())]))?;
    let request = SignUp { email, password: form.password.into(), origin: Origin::default() };
    let user = goat.sign_up(request).await?;
    Ok((StatusCode::CREATED, Json(json!({ "id": user.id }))).into_response())
}

async fn sign_in(
    State(goat): State<Goat>,
    Extension(client): Extension<ClientAddress>,
    Json(form): Json<Credentials>,
) -> Result<Json<Value>, Problem> {
    let origin = Origin { address: Some(client.ip()), device: None };
    let request = Login { email: form.email.into(), password: form.password.into(), origin };
    let tokens = goat.login(request).await?.value.tokens;
    Ok(Json(json!({
        "access_token": tokens.access_token.expose(),
        "refresh_token": tokens.refresh_token.expose(),
    })))
}

async fn list(me: Principal) -> Json<Value> {
    Json(json!({ "reports": ["january", "february"], "for": me.user() }))
}

async fn export() -> &'static str {
    "january;february"
}

/// Whoever comes, by name if they are known.
async fn hello(me: Option<Principal>) -> String {
    me.map_or("hello, whoever you are".into(), |me| format!("hello, {}", me.user()))
}

fn app(goat: &Goat) -> Router {
    let protected = Router::new()
        .route("/reports", get(list).route_layer(goat.require(REPORTS)))
        .route(
            "/exports",
            post(export)
                .route_layer(goat.limit(Quota::per_minute(5)).named("exports").by_user())
                .route_layer(goat.require(EXPORTS)),
        )
        .layer(goat.authenticate());
    let open = Router::new()
        .route("/", get(hello))
        .route("/signup", post(sign_up))
        .route("/login", post(sign_in))
        .layer(goat.authenticate().optional());
    open.merge(protected)
        .layer(goat.limit(Quota::per_minute(300)).by_address())
        .layer(ClientAddressLayer::new().peer_from(|extensions| {
            extensions.get::<axum::extract::ConnectInfo<SocketAddr>>().map(|info| info.0)
        }))
        .with_state(goat.clone())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let database = arguments.next().unwrap_or_else(|| "reports.db".into());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".into());

    // Keys of one's own, kept somewhere safe, let tokens survive a restart. These do not.
    let goat = Goat::builder(Stores::sqlite(database).await?, TokenKeys::generate()).build()?;
    for permission in [REPORTS, EXPORTS] {
        match goat.roles().grant(Actor::system("start"), "client", permission).await {
            Err(error) if error.kind() != ErrorKind::PermissionExists => return Err(error.into()),
            _ => {}
        }
    }

    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let service = app(&goat).into_make_service_with_connect_info::<SocketAddr>();
    Ok(axum::serve(listener, service).await?)
}
