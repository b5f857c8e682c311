use std::convert::Infallible;
use std::future::pending;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::routing::get;
use bytes::Bytes;
use goat_core::auth::{Login, SignUp};
use goat_core::limit::Decision;
use goat_core::session::Origin;
use goat_core::testing::PlainHasher;
use goat_core::token::TokenKeys;
use goat_core::{Email, Error, Goat, Principal, Quota, Stores};
use goat_tower::address::ClientAddress;
use goat_tower::{Denial, Problem, ProblemDetails, RequestId};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty};
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::*;
use crate::observe::logging::{LoggedBody, RecordContextLayer, RequestLogLayer};
use crate::observe::metrics::Metrics;

fn goat() -> Goat {
    Goat::builder(Stores::memory(), TokenKeys::generate())
        .hasher(Arc::new(PlainHasher::default()))
        .build()
        .unwrap()
}

async fn principal(goat: &Goat) -> Principal {
    let (email, password) = ("ann@example.org", "a long walk on a short pier");
    let request = SignUp {
        email: Email::parse(email).unwrap(),
        password: Some(password.into()),
        origin: Origin::default(),
    };
    goat.sign_up(request).await.unwrap();
    let request = Login {
        email: email.into(),
        password: password.into(),
        device_token: None,
        origin: Origin::default(),
    };
    let tokens = goat.login(request).await.unwrap().value.tokens;
    goat.authenticate_token(tokens.access_token.expose()).await.unwrap()
}

fn request(method: Method, path: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let id = RequestId::new(HeaderValue::from_static("order-17")).unwrap();
    let address: IpAddr = "192.0.2.7".parse().unwrap();
    request.extensions_mut().insert(id);
    request.extensions_mut().insert(ClientAddress::new(address));
    request
}

fn sample(metrics: &Metrics, name: &str) -> f64 {
    let (_, text) = metrics.expose(&goat(), None);
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().unwrap())
}

const IN_FLIGHT: &str = r#"http_requests_in_flight{method="GET"}"#;

/// The last line about a request.
fn last(log: &Log) -> Map<String, Value> {
    let mut lines = log.objects();
    lines.retain(|line| line["target"] == "goat_server::request");
    lines.pop().unwrap()
}

#[tokio::test]
async fn request_is_one_line_with_id_route_status_client_and_user() {
    let (log, _guard) = Log::begin("info", Look::Json);
    let principal = principal(&goat()).await;
    let user = principal.user().to_string();
    let before = log.objects().len();
    let metrics = Metrics::new();
    let app = Router::new()
        .route(
            "/users/{id}",
            get(async || {
                tracing::info!("deep within");
                "a user"
            }),
        )
        .layer(RecordContextLayer)
        .layer(axum::middleware::map_request(move |mut request: Request<Body>| {
            request.extensions_mut().insert(principal.clone());
            std::future::ready(request)
        }))
        .layer(RequestLogLayer::new(Arc::clone(&metrics)));
    let answer =
        app.oneshot(request(Method::GET, "/users/number-0815?token=canary")).await.unwrap();
    assert_eq!(to_bytes(answer.into_body(), 100).await.unwrap(), "a user");

    let lines = log.objects().split_off(before);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0]["message"], "deep within");
    let line = &lines[1];
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["method"], "GET");
    assert_eq!(line["route"], "/users/{id}");
    assert_eq!(line["status"], 200);
    assert_eq!(line["bytes"], 6);
    assert_eq!(line["client_address"], "192.0.2.7");
    assert!(line["duration_ms"].as_f64().unwrap() >= 0.0);
    assert!(!line.contains_key("outcome"));
    for line in &lines {
        assert_eq!(line["request_id"], "order-17");
        assert_eq!(line["user"], user);
    }
    assert!(!log.text().contains("number-0815") && !log.text().contains("canary"));
    let counted = r#"http_requests_total{method="GET",route="/users/{id}",status="200"}"#;
    assert_eq!(sample(&metrics, counted), 1.0);
}

