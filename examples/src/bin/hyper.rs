//! The same layers on hyper alone, without a framework: one protected service over `Full<Bytes>`,
//! and sign-up and sign-in beside it. Run it with `cargo run -p examples --bin hyper`.

use std::convert::Infallible;

use bytes::Bytes;
use goat_core::auth::{Login, SignUp};
use goat_core::token::TokenKeys;
use goat_core::{Actor, Email, ErrorKind, Goat, Permission, Quota, Stores};
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

/// The most that a request's body may have, in bytes.
const BODY_MAXIMUM: usize = 64 * 1024;

type Answer = Result<Response<Full<Bytes>>, Infallible>;

#[derive(Deserialize)]
struct Credentials {
    email: String,
    password: String,
}

/// What needs no session.
async fn open(goat: Goat, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Problem> {
    let (parts, body) = request.into_parts();
    let (method, path) = (&parts.method, parts.uri.path());
    if method != Method::POST || !["/signup", "/login"].contains(&path) {
        return Err(ErrorKind::NotFound.into());
    }
    let origin = Origin::of(&parts).into();
    let unreadable = || Problem::from(ErrorKind::Invalid);
    let body = Limited::new(body, BODY_MAXIMUM).collect().await.map_err(|_| unreadable())?;
    let form: Credentials = serde_json::from_slice(&body.to_bytes()).map_err(|_| unreadable())?;
    if path == "/signup" {
        let email = Email::parse(&form.email)?;
        let request = SignUp { email, password: form.password.into(), origin };
        let user = goat.sign_up(request).await?;
        return Ok(json_answer(StatusCode::CREATED, &json!({ "id": user.id })));
    }
    let (email, password) = (form.email.into(), form.password.into());
    let tokens = goat.login(Login { email, password, origin }).await?.value.tokens;
    let shown = json!({
        "access_token": tokens.access_token.expose(),
        "refresh_token": tokens.refresh_token.expose(),
    });
    Ok(json_answer(StatusCode::OK, &shown))
}

/// What stands behind the layers: they have let somebody in.
async fn reports(request: Request<Incoming>) -> Answer {
    let me = Principal::of(request.extensions()).map(|me| me.user());
    Ok(json_answer(StatusCode::OK, &json!({ "reports": ["january"], "for": me })))
}

fn json_answer(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
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

    // Keys of one's own, kept somewhere safe, let tokens survive a restart. These do not.
    let goat = Goat::builder(Stores::sqlite(database).await?, TokenKeys::generate()).build()?;
    // Whoever signs up is a client, and clients read reports. Nobody audits yet.
    match goat.roles().grant(Actor::system("start"), "client", REPORTS).await {
        Err(error) if error.kind() != ErrorKind::PermissionExists => return Err(error.into()),
        _ => {}
    }

    let guarded = |permission| {
        ServiceBuilder::new()
            .layer(goat.authenticate())
            .layer(goat.require(permission))
            .layer(goat.limit(Quota::per_minute(5)).by_user())
            .service_fn(reports)
    };
    let (reading, auditing) = (guarded(REPORTS), guarded(AUDIT));
    let handle = goat.clone();
    let routes = service_fn(move |request: Request<Incoming>| {
        let (goat, reading, auditing) = (handle.clone(), reading.clone(), auditing.clone());
        async move {
            let answer = match request.uri().path() {
                "/reports" => reading.oneshot(request).await?.map(BodyExt::boxed),
                "/audit" => auditing.oneshot(request).await?.map(BodyExt::boxed),
                _ => match open(goat, request).await {
                    Ok(answer) => answer.map(BodyExt::boxed),
                    Err(problem) => problem.into_response().map(|text| Full::new(text).boxed()),
                },
            };
            Ok::<_, Infallible>(answer)
        }
    });
    let service = goat.limit(Quota::per_minute(300)).by_address().layer(routes);

    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, peer) = listener.accept().await?;
        // Whoever accepts a connection says who is at its other end.
        let service = service.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(PeerAddress(peer));
            request
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("a connection ended early: {error}");
            }
        });
    }
}
