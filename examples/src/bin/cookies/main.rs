//! Web page with cookie authentication, on axum.
//!
//! Sign up, sign in, read and export reports, sign out; the session's tokens are in `HttpOnly`
//! cookies.
//!
//! ```text
//! cargo run -p examples --bin cookies      # then open http://localhost:3000
//! ```
//!
//! - Access tokens expire after one minute here, to show the renewal: open the browser's network
//!   panel, wait, and read the reports again. The response sets both cookies anew.
//! - Cross-site requests are rejected: a form on another port's page that posts to `/exports` gets
//!   a 403, as does `curl` with only a cookie.
//! - Chromium and Firefox store such cookies on `http://localhost`, Chromium on `http://127.0.0.1`
//!   too; Safari requires https.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::routing::{get, post};
use axum::{Router, serve};
use goat_core::auth::SignUp;
use goat_core::token::TokenKeys;
use goat_core::{Email, Goat, Permission, Quota, RoleSet, Settings, Stores};
use goat_tower::cookie::{self, Cookies};
use goat_tower::{GoatExt as _, Origin, Principal, Problem};
use serde::Deserialize;
use serde_json::{Value, json};

const REPORTS: Permission = Permission::new("report:read");
const AUDIT: Permission = Permission::new("report:audit");

const COOKIES: Cookies = Cookies::new().renew();

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

async fn current_user(me: Principal) -> Json<Value> {
    Json(json!({ "email": me.profile().email.as_str() }))
}

async fn list() -> Json<Value> {
    Json(json!({ "reports": ["January", "February"] }))
}

async fn export() -> Json<Value> {
    Json(json!({ "exported": "reports.csv" }))
}

/// Only scripts and styles of this origin, nothing inline, and no framing.
const PAGE_SECURITY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src data:; form-action 'none'; base-uri 'none'; \
     frame-ancestors 'none'";

fn page(content_type: &'static str, text: &'static str) -> axum::routing::MethodRouter<Goat> {
    get(move || async move {
        let headers = [
            (CONTENT_TYPE, content_type),
            (CONTENT_SECURITY_POLICY, PAGE_SECURITY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            // With `no-referrer`, older browsers would not send the origin with forms.
            (REFERRER_POLICY, "same-origin"),
        ];
        (headers, text)
    })
}

fn app(goat: &Goat) -> Router {
    let protected = Router::new()
        .route("/me", get(current_user))
        .route("/reports", get(list).route_layer(goat.require(REPORTS)))
        .route("/exports", post(export).route_layer(goat.require(REPORTS)))
        .route("/audit", get(list).route_layer(goat.require(AUDIT)))
        .layer(goat.authenticate().cookies(COOKIES));
    let open = Router::new()
        .route("/", page("text/html; charset=utf-8", include_str!("page.html")))
        .route("/page.css", page("text/css; charset=utf-8", include_str!("page.css")))
        .route("/page.js", page("text/javascript; charset=utf-8", include_str!("page.js")))
        .route("/signup", post(sign_up));
    open.merge(protected)
        .with_state(goat.clone())
        // `/login`, `/refresh` and `/logout`, outside the authenticate layer.
        .merge(cookie::routes(goat, COOKIES))
        .layer(goat.limit(Quota::per_minute(300)).by_address())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let database = arguments.next().unwrap_or_else(|| "reports.db".into());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".into());

    let settings = Settings { access_ttl: Duration::from_secs(60), ..Settings::default() };
    // Generated keys are lost on restart, and all tokens with them; load stored keys in production.
    let goat = Goat::builder(Stores::sqlite(database).await?, TokenKeys::generate())
        .roles(RoleSet::new([("reader", vec!["report:read"]), ("admin", vec!["full_access"])])?)
        .settings(settings)
        .build()?;
    tokio::spawn(goat.clone().maintain()); // removes expired sessions

    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // In production, terminate TLS in front, and add goat_tower::address::ClientAddressLayer behind
    // the proxy.
    Ok(serve(listener, app(&goat).into_make_service_with_connect_info::<SocketAddr>()).await?)
}