#[tokio::test]
async fn unmatched_path_is_not_logged() {
    let (log, _guard) = Log::begin("info", Look::Json);
    let app = Router::new().layer(RecordContextLayer).layer(RequestLogLayer::new(Metrics::new()));
    let unknown = Method::from_bytes(b"CANARY").unwrap();
    drop(app.oneshot(request(unknown, "/canary")).await.unwrap());
    let line = last(&log);
    assert_eq!((&line["route"], &line["method"]), (&"unmatched".into(), &"other".into()));
    assert_eq!(line["status"], 404);
    assert!(!log.text().to_lowercase().contains("canary"));
}

#[tokio::test]
async fn client_that_disconnects_early_logs_no_status() {
    let (log, _guard) = Log::begin("info", Look::Json);
    let metrics = Metrics::new();
    let stuck =
        service_fn(async |_: Request<Body>| pending::<Result<Response<Body>, Infallible>>().await);
    let service = RequestLogLayer::new(Arc::clone(&metrics)).layer(stuck);
    let answer = service.oneshot(request(Method::GET, "/"));
    assert!(tokio::time::timeout(Duration::from_millis(1), answer).await.is_err());
    let line = last(&log);
    assert_eq!(line["outcome"], "aborted");
    assert!(!line.contains_key("status"));
    assert_eq!(sample(&metrics, IN_FLIGHT), 0.0);
    let counted = r#"http_requests_total{method="GET",route="unmatched",status="none"}"#;
    assert_eq!(sample(&metrics, counted), 1.0);
}

/// A body of these chunks that does not announce its end.
#[derive(Debug)]
struct Chunks(std::vec::IntoIter<Result<Frame<Bytes>, &'static str>>);

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(self.0.next())
    }
}

async fn streaming(
    metrics: &Arc<Metrics>,
    chunks: Vec<Result<Frame<Bytes>, &'static str>>,
) -> Response<LoggedBody<Chunks>> {
    let chunks = Mutex::new(Some(Chunks(chunks.into_iter())));
    let service = service_fn(move |_: Request<Body>| {
        let chunks = chunks.lock().unwrap().take().unwrap();
        async move { Ok::<_, Infallible>(Response::new(chunks)) }
    });
    let service = RequestLogLayer::new(Arc::clone(metrics)).layer(service);
    service.oneshot(request(Method::GET, "/")).await.unwrap()
}

#[tokio::test]
async fn request_is_in_flight_until_its_last_response_byte() {
    let (log, _guard) = Log::begin("info", Look::Json);
    let metrics = Metrics::new();
    let chunk = || Ok(Frame::data(Bytes::from_static(b"four")));
    let mut body = streaming(&metrics, vec![chunk(), chunk()]).await.into_body();
    for _ in 0..2 {
        body.frame().await.unwrap().unwrap();
        assert_eq!(sample(&metrics, IN_FLIGHT), 1.0);
        assert_eq!(log.text(), "");
    }
    assert!(body.frame().await.is_none());
    assert_eq!(sample(&metrics, IN_FLIGHT), 0.0);
    let line = last(&log);
    assert_eq!((line["bytes"].as_u64(), line.get("outcome")), (Some(8), None));
}

#[tokio::test]
async fn truncated_response_is_logged_as_aborted_with_its_status() {
    let (log, _guard) = Log::begin("info", Look::Json);
    let metrics = Metrics::new();
    let chunk = || Ok(Frame::data(Bytes::from_static(b"four")));
    let mut body = streaming(&metrics, vec![chunk(), chunk()]).await.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    let line = last(&log);
    assert_eq!((&line["outcome"], &line["status"]), (&"aborted".into(), &200.into()));

    let mut body = streaming(&metrics, vec![chunk(), Err("broken")]).await.into_body();
    body.frame().await.unwrap().unwrap();
    body.frame().await.unwrap().unwrap_err();
    assert_eq!(last(&log)["outcome"], "failed");
    assert_eq!(sample(&metrics, IN_FLIGHT), 0.0);
}

