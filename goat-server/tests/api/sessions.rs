//! `/api/v1/sessions` and `/api/v1/user/{id}/sessions`: listing and revocation.

use std::time::Duration;

use goat_core::SessionId;
use serde_json::{Value, json};

use crate::backends::on_every_backend;
use crate::support::app::{CLIENT, PASSWORD, TestApp, TestResponse, TestUser};
use crate::support::backend::Backend;

const PATH: &str = "/api/v1/sessions";

/// A well-formed id that does not exist.
const UNKNOWN_ID: &str = "01KDWMBY00C8X0F4ZCV7J3T9QH";

async fn list(app: &TestApp, user: &TestUser, query: &str) -> TestResponse {
    app.get(&format!("{PATH}{query}")).bearer(&user.token).send().await
}

async fn end(app: &TestApp, user: &TestUser, body: Value) -> TestResponse {
    app.delete(PATH).bearer(&user.token).json(&body).send().await
}

async fn is_alive(app: &TestApp, user: &TestUser) -> bool {
    app.get("/api/v1/user").bearer(&user.token).send().await.status == 200
}

/// The problem document without the members that name the request.
fn comparable(mut response: TestResponse) -> (u16, Value) {
    response.json["request_id"].take();
    response.json["instance"].take();
    (response.status, response.json)
}

on_every_backend!(session_shows_its_device_address_and_times);

async fn session_shows_its_device_address_and_times(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    app.clock.advance(Duration::from_millis(90_250));
    let agent = format!("Mozilla/5.0 {}", "é".repeat(300));
    let body = json!({"email": client.email, "password": PASSWORD});
    let login = app.post("/api/v1/auth/login").json(&body).header("user-agent", &agent);
    let login = login.from("2001:db8::7").send().await;
    let (token, refresh) = (&login.data()["access_token"], &login.data()["refresh_token"]);
    app.clock.advance(Duration::from_millis(10_500));
    // A refresh from another address changes only the time.
    let refreshed = app.post("/api/v1/auth/refresh").json(&json!({"refresh_token": refresh}));
    let refreshed = refreshed.header("user-agent", "curl").from("192.0.2.99").send().await;
    assert_eq!(refreshed.status, 200);
    let token = token.as_str().expect("a token");
    let listed = app.get(PATH).bearer(token).send().await;
    let session = &listed.data()[0];
    let device: String = agent.chars().take(256).collect();
    assert_eq!(
        session,
        &json!({
            "id": session["id"],
            "device": device,
            "ip": "2001:db8::7",
            "created_at": "2026-01-01T00:01:30.250Z",
            "last_used_at": "2026-01-01T00:01:40.750Z",
            "expires_at": "2026-01-08T00:01:40.000Z",
            "current": true,
            "methods": ["password"],
            "assurance": "single",
            "authenticated_at": "2026-01-01T00:01:30.250Z",
        })
    );
    SessionId::parse(session["id"].as_str().expect("an id")).expect("a canonical ULID");
    let first = &listed.data()[1];
    assert_eq!((&first["id"], &first["ip"]), (&json!(client.session.to_string()), &json!(CLIENT)));
    assert_eq!(first["last_used_at"], "2026-01-01T00:00:00.000Z", "requests do not move it");
    assert_eq!(first["current"], false);
}

on_every_backend!(own_sessions_are_paged_newest_first);

async fn own_sessions_are_paged_newest_first(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    let mut ids = vec![client.session.to_string()];
    for _ in 0..4 {
        app.clock.advance(Duration::from_secs(1));
        ids.insert(0, app.sign_in(&client.email, PASSWORD).await.session.to_string());
    }
    // Sessions of other users are not listed.
    app.client().await;
    let mut seen = Vec::new();
    for page in 1..=3 {
        let response = list(&app, &client, &format!("?page={page}&limit=2")).await;
        let meta = json!({"page": page, "limit": 2, "total": 5, "total_pages": 3});
        assert_eq!(response.json["meta"], meta);
        for session in response.data().as_array().expect("a list") {
            seen.push(session["id"].as_str().expect("an id").to_owned());
        }
    }
    assert_eq!(seen, ids);
    let whole = list(&app, &client, "").await;
    assert_eq!(whole.json["meta"], json!({"page": 1, "limit": 20, "total": 5, "total_pages": 1}));
    let past = list(&app, &client, "?page=100&limit=100").await;
    assert_eq!((past.status, past.data()), (200, &json!([])));
    for (query, fields) in [
        ("?page=101&limit=100", vec!["page"]),
        ("?page=0&limit=0", vec!["page", "limit"]),
        ("?page=+1", vec!["page"]),
        ("?page=1.0", vec!["page"]),
        ("?limit=", vec!["limit"]),
        ("?limit=5&limit=5", vec!["limit"]),
        ("?page=99999999999999999999999", vec!["page"]),
        ("?user=me", vec!["user"]),
    ] {
        let response = list(&app, &client, query).await;
        assert_eq!(
            (response.failure(), response.fields()),
            ((400, "validation"), fields),
            "{query}"
        );
    }
}

