//! Requests that meet each other, over the database that the server ships with.

use std::sync::Arc;

use crate::support::app::{PASSWORD, TestApp, TestUser};
use crate::support::backend::{Backend, on_every_backend};
use goat_core::Status;
use serde_json::json;
use tokio::sync::Barrier;

/// How often each race is run.
const ROUNDS: usize = 20;

async fn app(backend: Backend) -> Arc<TestApp> {
    Arc::new(TestApp::on(backend).await)
}

/// What somebody does to somebody.
#[derive(Clone, Copy, Debug)]
enum Act {
    Demote,
    Suspend,
    Delete,
    Leave,
}

async fn perform(app: &TestApp, act: Act, by: &TestUser, on: &TestUser) -> (u16, String) {
    let path = on.path();
    let request = match act {
        Act::Demote => app.patch(&format!("{path}/change-role")).json(&json!({"role": "client"})),
        Act::Suspend => {
            app.patch(&format!("{path}/change-status")).json(&json!({"status": "suspended"}))
        }
        Act::Delete => app.delete(&path),
        Act::Leave => app.delete("/api/v1/user").json(&json!({"current_password": PASSWORD})),
    };
    let answer = request.bearer(&by.token).send().await;
    (answer.status, answer.code().to_owned())
}

on_every_backend!(
    of_two_administrators_who_remove_each_other_at_once_one_stays,
    flavor = "multi_thread",
    worker_threads = 4
);

/// A3: whatever two administrators do to one another at once, one of them stays.
async fn of_two_administrators_who_remove_each_other_at_once_one_stays(backend: Backend) {
    let app = app(backend).await;
    let mut last = app.admin().await;
    let acts = [Act::Demote, Act::Suspend, Act::Delete, Act::Leave];
    for round in 0..ROUNDS {
        let act = acts[round % acts.len()];
        let pair = [last, app.admin().await];
        let start = Arc::new(Barrier::new(2));
        let races: Vec<_> = [(0, 1), (1, 0)]
            .into_iter()
            .map(|(by, on)| {
                let (app, start) = (Arc::clone(&app), Arc::clone(&start));
                let (by, on) = (pair[by].clone(), pair[on].clone());
                tokio::spawn(async move {
                    start.wait().await;
                    perform(&app, act, &by, &on).await
                })
            })
            .collect();
        let mut done = 0;
        for race in races {
            match race.await.expect("an answer") {
                (200 | 204, _) => done += 1,
                (401, code) => assert_eq!(code, "session-revoked", "{act:?}"),
                (403, code) => {
                    assert!(["forbidden", "outranked"].contains(&&*code), "{act:?}: {code}");
                }
                (409, code) => assert_eq!(code, "last-administrator", "{act:?}"),
                other => panic!("{act:?}: {other:?}"),
            }
        }
        assert_eq!(done, 1, "{act:?}");
        let mut left = Vec::new();
        for admin in pair {
            let roles = app.get("/api/v1/role").bearer(&admin.token).send().await;
            if roles.status == 200 {
                left.push(admin);
            }
        }
        assert_eq!(left.len(), 1, "{act:?}");
        last = left.remove(0);
    }
}

on_every_backend!(one_address_is_given_once, flavor = "multi_thread", worker_threads = 4);

/// One address, asked for by twenty at once, in twenty spellings.
async fn one_address_is_given_once(backend: Backend) {
    let app = app(backend).await;
    let attempts: Vec<_> = (0..20)
        .map(|number| {
            let app = Arc::clone(&app);
            let email = if number % 2 == 0 { "Ann@example.org" } else { " ann@EXAMPLE.org " };
            let body = json!({"email": email, "password": PASSWORD});
            tokio::spawn(async move { app.post("/api/v1/auth/signup").json(&body).send().await })
        })
        .collect();
    let mut statuses = Vec::new();
    for attempt in attempts {
        statuses.push(attempt.await.expect("an answer").status);
    }
    statuses.sort_unstable();
    assert_eq!((statuses[0], &statuses[1..]), (201, &[409; 19][..]));
}

on_every_backend!(
    nothing_lives_on_of_a_session_that_is_refreshed_and_ended_at_once,
    flavor = "multi_thread",
    worker_threads = 4
);

/// R4: refreshes that meet a sign-out leave nothing alive, whichever comes first.
async fn nothing_lives_on_of_a_session_that_is_refreshed_and_ended_at_once(backend: Backend) {
    let app = app(backend).await;
    app.add("ann@example.org", "client", Status::Active).await;
    for _ in 0..ROUNDS {
        let ann = app.sign_in("ann@example.org", PASSWORD).await;
        let start = Arc::new(Barrier::new(4));
        let refreshes: Vec<_> = (0..3)
            .map(|_| {
                let (app, start) = (Arc::clone(&app), Arc::clone(&start));
                let body = json!({"refresh_token": ann.refresh_token});
                tokio::spawn(async move {
                    start.wait().await;
                    app.post("/api/v1/auth/refresh").json(&body).send().await
                })
            })
            .collect();
        start.wait().await;
        let out = app.post("/api/v1/auth/logout").bearer(&ann.token).send().await;
        assert_eq!(out.status, 204);
        for refresh in refreshes {
            let answer = refresh.await.expect("an answer");
            if answer.status == 200 {
                let token = answer.data()["access_token"].as_str().expect("a token");
                let dead = app.get("/api/v1/user").bearer(token).send().await;
                assert_eq!(dead.failure(), (401, "session-revoked"));
                let body = json!({"refresh_token": answer.data()["refresh_token"]});
                let dead = app.post("/api/v1/auth/refresh").json(&body).send().await;
                assert_eq!(dead.failure(), (401, "session-revoked"));
            } else {
                assert_eq!(answer.failure(), (401, "session-revoked"));
            }
        }
    }
}
