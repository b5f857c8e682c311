//! Paths in the router, the check in front of it, and the extractors.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use goat_core::UserId;
use http::StatusCode;
use tower::{Layer, ServiceExt};

use super::*;

const ID: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

fn routes() -> Router {
    Router::new()
        .route("/api/v1/user", get(|| async { "me" }))
        .route("/api/v1/user/list", get(|| async { "list" }))
        .route("/api/v1/user/{id}", get(|Id(id): Id<UserId>| async move { id.to_string() }))
        .route(
            "/api/v1/user/{id}/sessions",
            get(|Id(id): Id<UserId>| async move { id.to_string() }),
        )
        .route("/api/v1/permission/{key}", get(|Segment(key): Segment| async { key }))
        .route("/.well-known/jwks.json", get(|| async { "keys" }))
        .route("/files/{*path}", get(|Id(id): Id<UserId>| async move { id.to_string() }))
        .route("/fixed", get(|Id(id): Id<UserId>| async move { id.to_string() }))
}

/// Responds with 404 in front of the router, as the server does.
async fn guard(request: Request, next: Next) -> Response {
    if path_is_canonical(request.uri().path()) {
        next.run(request).await
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}

async fn call(router: Router, path: &str) -> Response {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    from_fn(guard).layer(router).oneshot(request).await.expect("a response")
}

async fn status(path: &str) -> u16 {
    call(routes(), path).await.status().as_u16()
}

/// A5
#[test]
fn path_has_one_canonical_spelling() {
    for path in [
        "/",
        "/a",
        "/a/b.c",
        "/.well-known/x",
        "/a/...",
        "/a/..b",
        "/a/%41",
        "/a/%252e",
        "/%",
        "/%2",
    ] {
        assert!(path_is_canonical(path), "{path}");
    }
    for path in [
        "",
        "*",
        "a",
        "//",
        "/a/",
        "//a",
        "/a//b",
        "/a/b//",
        "/.",
        "/..",
        "/./a",
        "/a/../b",
        "/a/..",
        "/a/%2e",
        "/a/%2E%2e/b",
        "/a%2fb",
        "/a/%2F",
        "/a/x%2ex",
        "/%2e",
        "/a/.%2e",
    ] {
        assert!(!path_is_canonical(path), "{path}");
    }
}

#[tokio::test]
async fn canonical_path_is_served() {
    for path in
        ["/api/v1/user", "/api/v1/user/list", "/.well-known/jwks.json", "/api/v1/user?a=/../"]
    {
        assert_eq!(status(path).await, 200, "{path}");
    }
    for path in [format!("/api/v1/user/{ID}"), format!("/api/v1/user/{ID}/sessions")] {
        let response = call(routes(), &path).await;
        let body = axum::body::to_bytes(response.into_body(), 100).await.expect("a body");
        assert_eq!(body, ID, "{path}");
    }
}

/// A5: no repair and no redirect.
#[tokio::test]
async fn non_canonical_path_is_not_found() {
    for path in [
        "/api/v1/user/",
        "/api/v1//user",
        "//api/v1/user",
        "/API/v1/user",
        "/api/v1/User",
        "/api/v1/%75ser",
        "/api/v1/%55ser",
        "/%61pi/v1/user",
        "/api/v1/./user",
        "/api/v1/user/.",
        "/api/v1/user/..",
        "/api/v1/user/%2e%2e",
        "/api/v1/user/%2E",
        "/api/v1/role/../user",
        "/api%2fv1%2fuser",
        "/api/v1/user%2Flist",
        "/api/v1/user/list/",
        "/api/v1/user//list",
        "/%2ewell-known/jwks.json",
        "/.well-known/jwks%2ejson",
        "/.WELL-KNOWN/jwks.json",
        "/api/v1/user%00",
        "/api/v1/user;x=1",
        "/",
    ] {
        assert_eq!(status(path).await, 404, "{path}");
    }
    for path in [
        format!("/api/v1/user/{ID}/"),
        format!("/api/v1/user//{ID}"),
        format!("/api/v1/user/{ID}/%73essions"),
    ] {
        assert_eq!(status(&path).await, 404, "{path}");
    }
}

#[tokio::test]
async fn malformed_id_is_a_violation_of_its_parameter() {
    let escaped: String = ID.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let lower = ID.to_lowercase();
    let half_escaped = format!("{}%56", &ID[..25]);
    for text in [
        "1",
        "List",
        "%6cist",
        "%6Cist",
        "%",
        "%zz",
        "%ff",
        "%252e",
        "%5c..%5c",
        "%00",
        "+",
        "...",
        "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
        "01ARZ3NDEKTSV4RRFFQ69G5FAU%20",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV;a",
        &escaped,
        &half_escaped,
        &lower,
    ] {
        for path in [format!("/api/v1/user/{text}"), format!("/api/v1/user/{text}/sessions")] {
            let response = call(routes(), &path).await;
            let rejection = response.extensions().get::<Rejection>().expect("a rejection");
            assert_eq!(
                rejection.violations(),
                [Violation::new("id", InvalidId.to_string())],
                "{path}",
            );
            assert_eq!(response.status(), 400, "{path}");
        }
    }
}

#[tokio::test]
async fn nested_router_reads_its_own_parameter() {
    let nested = || Router::new().nest("/tenants/{tenant}/%61uth", routes());
    let good = call(nested(), &format!("/tenants/x/%61uth/api/v1/user/{ID}")).await;
    assert_eq!(good.status(), 200);
    let bad = call(nested(), "/tenants/x/%61uth/api/v1/user/x").await;
    let rejection = bad.extensions().get::<Rejection>().expect("a rejection");
    assert_eq!(rejection.violations()[0].field, "id");
}

#[tokio::test]
async fn segment_is_extracted_as_sent() {
    assert_eq!(status("/api/v1/permission/admin").await, 200);
    let response = call(routes(), "/api/v1/permission/%61dmin").await;
    let rejection = response.extensions().get::<Rejection>().expect("a rejection");
    assert_eq!(rejection.violations()[0].field, "key");
}

#[tokio::test]
async fn route_without_the_parameter_is_an_internal_error() {
    for path in ["/fixed".to_owned(), format!("/files/{ID}")] {
        assert_eq!(status(&path).await, 500, "{path}");
    }
}
