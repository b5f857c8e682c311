//! `POST /api/v1/user/service`, and service accounts on the other routes.

use goat_core::{Actor, Status, UserId};
use serde_json::{Value, json};

use super::send;
use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, TestApp, TestUser};
use crate::support::backend::Backend;

const CREATE: &str = "POST /api/v1/user/service";

async fn create(app: &TestApp, by: &TestUser, name: &str, role: &str) -> Value {
    let created = send(app, by, CREATE, json!({"name": name, "role": role})).await;
    assert_eq!(created.status, 201, "{}", created.json);
    created.data().clone()
}

on_every_backend!(service_account_is_a_user_without_sign_in);

/// K2
async fn service_account_is_a_user_without_sign_in(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    let created = send(&app, &admin, CREATE, json!({"name": "backup"})).await;
    assert_eq!(created.status, 201, "{}", created.json);
    let user = created.data();
    assert_eq!(user["email"], "backup@service.invalid");
    assert_eq!((&user["role"], &user["status"]), (&json!("client"), &json!("active")));
    let path = format!("/api/v1/user/{}", user["id"].as_str().expect("an id"));
    assert_eq!(created.header("location"), path);
    let found = app.get(&path).bearer(&admin.token).send().await;
    assert_eq!(found.data(), user);

    let again = send(&app, &admin, CREATE, json!({"name": "BACKUP"})).await;
    assert_eq!(again.failure(), (409, "email-taken"));
    for (name, expected) in [("backup", 401), ("unknown", 401)] {
        let body = json!({"email": format!("{name}@service.invalid"), "password": PASSWORD});
        let login = app.post("/api/v1/auth/login").json(&body).send().await;
        assert_eq!(login.failure(), (expected, "invalid-credentials"), "{name}");
    }
    for (line, body) in [
        (format!("POST {path}/session"), json!({"method": "ldap", "assurance": "multi"})),
        (format!("PUT {path}"), json!({"password": PASSWORD})),
        (format!("PUT {path}"), json!({"email": "backup@example.org"})),
    ] {
        let response = send(&app, &admin, &line, body).await;
        assert_eq!(response.failure(), (409, "invalid-transition"), "{line}");
        let detail = response.json["detail"].as_str().expect("a text");
        assert!(detail.starts_with("A service account cannot sign in"), "{detail}");
    }
    let suspend = json!({"status": "suspended"});
    let suspended = send(&app, &admin, &format!("PATCH {path}/change-status"), suspend).await;
    assert_eq!((suspended.status, &suspended.data()["status"]), (200, &json!("suspended")));
    assert_eq!(send(&app, &admin, &format!("DELETE {path}"), Value::Null).await.status, 204);
}

on_every_backend!(service_account_is_no_administrator);

/// A3
async fn service_account_is_no_administrator(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    create(&app, &admin, "robot", "admin").await;
    let delete = json!({"current_password": PASSWORD});
    let deleted = send(&app, &admin, "DELETE /api/v1/user", delete).await;
    assert_eq!(deleted.failure(), (409, "last-administrator"));
}

on_every_backend!(service_account_is_listed_by_kind);

async fn service_account_is_listed_by_kind(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    create(&app, &admin, "backup", "client").await;
    create(&app, &admin, "metrics", "client").await;
    let (backup, metrics) = ("backup@service.invalid", "metrics@service.invalid");
    for (query, expected) in [
        ("?kind=service&sort=email", vec![backup, metrics]),
        ("?kind=service&search=met", vec![metrics]),
        ("?kind=service&search=service.inv&sort=-email", vec![metrics, backup]),
        ("?kind=service&status=suspended", vec![]),
        ("?kind=person", vec![admin.email.as_str()]),
        ("?kind=person&search=service", vec![]),
        ("?sort=email", vec![admin.email.as_str(), backup, metrics]),
    ] {
        let path = format!("/api/v1/user/list{query}");
        let list = app.get(&path).bearer(&admin.token).send().await;
        let users = list.data().as_array().expect("a list");
        let emails: Vec<_> =
            users.iter().map(|user| user["email"].as_str().expect("one")).collect();
        assert_eq!(emails, expected, "{query}");
        assert_eq!(list.json["meta"]["total"], expected.len(), "{query}");
    }
    for query in ["?kind=", "?kind=Service", "?kind=person&kind=service"] {
        let path = format!("/api/v1/user/list{query}");
        let list = app.get(&path).bearer(&admin.token).send().await;
        assert_eq!((list.failure(), list.fields()), ((400, "validation"), vec!["kind"]), "{query}");
    }
}

/// A2
#[tokio::test]
async fn rank_decides_on_the_role_of_a_service_account() {
    let app = TestApp::new().await;
    let (operator, client) = (app.operator().await, app.client().await);
    for by in [&client, &operator] {
        let response = send(&app, by, CREATE, json!({"name": "backup"})).await;
        assert_eq!(response.failure(), (403, "forbidden"));
    }
    let grant = app.goat.roles().grant(
        Actor::system("a test"),
        "operator",
        goat_core::access::permissions::USER_WRITE,
    );
    grant.await.expect("granted");
    create(&app, &operator, "backup", "client").await;
    for role in ["operator", "admin"] {
        let body = json!({"name": "other", "role": role});
        let response = send(&app, &operator, CREATE, body).await;
        assert_eq!(response.failure(), (403, "role-not-assignable"), "{role}");
    }
}

#[tokio::test]
async fn name_and_role_are_validated() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let long = "a".repeat(65);
    for (body, fields) in [
        (json!({}), vec!["name"]),
        (json!({"name": ""}), vec!["name"]),
        (json!({"name": "a b", "role": "king"}), vec!["name", "role"]),
        (json!({"name": "a@service.invalid"}), vec!["name"]),
        (json!({"name": long}), vec!["name"]),
        (json!({"name": "backup", "password": PASSWORD}), vec!["password"]),
    ] {
        let response = send(&app, &admin, CREATE, body.clone()).await;
        assert_eq!(
            (response.failure(), response.fields()),
            ((400, "validation"), fields),
            "{body}"
        );
    }
}

/// The routes that set the address of a person reject the domain, and tell nothing about its accounts.
#[tokio::test]
async fn no_person_gets_an_address_of_a_service_account() {
    let app = TestApp::new().await;
    let (admin, client) = (app.admin().await, app.client().await);
    create(&app, &admin, "backup", "client").await;
    let ann: UserId = app.add("ann@example.org", "client", Status::Active).await;
    for email in ["backup@service.invalid", "unknown@SERVICE.invalid"] {
        for (line, body) in [
            ("POST /api/v1/auth/signup".to_owned(), json!({"email": email, "password": PASSWORD})),
            ("POST /api/v1/user".to_owned(), json!({"email": email, "password": PASSWORD})),
            (format!("PUT /api/v1/user/{ann}"), json!({"email": email})),
        ] {
            let response = send(&app, &admin, &line, body).await;
            let got = (response.failure(), response.fields());
            assert_eq!(got, ((400, "validation"), vec!["email"]), "{line} {email}");
        }
        let body = json!({"email": email, "current_password": PASSWORD});
        let response = send(&app, &client, "PATCH /api/v1/user/change-email", body).await;
        let got = (response.failure(), response.fields());
        assert_eq!(got, ((400, "validation"), vec!["email"]), "{email}");
    }
}
