//! Shop with goat-server's API under `/auth`, beside its own routes and its own fallback.
//!
//! Accounts and sessions are at `/auth`, users and roles at `/staff`, where only the shop's own network
//! should come in; an access token of the one is valid at the other and on the shop's routes.
//!
//! ```text
//! cargo run -p examples --bin mounted
//! ann='{"email": "ann@example.org", "password": "a long walk on a short pier"}'
//! curl -s localhost:3000/auth/api/v1/auth/login -H 'content-type: application/json' -d "$ann"
//! curl -s localhost:3000/orders -H "authorization: Bearer <the access token>"
//! curl -s localhost:3000/staff/api/v1/user/list -H "authorization: Bearer <the access token>"
//! curl -s localhost:3000/auth/unknown   # a problem document
//! curl -s localhost:3000/unknown        # the shop's page
//! ```

use std::net::SocketAddr;

use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::get;
use axum::{Router, serve};
use goat_core::token::TokenKeys;
use goat_core::{Goat, Stores};
use goat_server::observe::{ServerObserver, metrics::Metrics};
use goat_server::start::settings::MountSettings;
use goat_server::{Api, Group, first_administrator};
use goat_tower::{GoatExt as _, Principal};

async fn orders(me: Principal) -> String {
    format!("the orders of {}", me.user())
}

async fn no_such_page() -> (StatusCode, Html<&'static str>) {
    (StatusCode::NOT_FOUND, Html("<h1>The shop has no such page</h1>"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let database = arguments.next().unwrap_or_else(|| "shop.db".into());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".into());
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    // Generated keys are lost on restart, and all tokens with them; load stored keys in production.
    let metrics = Metrics::new();
    let goat = Goat::builder(Stores::sqlite(database).await?, TokenKeys::generate())
        .observer(ServerObserver::new(metrics.clone()))
        .stored_roles()
        .build()?;
    goat.prepare().await?;
    // At each start; does nothing once there is an administrator. Take the password from a secret.
    first_administrator(&goat, "ann@example.org", "a long walk on a short pier").await?;
    tokio::spawn(goat.clone().maintain()); // removes expired sessions

    // Proxies, cookies, CORS and limits, such as GOAT_TRUSTED_PROXIES and GOAT_RATE_LIMIT_AUTH.
    let (settings, warnings) = MountSettings::load(std::env::vars_os())?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let api = Api::new(goat.clone()).http(settings.http).limits(settings.limits).metrics(metrics);
    let auth = api.clone().prefix("/auth").groups([Group::Accounts, Group::Operations]);
    let staff = api.prefix("/staff").groups([Group::Administration]);

    let app = Router::new()
        .route("/orders", get(orders).route_layer(goat.authenticate()))
        .merge(auth.into_router())
        .merge(staff.into_router())
        .fallback(no_such_page);
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?)
}
