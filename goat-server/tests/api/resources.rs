//! Each route once, as it is meant to be used, and the few things that only the routes decide.

use crate::support::app::{CLIENT, PASSWORD, TestApp};
use crate::support::backend::{Backend, on_every_backend};
use goat_core::Status;
use serde_json::json;

const NEW_PASSWORD: &str = "seven lamps over the quay";

on_every_backend!(somebody_signs_up_in_goes_on_and_out);

async fn somebody_signs_up_in_goes_on_and_out(backend: Backend) {
    let app = TestApp::on(backend).await;
    let credentials = json!({"email": " Ann@Example.org ", "password": PASSWORD});
    let made = app.post("/api/v1/auth/signup").json(&credentials).send().await;
    assert_eq!((made.status, &made.data()["email"]), (201, &json!("Ann@Example.org")));
    let id = made.data()["id"].as_str().expect("an id");
    assert_eq!(made.header("location"), format!("/api/v1/user/{id}"));
    assert_eq!(made.data()["last_login_at"], json!(null));
    assert_eq!(made.data()["created_at"], "2026-01-01T00:00:00.000Z");
    let again = app.post("/api/v1/auth/signup").json(&credentials).send().await;
    assert_eq!(again.failure(), (409, "email-taken"));

    let login = app.post("/api/v1/auth/login").json(&credentials).send().await;
    assert_eq!((login.status, &login.data()["user"]["id"]), (200, &json!(id)));
    assert_eq!(
        (&login.data()["token_type"], &login.data()["expires_in"]),
        (&json!("Bearer"), &json!(300))
    );
    assert_eq!(login.data()["access_token_expires_at"], "2026-01-01T00:05:00.000Z");
    let refresh = json!({"refresh_token": login.data()["refresh_token"]});
    let refreshed = app.post("/api/v1/auth/refresh").json(&refresh).send().await;
    let token = refreshed.data()["access_token"].as_str().expect("a token");

    let profile = app.get("/api/v1/user").bearer(token).send().await;
    assert_eq!(
        (&profile.data()["role"], &profile.data()["permissions"]),
        (&json!("client"), &json!([]))
    );
    let out = app.post("/api/v1/auth/logout").bearer(token).send().await;
    assert_eq!((out.status, out.body.len()), (204, 0));
    let dead = app.get("/api/v1/user").bearer(token).send().await;
    assert_eq!(dead.failure(), (401, "session-revoked"));
}

