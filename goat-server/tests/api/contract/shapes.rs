//! Success responses: the exact members, and the format of each value.

use goat_core::Status;
use http::Method;
use serde_json::{Value, json};

use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, TestApp, TestResponse};
use crate::support::backend::Backend;

/// The value with ids, times and tokens replaced by the names of their formats.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), shape(value))).collect()
        }
        Value::Array(entries) => entries.iter().map(shape).collect(),
        Value::String(text) => json!(form(text)),
        other => other.clone(),
    }
}

fn form(text: &str) -> &str {
    let digits =
        |part: &str, length| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_ulid = text.len() == 26
        && text.starts_with(|first: char| first.is_digit(8))
        && text.chars().all(|c| "0123456789ABCDEFGHJKMNPQRSTVWXYZ".contains(c));
    let fields: Vec<_> = text.split(['-', 'T', ':', '.']).collect();
    let is_time = match *fields.as_slice() {
        [year, month, day, hour, minute, second, fraction] => {
            digits(year, 4)
                && [month, day, hour, minute, second].iter().all(|part| digits(part, 2))
                && fraction.strip_suffix('Z').is_some_and(|fraction| digits(fraction, 3))
        }
        _ => false,
    };
    let is_token = text.starts_with("eyJ") && text.split('.').count() == 3;
    match (is_ulid, is_time, is_token) {
        (true, ..) => "<id>",
        (_, true, _) => "<time>",
        (.., true) => "<token>",
        _ => text,
    }
}

/// A user without a login; `fields` replace the defaults.
fn user(email: &str, fields: &Value) -> Value {
    let mut user = json!({
        "id": "<id>", "email": email, "email_verified": false, "role": "client", "status": "active",
        "created_at": "<time>", "updated_at": "<time>", "last_login_at": null, "attributes": {},
    });
    for (name, value) in fields.as_object().expect("an object") {
        user[name] = value.clone();
    }
    user
}

fn meta(total: u64) -> Value {
    json!({"page": 1, "limit": 20, "total": total, "total_pages": 1})
}

fn assert_shape(response: &TestResponse, status: u16, expected: &Value, case: &str) {
    assert_eq!(response.status, status, "{case}: {}", response.json);
    assert_eq!(&shape(&response.json), expected, "{case}");
    let content_type = if expected.is_null() { "" } else { "application/json" };
    assert_eq!(response.header("content-type"), content_type, "{case}");
    assert_eq!(response.body.is_empty(), expected.is_null(), "{case}");
}

on_every_backend!(users_have_the_documented_members_on_every_route);

async fn users_have_the_documented_members_on_every_route(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    let send = async |line: &str, body: Value| {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let request = app.request(method.parse::<Method>().expect("a method"), path);
        let request = request.bearer(&admin.token);
        if body.is_null() { request.send().await } else { request.json(&body).send().await }
    };
    let me = json!({"role": "admin", "last_login_at": "<time>"});
    let mut profile = user(&admin.email, &me);
    profile["permissions"] = json!(["full_access"]);
    let response = send("GET /api/v1/user", Value::Null).await;
    assert_shape(&response, 200, &json!({"data": profile}), "the profile");
    let response = send("GET /api/v1/user/list", Value::Null).await;
    let expected = json!({"data": [user(&admin.email, &me)], "meta": meta(1)});
    assert_shape(&response, 200, &expected, "a list");

    let body = json!({"email": "ann@example.org", "password": PASSWORD});
    let made = send("POST /api/v1/user", body).await;
    let plain = json!({"data": user("ann@example.org", &json!({}))});
    assert_shape(&made, 201, &plain, "a created user");
    let id = made.data()["id"].as_str().expect("an id");
    let path = format!("/api/v1/user/{id}");
    assert_eq!(made.header("location"), path);
    assert_shape(&send(&format!("GET {path}"), Value::Null).await, 200, &plain, "a user");
    for (line, body, changed) in [
        ("PUT ", json!({"email": "bea@example.org"}), json!({"email": "bea@example.org"})),
        ("PATCH /change-role", json!({"role": "operator"}), json!({"role": "operator"})),
        ("PATCH /change-status", json!({"status": "suspended"}), json!({"status": "suspended"})),
        ("PATCH /attributes", json!({"plan": "pro"}), json!({"attributes": {"plan": "pro"}})),
    ] {
        let (method, action) = line.split_once(' ').expect("a method");
        let response = send(&format!("{method} {path}{action}"), body).await;
        assert_eq!(response.status, 200, "{line}: {}", response.json);
        for (name, value) in changed.as_object().expect("an object") {
            assert_eq!(&response.data()[name], value, "{line}");
        }
        let names = |value: &Value| Vec::from_iter(value.as_object().expect("one").keys().cloned());
        assert_eq!(names(response.data()), names(&plain["data"]), "{line}");
    }
    let response = send(&format!("PATCH {path}/change-status"), json!({"status": "active"})).await;
    assert_eq!(response.status, 200);
    let response = send(&format!("POST {path}/session"), json!({"method": "ldap"})).await;
    let tokens = json!({"data": {
        "access_token": "<token>", "access_token_expires_at": "<time>",
        "refresh_token": "<token>", "refresh_token_expires_at": "<time>",
        "token_type": "Bearer", "expires_in": 300,
    }});
    assert_shape(&response, 201, &tokens, "an opened session");
    let response = send(&format!("DELETE {path}/sessions"), Value::Null).await;
    assert_shape(&response, 200, &json!({"data": {"revoked": 1}}), "revoked sessions");
    let response = send(&format!("GET {path}/sessions"), Value::Null).await;
    let none = json!({"data": [], "meta": {"page": 1, "limit": 20, "total": 0, "total_pages": 0}});
    assert_shape(&response, 200, &none, "no sessions");
    assert_shape(&send(&format!("DELETE {path}"), Value::Null).await, 204, &Value::Null, "deleted");
}

