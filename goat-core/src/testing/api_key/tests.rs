//! Keys for tests: owners, rights, and the messages of failures.

use std::time::Duration;

use super::*;

const READ: Permission = Permission::new("report:read");
const WRITE: Permission = Permission::new("report:write");

/// The panic message of a failed creation.
async fn panic_of(creation: impl Future<Output = TestKey> + Send + 'static) -> String {
    let error = tokio::spawn(creation).await.expect_err("a failure");
    *error.into_panic().downcast::<String>().expect("a message")
}

async fn may(goat: &Goat, key: &TestKey) -> (bool, bool) {
    let principal = goat.authenticate_token(key.text()).await.expect("a principal");
    (principal.may(&READ), principal.may(&WRITE))
}

#[tokio::test]
async fn a_service_account_has_exactly_the_requested_permissions() {
    let test = TestGoat::new();
    let reader = test.service("reader", [READ]).await;
    let writer = test.service("writer", [READ, WRITE]).await;
    assert_eq!(may(&test.goat, &reader).await, (true, false));
    assert_eq!(may(&test.goat, &writer).await, (true, true));
    let again = test.service("reader", [READ]).await;
    assert_eq!(again.key.owner, reader.key.owner);
    assert_ne!(again.key.id, reader.key.id);
}

#[tokio::test]
async fn a_key_of_a_user_has_its_scopes() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [READ, WRITE]).await;
    let scopes = Scopes::only([READ]).expect("a few permissions");
    assert_eq!(
        may(&test.goat, &test.goat.testing().key(&alice, scopes).await).await,
        (true, false)
    );
    let whole = test.goat.testing().key(&alice, Scopes::Role).await;
    assert_eq!(may(&test.goat, &whole).await, (true, true));
}

#[tokio::test]
async fn a_failure_names_its_reason_and_the_caller() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let scopes = Scopes::only([READ]).expect("a few permissions");
    let message = panic_of(test.goat.testing().key(&alice, scopes)).await;
    assert!(message.contains("which lacks report:read"), "{message}");
    assert!(message.contains(file!()), "{message}");
    test.clock.advance(Duration::from_secs(301));
    let message = panic_of(test.goat.testing().key(&alice, Scopes::Role)).await;
    assert!(message.contains(file!()), "{message}");
    let message = panic_of(test.service("no name", [])).await;
    assert!(message.contains(r#""no name" is not created as a service account at"#), "{message}");
}
