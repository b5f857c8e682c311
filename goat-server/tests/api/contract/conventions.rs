//! Conventions of paths, methods, queries and headers.

use std::sync::Arc;

use goat_server::api::table;
use http::Method;
use serde_json::json;

use super::{PanickingHasher, UNKNOWN_ID, assert_headers, assert_problem};
use crate::support::app::{CLIENT, PASSWORD, TestApp};

#[tokio::test]
async fn unknown_path_is_a_404() {
    let app = TestApp::new().await;
    for path in ["/", "/api", "/api/v1/users", "/API/v1/user", "/api/v1/User", "/api/v1/user/a/b/c"]
    {
        let response = app.get(path).send().await;
        assert_problem(&response, 404, "not-found", path);
        assert!(response.header("ratelimit").starts_with("\"public\""));
    }
}

/// A5
#[tokio::test]
async fn other_spellings_of_a_path_are_a_404() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    for path in [
        "/api/v1/user/",
        "//api/v1/user",
        "/api//v1/user",
        "/api/v1/./user",
        "/api/v1/user/..",
        "/api/v1/user/%2e%2E",
        "/api/v1/user/a%2Fb",
        "/api/v1/us%65r",
        "/api/health/",
    ] {
        let response = app.get(path).bearer(&admin.token).send().await;
        assert_problem(&response, 404, "not-found", path);
        assert!(response.header("ratelimit").starts_with("\"public\""), "{path}");
    }
    // Any other escape in an id is a 400.
    let path = format!("/api/v1/user/{}", admin.id.to_string().replace('0', "%30"));
    let response = app.get(&path).bearer(&admin.token).send().await;
    assert_eq!((response.failure(), response.fields()), ((400, "validation"), vec!["id"]));
}

#[tokio::test]
async fn unknown_method_is_a_405_and_counts_against_the_limit_of_the_path() {
    let app = TestApp::new().await;
    let cases = [
        (Method::GET, "/api/v1/auth/login", "POST", "public"),
        (Method::PUT, "/api/v1/user/list", "GET, HEAD", "address"),
        (Method::POST, "/api/v1/user/change-email", "PATCH", "address"),
        (Method::PATCH, "/api/v1/user", "DELETE, GET, HEAD, POST", "address"),
        (Method::OPTIONS, "/api/v1/user", "DELETE, GET, HEAD, POST", "address"),
        (Method::TRACE, "/api/v1/sessions", "DELETE, GET, HEAD", "address"),
        (Method::POST, "/api/health", "GET, HEAD", ""),
    ];
    for (method, path, allow, limit) in cases {
        let response = app.request(method, path).send().await;
        assert_problem(&response, 405, "method-not-allowed", path);
        assert_eq!(response.header("allow"), allow, "{path}");
        assert_eq!(response.header("ratelimit").split('"').nth(1).unwrap_or_default(), limit);
    }
}

/// A5
#[tokio::test]
async fn method_override_headers_are_ignored() {
    let app = TestApp::new().await;
    let client = app.client().await;
    let response = app
        .get("/api/v1/user")
        .bearer(&client.token)
        .header("x-http-method-override", "DELETE")
        .send()
        .await;
    assert_eq!(response.data()["id"], client.id.to_string());
}

#[tokio::test]
async fn unknown_query_parameters_are_named() {
    let app = TestApp::new().await;
    for path in ["/api/v1/auth/signup?x=1", "/api/v1/auth/login?x=1", "/api/v1/auth/refresh?x"] {
        let response = app.post(path).send().await;
        assert_eq!(
            (response.failure(), response.fields()),
            ((400, "validation"), vec!["x"]),
            "{path}"
        );
    }
}

/// W1
#[tokio::test]
async fn routes_of_the_server_itself_ignore_the_query() {
    let app = TestApp::with_every_route().await;
    let many = "&a=%ff&b".repeat(1_000);
    let unversioned =
        table().into_iter().filter(|endpoint| !endpoint.path().starts_with("/api/v1/"));
    let mut ignoring = 0;
    for endpoint in unversioned {
        ignoring += 1;
        for query in ["x=1", "page=0&page=0", "%", many.as_str()] {
            let path = format!("{}?{query}", endpoint.path());
            assert_eq!(app.get(&path).send().await.status, 200, "{path}");
        }
    }
    assert_eq!(ignoring, 11);
}

/// W1: parameters beyond the bound are not read, so that the response does not grow with them.
#[tokio::test]
async fn more_than_32_query_parameters_are_a_bad_request() {
    let app = TestApp::with_every_route().await;
    let admin = app.admin().await;
    for endpoint in table() {
        if !endpoint.path().starts_with("/api/v1/") {
            continue;
        }
        let path = endpoint.path().replace("{id}", UNKNOWN_ID).replace("{key}", UNKNOWN_ID);
        for (count, code) in [(32, "validation"), (33, "bad-request"), (5_000, "bad-request")] {
            let query = format!("{path}?{}", "x&".repeat(count));
            let request = app.request(endpoint.method().clone(), &query);
            let response = request.bearer(&admin.token).send().await;
            assert_problem(&response, 400, code, &path);
            assert!(response.body.len() < 1_024, "{query}");
        }
    }
}

/// H1
#[tokio::test]
async fn responses_to_credentials_are_not_cacheable() {
    let app = TestApp::new().await;
    let client = app.client().await;
    let login = json!({"email": client.email, "password": PASSWORD});
    let responses = [
        app.post("/api/v1/auth/login").json(&login).send().await,
        app.get("/api/v1/user").bearer(&client.token).send().await,
        app.get("/api/v1/user").send().await,
        app.get("/api/health").bearer("nonsense").send().await,
        app.get("/api/v1/auth/nothing").send().await,
    ];
    for response in &responses {
        assert_eq!(response.header("cache-control"), "no-store", "{}", response.json);
        assert_headers(response);
    }
    assert_eq!(responses.map(|response| response.status), [200, 200, 401, 200, 404]);
    assert_eq!(app.get("/api/health").send().await.header("cache-control"), "");
}