on_every_backend!(sessions_of_other_users_look_nonexistent);

/// R8
async fn sessions_of_other_users_look_nonexistent(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (client, admin) = (app.client().await, app.admin().await);
    let stranger = app.client().await;
    let foreign = stranger.session.to_string();
    // For administrators too.
    for user in [&client, &admin] {
        let delete = async |id: &str| {
            let path = format!("{PATH}/{id}");
            app.delete(&path).bearer(&user.token).send().await
        };
        let (foreign_id, unknown_id) = (delete(&foreign).await, delete(UNKNOWN_ID).await);
        assert_eq!(foreign_id.failure(), (404, "not-found"));
        assert_eq!(comparable(foreign_id), comparable(unknown_id));
        let own = app.sign_in(&user.email, PASSWORD).await;
        let batch = async |id: &str| {
            end(&app, user, json!({"session_ids": [own.session.to_string(), id]})).await
        };
        let (foreign_id, unknown_id) = (batch(&foreign).await, batch(UNKNOWN_ID).await);
        assert_eq!(foreign_id.failure(), (404, "not-found"));
        assert_eq!(comparable(foreign_id), comparable(unknown_id));
        assert!(is_alive(&app, &own).await, "nothing is revoked");
    }
    assert!(is_alive(&app, &stranger).await);
    // So does an ended session.
    let ended = app.sign_in(&client.email, PASSWORD).await;
    let path = format!("{PATH}/{}", ended.session);
    assert_eq!(app.delete(&path).bearer(&client.token).send().await.status, 204);
    let again = app.delete(&path).bearer(&client.token).send().await;
    assert_eq!(again.failure(), (404, "not-found"));
}

on_every_backend!(batch_revocation_counts_each_session_once);

async fn batch_revocation_counts_each_session_once(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    let (one, two) =
        (app.sign_in(&client.email, PASSWORD).await, app.sign_in(&client.email, PASSWORD).await);
    assert!(is_alive(&app, &one).await && is_alive(&app, &two).await);
    let ids: Vec<_> =
        (0..100).map(|n| if n % 2 == 0 { &one } else { &two }.session.to_string()).collect();
    let mut too_many = ids.clone();
    too_many.push(one.session.to_string());
    let response = end(&app, &client, json!({"session_ids": too_many})).await;
    assert_eq!((response.failure(), response.fields()), ((400, "validation"), vec!["session_ids"]));
    assert!(is_alive(&app, &one).await);
    let response = end(&app, &client, json!({"session_ids": ids})).await;
    assert_eq!((response.status, response.data()), (200, &json!({"revoked": 2})));
    assert!(!is_alive(&app, &one).await && !is_alive(&app, &two).await);
    assert!(is_alive(&app, &client).await);
    // The batch may contain the current session.
    let own = json!({"session_ids": [client.session.to_string()]});
    assert_eq!(end(&app, &client, own).await.data(), &json!({"revoked": 1}));
    assert!(!is_alive(&app, &client).await);
}

#[tokio::test]
async fn malformed_session_ids_are_rejected() {
    let app = TestApp::new().await;
    let client = app.client().await;
    let id = client.session.to_string();
    let mut padded = id.clone();
    padded.push('0');
    let bad = [
        id.to_lowercase(),
        padded,
        id[1..].to_owned(),
        format!("8{}", &id[1..]),
        format!("{}U", &id[..25]),
        format!("{}-", &id[..25]),
        format!("{}%30", &id[..25]),
        "%00".to_owned(),
        "'%20OR%201=1".to_owned(),
    ];
    for id in bad {
        let path = format!("{PATH}/{id}");
        let response = app.delete(&path).bearer(&client.token).send().await;
        assert_eq!(
            (response.failure(), response.fields()),
            ((400, "validation"), vec!["id"]),
            "{id}"
        );
        assert!(!response.json["errors"].to_string().contains(&id), "{id}");
        let response = end(&app, &client, json!({"session_ids": [UNKNOWN_ID, id]})).await;
        assert_eq!(response.fields(), ["session_ids[1]"], "{id}");
    }
    let response = end(&app, &client, json!({"session_ids": [1, "x", null]})).await;
    assert_eq!(response.fields(), ["session_ids[0]", "session_ids[1]", "session_ids[2]"]);
    let response = end(&app, &client, json!({"session_ids": "x", "extra": 1})).await;
    assert_eq!(response.fields(), ["session_ids", "extra"]);
    assert!(is_alive(&app, &client).await);
}

on_every_backend!(administrators_manage_sessions_of_lower_ranks);

