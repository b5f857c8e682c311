//! Login: its cost, its responses, and its rate limit.

use std::time::Duration;

use goat_core::event::EventKind;
use goat_core::testing::{HasherCall, Point};
use goat_core::user::NewUser;
use goat_core::{ErrorKind, Quota, Status, Stores};

use crate::flows::support::{
    Backend, Harness, OTHER_PASSWORD, Outcome, PASSWORD, address, email, login, on_every_store,
    system,
};

/// E1, E2: every wrong attempt gives the same error at the same cost.
async fn an_admitted_attempt_costs_exactly_one_verification(backend: Backend) {
    let harness = Harness::on(backend);
    harness.user("ann", "client").await;
    let suspended = harness.user("sue", "client").await.id;
    let sus = harness.goat.users().change_status(system(), suspended, Status::Suspended).await;
    sus.expect("suspended");
    let new = NewUser {
        email: email("ida"),
        password: Some(PASSWORD.into()),
        role: harness.role("client"),
        status: Status::Inactive,
    };
    harness.goat.users().create(system(), new).await.expect("a user");
    let long = "x".repeat(1 << 20);
    let passwords = ["", "wrong", &long, "\0", "a\0b", "\u{202e}", "ﬁve wrong words in here"];
    let emails = [
        address("ann"),
        address("ida"),
        address("sue"),
        address("unknown"),
        "not an address".to_owned(),
        String::new(),
        "\0".to_owned(),
        long.clone(),
    ];
    let mut messages = Vec::new();
    for email in &emails {
        for password in passwords {
            drop(harness.hasher.take_calls());
            let error = login(&harness.goat, email.as_str(), password).await.expect_err("wrong");
            assert_eq!(error.kind(), ErrorKind::InvalidCredentials);
            messages.push((error.to_string(), error.client_message().to_owned()));
            let calls = harness.hasher.take_calls();
            assert!(matches!(calls[..], [HasherCall::Verify { .. }]), "{calls:?}");
        }
    }
    messages.dedup();
    assert_eq!(messages.len(), 1, "the same error for all of them");

    for (name, kind) in [
        ("ann", None),
        ("ida", Some(ErrorKind::AccountInactive)),
        ("sue", Some(ErrorKind::AccountSuspended)),
    ] {
        drop(harness.hasher.take_calls());
        assert_eq!(harness.try_sign_in(name).await.kind(), kind);
        assert_eq!(harness.hasher.take_calls(), [HasherCall::Verify { generation: Some(0) }]);
    }
}

/// E1: an unknown account costs a hash with the current parameters.
async fn an_unknown_account_is_verified_against_the_dummy_hash(backend: Backend) {
    let harness = Harness::on(backend);
    assert!(harness.try_sign_in("unknown").await.is_err());
    assert_eq!(harness.hasher.take_calls(), [HasherCall::Verify { generation: None }]);
}

/// E1: unknown accounts cost the current parameters, and a known one those of its stored hash, which the
/// next sign-in replaces; neither a warm cache nor an earlier attempt makes a difference.
async fn the_cost_of_an_attempt_is_that_of_its_account(backend: Backend) {
    const DUMMY: HasherCall = HasherCall::Verify { generation: None };
    let verify = |generation| HasherCall::Verify { generation: Some(generation) };
    let harness = Harness::on(backend);
    let ann = harness.member("ann", "client").await;
    harness.user("bob", "client").await;
    let suspended = harness.user("sue", "client").await.id;
    let sus = harness.goat.users().change_status(system(), suspended, Status::Suspended).await;
    sus.expect("suspended");
    harness.hasher.change_parameters();
    // Twice: cold, and with everything in the caches.
    for _ in 0..2 {
        harness.principal(&ann.tokens).await;
        for (name, expected) in
            [("ann", verify(0)), ("bob", verify(0)), ("sue", verify(0)), ("unknown", DUMMY)]
        {
            drop(harness.hasher.take_calls());
            let wrong = login(&harness.goat, address(name), "wrong").await;
            assert_eq!(wrong.kind(), Some(ErrorKind::InvalidCredentials), "{name}");
            assert_eq!(harness.hasher.take_calls(), [expected], "{name}");
        }
    }
    // A status that is revealed costs nothing more, nor does it renew the hash.
    assert_eq!(harness.try_sign_in("sue").await.kind(), Some(ErrorKind::AccountSuspended));
    assert_eq!(harness.hasher.take_calls(), [verify(0)]);
    harness.sign_in("bob").await;
    assert_eq!(harness.hasher.take_calls(), [verify(0), HasherCall::Hash { generation: 1 }]);
    assert!(login(&harness.goat, address("bob"), "wrong").await.is_err());
    assert_eq!(harness.hasher.take_calls(), [verify(1)]);
}

