//! Rejected requests, and public routes.

use serde_json::json;

use crate::replay::run::Run;

pub(crate) async fn unroutable_and_unauthenticated_requests(run: &mut Run) {
    let ann = run.member("ann", "client").await;
    let bearer = format!("Bearer {}", ann.access);
    for line in [
        "GET /nowhere",
        "GET /api/v1/user/",
        "GET /api//v1/user",
        "GET /API/v1/user",
        "GET /api/v1/%75ser",
        "PUT /api/v1/user",
        "OPTIONS /api/v1/user",
        "TRACE /api/v1/auth/login",
        "HEAD /api/v1/user",
        "POST /api/health",
        "DELETE /api/v1/sessions/%2e",
    ] {
        run.call(line).by(&ann).send().await;
        run.call(line).send().await;
    }
    for value in ["Basic YW5uOng=", "Bearer", "Bearer nonsense", "bearer  x", "Bearer a.b.c", ""] {
        run.call("GET /api/v1/user").header("authorization", value).send().await;
    }
    let lower = bearer.replacen("Bearer", "bEARER", 1);
    run.call("GET /api/v1/user").header("authorization", &lower).send().await;
    let forged = format!("{}x", &bearer[..bearer.len() - 1]);
    run.call("GET /api/v1/user").header("authorization", &forged).send().await;
    let twice = run.call("GET /api/v1/user").by(&ann).header("authorization", "Bearer x");
    twice.send().await;
    for id in ["given-by_me", "spaces are not", &"x".repeat(65), ""] {
        run.call("GET /nowhere").header("x-request-id", id).send().await;
    }
}

pub(crate) async fn invalid_bodies_and_queries(run: &mut Run) {
    let boss = run.member("boss", "admin").await;
    let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
    let large = format!("{{\"email\": \"{}\"}}", "x".repeat(70_000));
    for (content_type, body) in [
        ("text/plain", "{}"),
        ("application/json; charset=utf-8", "{}"),
        ("application/json; charset=latin1", "{}"),
        ("application/json", ""),
        ("application/json", "{"),
        ("application/json", "null"),
        ("application/json", "{\"email\": \"a\", \"email\": \"b\"}"),
        ("application/json", "{\"email\": {\"a\": 1}, \"password\": [], \"x\": 1}"),
        ("application/json", &deep),
        ("application/json", &large),
        ("application/json", "{\"email\": \"\\ud800\"}"),
    ] {
        run.call("POST /api/v1/auth/login").text(content_type, body).send().await;
        run.call("POST /api/v1/user").by(&boss).text(content_type, body).send().await;
    }
    let packed = run.call("POST /api/v1/auth/login").header("content-encoding", "gzip");
    packed.json(json!({})).send().await;
    run.call("POST /api/v1/auth/login").send().await;
    for path in [
        "/api/v1/user/nonsense",
        "/api/v1/user/81111111111111111111111111",
        "/api/v1/user/%20",
        "/api/v1/user/00000000000000000000000000",
        "/api/v1/user/list?page=x&limit=-1",
        "/api/v1/sessions?page=99999999999999999999",
        "/api/v1/permission?limit=1000",
        "/api/v1/user?x=1",
    ] {
        run.get(path, &boss).await;
    }
    let (id, shorter) = (&boss.id, "00000000000000000000000");
    for (line, body) in [
        (format!("PUT /api/v1/user/{shorter}"), json!({"email": "x"})),
        (format!("PATCH /api/v1/user/{id}/change-role"), json!({"role": 1})),
        (format!("PATCH /api/v1/user/{id}/change-status"), json!({})),
        ("PATCH /api/v1/user/change-email".to_owned(), json!({"email": null})),
        ("PATCH /api/v1/user/change-password".to_owned(), json!({"new_password": "x"})),
        ("POST /api/v1/permission".to_owned(), json!({"role": "", "action": ""})),
        ("DELETE /api/v1/sessions".to_owned(), json!({"session_ids": ["x", 1]})),
        ("DELETE /api/v1/user".to_owned(), json!({})),
    ] {
        run.send(&line, &boss, body).await;
    }
}

pub(crate) async fn public_routes(run: &mut Run) {
    for method in ["GET", "HEAD"] {
        for path in [
            "/.well-known/jwks.json",
            "/api/health",
            "/api/ready",
            "/api/openapi.json",
            "/api/docs",
            "/api/docs/page.css",
            "/api/docs/page.js",
            "/api/link",
            "/api/link/page.css",
            "/api/link/page.js",
            "/",
        ] {
            run.call(&format!("{method} {path}")).send().await;
        }
    }
    let ann = run.member("ann", "client").await;
    run.get("/.well-known/jwks.json", &ann).await;
    run.get("/api/health?x=1", &ann).await;
}
