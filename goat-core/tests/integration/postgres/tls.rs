//! TLS, as configured by the URL.

use std::time::Duration;

use goat_core::StoreError;
use goat_core::store::sql::{PostgresDatabase, PostgresOptions};
use goat_engines::Postgres;

const PASSWORD: &str = "canary-of-the-quay";

fn server() -> Postgres {
    Postgres::start(goat_engines::PostgresOptions {
        tls: true,
        password: Some(PASSWORD.to_owned()),
        ..Default::default()
    })
}

async fn ping(url: &str) -> Result<(), StoreError> {
    let options =
        PostgresOptions { acquire_timeout: Duration::from_secs(10), ..PostgresOptions::new(url) };
    PostgresDatabase::open(&options).expect("a URL").users().ping().await
}

fn unavailable(answer: Result<(), StoreError>, word: &str) {
    let error = answer.expect_err(word);
    let shown = format!("{error:?} {error}");
    assert!(error.is_unavailable(), "{shown}");
    assert!(shown.contains(word), "{shown}");
    assert!(!shown.contains(PASSWORD) && !shown.contains("postgres://"), "{shown}");
}

/// L1: an untrusted server is an error with its reason and without secrets.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_authority_of_the_url_is_trusted() {
    let (server, other) = (server(), server());
    let [ours, others] =
        [&server, &other].map(|one| one.authority().expect("it speaks TLS").display().to_string());
    let url = server.url();
    ping(&format!("{url}?sslmode=verify-full&sslrootcert={ours}")).await.expect("it is trusted");
    ping(&format!("{url}?sslmode=verify-ca&sslrootcert={ours}")).await.expect("it is trusted");
    ping(&format!("{url}?sslmode=require")).await.expect("not verified");

    let answer = ping(&format!("{url}?sslmode=verify-full&sslrootcert={others}")).await;
    unavailable(answer, "certificate");
    // The same server by a name that the certificate does not have.
    let renamed = url.replace("127.0.0.1", "0.0.0.0");
    ping(&format!("{renamed}?sslmode=verify-ca&sslrootcert={ours}")).await.expect("it is trusted");
    let answer = ping(&format!("{renamed}?sslmode=verify-full&sslrootcert={ours}")).await;
    unavailable(answer, "certificate");
    // The server requires TLS.
    unavailable(ping(&format!("{url}?sslmode=disable")).await, "28000");
    let wrong = url.replace(PASSWORD, "another");
    unavailable(ping(&format!("{wrong}?sslmode=verify-full&sslrootcert={ours}")).await, "28P01");
}
