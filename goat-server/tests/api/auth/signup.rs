//! `POST /api/v1/auth/signup`.

use std::sync::Arc;

use goat_core::{Signup, Status};
use serde_json::json;

use super::{LOGIN, SIGNUP, login, members, post};
use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, TestApp};
use crate::support::backend::Backend;

on_every_backend!(new_accounts_are_inactive_if_configured);

async fn new_accounts_are_inactive_if_configured(backend: Backend) {
    let app = TestApp::on_with(backend, |setup| setup.goat.signup = Signup::Inactive).await;
    let body = json!({"email": "ann@example.org", "password": PASSWORD});
    let created = post(&app, SIGNUP, &body).await;
    assert_eq!(created.status, 201);
    assert_eq!(
        members(created.data()),
        [
            "attributes",
            "created_at",
            "email",
            "email_verified",
            "id",
            "last_login_at",
            "role",
            "status",
            "updated_at"
        ]
    );
    assert_eq!(created.data()["status"], "inactive");
    assert_eq!(created.data()["role"], "client");
    assert_eq!(post(&app, LOGIN, &body).await.failure(), (403, "account-inactive"));
}

#[tokio::test]
async fn closed_signup_is_a_404_for_any_body() {
    let app = TestApp::with(|setup| setup.goat.signup = Signup::Closed).await;
    let sound = r#"{"email": "a@example.org", "password": "a long walk on a short pier"}"#;
    for body in ["{", sound] {
        let response = app.post(SIGNUP).body("application/json", body).send().await;
        assert_eq!(response.failure(), (404, "not-found"));
    }
}

on_every_backend!(rejections_do_not_echo_an_email_address);

/// E3
async fn rejections_do_not_echo_an_email_address(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    app.add("taken@example.org", "client", Status::Active).await;
    let body = json!({"email": "TAKEN@example.org", "password": PASSWORD});
    let taken = post(&app, SIGNUP, &body).await;
    assert_eq!(taken.failure(), (409, "email-taken"));
    let path = "/api/v1/user/change-email";
    let body = json!({"email": "Taken@Example.org", "current_password": PASSWORD});
    let change = app.patch(path).bearer(&client.token).json(&body).send().await;
    assert_eq!(change.failure(), (409, "email-taken"));
    let body = json!({"email": "taken at example.org", "password": PASSWORD});
    let invalid = post(&app, SIGNUP, &body).await;
    assert_eq!((invalid.failure(), invalid.fields()), ((400, "validation"), vec!["email"]));
    let body = json!({"email": "taken at example.org", "current_password": PASSWORD});
    let unchanged = app.patch(path).bearer(&client.token).json(&body).send().await;
    assert_eq!((unchanged.failure(), unchanged.fields()), ((400, "validation"), vec!["email"]));
    // One rule has one wording.
    assert_eq!(invalid.json["errors"], unchanged.json["errors"]);
    let mut responses = vec![taken, change, invalid, unchanged];
    let admin = app.admin().await;
    let id = client.id;
    for (email, failure) in
        [("TAKEN@example.org", (409, "email-taken")), ("taken at example.org", (400, "validation"))]
    {
        let create = json!({"email": email, "password": PASSWORD});
        let create = app.post("/api/v1/user").bearer(&admin.token).json(&create);
        let update = app.put(&format!("/api/v1/user/{id}")).bearer(&admin.token);
        for request in [create, update.json(&json!({"email": email}))] {
            let response = request.send().await;
            assert_eq!(response.failure(), failure);
            responses.push(response);
        }
    }
    for response in responses {
        assert!(!response.json.to_string().to_lowercase().contains("taken@"), "{}", response.json);
        assert!(!response.json.to_string().contains("taken at"), "{}", response.json);
    }
}

/// A4: mass assignment. No member of a body, in any spelling, sets a field that it must not set.
#[tokio::test]
async fn unknown_and_repeated_members_are_rejected() {
    let app = TestApp::new().await;
    let client = app.client().await;
    let new = json!({"email": "eve@example.org", "password": PASSWORD}).to_string();
    let known = json!({"email": client.email, "password": PASSWORD}).to_string();
    let change = json!({"email": "eve@example.org", "current_password": PASSWORD}).to_string();
    for (extra, fields) in [
        (r#""role": "admin""#, vec!["role"]),
        (r#""Role": "admin""#, vec!["Role"]),
        (r#""status": "active", "id": 1"#, vec!["id", "status"]),
        (r#""id": "01ARZ3NDEKTSV4RRFFQ69G5FAV""#, vec!["id"]),
        (r#""is_admin": true"#, vec!["is_admin"]),
        (r#""permissions": ["full_access"]"#, vec!["permissions"]),
        (r#""__proto__": {"role": "admin"}"#, vec!["__proto__"]),
        (r#""EMAIL": "x@example.org""#, vec!["EMAIL"]),
        (r#""password_hash": "x""#, vec!["password_hash"]),
        // The same name again, and with an escape.
        (r#""email": "x@example.org""#, vec![]),
        (r#""\u0065mail": "x@example.org""#, vec![]),
    ] {
        let code = if fields.is_empty() { "malformed-json" } else { "validation" };
        for request in [
            app.post(SIGNUP).body("application/json", with_members(&new, extra)),
            app.post(LOGIN).body("application/json", with_members(&known, extra)),
            app.patch("/api/v1/user/change-email")
                .bearer(&client.token)
                .body("application/json", with_members(&change, extra)),
        ] {
            let response = request.send().await;
            assert_eq!(response.failure(), (400, code), "{extra}");
            assert_eq!(response.fields(), fields, "{extra}");
        }
    }
    // No account was created or changed.
    let own = app.get("/api/v1/user").bearer(&client.token).send().await;
    assert_eq!(
        (&own.data()["email"], &own.data()["role"]),
        (&json!(client.email), &json!("client"))
    );
    assert_eq!(login(&app, "eve@example.org", PASSWORD).await.status, 401);
}

/// A JSON object with further members.
fn with_members(object: &str, members: &str) -> String {
    let object = object.strip_suffix('}').expect("an object");
    format!("{object}, {members}}}")
}

on_every_backend!(multi_thread concurrent_signups_with_one_address_create_one_account);

async fn concurrent_signups_with_one_address_create_one_account(backend: Backend) {
    let app = Arc::new(TestApp::on(backend).await);
    let attempts: Vec<_> = (0..20)
        .map(|number| {
            let app = Arc::clone(&app);
            let email = if number % 2 == 0 { "Ann@example.org" } else { " ann@EXAMPLE.org " };
            let body = json!({"email": email, "password": PASSWORD});
            tokio::spawn(async move { post(&app, SIGNUP, &body).await })
        })
        .collect();
    let mut statuses = Vec::new();
    for attempt in attempts {
        statuses.push(attempt.await.expect("a response").status);
    }
    statuses.sort_unstable();
    assert_eq!((statuses[0], &statuses[1..]), (201, &[409; 19][..]));
}