#[tokio::test]
async fn unpolled_empty_body_is_complete() {
    let (log, _guard) = Log::begin("info", Look::Json);
    let app = Router::new()
        .route("/text", get(async || "a text"))
        .route("/nothing", get(async || StatusCode::NO_CONTENT))
        .layer(RecordContextLayer)
        .layer(RequestLogLayer::new(Metrics::new()));
    for (method, path) in [(Method::HEAD, "/text"), (Method::GET, "/nothing")] {
        drop(app.clone().oneshot(request(method, path)).await.unwrap());
        let line = last(&log);
        assert_eq!((&line["route"], line.get("outcome")), (&path.into(), None));
    }
    // A body that was handed over in full by its length, and not polled again.
    let mut body = app.oneshot(request(Method::GET, "/text")).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(last(&log).get("outcome"), None);
}

#[tokio::test]
async fn rejection_logs_its_code_and_counts_its_limit() {
    let (log, _guard) = Log::begin("info", Look::Json);
    let metrics = Metrics::new();
    let decision = |limit: &'static str, retry_after| Decision {
        limit: limit.into(),
        quota: Quota::per_minute(5),
        remaining: 0,
        reset_after: Duration::from_secs(9),
        retry_after,
    };
    let decisions = vec![decision("address", None), decision("auth", Some(Duration::from_secs(9)))];
    let denial = Denial::new(Error::rate_limited(decisions));
    let refusing = service_fn(move |request: Request<Body>| {
        let denial = denial.clone();
        async move {
            let (parts, _) = request.into_parts();
            Ok::<_, Infallible>(denial.respond::<Empty<Bytes>>(&ProblemDetails, &parts))
        }
    });
    let service = RequestLogLayer::new(Arc::clone(&metrics)).layer(refusing);
    drop(service.oneshot(request(Method::GET, "/")).await.unwrap());
    let line = last(&log);
    assert_eq!((&line["code"], &line["level"]), (&"rate-limited".into(), &"INFO".into()));
    assert_eq!(sample(&metrics, r#"goat_limit_denials_total{limit="auth"}"#), 1.0);
    assert_eq!(sample(&metrics, r#"goat_limit_denials_total{limit="address"}"#), 0.0);
}

#[tokio::test]
async fn server_error_logs_its_cause_at_a_higher_level() {
    let (log, _guard) = Log::begin("info", Look::Json);
    for (status, level) in [(500, "ERROR"), (503, "WARN"), (404, "INFO")] {
        let failing = service_fn(move |_: Request<Body>| {
            let error = Error::unavailable("sessions.find", Duration::from_secs(1))
                .with_source(io::Error::other("connection\nrefused"));
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response.extensions_mut().insert(Problem::from(error));
            std::future::ready(Ok::<_, Infallible>(response))
        });
        let service = RequestLogLayer::new(Metrics::new()).layer(failing);
        drop(service.oneshot(request(Method::GET, "/")).await.unwrap());
        let line = last(&log);
        assert_eq!(line["level"], level);
        let cause = line.get("cause").map(|cause| cause.as_str().unwrap());
        let expected = "unavailable: sessions.find: connection\nrefused";
        assert_eq!(cause, (status >= 500).then_some(expected));
    }
}

#[tokio::test]
async fn failing_or_panicking_service_ends_its_request() {
    let (log, _guard) = Log::begin("info", Look::Json);
    let metrics = Metrics::new();
    let layer = RequestLogLayer::new(Arc::clone(&metrics));
    let failing = service_fn(async |_: Request<Body>| Err::<Response<Body>, _>("broken"));
    layer.layer(failing).oneshot(request(Method::GET, "/")).await.unwrap_err();
    assert_eq!(last(&log)["outcome"], "failed");

    let panicking = service_fn(async |_: Request<Body>| -> Result<Response<Body>, Infallible> {
        panic!("on purpose")
    });
    let answer = tokio::spawn(layer.layer(panicking).oneshot(request(Method::GET, "/")));
    assert!(answer.await.is_err());
    assert_eq!(last(&log)["outcome"], "panicked");
    assert_eq!(sample(&metrics, IN_FLIGHT), 0.0);
}
