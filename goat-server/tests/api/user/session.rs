//! `POST /api/v1/user/{id}/session`.

use goat_core::Status;
use goat_core::access::permissions::SESSION_CREATE;
use goat_core::{Actor, UserId};
use serde_json::{Value, json};

use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, TestApp, TestResponse, TestUser};
use crate::support::backend::Backend;

async fn open(app: &TestApp, by: &TestUser, user: UserId, body: Value) -> TestResponse {
    let path = format!("/api/v1/user/{user}/session");
    app.post(&path).bearer(&by.token).json(&body).send().await
}

on_every_backend!(operator_signs_in_a_user_that_its_system_authenticated);

/// G7
async fn operator_signs_in_a_user_that_its_system_authenticated(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    let ann = app.add("ann@example.org", "client", Status::Active).await;
    for (body, assurance) in [
        (json!({"method": "ldap"}), "single"),
        (json!({"method": "ldap", "assurance": "single"}), "single"),
        (json!({"method": "smartcard", "assurance": "multi"}), "multi"),
    ] {
        let response = open(&app, &admin, ann, body).await;
        assert_eq!(response.status, 201, "{}", response.json);
        assert_eq!(response.header("cache-control"), "no-store");
        let members: Vec<_> = response.data().as_object().expect("an object").keys().collect();
        assert_eq!(
            members,
            [
                "access_token",
                "access_token_expires_at",
                "expires_in",
                "refresh_token",
                "refresh_token_expires_at",
                "token_type",
            ]
        );
        let token = response.data()["access_token"].as_str().expect("a token");
        let sessions = app.get("/api/v1/sessions").bearer(token).send().await;
        let current = sessions.data().as_array().expect("a list").iter();
        let current = current.filter(|session| session["current"] == true).collect::<Vec<_>>();
        assert_eq!(current.len(), 1);
        assert_eq!(current[0]["methods"], json!(["vouched"]));
        assert_eq!(current[0]["assurance"], assurance);
        assert_eq!(current[0]["authenticated_at"], current[0]["created_at"]);
        let refresh = json!({"refresh_token": response.data()["refresh_token"]});
        let refreshed = app.post("/api/v1/auth/refresh").json(&refresh).send().await;
        assert_eq!(refreshed.status, 200);
    }
}

on_every_backend!(operator_signs_in_only_users_that_it_may_act_on);

/// G7, A2
async fn operator_signs_in_only_users_that_it_may_act_on(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (admin, operator) = (app.admin().await, app.operator().await);
    let ann = app.client().await;
    let body = || json!({"method": "ldap"});
    let outcome = async |by: &TestUser, user| open(&app, by, user, body()).await;
    assert_eq!(outcome(&ann, ann.id).await.failure(), (403, "forbidden"));
    assert_eq!(outcome(&operator, ann.id).await.failure(), (403, "forbidden"));
    assert_eq!(outcome(&admin, admin.id).await.failure(), (403, "outranked"));
    let unknown = UserId::from_u128(7);
    assert_eq!(outcome(&admin, unknown).await.failure(), (404, "not-found"));
    let system = || Actor::system("a test");
    app.goat.roles().grant(system(), "operator", SESSION_CREATE).await.expect("granted");
    assert_eq!(outcome(&operator, ann.id).await.status, 201);
    assert_eq!(outcome(&operator, admin.id).await.failure(), (403, "outranked"));
    let inactive = app.add("ida@example.org", "client", Status::Inactive).await;
    assert_eq!(outcome(&operator, inactive).await.failure(), (403, "account-inactive"));
    let suspended = app.goat.users().change_status(system(), ann.id, Status::Suspended).await;
    suspended.expect("suspended");
    assert_eq!(outcome(&operator, ann.id).await.failure(), (403, "account-suspended"));
}

#[tokio::test]
async fn method_and_assurance_are_validated() {
    let app = TestApp::new().await;
    let (admin, ann) = (app.admin().await, app.client().await);
    for (body, fields) in [
        (json!({}), vec!["method"]),
        (json!({"method": ""}), vec!["method"]),
        (json!({"method": "LDAP"}), vec!["method"]),
        (json!({"method": "x".repeat(33)}), vec!["method"]),
        (json!({"method": "l_d", "assurance": "high"}), vec!["method", "assurance"]),
        (json!({"method": "ldap", "assurance": null}), vec!["assurance"]),
        (json!({"method": "ldap", "password": PASSWORD}), vec!["password"]),
    ] {
        let response = open(&app, &admin, ann.id, body.clone()).await;
        assert_eq!(
            (response.failure(), response.fields()),
            ((400, "validation"), fields),
            "{body}"
        );
    }
}
