//! A page of reports for people with browsers, on axum: sign up, sign in, read, export, sign out, with
//! the session in cookies that no script can read. Run it with
//! `cargo run -p examples --bin cookies`, and open <http://localhost:3000>.
//!
//! - An access token is good for a minute here, so that one can watch the page refresh it: open the
//!   browser's list of requests, wait, and read the reports again.
//! - Only pages of this origin may use the cookies. A form on another port's page that posts to
//!   `/exports` gets a 403, and so does `curl` with a cookie and nothing else.
//! - Chromium and Firefox keep such cookies on `http://localhost`, Chromium on `http://127.0.0.1` too.
//!   Safari wants https there as everywhere.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::{Json, State};
use axum::http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{StatusCode, request::Parts};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, serve};
use goat_core::auth::{Login, SignUp};
use goat_core::token::TokenKeys;
use goat_core::{Actor, Email, ErrorKind, Goat, Permission, Quota, Settings, Stores};
use goat_tower::cookie::Cookies;
use goat_tower::{GoatExt as _, Origin, Principal, Problem};
use serde::Deserialize;
use serde_json::{Value, json};

const REPORTS: Permission = Permission::new("report:read");
const AUDIT: Permission = Permission::new("report:audit");

const COOKIES: Cookies = Cookies::new();

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
    let email = Email::parse(&form.email)?;
    let request = SignUp { email, password: form.password.into(), origin: origin.into() };
    goat.sign_up(request).await?;
    Ok(StatusCode::CREATED)
}

async fn sign_in(
    State(goat): State<Goat>,
    origin: Origin,
    request: Parts,
    Json(form): Json<Credentials>,
) -> Result<Response, Problem> {
    // Without this, another site's page could sign its visitors in as somebody else.
    COOKIES.check(&request)?;
    let (email, password) = (form.email.into(), form.password.into());
    let signed_in = goat.login(Login { email, password, origin: origin.into() }).await?.value;
    let mut response = Json(json!({ "email": signed_in.user.email.as_str() })).into_response();
    COOKIES.put(&signed_in.tokens, response.headers_mut())?;
    Ok(response)
}

async fn refresh(
    State(goat): State<Goat>,
    origin: Origin,
    request: Parts,
) -> Result<Response, Problem> {
    let token = COOKIES.refresh_token(&request)?;
    match goat.refresh(&token, &origin).await.map_err(Problem::from) {
        Ok(next) => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            COOKIES.put(&next.tokens, response.headers_mut())?;
            Ok(response)
        }
        // The session is over. Any other failure may pass, and leaves the cookies where they are.
        Err(over) if over.status() == StatusCode::UNAUTHORIZED => {
            let mut response = IntoResponse::into_response(over);
            COOKIES.clear(response.headers_mut());
            Ok(response)
        }
        Err(problem) => Err(problem),
    }
}

async fn sign_out(
    State(goat): State<Goat>,
    origin: Origin,
    me: Principal,
) -> Result<Response, Problem> {
    goat.logout(&me, &origin).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    COOKIES.clear(response.headers_mut());
    Ok(response)
}

async fn who(State(goat): State<Goat>, me: Principal) -> Result<Json<Value>, Problem> {
    let profile = goat.users().profile(&me).await?;
    Ok(Json(json!({ "email": profile.user.email.as_str() })))
}

async fn list() -> Json<Value> {
    Json(json!({ "reports": ["January", "February"] }))
}

async fn export() -> Json<Value> {
    Json(json!({ "exported": "reports.csv" }))
}

/// Scripts and styles from here and from nowhere else, none within the page, and no page around it.
const PAGE_SECURITY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src data:; form-action 'none'; base-uri 'none'; \
     frame-ancestors 'none'";

fn page(content_type: &'static str, text: &'static str) -> axum::routing::MethodRouter<Goat> {
    get(move || async move {
        let headers = [
            (CONTENT_TYPE, content_type),
            (CONTENT_SECURITY_POLICY, PAGE_SECURITY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            // With `no-referrer` older browsers would not say from which origin a form comes.
            (REFERRER_POLICY, "same-origin"),
        ];
        (headers, text)
    })
}

fn app(goat: &Goat) -> Router {
    let protected = Router::new()
        .route("/logout", post(sign_out))
        .route("/me", get(who))
        .route("/reports", get(list).route_layer(goat.require(REPORTS)))
        .route("/exports", post(export).route_layer(goat.require(REPORTS)))
        .route("/audit", get(list).route_layer(goat.require(AUDIT)))
        .layer(goat.authenticate().cookies(COOKIES));
    // Outside of that layer, so that a cookie which does not do any more keeps nobody out.
    let open = Router::new()
        .route("/", page("text/html; charset=utf-8", include_str!("page.html")))
        .route("/page.css", page("text/css; charset=utf-8", include_str!("page.css")))
        .route("/page.js", page("text/javascript; charset=utf-8", include_str!("page.js")))
        .route("/signup", post(sign_up))
        .route("/login", post(sign_in))
        .route("/refresh", post(refresh));
    open.merge(protected)
        .layer(goat.limit(Quota::per_minute(300)).by_address())
        .with_state(goat.clone())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let database = arguments.next().unwrap_or_else(|| "reports.db".into());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".into());

    let settings = Settings { access_ttl: Duration::from_secs(60), ..Settings::default() };
    // Keys of one's own, kept somewhere safe, let tokens survive a restart. These do not.
    let goat = Goat::builder(Stores::sqlite(database).await?, TokenKeys::generate())
        .settings(settings)
        .build()?;
    // Whoever signs up is a client, and clients read reports. Nobody audits yet.
    match goat.roles().grant(Actor::system("start"), "client", REPORTS).await {
        Err(error) if error.kind() != ErrorKind::PermissionExists => return Err(error.into()),
        _ => {}
    }

    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // On the wide network: https before it, and goat_tower::address::ClientAddressLayer behind that.
    Ok(serve(listener, app(&goat).into_make_service_with_connect_info::<SocketAddr>()).await?)
}
