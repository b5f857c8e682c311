//! Alternative spellings of paths and methods, on an axum router.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use axum::Router;
use axum::routing::{get, post};
use goat_tower::GoatExt;
use http::{HeaderValue, Method};

use crate::support::connection::{Client, REPORTS, VERSIONS, people, request, serve};

/// A5: without authorization no spelling reaches a handler. Unmatched paths are a 404 or 401,
/// matched ones are decided as usual.
#[tokio::test]
async fn no_spelling_of_a_path_or_method_bypasses_the_layers() {
    let (test, alice, bob) = people().await;
    let reached = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reached);
    let handler = move || {
        count.fetch_add(1, SeqCst);
        std::future::ready("the reports")
    };
    let protected = Router::new()
        .route("/reports", get(handler.clone()).route_layer(test.goat.require(REPORTS)))
        .route("/exports", post(handler).route_layer(test.goat.require(REPORTS)))
        .layer(test.goat.authenticate());
    let app = Router::new().route("/", get(async || "open")).merge(protected);
    for version in VERSIONS {
        let address = serve(version, app.clone()).await;
        let mut client = Client::connect(version, address).await;
        let to = |method: Method, path: &str, user| {
            let mut request = request(user);
            *request.method_mut() = method;
            *request.uri_mut() = format!("http://goat.example{path}").parse().unwrap();
            let overridden = HeaderValue::from_static("GET");
            request.headers_mut().insert("x-http-method-override", overridden);
            request
        };
        for path in [
            "/reports",
            "//reports",
            "/reports/",
            "/reports//",
            "/./reports",
            "/x/../reports",
            "/%2freports",
            "/%72eports",
            "/reports%2f",
            "/reports%2e",
            "/%2e/reports",
            "/REPORTS",
            "/reports;v=1",
            "/reports?token=abc",
            "/exports",
            "/exports/",
        ] {
            for method in [Method::GET, Method::POST, Method::OPTIONS] {
                for user in [None, Some(&bob)] {
                    let status = client.fetch(to(method.clone(), path, user)).await.status.as_u16();
                    assert!([401, 403, 404, 405].contains(&status), "{method} {path}: {status}");
                }
            }
        }
        // GET's handler, with its layers, also serves HEAD.
        let head = || to(Method::HEAD, "/reports", Some(&bob));
        assert_eq!(client.send(head()).await.status(), 403);
        assert_eq!(reached.load(SeqCst), 0, "a handler was reached");
        let mut client = Client::connect(version, address).await;
        let allowed = client.fetch(to(Method::GET, "/reports", Some(&alice))).await;
        assert_eq!((allowed.status.as_u16(), reached.swap(0, SeqCst)), (200, 1));
    }
}
