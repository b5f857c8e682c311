//! Sessions: what is shown of them, who ends which, and that other people's look like none.

use std::time::Duration;

use crate::support::app::{CLIENT, PASSWORD, TestApp, TestResponse, TestUser};
use crate::support::backend::{Backend, on_every_backend};
use goat_core::SessionId;
use serde_json::{Value, json};

const PATH: &str = "/api/v1/sessions";

/// An id that nothing has.
const NOTHING: &str = "01KDWMBY00C8X0F4ZCV7J3T9QH";

async fn list(app: &TestApp, user: &TestUser, query: &str) -> TestResponse {
    app.get(&format!("{PATH}{query}")).bearer(&user.token).send().await
}

async fn end(app: &TestApp, user: &TestUser, body: Value) -> TestResponse {
    app.delete(PATH).bearer(&user.token).json(&body).send().await
}

async fn is_alive(app: &TestApp, user: &TestUser) -> bool {
    app.get("/api/v1/user").bearer(&user.token).send().await.status == 200
}

/// The problem without what names the request.
fn comparable(mut answer: TestResponse) -> (u16, Value) {
    answer.json["request_id"].take();
    answer.json["instance"].take();
    (answer.status, answer.json)
}

on_every_backend!(a_session_shows_the_device_the_address_and_its_times);

async fn a_session_shows_the_device_the_address_and_its_times(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    app.clock.advance(Duration::from_millis(90_250));
    let agent = format!("Mozilla/5.0 {}", "é".repeat(300));
    let body = json!({"email": client.email, "password": PASSWORD});
    let login = app.post("/api/v1/auth/login").json(&body).header("user-agent", &agent);
    let login = login.from("2001:db8::7").send().await;
    let (token, refresh) = (&login.data()["access_token"], &login.data()["refresh_token"]);
    app.clock.advance(Duration::from_millis(10_500));
    // Used from elsewhere, by another: only the time moves.
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
        })
    );
    SessionId::parse(session["id"].as_str().expect("an id")).expect("a canonical ULID");
    let first = &listed.data()[1];
    assert_eq!((&first["id"], &first["ip"]), (&json!(client.session.to_string()), &json!(CLIENT)));
    assert_eq!(first["last_used_at"], "2026-01-01T00:00:00.000Z", "requests do not move it");
    assert_eq!(first["current"], false);
}

on_every_backend!(ones_sessions_come_in_pages_the_newest_first);

