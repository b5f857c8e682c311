use axum::Router;
use axum::routing::post;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::observe::ServerObserver;
use crate::observe::logging::lines::Lines;
use crate::observe::logging::{RecordContextLayer, RequestLogLayer};
use crate::observe::metrics::Metrics;
use crate::serve::{Lifecycle, ServeSettings, serve};

const CANARY: &str = "canary-5eed";

/// Sends requests to a server on a real socket, over HTTP/1 and HTTP/2, with a secret in every part
/// of the request.
async fn send_requests_full_of_secrets() {
    let app = Router::new()
        .route("/users/{id}", post(async |body: String| body))
        .layer(RecordContextLayer)
        .layer(RequestLogLayer::new(Metrics::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let lifecycle = Lifecycle::new();
    lifecycle.ready();
    let server = tokio::spawn(serve(listener, app, ServeSettings::default(), lifecycle.clone()));

    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST /users/{CANARY}?token={CANARY} HTTP/1.1\r\nhost: {CANARY}\r\nconnection: close\r\n\
         authorization: Bearer {CANARY}\r\ncookie: a={CANARY}\r\nuser-agent: {CANARY}\r\n\
         content-length: {}\r\n\r\n{CANARY}",
        CANARY.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::post(format!("http://h/users/{CANARY}?token={CANARY}"))
        .header("authorization", format!("Bearer {CANARY}"))
        .header("user-agent", CANARY)
        .body(Full::new(bytes::Bytes::from_static(CANARY.as_bytes())))
        .unwrap();
    let answer = client.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), CANARY);
    server.abort();
    connection.abort();
}

/// L1: at every level, including the server's own network code.
#[tokio::test]
async fn request_secrets_are_never_logged() {
    for look in [Look::Json, Look::Pretty { colours: false }] {
        let (log, _guard) = Log::begin("trace,hyper=trace,h2=trace,tower=trace,axum=trace", look);
        send_requests_full_of_secrets().await;
        let text = log.text();
        assert_eq!(text.matches("request completed").count(), 2, "{text}");
        assert!(!text.contains(CANARY), "{text}");
    }
}

/// Counter-check: without the filter the network code does log.
#[tokio::test]
async fn unfiltered_dependencies_would_log_network_traffic() {
    let log = Log::default();
    let bare = tracing_subscriber::registry().with(Lines::new(Look::Json, log.clone()));
    let _guard = tracing::subscriber::set_default(bare);
    send_requests_full_of_secrets().await;
    assert!(log.objects().iter().any(|line| {
        line["level"] == "TRACE" && line["target"].as_str().unwrap().starts_with("h2::")
    }));
}

/// L1
#[tokio::test]
async fn audit_lines_hold_ids_and_no_email() {
    use goat_core::auth::{Login, SignUp};
    use goat_core::session::Origin;

    let (log, _guard) = Log::begin("trace", Look::Json);
    let goat = goat_core::Goat::builder(
        goat_core::Stores::memory(),
        goat_core::token::TokenKeys::generate(),
    )
    .hasher(Arc::new(goat_core::testing::PlainHasher::default()))
    .observer(ServerObserver::new(Metrics::new()))
    .build()
    .unwrap();
    let origin = Origin {
        address: "192.0.2.7".parse().ok(),
        device: Some(CANARY.to_owned()),
        ..Origin::default()
    };
    let login = |password: &str| Login {
        email: "canary-5eed@example.org".into(),
        password: password.to_owned().into(),
        device_token: None,
        origin: origin.clone(),
    };
    let request = SignUp {
        email: goat_core::Email::parse("canary-5eed@example.org").unwrap(),
        password: Some("a long canary-5eed on a pier".into()),
        origin: origin.clone(),
    };
    let user = goat.sign_up(request).await.unwrap().id.to_string();
    goat.login(login("canary-5eed is wrong here")).await.unwrap_err();
    let signed_in = goat.login(login("a long canary-5eed on a pier")).await.unwrap().value;
    let first = signed_in.tokens.refresh_token;
    let second = goat.refresh(&first, &origin).await.unwrap().tokens.refresh_token;
    let elsewhere = Origin { address: "198.51.100.9".parse().ok(), ..origin.clone() };
    goat.refresh(&first, &elsewhere).await.unwrap();
    goat.refresh(&second, &origin).await.unwrap();
    goat.refresh(&first, &origin).await.unwrap_err();

    let mut lines = log.objects();
    lines.retain(|line| line["target"] == "goat_server::audit");
    let of = |event: &str| lines.iter().find(|line| line["event"] == event).expect("an event");
    assert_eq!(of("signed-up")["subject"], user);
    assert_eq!(of("sign-in-failed")["reason"], "invalid-credentials");
    assert_eq!(of("signed-in")["by"], user);
    assert_eq!(of("signed-in")["level"], "INFO");
    // D6
    let repeat = of("refresh-repeated-elsewhere");
    assert_eq!((&repeat["level"], &repeat["subject"]), (&"WARN".into(), &user.clone().into()));
    assert_eq!(repeat["address"], "198.51.100.9");
    let reuse = of("token-reused");
    assert_eq!((&reuse["level"], &reuse["subject"]), (&"WARN".into(), &user.into()));
    assert_eq!(reuse["session"], signed_in.session.to_string());
    assert_eq!(reuse["address"], "192.0.2.7");
    let text = log.text();
    for secret in [CANARY, first.expose(), second.expose(), "example.org"] {
        assert!(!text.contains(secret), "{text}");
    }
}