/// E1: a limited attempt costs no hash, for every account alike.
async fn a_limited_attempt_costs_no_hash_for_any_account(backend: Backend) {
    let harness = five_a_minute(backend);
    harness.user("ann", "client").await;
    let suspended = harness.user("sue", "client").await.id;
    let sus = harness.goat.users().change_status(system(), suspended, Status::Suspended).await;
    sus.expect("suspended");
    for email in [address("ann"), address("sue"), address("unknown"), "no address".to_owned()] {
        for _ in 0..5 {
            assert!(login(&harness.goat, email.as_str(), "wrong").await.is_err());
        }
        drop(harness.hasher.take_calls());
        for password in ["wrong", PASSWORD, ""] {
            let limited = login(&harness.goat, email.as_str(), password).await;
            assert_eq!(limited.kind(), Some(ErrorKind::RateLimited), "{email}");
        }
        assert_eq!(harness.hasher.take_calls(), [], "{email}");
    }
}

/// P6
async fn a_sign_in_renews_an_outdated_hash_once(backend: Backend) {
    let harness = Harness::on(backend);
    harness.user("ann", "client").await;
    harness.hasher.change_parameters();
    harness.events.take();
    drop(harness.hasher.take_calls());
    assert!(login(&harness.goat, address("ann"), "wrong").await.is_err());
    assert_eq!(harness.hasher.hashes(), 0, "a wrong password causes no rehash");
    harness.sign_in("ann").await;
    assert_eq!((harness.hasher.verifications(), harness.hasher.hashes()), (2, 1));
    assert!(harness.events.take_kinds().contains(&EventKind::PasswordRehashed));
    let user = harness.sign_in("ann").await.user;
    assert_eq!((harness.hasher.verifications(), harness.hasher.hashes()), (3, 1));
    // Nothing else of the user has changed.
    assert_eq!(user.updated_at, user.created_at);
}

/// P6, R7: a late rehash does not overwrite a new password.
async fn a_late_rehash_does_not_restore_an_old_password(backend: Backend) {
    let harness = Harness::on(backend);
    let id = harness.user("ann", "client").await.id;
    harness.hasher.change_parameters();
    let held = harness.failpoints.hold("users.signed_in", Point::Entry);
    let slow = tokio::spawn({
        let goat = harness.goat.clone();
        async move { login(&goat, address("ann"), PASSWORD).await }
    });
    held.reached().await;
    let set = harness.goat.users().reset_password(system(), id, OTHER_PASSWORD.into()).await;
    set.expect("a new password");
    held.release();
    drop(slow.await.expect("no panic"));
    assert_eq!(harness.try_sign_in("ann").await.kind(), Some(ErrorKind::InvalidCredentials));
    login(&harness.goat, address("ann"), OTHER_PASSWORD).await.expect("the new one");
}

fn five_a_minute(backend: Backend) -> Harness {
    Harness::with(backend, |settings| settings.account_quota = Some(Quota::per_minute(5)))
}

/// B1, B2
async fn parallel_guesses_are_hashed_at_most_as_often_as_the_quota_allows(backend: Backend) {
    let harness = five_a_minute(backend);
    harness.user("ann", "client").await;
    for name in ["ann", "unknown"] {
        drop(harness.hasher.take_calls());
        let spellings = [
            format!("{name}@example.org"),
            format!("  {name}@example.org\t"),
            format!("{}@EXAMPLE.org", name.to_uppercase()),
            format!("{name}@Ｅxample.org"),
        ];
        let guesses: Vec<_> = (0..100)
            .map(|number| {
                let (goat, email) = (harness.goat.clone(), spellings[number % 4].clone());
                tokio::spawn(async move { login(&goat, email, &format!("guess {number}")).await })
            })
            .collect();
        let mut refused = 0;
        for guess in guesses {
            let error = guess.await.expect("no panic").expect_err("a wrong guess");
            if error.kind() == ErrorKind::RateLimited {
                refused += 1;
                assert_eq!(error.retry_after(), Some(Duration::from_secs(60)));
                assert_eq!(error.decisions().len(), 1);
            }
        }
        assert_eq!((refused, harness.hasher.verifications()), (95, 5), "{name}");
    }
}

/// B1: texts that are not addresses are limited too, normalized to one key.
async fn texts_that_are_not_addresses_are_limited_too(backend: Backend) {
    let harness = five_a_minute(backend);
    for number in 0..8 {
        let text = if number % 2 == 0 { " Not An Address" } else { "not an address " };
        let expected =
            if number < 5 { ErrorKind::InvalidCredentials } else { ErrorKind::RateLimited };
        assert_eq!(login(&harness.goat, text, PASSWORD).await.kind(), Some(expected));
    }
    assert_eq!(harness.hasher.verifications(), 5);
}