/// E2, E3
#[tokio::test]
async fn any_two_texts_are_tried_and_status_shows_only_to_who_knows_the_password() {
    let app = TestApp::new().await;
    app.add("late@example.org", "client", Status::Inactive).await;
    for (email, password) in [
        ("", ""),
        ("no address", PASSWORD),
        ("late@example.org", "wrong"),
        ("nobody@example.org", &"x".repeat(10_000)),
        ("nul\0@example.org", "\0"),
    ] {
        let body = json!({"email": email, "password": password});
        let answer = app.post("/api/v1/auth/login").json(&body).send().await;
        assert_eq!(answer.failure(), (401, "invalid-credentials"));
        assert!(email.is_empty() || !answer.json.to_string().contains(email));
        assert_eq!(answer.header("www-authenticate"), r#"Bearer realm="goat""#);
    }
    let body = json!({"email": "LATE@example.org", "password": PASSWORD});
    let answer = app.post("/api/v1/auth/login").json(&body).send().await;
    assert_eq!(answer.failure(), (403, "account-inactive"));
}

#[tokio::test]
async fn other_services_learn_who_a_token_speaks_for() {
    let app = TestApp::new().await;
    let operator = app.operator().await;
    let verify =
        |query: &str| app.get(&format!("/api/v1/auth/verify{query}")).bearer(&operator.token);
    for query in ["", "?permission=user:read", "?permission=user:read&permission=user:update"] {
        let answer = verify(query).send().await;
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{query}");
        assert_eq!(answer.header("x-goat-user"), operator.id.to_string());
        assert_eq!(answer.header("x-goat-role"), "operator");
        assert_eq!(answer.header("x-goat-session"), operator.session.to_string());
    }
    let query = "?permission=user:read&permission=user:delete&permission=full_access";
    let answer = verify(query).send().await;
    assert_eq!(answer.failure(), (403, "forbidden"));
    let challenge = answer.header("www-authenticate");
    assert!(challenge.ends_with(r#"scope="user:delete full_access""#), "{challenge}");
    assert_eq!(answer.header("x-goat-user"), "");
    for query in ["?permission=", "?permission=User:read", "?permission=a:b&permission=x"] {
        let answer = verify(query).send().await;
        assert_eq!((answer.failure(), answer.fields()), ((400, "validation"), vec!["permission"]));
    }
}

on_every_backend!(users_change_their_own_account);

async fn users_change_their_own_account(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    let other = app.sign_in(&client.email, PASSWORD).await;

    let body = json!({"email": "new@example.org", "current_password": "wrong"});
    let answer =
        app.patch("/api/v1/user/change-email").bearer(&client.token).json(&body).send().await;
    assert_eq!(answer.failure(), (403, "wrong-password"));
    assert!(answer.header("ratelimit").contains("\"account\""), "{}", answer.header("ratelimit"));
    // One's own address is no change, and needs no proof.
    let body = json!({"email": client.email, "current_password": "wrong"});
    let answer =
        app.patch("/api/v1/user/change-email").bearer(&client.token).json(&body).send().await;
    assert_eq!(answer.status, 200);
    let body = json!({"email": "new@example.org", "current_password": PASSWORD});
    let answer =
        app.patch("/api/v1/user/change-email").bearer(&client.token).json(&body).send().await;
    assert_eq!(answer.data()["email"], "new@example.org");
    assert!(answer.header("ratelimit").contains("\"account\""), "{}", answer.header("ratelimit"));

    let path = "/api/v1/user/change-password";
    let body = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
    let answer = app.patch(path).bearer(&client.token).json(&body).send().await;
    assert_eq!(answer.data(), &json!({"revoked_sessions": 1}));
    assert_eq!(app.get("/api/v1/user").bearer(&other.token).send().await.status, 401);
    let body = json!({"current_password": NEW_PASSWORD});
    let answer = app.delete("/api/v1/user").bearer(&client.token).json(&body).send().await;
    assert_eq!(answer.status, 204);
    assert_eq!(
        app.get("/api/v1/user").bearer(&client.token).send().await.code(),
        "session-revoked"
    );
}

on_every_backend!(administrators_make_change_and_delete_users);

async fn administrators_make_change_and_delete_users(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    let body = json!({"email": "ann@example.org", "password": PASSWORD, "status": "inactive"});
    let made = app.post("/api/v1/user").bearer(&admin.token).json(&body).send().await;
    assert_eq!((made.status, &made.data()["role"]), (201, &json!("client")));
    let path = made.header("location").to_owned();
    assert_eq!(&app.get(&path).bearer(&admin.token).send().await.json, &made.json);

    let body = json!({"status": "active"});
    let status = format!("{path}/change-status");
    let answer = app.patch(&status).bearer(&admin.token).json(&body).send().await;
    assert_eq!(answer.data()["status"], "active");
    let body = json!({"role": "operator"});
    let role = format!("{path}/change-role");
    let answer = app.patch(&role).bearer(&admin.token).json(&body).send().await;
    assert_eq!(answer.data()["role"], "operator");
    let body = json!({"role": "king"});
    let answer = app.patch(&role).bearer(&admin.token).json(&body).send().await;
    assert_eq!((answer.failure(), answer.fields()), ((400, "validation"), vec!["role"]));
    let answer = app.put(&path).bearer(&admin.token).json(&json!({})).send().await;
    assert_eq!((answer.failure(), answer.fields()), ((400, "validation"), vec!["email"]));
    let body = json!({"email": "bea@example.org", "password": NEW_PASSWORD});
    let answer = app.put(&path).bearer(&admin.token).json(&body).send().await;
    assert_eq!(answer.data()["email"], "bea@example.org");

    app.sign_in("bea@example.org", NEW_PASSWORD).await;
    let sessions = format!("{path}/sessions");
    let answer = app.get(&sessions).bearer(&admin.token).send().await;
    assert_eq!(answer.json["meta"]["total"], 1);
    assert_eq!(answer.data()[0]["ip"], CLIENT);
    let answer = app.delete(&sessions).bearer(&admin.token).send().await;
    assert_eq!(answer.data(), &json!({"revoked": 1}));
    assert_eq!(app.delete(&path).bearer(&admin.token).send().await.status, 204);
    assert_eq!(app.get(&path).bearer(&admin.token).send().await.failure(), (404, "not-found"));
    let own = app.delete(&admin.path()).bearer(&admin.token).send().await;
    assert_eq!(own.failure(), (403, "outranked"));
}

on_every_backend!(users_are_listed_filtered_sorted_and_gone_on_with);

async fn users_are_listed_filtered_sorted_and_gone_on_with(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    app.add("late@example.net", "client", Status::Inactive).await;
    app.operator().await;
    let list = async |query: &str| {
        app.get(&format!("/api/v1/user/list{query}")).bearer(&admin.token).send().await
    };
    assert_eq!(list("").await.json["meta"]["total"], 3);
    assert_eq!(list("?role=client&role=operator").await.json["meta"]["total"], 2);
    assert_eq!(list("?status=inactive").await.data()[0]["email"], "late@example.net");
    assert_eq!(list("?search=EXAMPLE.NET").await.json["meta"]["total"], 1);
    assert_eq!(list("?sort=email&limit=1").await.data()[0]["role"], "admin");
    let meta = json!({"page": 9, "limit": 2, "total": 3, "total_pages": 2});
    let past = list("?page=9&limit=2").await;
    assert_eq!((past.data(), &past.json["meta"]), (&json!([]), &meta));
    let first = list("?limit=1").await;
    let after = first.data()[0]["id"].as_str().expect("an id").to_owned();
    let rest = list(&format!("?after={after}&sort=-created_at")).await;
    assert_eq!(rest.data().as_array().expect("a list").len(), 2);
    for (query, fields) in [
        (format!("?after={after}&page=1"), vec!["page"]),
        (format!("?after={after}&sort=email"), vec!["sort"]),
        ("?after=x".to_owned(), vec!["after"]),
        ("?role=king&status=dead&sort=age".to_owned(), vec!["role", "status", "sort"]),
        ("?search=&limit=101&page=0".to_owned(), vec!["page", "limit", "search"]),
        ("?search=a%00b".to_owned(), vec!["search"]),
        (format!("?search={}", "x".repeat(255)), vec!["search"]),
        ("?page=101&limit=100".to_owned(), vec!["page"]),
        ("?Page=1".to_owned(), vec!["Page"]),
    ] {
        let answer = list(&query).await;
        assert_eq!((answer.failure(), answer.fields()), ((400, "validation"), fields), "{query}");
    }
}

on_every_backend!(users_see_and_end_their_own_sessions);

async fn users_see_and_end_their_own_sessions(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    let email = &client.email;
    // The newest come first; of those made in one millisecond, any.
    app.clock.advance(std::time::Duration::from_secs(1));
    let others = [app.sign_in(email, PASSWORD).await, app.sign_in(email, PASSWORD).await];
    let path = "/api/v1/sessions";
    let listed = app.get(path).bearer(&client.token).send().await;
    let current: Vec<_> = listed
        .data()
        .as_array()
        .expect("a list")
        .iter()
        .map(|session| &session["current"])
        .collect();
    assert_eq!(current, [false, false, true]);

    let end = async |body| app.delete(path).bearer(&client.token).json(&body).send().await;
    let stranger = app.client().await.session;
    let answer =
        end(json!({"session_ids": [others[0].session.to_string(), stranger.to_string()]})).await;
    assert_eq!(answer.failure(), (404, "not-found"));
    for (body, fields) in [
        (json!({}), vec!["session_ids", "others", "all"]),
        (json!({"others": true, "all": true}), vec!["others", "all"]),
        (json!({"others": false}), vec!["others"]),
        (json!({"all": 1}), vec!["all"]),
        (json!({"session_ids": []}), vec!["session_ids"]),
        (json!({"session_ids": ["x"]}), vec!["session_ids[0]"]),
    ] {
        let answer = end(body.clone()).await;
        assert_eq!((answer.failure(), answer.fields()), ((400, "validation"), fields), "{body}");
    }
    let twice = others[0].session.to_string();
    assert_eq!(end(json!({"session_ids": [twice, twice]})).await.data(), &json!({"revoked": 1}));
    assert_eq!(end(json!({"others": true})).await.data(), &json!({"revoked": 1}));
    let one = app.sign_in(email, PASSWORD).await.session;
    let answer = app.delete(&format!("{path}/{one}")).bearer(&client.token).send().await;
    assert_eq!(answer.status, 204);
    let answer = app.delete(&format!("{path}/{one}")).bearer(&client.token).send().await;
    assert_eq!(answer.failure(), (404, "not-found"));
    assert_eq!(end(json!({"all": true})).await.data(), &json!({"revoked": 1}));
    assert_eq!(app.get(path).bearer(&client.token).send().await.code(), "session-revoked");
}

on_every_backend!(administrators_see_roles_and_give_and_take_permissions);

async fn administrators_see_roles_and_give_and_take_permissions(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (admin, client) = (app.admin().await, app.client().await);
    let roles = app.get("/api/v1/role").bearer(&admin.token).send().await;
    let names: Vec<_> =
        roles.data().as_array().expect("a list").iter().map(|role| &role["name"]).collect();
    assert_eq!(names, ["client", "operator", "admin"]);

    let path = "/api/v1/permission";
    let body = json!({"role": "client", "action": "user:read"});
    let made = app.post(path).bearer(&admin.token).json(&body).send().await;
    assert_eq!((made.status, &made.data()["action"]), (201, &json!("user:read")));
    assert_eq!(app.get("/api/v1/user/list").bearer(&client.token).send().await.status, 200);
    let again = app.post(path).bearer(&admin.token).json(&body).send().await;
    assert_eq!(again.failure(), (409, "permission-exists"));
    let body = json!({"role": "king", "action": "User:read"});
    let answer = app.post(path).bearer(&admin.token).json(&body).send().await;
    assert_eq!(answer.fields(), ["role", "action"]);
    let body = json!({"role": "client", "action": "full_access"});
    let answer = app.post(path).bearer(&admin.token).json(&body).send().await;
    assert_eq!((answer.failure(), answer.fields()), ((400, "validation"), vec!["action"]));

    let listed = app.get(&format!("{path}?limit=2")).bearer(&admin.token).send().await;
    assert_eq!(listed.json["meta"], json!({"page": 1, "limit": 2, "total": 5, "total_pages": 3}));
    let of_role = app.get(&format!("{path}/client")).bearer(&admin.token).send().await;
    assert_eq!(of_role.data(), &json!([made.data()]));
    let unknown = app.get(&format!("{path}/king")).bearer(&admin.token).send().await;
    assert_eq!(unknown.failure(), (404, "not-found"));
    let id = made.data()["id"].as_str().expect("an id");
    assert_eq!(app.delete(&format!("{path}/{id}")).bearer(&admin.token).send().await.status, 204);
    assert_eq!(app.get("/api/v1/user/list").bearer(&client.token).send().await.status, 403);
    let name = app.delete(&format!("{path}/client")).bearer(&admin.token).send().await;
    assert_eq!((name.failure(), name.fields()), ((400, "validation"), vec!["key"]));
}

#[tokio::test]
async fn keys_and_metrics_are_public() {
    let app = TestApp::new().await;
    let keys = app.get("/.well-known/jwks.json").send().await;
    assert_eq!(keys.json["keys"].as_array().expect("a list").len(), 1);
    let metrics = app.get("/api/metrics").send().await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.header("content-type").starts_with("text/plain"));
    let text = String::from_utf8(metrics.body.to_vec()).expect("UTF-8");
    let counted =
        r#"http_requests_total{method="GET",route="/.well-known/jwks.json",status="200"} 1"#;
    assert!(text.contains(counted), "{text}");
    let moved = TestApp::with(|setup| setup.http.metrics_listen = "127.0.0.1:0".parse().ok()).await;
    assert_eq!(moved.get("/api/metrics").send().await.status, 404);
}

/// L3
#[tokio::test]
async fn metrics_know_routes_by_their_templates_alone() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    for path in ["/nowhere", "/api/v1/user/%2e", "/api/v1/user/x", &admin.path()] {
        app.get(path).bearer(&admin.token).send().await;
    }
    let metrics = app.get("/api/metrics").send().await;
    let text = String::from_utf8(metrics.body.to_vec()).expect("UTF-8");
    let prefix = "http_requests_total{";
    let mut series: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(prefix)).collect();
    series.sort_unstable();
    let unmatched = goat_server::metrics::UNMATCHED;
    let mut expected = [
        format!("method=\"GET\",route=\"{unmatched}\",status=\"404\"}} 2"),
        r#"method="GET",route="/api/v1/user/{id}",status="200"} 1"#.to_owned(),
        r#"method="GET",route="/api/v1/user/{id}",status="400"} 1"#.to_owned(),
    ];
    expected.sort_unstable();
    assert_eq!(series, expected);
}