async fn administrators_manage_sessions_of_lower_ranks(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (admin, operator, other) = (app.admin().await, app.operator().await, app.operator().await);
    let client = app.client().await;
    let list_of = async |by: &TestUser, of: &TestUser| {
        app.get(&format!("{}/sessions", of.path())).bearer(&by.token).send().await
    };
    let end_all = async |by: &TestUser, of: &TestUser| {
        app.delete(&format!("{}/sessions", of.path())).bearer(&by.token).send().await
    };
    assert_eq!(list_of(&client, &client).await.failure(), (403, "forbidden"));
    for target in [&other, &admin] {
        assert_eq!(list_of(&operator, target).await.failure(), (403, "outranked"));
        assert_eq!(end_all(&operator, target).await.failure(), (403, "outranked"));
        assert!(is_alive(&app, target).await);
    }
    let shown = list_of(&operator, &client).await;
    assert_eq!(shown.json["meta"]["total"], 1);
    assert_eq!(shown.data()[0]["current"], false);
    assert_eq!(shown.data()[0]["id"], client.session.to_string());
    app.sign_in(&client.email, PASSWORD).await;
    assert!(is_alive(&app, &client).await);
    assert_eq!(end_all(&operator, &client).await.data(), &json!({"revoked": 2}));
    assert!(!is_alive(&app, &client).await);
    assert_eq!(end_all(&operator, &client).await.data(), &json!({"revoked": 0}));
    for method in [http::Method::GET, http::Method::DELETE] {
        let path = format!("/api/v1/user/{UNKNOWN_ID}/sessions");
        let response = app.request(method, &path).bearer(&operator.token).send().await;
        assert_eq!(response.failure(), (404, "not-found"));
    }
}

on_every_backend!(oldest_session_is_evicted_above_the_limit);

async fn oldest_session_is_evicted_above_the_limit(backend: Backend) {
    let app = TestApp::on_with(backend, |setup| setup.goat.sessions_per_user = 2).await;
    let client = app.client().await;
    app.clock.advance(Duration::from_secs(1));
    let second = app.sign_in(&client.email, PASSWORD).await;
    assert!(is_alive(&app, &client).await);
    app.clock.advance(Duration::from_secs(1));
    let third = app.sign_in(&client.email, PASSWORD).await;
    assert!(!is_alive(&app, &client).await);
    assert!(is_alive(&app, &second).await && is_alive(&app, &third).await);
}

on_every_backend!(unknown_device_is_empty);

async fn unknown_device_is_empty(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    let body = json!({"email": client.email, "password": PASSWORD});
    app.clock.advance(Duration::from_secs(1));
    let login = app.post("/api/v1/auth/login").json(&body).send().await;
    let token = login.data()["access_token"].as_str().expect("a token");
    let listed = app.get(PATH).bearer(token).send().await;
    assert_eq!(
        (&listed.data()[0]["device"], &listed.data()[0]["ip"]),
        (&json!(""), &json!(CLIENT))
    );
}

on_every_backend!(user_revokes_own_sessions_by_id_all_others_or_all);

async fn user_revokes_own_sessions_by_id_all_others_or_all(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    let email = &client.email;
    // Newest first; sessions of one millisecond have no order.
    app.clock.advance(Duration::from_secs(1));
    let others = [app.sign_in(email, PASSWORD).await, app.sign_in(email, PASSWORD).await];
    let listed = app.get(PATH).bearer(&client.token).send().await;
    let current: Vec<_> = listed
        .data()
        .as_array()
        .expect("a list")
        .iter()
        .map(|session| &session["current"])
        .collect();
    assert_eq!(current, [false, false, true]);

    let end = async |body| app.delete(PATH).bearer(&client.token).json(&body).send().await;
    let foreign = app.client().await.session;
    let response =
        end(json!({"session_ids": [others[0].session.to_string(), foreign.to_string()]})).await;
    assert_eq!(response.failure(), (404, "not-found"));
    for (body, fields) in [
        (json!({}), vec!["session_ids", "others", "all"]),
        (json!({"others": true, "all": true}), vec!["others", "all"]),
        (json!({"others": false}), vec!["others"]),
        (json!({"all": 1}), vec!["all"]),
        (json!({"session_ids": []}), vec!["session_ids"]),
        (json!({"session_ids": ["x"]}), vec!["session_ids[0]"]),
    ] {
        let response = end(body.clone()).await;
        assert_eq!(
            (response.failure(), response.fields()),
            ((400, "validation"), fields),
            "{body}"
        );
    }
    let twice = others[0].session.to_string();
    assert_eq!(end(json!({"session_ids": [twice, twice]})).await.data(), &json!({"revoked": 1}));
    assert_eq!(end(json!({"others": true})).await.data(), &json!({"revoked": 1}));
    let one = app.sign_in(email, PASSWORD).await.session;
    let response = app.delete(&format!("{PATH}/{one}")).bearer(&client.token).send().await;
    assert_eq!(response.status, 204);
    let response = app.delete(&format!("{PATH}/{one}")).bearer(&client.token).send().await;
    assert_eq!(response.failure(), (404, "not-found"));
    assert_eq!(end(json!({"all": true})).await.data(), &json!({"revoked": 1}));
    assert_eq!(app.get(PATH).bearer(&client.token).send().await.code(), "session-revoked");
}
