//! Tests on every backend, and the proof that PostgreSQL and Redis are in use there.

use goat_engines::{Postgres, Redis};
use serde_json::json;

use crate::support::app::{PASSWORD, TestApp};
use crate::support::backend::Backend;

/// Runs a test, a function of a [`Backend`], on both backends that the server ships with: the
/// embedded one, and PostgreSQL with Redis.
macro_rules! on_every_backend {
    ($test:ident) => {
        on_every_backend!($test, flavor = "current_thread");
    };
    (multi_thread $test:ident) => {
        on_every_backend!($test, flavor = "multi_thread", worker_threads = 4);
    };
    ($test:ident, $($runtime:tt)+) => {
        mod $test {
            use $crate::support::backend::Backend;

            #[tokio::test($($runtime)+)]
            async fn sqlite() {
                super::$test(Backend::Sqlite).await;
            }

            #[tokio::test($($runtime)+)]
            async fn postgres_and_redis() {
                super::$test(Backend::PostgresAndRedis).await;
            }
        }
    };
}
pub(crate) use on_every_backend;

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