on_every_backend!(requests_about_the_own_account_return_the_documented_members);

async fn requests_about_the_own_account_return_the_documented_members(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    let new = "new@example.org";
    let body = json!({"email": new, "current_password": PASSWORD});
    let patch = |path: &str| app.patch(path).bearer(&client.token);
    let response = patch("/api/v1/user/change-email").json(&body).send().await;
    let expected = json!({"data": user(new, &json!({"last_login_at": "<time>"}))});
    assert_shape(&response, 200, &expected, "change-email");
    let body = json!({"current_password": PASSWORD, "new_password": "seven lamps over the quay"});
    let response = patch("/api/v1/user/change-password").json(&body).send().await;
    let changed = json!({"data": {
        "access_token": "<token>", "access_token_expires_at": "<time>",
        "refresh_token": "<token>", "refresh_token_expires_at": "<time>",
        "token_type": "Bearer", "expires_in": 300, "revoked_sessions": 0, "keys": 0,
    }});
    assert_shape(&response, 200, &changed, "change-password");
    let token = response.data()["access_token"].as_str().expect("a token");
    let body = json!({"current_password": "seven lamps over the quay"});
    let response = app.delete("/api/v1/user").bearer(token).json(&body).send().await;
    assert_shape(&response, 204, &Value::Null, "delete");
}

on_every_backend!(roles_and_permissions_have_the_documented_members);

async fn roles_and_permissions_have_the_documented_members(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    let get = async |path: &str| app.get(path).bearer(&admin.token).send().await;
    let of_operator = json!(["user:change_status", "user:read", "user:update"]);
    let expected = json!({"data": [
        {"name": "client", "rank": 100, "permissions": []},
        {"name": "operator", "rank": 500, "permissions": of_operator},
        {"name": "admin", "rank": 1000, "permissions": ["full_access"]},
    ]});
    assert_shape(&get("/api/v1/role").await, 200, &expected, "roles");
    let permission = |role: &str, action: &str| json!({"id": "<id>", "role": role, "action": action, "created_at": "<time>"});
    let response = get("/api/v1/permission").await;
    assert_eq!(shape(&response.json["meta"]), meta(4));
    let mut shown = shape(response.data()).as_array().expect("a list").clone();
    shown.sort_by_key(|entry| entry["action"].to_string());
    let expected = [
        ("admin", "full_access"),
        ("operator", "user:change_status"),
        ("operator", "user:read"),
        ("operator", "user:update"),
    ];
    assert_eq!(shown, expected.map(|(role, action)| permission(role, action)));

    let expected = json!({"data": [permission("admin", "full_access")]});
    assert_shape(&get("/api/v1/permission/admin").await, 200, &expected, "of a role");
    assert_shape(&get("/api/v1/permission/client").await, 200, &json!({"data": []}), "none");
    let body = json!({"role": "client", "action": "report:*"});
    let made = app.post("/api/v1/permission").bearer(&admin.token).json(&body).send().await;
    let expected = json!({"data": permission("client", "report:*")});
    assert_shape(&made, 201, &expected, "a granted permission");
    let path = format!("/api/v1/permission/{}", made.data()["id"].as_str().expect("an id"));
    let response = app.delete(&path).bearer(&admin.token).send().await;
    assert_shape(&response, 204, &Value::Null, "a revoked permission");
    let again = app.delete(&path).bearer(&admin.token).send().await;
    assert_eq!(again.failure(), (404, "not-found"));
}

on_every_backend!(each_change_updates_its_own_time);

async fn each_change_updates_its_own_time(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    let id = app.add("ann@example.org", "client", Status::Active).await;
    let path = format!("/api/v1/user/{id}");
    let times = async || {
        let response = app.get(&path).bearer(&admin.token).send().await;
        let time = |name: &str| response.data()[name].as_str().map(|time| time[17..].to_owned());
        (time("created_at"), time("updated_at"), time("last_login_at"))
    };
    let at = |time: &str| Some(time.to_owned());
    let later = std::time::Duration::from_millis(1_250);
    assert_eq!(times().await, (at("00.000Z"), at("00.000Z"), None));
    app.clock.advance(later);
    // Signing in does not touch `updated_at`.
    app.sign_in("ann@example.org", PASSWORD).await;
    assert_eq!(times().await, (at("00.000Z"), at("00.000Z"), at("01.250Z")));
    app.clock.advance(later);
    let body = json!({"email": "bea@example.org"});
    app.put(&path).bearer(&admin.token).json(&body).send().await;
    assert_eq!(times().await, (at("00.000Z"), at("02.500Z"), at("01.250Z")));
    // An unchanged value is no update.
    app.clock.advance(later);
    app.put(&path).bearer(&admin.token).json(&body).send().await;
    assert_eq!(times().await, (at("00.000Z"), at("02.500Z"), at("01.250Z")));
}
