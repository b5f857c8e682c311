//! Reports API on plain hyper, without a framework.
//!
//! Shows goat's layers around `tower` services over `Full<Bytes>`: sign up, log in, then read
//! reports with a permission, at most five times a minute.
//!
//! ```text
//! cargo run -p examples --bin hyper
//! form='{"email": "ann@example.org", "password": "a long walk on a short pier"}'
//! curl -s localhost:3000/signup -d "$form"
//! curl -s localhost:3000/login -d "$form"
//! curl -s localhost:3000/reports -H "authorization: Bearer <the access token>"
//! curl -s localhost:3000/audit -H "authorization: Bearer <the access token>"   # 403
//! ```

use std::convert::Infallible;

use bytes::Bytes;
use goat_core::auth::{Login, SignUp};
use goat_core::token::TokenKeys;
use goat_core::{Email, ErrorKind, Goat, Permission, Quota, RoleSet, Stores};
use goat_tower::address::PeerAddress;
use goat_tower::{GoatExt as _, Origin, Principal, Problem};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use serde_json::{Value, json};
use tower::{Layer as _, ServiceBuilder, ServiceExt as _, service_fn};

const REPORTS: Permission = Permission::new("report:read");
const AUDIT: Permission = Permission::new("report:audit");

/// Largest request body, in bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;

type Outcome = Result<Response<Full<Bytes>>, Infallible>;

#[derive(Deserialize)]
struct Credentials {
    email: String,
    password: String,
}

/// Handles the public routes: `/signup` and `/login`.
async fn public(goat: Goat, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Problem> {
    let (parts, body) = request.into_parts();
    let (method, path) = (&parts.method, parts.uri.path());
    if method != Method::POST || !["/signup", "/login"].contains(&path) {
        return Err(ErrorKind::NotFound.into());
    }
    let origin = Origin::of(&parts);
    let unreadable = || Problem::from(ErrorKind::Invalid);
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await.map_err(|_| unreadable())?;
    let form: Credentials = serde_json::from_slice(&body.to_bytes()).map_err(|_| unreadable())?;
    if path == "/signup" {
        let request = SignUp::new(Email::parse(&form.email)?, form.password, origin);
        let user = goat.sign_up(request).await?;
        return Ok(json_response(StatusCode::CREATED, &json!({ "id": user.id })));
    }
    let tokens = goat.login(Login::new(form.email, form.password, origin)).await?.value.tokens;
    let tokens = json!({
        "access_token": tokens.access_token.expose(),
        "refresh_token": tokens.refresh_token.expose(),
    });
    Ok(json_response(StatusCode::OK, &tokens))
}

/// Handles requests that the layers have authenticated and authorized.
async fn reports(request: Request<Incoming>) -> Outcome {
    let me = Principal::of(request.extensions()).map(|me| me.user());
    Ok(json_response(StatusCode::OK, &json!({ "reports": ["january"], "for": me })))
}

fn json_response(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let database = arguments.next().unwrap_or_else(|| "reports.db".into());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".into());

    // Generated keys are lost on restart, and all tokens with them; load stored keys in production.
    let goat = Goat::builder(Stores::sqlite(database).await?, TokenKeys::generate())
        .roles(RoleSet::new([("reader", vec!["report:read"]), ("admin", vec!["full_access"])])?)
        .build()?;
    tokio::spawn(goat.clone().maintain()); // removes expired sessions

    let protected = |permission| {
        ServiceBuilder::new()
            .layer(goat.authenticate())
            .layer(goat.require(permission))
            .layer(goat.limit(Quota::per_minute(5)).by_user())
            .service_fn(reports)
    };
    let (reports, audit) = (protected(REPORTS), protected(AUDIT));
    let handle = goat.clone();
    let routes = service_fn(move |request: Request<Incoming>| {
        let (goat, reports, audit) = (handle.clone(), reports.clone(), audit.clone());
        async move {
            let response = match request.uri().path() {
                "/reports" => reports.oneshot(request).await?.map(BodyExt::boxed),
                "/audit" => audit.oneshot(request).await?.map(BodyExt::boxed),
                _ => match public(goat, request).await {
                    Ok(response) => response.map(BodyExt::boxed),
                    Err(problem) => problem.into_response().map(|text| Full::new(text).boxed()),
                },
            };
            Ok::<_, Infallible>(response)
        }
    });
    let service = goat.limit(Quota::per_minute(300)).by_address().layer(routes);

    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, peer) = listener.accept().await?;
        // Plain hyper does not add the peer's address to requests.
        let service = service.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(PeerAddress(peer));
            request
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("connection closed with an error: {error}");
            }
        });
    }
}
