//! `POST /api/v1/user/{id}/recover`, and passwords in `PUT /api/v1/user/{id}` with mail.

use goat_core::user::{NewService, ServiceName};
use goat_core::{Actor, Status};
use serde_json::{Value, json};

use super::send;
use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, Setup, TestApp};
use crate::support::backend::Backend;
use crate::support::mail::{by_link, with};

const NEW_PASSWORD: &str = "seven lamps over the quay";

fn with_mail(setup: &mut Setup) {
    setup.mail = true;
}

on_every_backend!(an_administrator_starts_a_recovery_and_learns_nothing);

/// M12
async fn an_administrator_starts_a_recovery_and_learns_nothing(backend: Backend) {
    let app = TestApp::on_with(backend, with_mail).await;
    let (operator, user) = (app.operator().await, app.client().await);
    let started =
        send(&app, &operator, &format!("POST {}/recover", user.path()), Value::Null).await;
    assert_eq!((started.status, started.body.len()), (202, 0), "{}", started.json);
    let answer = by_link(&app.letter(&user.email, "reset-password").await);
    let own = send(&app, &user, "GET /api/v1/user", Value::Null).await;
    assert_eq!(own.status, 200, "a recovery that is only started changes nothing");
    let body = with(&answer, &json!({"new_password": NEW_PASSWORD}));
    let recovered = app.post("/api/v1/auth/recover/confirm").json(&body).send().await;
    assert_eq!(recovered.status, 200, "{}", recovered.json);
    app.sign_in(&user.email, NEW_PASSWORD).await;
}

on_every_backend!(recovery_of_a_user_follows_the_rules_of_rank);

async fn recovery_of_a_user_follows_the_rules_of_rank(backend: Backend) {
    let app = TestApp::on_with(backend, with_mail).await;
    let (admin, operator, client) = (app.admin().await, app.operator().await, app.client().await);
    let name = ServiceName::parse("backup").expect("a name");
    let role = app.goat.roles().get("client").expect("a role");
    let new = NewService { name, role };
    let service = app.goat.users().create_service(Actor::system("a test"), new).await;
    let service = format!("/api/v1/user/{}", service.expect("a service account").id);
    let unknown = "/api/v1/user/01KDWMBY00C8X0F4ZCV7J3T9QH".to_owned();
    for (by, path, failure) in [
        (&client, admin.path(), (403, "forbidden")),
        (&operator, admin.path(), (403, "outranked")),
        (&operator, operator.path(), (403, "outranked")),
        (&admin, unknown, (404, "not-found")),
        (&admin, service, (409, "invalid-transition")),
    ] {
        let response = send(&app, by, &format!("POST {path}/recover"), Value::Null).await;
        assert_eq!(response.failure(), failure, "{path}");
    }
    let own = send(&app, &admin, &format!("POST {}/recover", admin.path()), Value::Null).await;
    assert_eq!(own.failure(), (403, "outranked"));
    let detail = own.json["detail"].as_str().expect("a text");
    assert!(detail.contains("PATCH /api/v1/user/change-password"), "{detail}");
    assert!(app.letters.take().is_empty());
    let suspended = app.add("suspended@example.org", "client", Status::Active).await;
    let body = json!({"status": "suspended"});
    let line = format!("PATCH /api/v1/user/{suspended}/change-status");
    assert_eq!(send(&app, &admin, &line, body).await.status, 200);
    let line = format!("POST /api/v1/user/{suspended}/recover");
    assert_eq!(send(&app, &admin, &line, Value::Null).await.status, 202);
    app.letter("suspended@example.org", "nothing-to-reset").await;
}

/// M12: with mail, an administrator sets no password.
#[tokio::test]
async fn an_administrator_sets_no_password_where_users_recover_by_mail() {
    for (mail, status) in [(true, 400), (false, 200)] {
        let app = TestApp::with(|setup| setup.mail = mail).await;
        let (admin, user) = (app.admin().await, app.client().await);
        let line = format!("PUT {}", user.path());
        for body in [
            json!({"password": NEW_PASSWORD}),
            json!({"email": "other@example.org", "password": "a kettle of green tea at noon"}),
        ] {
            let response = send(&app, &admin, &line, body).await;
            assert_eq!(response.status, status, "{}", response.json);
            if mail {
                assert!(response.fields().contains(&"password"));
            }
        }
        let email = if mail { user.email.as_str() } else { "other@example.org" };
        let old = json!({"email": email, "password": PASSWORD});
        let old = app.post("/api/v1/auth/login").json(&old).send().await;
        assert_eq!(old.status, if mail { 200 } else { 401 });
        let response = send(&app, &admin, &line, json!({"email": "third@example.org"})).await;
        assert_eq!(response.data()["email"], "third@example.org");
    }
}
