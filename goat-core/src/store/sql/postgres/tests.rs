//! PostgreSQL storage without a server.

use super::{PostgresDatabase, PostgresOptions};
use crate::error::ErrorKind;

#[tokio::test]
async fn malformed_url_is_rejected_and_not_shown() {
    for url in ["canary", "postgres://user:canary@host:port/x", "postgres://user:canary@[::/x"] {
        let options = PostgresOptions::new(url);
        assert!(!format!("{options:?}").contains("canary"));
        let error = PostgresDatabase::open(&options).expect_err("no URL");
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(!format!("{error:?} {error}").contains("canary"), "{error:?}");
    }
}

/// O1: opening does not connect, and a call to an address without a server is unavailable.
#[tokio::test]
async fn database_without_a_server_is_unavailable() {
    let options = PostgresOptions {
        acquire_timeout: std::time::Duration::from_millis(20),
        ..PostgresOptions::new("postgres://goat:secret@127.0.0.1:1/goat")
    };
    let database = PostgresDatabase::open(&options).expect("a URL");
    let error = database.users().ping().await.expect_err("no server");
    assert!(error.is_unavailable(), "{error:?}");
    let error = database.migrate(crate::store::sql::MigrateOptions::default()).await;
    assert!(error.expect_err("no server").is_unavailable());
}

/// O1: a server that shuts down, or a proxy before it, accepts the connection and closes it at any
/// point.
#[tokio::test]
async fn server_that_closes_the_connection_is_unavailable() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    for sent in [&b""[..], b"N", b"HTTP/1.1 503 Service Unavailable\r\n\r\n"] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let server = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut request = [0; 8];
                if client.read_exact(&mut request).await.is_ok() {
                    let _ = client.write_all(sent).await;
                }
            }
        });
        let options = PostgresOptions {
            acquire_timeout: std::time::Duration::from_millis(500),
            ..PostgresOptions::new(format!("postgres://goat:secret@127.0.0.1:{port}/goat"))
        };
        let database = PostgresDatabase::open(&options).expect("a URL");
        let error = database.users().ping().await.expect_err("no answer");
        assert!(error.is_unavailable(), "{sent:?}: {error:?}");
        server.abort();
    }
}
