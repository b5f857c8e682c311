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

/// O1: a server that goes down, or what stands before one that is down, takes the connection, and
/// ends it whenever it likes.
#[tokio::test]
async fn a_database_that_hangs_up_is_unavailable_however_little_it_has_said() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    for said in [&b""[..], b"N", b"HTTP/1.1 503 Service Unavailable\r\n\r\n"] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let server = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut request = [0; 8];
                if client.read_exact(&mut request).await.is_ok() {
                    let _ = client.write_all(said).await;
                }
            }
        });
        let options = PostgresOptions {
            acquire_timeout: std::time::Duration::from_millis(500),
            ..PostgresOptions::new(format!("postgres://goat:secret@127.0.0.1:{port}/goat"))
        };
        let database = PostgresDatabase::open(&options).expect("a URL");
        let error = database.users().ping().await.expect_err("no answer");
        assert!(error.is_unavailable(), "{said:?}: {error:?}");
        server.abort();
    }
}
