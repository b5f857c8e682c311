//! The backend of tests on PostgreSQL and Redis keeps its state there.

use goat_engines::{Postgres, Redis};
use serde_json::json;

use crate::support::app::{PASSWORD, TestApp};
use crate::support::backend::Backend;

#[tokio::test]
async fn state_is_stored_in_postgresql_and_redis() {
    let app = TestApp::on(Backend::PostgresAndRedis).await;
    let body = json!({"email": "ann@example.org", "password": PASSWORD});
    assert_eq!(app.post("/api/v1/auth/signup").json(&body).send().await.status, 201);
    let database = app.stores.database_name().expect("a database");
    let users = Postgres::shared().psql(database, "SELECT email FROM goat_users");
    assert_eq!(users, "ann@example.org");
    let response = app.post("/api/v1/auth/login").json(&body).send().await;
    let token = response.data()["access_token"].as_str().expect("a token");
    let profile = app.get("/api/v1/user").bearer(token).send().await;
    assert_eq!(profile.status, 200);
    let prefix = app.stores.prefix().expect("a prefix");
    let exists = |key: String| Redis::shared().cli(&["EXISTS", &format!("{prefix}:{key}")]) == "1";
    let id = profile.data()["id"].as_str().expect("an id");
    assert!(exists(format!("{{{id}}}:s")), "sessions");
    assert!(exists("{roles}:r".to_owned()), "shared cache");
    let limits = Redis::shared().cli(&["KEYS", &format!("{prefix}:*:*/*")]);
    assert!(!limits.is_empty(), "rate limits");
    let sessions = Postgres::shared().psql(database, "SELECT count(*) FROM goat_sessions");
    assert_eq!(sessions, "0");
}
