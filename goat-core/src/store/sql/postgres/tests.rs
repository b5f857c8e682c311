//! What can be said of PostgreSQL without one.

use super::{PostgresDatabase, PostgresOptions};
use crate::error::ErrorKind;

#[tokio::test]
async fn a_malformed_url_is_refused_without_being_shown() {
    for url in ["canary", "postgres://user:canary@host:port/x", "postgres://user:canary@[::/x"] {
        let options = PostgresOptions::new(url);
        assert!(!format!("{options:?}").contains("canary"));
        let error = PostgresDatabase::open(&options).expect_err("no URL");
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(!format!("{error:?} {error}").contains("canary"), "{error:?}");
    }
}

/// O1: nobody answers at this address, and nothing is asked of it before the first call.
#[tokio::test]
async fn a_database_that_does_not_answer_is_unavailable() {
    let options = PostgresOptions {
        acquire_timeout: std::time::Duration::from_millis(20),
        ..PostgresOptions::new("postgres://goat:secret@127.0.0.1:1/goat")
    };
    let database = PostgresDatabase::open(&options).expect("a URL");
    let error = database.users().ping().await.expect_err("nobody answers");
    assert!(error.is_unavailable(), "{error:?}");
    let error = database.migrate(crate::store::sql::MigrateOptions::default()).await;
    assert!(error.expect_err("nobody answers").is_unavailable());
}