/// L2
#[tokio::test]
async fn well_formed_request_ids_of_trusted_proxies_are_kept() {
    let app = TestApp::with(|setup| {
        setup.http.trusted_proxies = vec![format!("{CLIENT}/32").parse().expect("a range")];
    })
    .await;
    let given = app.get("/api/health").header("x-request-id", "order-17_a").send().await;
    assert_eq!(given.header("x-request-id"), "order-17_a");
    for bad in ["no spaces", "", "x\ty", &"a".repeat(65)] {
        let response = app.get("/nowhere").header("x-request-id", bad).send().await;
        let id = response.header("x-request-id");
        assert_eq!((id.len(), response.json["request_id"].as_str()), (26, Some(id)), "{bad}");
    }
    let twice = app.get("/api/health").header("x-request-id", "a").header("x-request-id", "b");
    assert_eq!(twice.send().await.header("x-request-id").len(), 26);
    // Behind the proxy, the client's address does not matter.
    let forwarded = app.get("/api/health").header("x-forwarded-for", "203.0.113.9");
    let forwarded = forwarded.header("x-request-id", "order-17_a").send().await;
    assert_eq!(forwarded.header("x-request-id"), "order-17_a");
}

/// I4
#[tokio::test]
async fn request_ids_of_other_peers_are_replaced() {
    let proxies: Vec<_> = vec!["10.0.0.0/8".parse().expect("a range")];
    for trusted in [Vec::new(), proxies] {
        let app = TestApp::with(|setup| setup.http.trusted_proxies = trusted).await;
        for (path, forwarded) in
            [("/api/health", ""), ("/nowhere", "10.0.0.1"), ("/api/v1/user", "10.0.0.1")]
        {
            let request = app.get(path).header("x-request-id", "order-17_a");
            let response = request.header("x-forwarded-for", forwarded).send().await;
            let id = response.header("x-request-id");
            assert_eq!(id.len(), 26, "{path}: {id}");
            if response.status != 200 {
                assert_eq!(response.json["request_id"], id, "{path}");
            }
        }
    }
}

/// H8
#[tokio::test]
async fn strict_transport_security_is_sent_under_a_public_https_url() {
    for (url, expected) in [
        (None, ""),
        (Some("http://auth.example.com"), ""),
        (Some("https://auth.example.com/base"), "max-age=31536000; includeSubDomains"),
    ] {
        let app = TestApp::with(|setup| {
            setup.http.public_url = url.map(|url| url.parse().expect("a URL"));
        })
        .await;
        for (method, path, status) in [
            (Method::GET, "/api/health", 200),
            (Method::GET, "/nowhere", 404),
            (Method::GET, "/api/v1/user/../x", 404),
            (Method::PUT, "/api/v1/user", 405),
            (Method::POST, "/api/v1/auth/login", 415),
            (Method::GET, "/api/v1/user", 401),
            (Method::GET, "/api/docs", 200),
        ] {
            let response = app.request(method, path).send().await;
            let header = response.header("strict-transport-security");
            assert_eq!((response.status, header), (status, expected), "{path} {url:?}");
        }
    }
}

#[tokio::test]
async fn challenges_name_the_error_and_the_missing_scope() {
    let app = TestApp::new().await;
    let client = app.client().await;
    let anonymous = app.get("/api/v1/user").send().await;
    assert_problem(&anonymous, 401, "unauthenticated", "/api/v1/user");
    assert_eq!(anonymous.header("www-authenticate"), r#"Bearer realm="goat""#);
    let bad = app.get("/api/v1/user").bearer("nonsense").send().await;
    assert_problem(&bad, 401, "invalid-token", "/api/v1/user");
    let challenge = bad.header("www-authenticate");
    assert!(challenge.starts_with(r#"Bearer realm="goat", error="invalid_token""#), "{challenge}");
    let lacking = app.get("/api/v1/user/list").bearer(&client.token).send().await;
    assert_problem(&lacking, 403, "forbidden", "/api/v1/user/list");
    let challenge = lacking.header("www-authenticate");
    assert!(challenge.ends_with(r#"error="insufficient_scope", scope="user:read""#), "{challenge}");
    let twice = app.get("/api/v1/user").bearer(&client.token).bearer(&client.token).send().await;
    assert_problem(&twice, 400, "bad-request", "/api/v1/user");
}

/// A request that looks like gRPC gets an HTTP rejection.
#[tokio::test]
async fn content_type_does_not_change_the_form_of_a_rejection() {
    let app = TestApp::new().await;
    let response = app.get("/api/v1/user").header("content-type", "application/grpc").send().await;
    assert_problem(&response, 401, "unauthenticated", "/api/v1/user");
}

/// H5
#[tokio::test]
async fn panic_is_a_500_without_details_and_the_server_continues() {
    let app = TestApp::with(|setup| setup.hasher = Some(Arc::new(PanickingHasher))).await;
    let login = json!({"email": "a@example.org", "password": "x"});
    for _ in 0..3 {
        let response = app.post("/api/v1/auth/login").json(&login).send().await;
        assert_problem(&response, 500, "internal", "/api/v1/auth/login");
        assert!(!response.json.to_string().contains("canary"));
    }
    assert_eq!(app.get("/api/health").send().await.status, 200);
}
