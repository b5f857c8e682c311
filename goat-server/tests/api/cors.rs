//! H4: CORS.

use http::Method;

use crate::support::app::TestApp;

const PAGE: &str = "https://app.example.org";

async fn app() -> TestApp {
    TestApp::with(|setup| setup.http.cors_origins = vec![PAGE.to_owned()]).await
}

#[tokio::test]
async fn configured_origin_is_allowed() {
    let app = app().await;
    let preflight = app
        .request(Method::OPTIONS, "/api/v1/user")
        .header("origin", PAGE)
        .header("access-control-request-method", "DELETE")
        .header("access-control-request-headers", "authorization, content-type")
        .send()
        .await;
    assert_eq!((preflight.status, preflight.body.len()), (204, 0));
    assert_eq!(preflight.header("access-control-allow-origin"), PAGE);
    assert!(preflight.header("access-control-allow-methods").contains("DELETE"));
    assert!(preflight.header("access-control-allow-headers").contains("authorization"));
    assert!(preflight.header("vary").contains("origin"));

    // Pages can read failures too.
    let response = app.get("/api/v1/user").header("origin", PAGE).send().await;
    assert_eq!((response.status, response.header("access-control-allow-origin")), (401, PAGE));
    assert!(response.header("access-control-expose-headers").contains("x-request-id"));
    assert_eq!(response.header("access-control-allow-credentials"), "");
}

#[tokio::test]
async fn other_origins_get_no_cors_headers() {
    let app = app().await;
    for origin in ["https://evil.example", "https://app.example.org.evil.example", "null", "*", ""]
    {
        let preflight = app
            .request(Method::OPTIONS, "/api/v1/user")
            .header("origin", origin)
            .header("access-control-request-method", "GET")
            .send()
            .await;
        assert_eq!(preflight.failure(), (405, "method-not-allowed"), "{origin}");
        let response = app.get("/api/health").header("origin", origin).send().await;
        for response in [preflight, response] {
            assert_eq!(response.header("access-control-allow-origin"), "", "{origin}");
            assert_eq!(response.header("vary"), "origin");
        }
    }
}

#[tokio::test]
async fn preflight_for_an_unknown_path_is_a_404() {
    let app = app().await;
    let preflight = app
        .request(Method::OPTIONS, "/nowhere")
        .header("origin", PAGE)
        .header("access-control-request-method", "GET")
        .send()
        .await;
    assert_eq!(preflight.failure(), (404, "not-found"));
}

#[tokio::test]
async fn without_configured_origins_there_are_no_cors_headers() {
    let app = TestApp::new().await;
    let preflight = app
        .request(Method::OPTIONS, "/api/v1/user")
        .header("origin", PAGE)
        .header("access-control-request-method", "GET")
        .send()
        .await;
    assert_eq!(preflight.failure(), (405, "method-not-allowed"));
    assert_eq!(preflight.header("access-control-allow-origin"), "");
    assert_eq!(preflight.header("vary"), "");
}
