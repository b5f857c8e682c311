//! The first administrator of an application that mounts the API.

use goat_core::Status;
use goat_core::testing::{Failpoints, Point};
use goat_core::user::UserFilter;
use goat_server::{FirstAdministrator, FirstAdministratorError, first_administrator};
use serde_json::json;

use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, TestApp};
use crate::support::backend::Backend;

const EMAIL: &str = "ann@example.org";

async fn users(app: &TestApp) -> usize {
    app.goat.users().list_all(UserFilter::default()).await.expect("a page").users.len()
}

on_every_backend!(the_first_administrator_is_created_once);

async fn the_first_administrator_is_created_once(backend: Backend) {
    let app = TestApp::on(backend).await;
    let first = first_administrator(&app.goat, EMAIL, PASSWORD).await.expect("created");
    assert_eq!(first, FirstAdministrator::Created);
    let body = json!({"email": EMAIL, "password": PASSWORD});
    let signed_in = app.post("/api/v1/auth/login").json(&body).send().await;
    assert_eq!(signed_in.data()["user"]["role"], "admin");
    // Nothing else is read, checked or changed by a later start.
    for (email, password) in [(EMAIL, "another long walk here"), ("no address", "short")] {
        let again = first_administrator(&app.goat, email, password).await.expect("it exists");
        assert_eq!(again, FirstAdministrator::Existing);
    }
    assert_eq!(app.post("/api/v1/auth/login").json(&body).send().await.status, 200);
    assert_eq!(users(&app).await, 1);
}

on_every_backend!(concurrent_starts_create_one_administrator);

async fn concurrent_starts_create_one_administrator(backend: Backend) {
    let stores = backend.open().await;
    let (stores, failpoints): (_, Failpoints) = stores.with_failpoints();
    let app = TestApp::over(stores, |_| {}).await;
    // The slower one has found no administrator, and is about to create one.
    let held = failpoints.hold("users.write", Point::Entry);
    let goat = app.goat.clone();
    let slower = tokio::spawn(async move { first_administrator(&goat, EMAIL, PASSWORD).await });
    held.reached().await;
    let faster = first_administrator(&app.goat, EMAIL, PASSWORD).await.expect("created");
    assert_eq!(faster, FirstAdministrator::Created);
    held.release();
    let slower = slower.await.expect("no panic").expect("it exists");
    assert_eq!(slower, FirstAdministrator::Existing);
    assert_eq!(users(&app).await, 1);
}

#[tokio::test]
async fn rules_of_the_server_apply() {
    let app = TestApp::new().await;
    let of = async |email: &str, password: &str| {
        let error = first_administrator(&app.goat, email, password).await.expect_err("refused");
        // L1
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(EMAIL) && !shown.contains(password), "{shown}");
        error
    };
    assert!(matches!(of("ann", PASSWORD).await, FirstAdministratorError::InvalidEmail(_)));
    let weak = of(EMAIL, "passwordpassword").await;
    assert!(matches!(weak, FirstAdministratorError::InvalidPassword(_)));
    assert!(weak.to_string().starts_with("the password "), "{weak}");
    assert_eq!(users(&app).await, 0);

    app.add(EMAIL, "client", Status::Active).await;
    assert!(matches!(of(EMAIL, PASSWORD).await, FirstAdministratorError::NotAnAdministrator));
    app.add("ben@example.org", "admin", Status::Inactive).await;
    let inactive = of("ben@example.org", PASSWORD).await;
    assert!(matches!(inactive, FirstAdministratorError::NotActive));
}