/// B3, E1: a limited attempt costs no hash, and the limit ends by itself.
async fn a_limited_account_can_sign_in_after_the_wait(backend: Backend) {
    let harness = five_a_minute(backend);
    harness.user("ann", "client").await;
    for _ in 0..5 {
        assert!(login(&harness.goat, address("ann"), "wrong").await.is_err());
    }
    harness.events.take();
    drop(harness.hasher.take_calls());
    let error =
        harness.try_sign_in("ann").await.expect_err("limited, also with the right password");
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert!(harness.hasher.take_calls().is_empty());
    assert_eq!(harness.events.take_kinds(), [EventKind::Limited("account".to_owned())]);
    harness.clock.advance(error.retry_after().expect("a wait"));
    harness.sign_in("ann").await;
}

/// B8
async fn a_failing_limit_store_rejects_logins(backend: Backend) {
    use goat_core::testing::limits::FailingLimits;
    let harness = five_a_minute(backend);
    harness.user("ann", "client").await;
    let limits = std::sync::Arc::new(FailingLimits);
    let goat = harness.node(Stores { limits, ..harness.stores.clone() });
    let refused = login(&goat, address("ann"), PASSWORD).await.kind();
    assert_eq!(refused, Some(ErrorKind::Unavailable));
    assert_eq!(harness.hasher.verifications(), 0);
}

async fn a_login_above_the_session_cap_evicts_the_oldest(backend: Backend) {
    let harness = Harness::with(backend, |settings| settings.sessions_per_user = 2);
    let first = harness.member("ann", "client").await.tokens;
    harness.principal(&first).await;
    harness.advance(1);
    let second = harness.sign_in("ann").await.tokens;
    harness.principal(&first).await;
    harness.principal(&second).await;
    harness.events.take();
    harness.clock.advance(Duration::from_millis(1));
    let third = harness.sign_in("ann").await.tokens;
    assert_eq!(harness.authenticate(&first).await.kind(), Some(ErrorKind::SessionRevoked));
    harness.principal(&second).await;
    harness.principal(&third).await;
    assert!(harness.events.take_kinds().contains(&EventKind::SessionsEvicted(1)));
}

/// A created session is reported, and the evicted one leaves the cache, even if the caller is
/// dropped.
async fn a_login_completes_after_its_caller_is_dropped(backend: Backend) {
    let harness = Harness::with(backend, |settings| settings.sessions_per_user = 1);
    let first = harness.member("ann", "client").await.tokens;
    harness.principal(&first).await;
    harness.clock.advance(Duration::from_millis(1));
    harness.events.take();
    let held = harness.failpoints.hold("sessions.create", Point::Return);
    let abandoned = tokio::spawn({
        let goat = harness.goat.clone();
        async move { login(&goat, address("ann"), PASSWORD).await }
    });
    held.reached().await;
    abandoned.abort();
    assert!(abandoned.await.expect_err("aborted").is_cancelled());
    held.release();
    // The next events come after those of the abandoned login.
    harness.events.wait_for(|kind| *kind == EventKind::SignedIn).await;
    assert_eq!(harness.authenticate(&first).await.kind(), Some(ErrorKind::SessionRevoked));
}

/// The device is truncated, by characters.
async fn a_long_device_is_truncated_to_256_characters(backend: Backend) {
    use goat_core::PageRequest;
    use goat_core::auth::Login;
    use goat_core::session::Origin;
    let harness = Harness::on(backend);
    harness.user("ann", "client").await;
    let origin = Origin { device: Some("ü".repeat(300)), ..Origin::default() };
    let login = Login {
        email: address("ann").into(),
        password: PASSWORD.into(),
        device_token: None,
        origin,
    };
    let tokens = harness.goat.login(login).await.expect("a session").value.tokens;
    let me = harness.principal(&tokens).await;
    let sessions = harness.goat.sessions().list(&me, PageRequest::default()).await.expect("a page");
    assert_eq!(sessions.items[0].device, "ü".repeat(256));
}

on_every_store![
    an_admitted_attempt_costs_exactly_one_verification,
    an_unknown_account_is_verified_against_the_dummy_hash,
    the_cost_of_an_attempt_is_that_of_its_account,
    a_limited_attempt_costs_no_hash_for_any_account,
    a_sign_in_renews_an_outdated_hash_once,
    a_late_rehash_does_not_restore_an_old_password,
    parallel_guesses_are_hashed_at_most_as_often_as_the_quota_allows,
    texts_that_are_not_addresses_are_limited_too,
    a_limited_account_can_sign_in_after_the_wait,
    a_failing_limit_store_rejects_logins,
    a_login_above_the_session_cap_evicts_the_oldest,
    a_login_completes_after_its_caller_is_dropped,
    a_long_device_is_truncated_to_256_characters,
];
