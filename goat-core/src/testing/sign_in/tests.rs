//! Sign-in for tests: users, roles, and the messages of failed sign-ins.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::access::RoleSet;
use crate::limit::Quota;
use crate::settings::Settings;
use crate::store::Stores;
use crate::testing::{ManualClock, PlainHasher, TestGoat};
use crate::token::TokenKeys;

const READ: Permission = Permission::new("report:read");
const WRITE: Permission = Permission::new("report:write");
const WHOLE: Permission = Permission::new("report:*");

/// A goat as an application builds it, without slow parts.
fn application(settings: Settings) -> Goat {
    let roles = RoleSet::new([
        ("reader", vec!["report:read"]),
        ("writer", vec!["report:read", "report:write"]),
        ("head", vec!["report:*", "report:read"]),
        ("director", vec!["full_access"]),
    ]);
    Goat::builder(Stores::memory(), TokenKeys::generate())
        .roles(roles.expect("a set of roles"))
        .settings(settings)
        .hasher(Arc::new(PlainHasher::default()))
        .clock(Arc::new(ManualClock::default()))
        .build()
        .expect("a goat")
}

async fn may(goat: &Goat, user: &TestUser) -> (bool, bool) {
    let principal = goat.authenticate_token(user.access_token()).await.expect("a principal");
    (principal.may(&READ), principal.may(&WRITE))
}

/// The panic message of a failed sign-in.
async fn panic_of(sign_in: impl Future<Output = TestUser> + Send + 'static) -> String {
    let error = tokio::spawn(sign_in).await.expect_err("a failure");
    *error.into_panic().downcast::<String>().expect("a message")
}

#[tokio::test]
async fn a_user_has_exactly_the_requested_permissions() {
    let test = TestGoat::new();
    let ann = test.sign_in("ann", [READ]).await;
    let bob = test.sign_in("bob", [WRITE, READ]).await;
    let cat = test.sign_in("cat", []).await;
    let dan = test.sign_in("dan", [Permission::FULL_ACCESS, READ]).await;
    let eve = test.goat.testing().sign_in("eve", [READ, WRITE, READ]).await;
    assert_eq!(may(&test.goat, &ann).await, (true, false));
    assert_eq!(may(&test.goat, &bob).await, (true, true));
    assert_eq!(may(&test.goat, &cat).await, (false, false));
    assert_eq!(may(&test.goat, &dan).await, (true, true));
    assert_eq!((cat.user.role.as_str(), dan.user.role.as_str()), ("client", "admin"));
    assert_eq!(eve.user.role, bob.user.role);
    assert_ne!(eve.user.role, ann.user.role);
}

#[tokio::test]
async fn signing_in_again_starts_another_session_of_the_same_user() {
    let test = TestGoat::new();
    let first = test.sign_in("ann", [READ]).await;
    let again = test.goat.testing().sign_in("ann", [WRITE]).await;
    assert_eq!(first.user.id, again.user.id);
    assert_ne!(first.session, again.session);
    assert_eq!(may(&test.goat, &first).await, (false, true));
}

#[tokio::test]
async fn roles_are_matched_by_their_current_permissions() {
    let test = TestGoat::new();
    let actor = || Actor::system("a test");
    let ann = test.sign_in("ann", [READ]).await;
    test.goat.roles().grant(actor(), ann.user.role.as_str(), WRITE).await.expect("a grant");
    let bob = test.sign_in("bob", [READ]).await;
    assert_eq!(may(&test.goat, &bob).await, (true, false));
    test.goat.roles().grant(actor(), "client", READ).await.expect("a grant");
    let cat = test.sign_in("cat", []).await;
    assert_eq!(may(&test.goat, &cat).await, (false, false));
}

#[tokio::test]
async fn a_role_that_lost_its_permissions_is_not_reused_while_assigned() {
    let test = TestGoat::new();
    let ann = test.sign_in("ann", [READ]).await;
    let roles = test.goat.roles();
    let grants = roles.grants_of(ann.user.role.as_str()).await.expect("grants");
    roles.revoke(Actor::system("a test"), grants[0].id).await.expect("revoked");
    let bob = test.sign_in("bob", [WRITE]).await;
    assert_ne!(bob.user.role, ann.user.role);
    assert_eq!(may(&test.goat, &ann).await, (false, false));
}

#[tokio::test]
async fn concurrent_sign_ins_of_one_name_are_one_user() {
    let test = TestGoat::new();
    let [read, write] = [READ, WRITE];
    let (ann, bob, again) = tokio::join!(
        test.sign_in("ann", [read]),
        test.sign_in("bob", [write]),
        test.sign_in("bob", [WRITE]),
    );
    assert_eq!(may(&test.goat, &ann).await, (true, false));
    assert_eq!(may(&test.goat, &bob).await, (false, true));
    assert_eq!(bob.user.id, again.user.id);
}