async fn ones_sessions_come_in_pages_the_newest_first(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    let mut ids = vec![client.session.to_string()];
    for _ in 0..4 {
        app.clock.advance(Duration::from_secs(1));
        ids.insert(0, app.sign_in(&client.email, PASSWORD).await.session.to_string());
    }
    // Nobody else's are among them.
    app.client().await;
    let mut seen = Vec::new();
    for page in 1..=3 {
        let answer = list(&app, &client, &format!("?page={page}&limit=2")).await;
        let meta = json!({"page": page, "limit": 2, "total": 5, "total_pages": 3});
        assert_eq!(answer.json["meta"], meta);
        for session in answer.data().as_array().expect("a list") {
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
        let answer = list(&app, &client, query).await;
        assert_eq!((answer.failure(), answer.fields()), ((400, "validation"), fields), "{query}");
    }
}

on_every_backend!(other_peoples_sessions_are_like_none_at_all);

/// R8
async fn other_peoples_sessions_are_like_none_at_all(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (client, admin) = (app.client().await, app.admin().await);
    let stranger = app.client().await;
    let foreign = stranger.session.to_string();
    // Not even for those who may act on the other.
    for user in [&client, &admin] {
        let delete = async |id: &str| {
            let path = format!("{PATH}/{id}");
            app.delete(&path).bearer(&user.token).send().await
        };
        let (theirs, nobodys) = (delete(&foreign).await, delete(NOTHING).await);
        assert_eq!(theirs.failure(), (404, "not-found"));
        assert_eq!(comparable(theirs), comparable(nobodys));
        let own = app.sign_in(&user.email, PASSWORD).await;
        let batch = async |id: &str| {
            end(&app, user, json!({"session_ids": [own.session.to_string(), id]})).await
        };
        let (theirs, nobodys) = (batch(&foreign).await, batch(NOTHING).await);
        assert_eq!(theirs.failure(), (404, "not-found"));
        assert_eq!(comparable(theirs), comparable(nobodys));
        assert!(is_alive(&app, &own).await, "nothing is revoked");
    }
    assert!(is_alive(&app, &stranger).await);
    // One that has ended is like none, too.
    let ended = app.sign_in(&client.email, PASSWORD).await;
    let path = format!("{PATH}/{}", ended.session);
    assert_eq!(app.delete(&path).bearer(&client.token).send().await.status, 204);
    let again = app.delete(&path).bearer(&client.token).send().await;
    assert_eq!(again.failure(), (404, "not-found"));
}

on_every_backend!(a_batch_ends_each_session_once);

async fn a_batch_ends_each_session_once(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    let (one, two) =
        (app.sign_in(&client.email, PASSWORD).await, app.sign_in(&client.email, PASSWORD).await);
    assert!(is_alive(&app, &one).await && is_alive(&app, &two).await);
    let ids: Vec<_> =
        (0..100).map(|n| if n % 2 == 0 { &one } else { &two }.session.to_string()).collect();
    let mut too_many = ids.clone();
    too_many.push(one.session.to_string());
    let answer = end(&app, &client, json!({"session_ids": too_many})).await;
    assert_eq!((answer.failure(), answer.fields()), ((400, "validation"), vec!["session_ids"]));
    assert!(is_alive(&app, &one).await);
    let answer = end(&app, &client, json!({"session_ids": ids})).await;
    assert_eq!((answer.status, answer.data()), (200, &json!({"revoked": 2})));
    assert!(!is_alive(&app, &one).await && !is_alive(&app, &two).await);
    assert!(is_alive(&app, &client).await);
    // The one that asks may be among them.
    let own = json!({"session_ids": [client.session.to_string()]});
    assert_eq!(end(&app, &client, own).await.data(), &json!({"revoked": 1}));
    assert!(!is_alive(&app, &client).await);
}

#[tokio::test]
async fn ids_have_one_spelling() {
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
        let answer = app.delete(&path).bearer(&client.token).send().await;
        assert_eq!((answer.failure(), answer.fields()), ((400, "validation"), vec!["id"]), "{id}");
        assert!(!answer.json["errors"].to_string().contains(&id), "{id}");
        let answer = end(&app, &client, json!({"session_ids": [NOTHING, id]})).await;
        assert_eq!(answer.fields(), ["session_ids[1]"], "{id}");
    }
    let answer = end(&app, &client, json!({"session_ids": [1, "x", null]})).await;
    assert_eq!(answer.fields(), ["session_ids[0]", "session_ids[1]", "session_ids[2]"]);
    let answer = end(&app, &client, json!({"session_ids": "x", "extra": 1})).await;
    assert_eq!(answer.fields(), ["session_ids", "extra"]);
    assert!(is_alive(&app, &client).await);
}

on_every_backend!(the_sessions_of_others_are_for_those_who_may_act_on_them);

async fn the_sessions_of_others_are_for_those_who_may_act_on_them(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (admin, operator, other) = (app.admin().await, app.operator().await, app.operator().await);
    let client = app.client().await;
    let show = async |by: &TestUser, of: &TestUser| {
        app.get(&format!("{}/sessions", of.path())).bearer(&by.token).send().await
    };
    let end_all = async |by: &TestUser, of: &TestUser| {
        app.delete(&format!("{}/sessions", of.path())).bearer(&by.token).send().await
    };
    assert_eq!(show(&client, &client).await.failure(), (403, "forbidden"));
    for target in [&other, &admin] {
        assert_eq!(show(&operator, target).await.failure(), (403, "outranked"));
        assert_eq!(end_all(&operator, target).await.failure(), (403, "outranked"));
        assert!(is_alive(&app, target).await);
    }
    let shown = show(&operator, &client).await;
    assert_eq!(shown.json["meta"]["total"], 1);
    assert_eq!(shown.data()[0]["current"], false);
    assert_eq!(shown.data()[0]["id"], client.session.to_string());
    app.sign_in(&client.email, PASSWORD).await;
    assert!(is_alive(&app, &client).await);
    assert_eq!(end_all(&operator, &client).await.data(), &json!({"revoked": 2}));
    assert!(!is_alive(&app, &client).await);
    assert_eq!(end_all(&operator, &client).await.data(), &json!({"revoked": 0}));
    for method in [http::Method::GET, http::Method::DELETE] {
        let path = format!("/api/v1/user/{NOTHING}/sessions");
        let answer = app.request(method, &path).bearer(&operator.token).send().await;
        assert_eq!(answer.failure(), (404, "not-found"));
    }
}

on_every_backend!(one_session_too_many_ends_the_oldest);

async fn one_session_too_many_ends_the_oldest(backend: Backend) {
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

on_every_backend!(what_is_not_known_of_a_device_is_empty);

async fn what_is_not_known_of_a_device_is_empty(backend: Backend) {
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
