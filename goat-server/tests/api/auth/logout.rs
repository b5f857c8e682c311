//! `POST /api/v1/auth/logout`.

use std::sync::Arc;

use goat_core::Status;
use tokio::sync::Barrier;

use super::{LOGOUT, VERIFY, profile, refresh, revoked};
use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, TestApp};
use crate::support::backend::Backend;

on_every_backend!(logout_ends_the_current_session_only);

async fn logout_ends_the_current_session_only(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    let other = app.sign_in(&client.email, PASSWORD).await;
    // Fills the session cache.
    assert_eq!(profile(&app, &client.token).await.0, 200);
    let out = app.post(LOGOUT).bearer(&client.token).send().await;
    assert_eq!((out.status, out.body.len()), (204, 0));
    assert_eq!(out.header("cache-control"), "no-store");
    for path in ["/api/v1/user", VERIFY] {
        let rejected = app.get(path).bearer(&client.token).send().await;
        assert_eq!(rejected.failure(), (401, "session-revoked"));
        let challenge = rejected.header("www-authenticate");
        assert!(
            challenge
                .starts_with(r#"Bearer realm="goat", error="invalid_token", error_description=""#)
        );
    }
    let again = app.post(LOGOUT).bearer(&client.token).send().await;
    assert_eq!(again.failure(), (401, "session-revoked"));
    let refreshed = refresh(&app, &client.refresh_token).await;
    assert_eq!(refreshed.failure(), (401, "session-revoked"));
    assert_eq!(profile(&app, &other.token).await.0, 200);
}

on_every_backend!(multi_thread no_token_survives_a_concurrent_refresh_and_logout);

/// R4
async fn no_token_survives_a_concurrent_refresh_and_logout(backend: Backend) {
    const ROUNDS: usize = 20;
    let app = Arc::new(TestApp::on(backend).await);
    app.add("ann@example.org", "client", Status::Active).await;
    for _ in 0..ROUNDS {
        let ann = app.sign_in("ann@example.org", PASSWORD).await;
        let start = Arc::new(Barrier::new(4));
        let refreshes: Vec<_> = (0..3)
            .map(|_| {
                let (app, start) = (Arc::clone(&app), Arc::clone(&start));
                let token = ann.refresh_token.clone();
                tokio::spawn(async move {
                    start.wait().await;
                    refresh(&app, &token).await
                })
            })
            .collect();
        start.wait().await;
        let out = app.post(LOGOUT).bearer(&ann.token).send().await;
        assert_eq!(out.status, 204);
        for response in refreshes {
            let response = response.await.expect("a response");
            if response.status == 200 {
                let token = |name: &str| response.data()[name].as_str().expect("a token");
                assert_eq!(profile(&app, token("access_token")).await, revoked());
                let rejected = refresh(&app, token("refresh_token")).await;
                assert_eq!(rejected.failure(), (401, "session-revoked"));
            } else {
                assert_eq!(response.failure(), (401, "session-revoked"));
            }
        }
    }
}