#[tokio::test]
async fn two_goats_over_the_same_stores_share_the_spare_roles() {
    let stores = Stores::memory();
    let (one, other) = (
        TestGoat::build(stores.clone(), |builder| builder),
        TestGoat::build(stores, |builder| builder),
    );
    let ann = one.sign_in("ann", [READ]).await;
    let bob = other.sign_in("bob", [WRITE]).await;
    let cat = other.sign_in("cat", [READ]).await;
    assert_ne!(ann.user.role, bob.user.role);
    assert_eq!(ann.user.role, cat.user.role);
}

#[tokio::test]
async fn an_application_goat_uses_the_role_with_exactly_these_permissions() {
    let goat = application(Settings::default());
    let testing = goat.testing();
    for (permissions, role) in [
        (vec![READ], "reader"),
        (vec![WRITE, READ], "writer"),
        (vec![WHOLE, WRITE], "head"),
        (vec![Permission::FULL_ACCESS], "director"),
    ] {
        let user = testing.sign_in("ann", permissions).await;
        assert_eq!(user.user.role.as_str(), role);
        let principal = goat.authenticate_token(user.access_token()).await.expect("a principal");
        assert_eq!((principal.user(), principal.role().as_str()), (user.user.id, role));
    }
    assert_eq!(testing.sign_in_as("bob", "writer").await.user.role.as_str(), "writer");
}

#[tokio::test]
async fn a_sign_in_without_a_matching_role_fails_and_changes_no_role() {
    let goat = application(Settings::default());
    let before = goat.roles().list().await.expect("roles");
    for (permissions, named) in [(vec![WRITE], "exactly report:write."), (vec![], "no permission.")]
    {
        let line = line!() + 1;
        let failure = panic_of(goat.testing().sign_in("ann", permissions)).await;
        let place = format!("\"ann\" cannot sign in at {}:{line}:", file!());
        assert!(failure.starts_with(&place), "{failure}");
        assert!(failure.contains(named) && failure.contains("sign_in_as("), "{failure}");
        assert!(failure.contains(r#""writer" (report:read report:write)"#), "{failure}");
        assert!(failure.contains("TestGoat"), "{failure}");
    }
    assert_eq!(goat.roles().list().await.expect("roles"), before);
    let ann = Email::parse("ann@example.org").expect("an address");
    assert_eq!(goat.users().find_by_email(&ann).await.expect("an answer"), None);
}

#[tokio::test]
async fn exhausted_spare_roles_are_reported() {
    let test = TestGoat::new();
    let permission = |index: usize| Permission::parse(&format!("report:r{index}")).expect("one");
    for index in 0..32 {
        test.sign_in("ann", [permission(index)]).await;
    }
    test.sign_in("ann", [permission(7)]).await;
    let failure = panic_of(test.sign_in("ann", [permission(32)])).await;
    assert!(failure.contains("all spare roles are taken"), "{failure}");
}

#[tokio::test]
async fn a_failed_sign_in_reports_the_remedy() {
    let goat =
        application(Settings { account_quota: Some(Quota::per_minute(2)), ..Settings::default() });
    let testing = goat.testing();
    let failure = panic_of(testing.sign_in_as("ann", "editor")).await;
    let roles = r#"the role "editor" must be one of reader, writer, head, director"#;
    assert!(failure.contains(roles), "{failure}");
    let failure = panic_of(testing.sign_in_as("a nn", "reader")).await;
    assert!(failure.contains("local part of an e-mail address"), "{failure}");

    for _ in 0..2 {
        testing.sign_in_as("ann", "reader").await;
    }
    let failure = panic_of(testing.sign_in_as("ann", "reader")).await;
    assert!(failure.contains("account_quota: None"), "{failure}");

    let bob = testing.sign_in_as("bob", "reader").await.user.id;
    let actor = || Actor::system("a test");
    goat.users().change_status(actor(), bob, Status::Suspended).await.expect("suspended");
    let failure = panic_of(testing.sign_in_as("bob", "reader")).await;
    assert!(failure.contains("cannot sign in: ") && failure.contains("suspended"), "{failure}");

    let carol = NewUser {
        email: Email::parse("carol@example.org").expect("an address"),
        password: Some("another pass phrase, not the test's".into()),
        role: goat.roles().lowest(),
        status: Status::Active,
    };
    goat.users().create(actor(), carol).await.expect("a user");
    let failure = panic_of(testing.sign_in_as("carol", "reader")).await;
    assert!(failure.contains("use another name"), "{failure}");
}

#[tokio::test]
async fn the_password_satisfies_any_length_policy() {
    for (minimum, maximum) in [(8, 9), (15, 256), (200, 1024)] {
        let passwords = PasswordPolicy::new(minimum, maximum).expect("a policy");
        let goat = application(Settings { passwords, ..Settings::default() });
        goat.testing().sign_in_as("ann", "reader").await;
    }
}

#[tokio::test]
async fn the_goat_uses_the_clock_of_the_test() {
    let test = TestGoat::new();
    let ann = test.sign_in("ann", [READ]).await;
    let before = test.goat.time().now();
    test.clock.advance(Duration::from_secs(3600));
    assert_eq!(test.goat.time().now().since(before), Duration::from_secs(3600));
    let error = test.goat.authenticate_token(ann.access_token()).await.expect_err("an old token");
    assert_eq!(error.kind(), ErrorKind::TokenExpired);
}
