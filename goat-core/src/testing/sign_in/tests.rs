//! Who signs in, under which role, and what a test is told that asked for the impossible.

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

/// A goat as an application would build it, but for what a test would wait for.
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

/// What a sign-in that fails says.
async fn panic_of(sign_in: impl Future<Output = TestUser> + Send + 'static) -> String {
    let error = tokio::spawn(sign_in).await.expect_err("it should fail");
    *error.into_panic().downcast::<String>().expect("a message")
}

#[tokio::test]
async fn who_signs_in_may_what_was_asked_for_and_nothing_else() {
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
async fn who_signs_in_again_is_the_same_user_in_another_session() {
    let test = TestGoat::new();
    let first = test.sign_in("ann", [READ]).await;
    let again = test.goat.testing().sign_in("ann", [WRITE]).await;
    assert_eq!(first.user.id, again.user.id);
    assert_ne!(first.session, again.session);
    assert_eq!(may(&test.goat, &first).await, (false, true));
}

#[tokio::test]
async fn exactly_these_permissions_are_what_the_role_has_now() {
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
async fn who_lost_their_permissions_gains_none_by_the_next_who_signs_in() {
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
async fn who_sign_in_at_once_are_one_user_each_and_get_what_was_asked_for() {
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
async fn an_applications_goat_signs_in_under_the_role_that_has_exactly_these() {
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
async fn what_no_role_has_is_no_sign_in_and_changes_no_role() {
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
async fn spare_roles_come_to_an_end_and_the_failure_says_so() {
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
async fn a_sign_in_that_is_refused_says_what_to_do() {
    let goat =
        application(Settings { account_quota: Some(Quota::per_minute(2)), ..Settings::default() });
    let testing = goat.testing();
    let failure = panic_of(testing.sign_in_as("ann", "editor")).await;
    let roles = r#"the role "editor" must be one of reader, writer, head, director"#;
    assert!(failure.contains(roles), "{failure}");
    let failure = panic_of(testing.sign_in_as("a nn", "reader")).await;
    assert!(failure.contains("beginning of an e-mail address"), "{failure}");

    for _ in 0..2 {
        testing.sign_in_as("ann", "reader").await;
    }
    let failure = panic_of(testing.sign_in_as("ann", "reader")).await;
    assert!(failure.contains("account_quota: None"), "{failure}");

    let bob = testing.sign_in_as("bob", "reader").await.user.id;
    let actor = || Actor::system("a test");
    goat.users().change_status(actor(), bob, Status::Suspended).await.expect("suspended");
    let failure = panic_of(testing.sign_in_as("bob", "reader")).await;
    assert!(failure.contains("signing in fails: ") && failure.contains("suspended"), "{failure}");

    let carol = NewUser {
        email: Email::parse("carol@example.org").expect("an address"),
        password: "another pass phrase, not the test's".into(),
        role: goat.roles().lowest(),
        status: Status::Active,
    };
    goat.users().create(actor(), carol).await.expect("a user");
    let failure = panic_of(testing.sign_in_as("carol", "reader")).await;
    assert!(failure.contains("take another name"), "{failure}");
}

#[tokio::test]
async fn whatever_length_a_policy_asks_for_the_test_has_a_password() {
    for (minimum, maximum) in [(8, 9), (15, 256), (200, 1024)] {
        let passwords = PasswordPolicy::new(minimum, maximum).expect("a policy");
        let goat = application(Settings { passwords, ..Settings::default() });
        goat.testing().sign_in_as("ann", "reader").await;
    }
}

#[tokio::test]
async fn the_clock_of_a_test_goat_is_the_goats() {
    let test = TestGoat::new();
    let ann = test.sign_in("ann", [READ]).await;
    let before = test.goat.time().now();
    test.clock.advance(Duration::from_secs(3600));
    assert_eq!(test.goat.time().now().since(before), Duration::from_secs(3600));
    let error = test.goat.authenticate_token(ann.access_token()).await.expect_err("an old token");
    assert_eq!(error.kind(), ErrorKind::TokenExpired);
}
