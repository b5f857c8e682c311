//! Sign-in: what it costs, what it tells, and how often it may be tried.

use std::time::Duration;

use goat_core::event::EventKind;
use goat_core::testing::{HasherCall, Point};
use goat_core::user::NewUser;
use goat_core::{ErrorKind, Quota, Status, Stores};

use crate::support::{
    Ground, House, OTHER_PASSWORD, Outcome, PASSWORD, address, email, login, on_every_store, system,
};

/// E1, E2: whatever is wrong, the answer is one, and so is the price.
async fn an_admitted_attempt_costs_exactly_one_verification(ground: Ground) {
    let house = House::on(ground);
    house.user("ann", "client").await;
    let suspended = house.user("sue", "client").await.id;
    let sus = house.goat.users().change_status(system(), suspended, Status::Suspended).await;
    sus.expect("suspended");
    let new = NewUser {
        email: email("ida"),
        password: PASSWORD.into(),
        role: house.role("client"),
        status: Status::Inactive,
    };
    house.goat.users().create(system(), new).await.expect("a user");
    let long = "x".repeat(1 << 20);
    let passwords = ["", "wrong", &long, "\0", "a\0b", "\u{202e}", "ﬁve wrong words in here"];
    let emails = [
        address("ann"),
        address("ida"),
        address("sue"),
        address("nobody"),
        "not an address".to_owned(),
        String::new(),
        "\0".to_owned(),
        long.clone(),
    ];
    let mut messages = Vec::new();
    for email in &emails {
        for password in passwords {
            drop(house.hasher.take_calls());
            let error = login(&house.goat, email.as_str(), password).await.expect_err("wrong");
            assert_eq!(error.kind(), ErrorKind::InvalidCredentials);
            messages.push((error.to_string(), error.client_message().to_owned()));
            let calls = house.hasher.take_calls();
            assert!(matches!(calls[..], [HasherCall::Verify { .. }]), "{calls:?}");
        }
    }
    messages.dedup();
    assert_eq!(messages.len(), 1, "one answer for all of them");

    for (name, kind) in [
        ("ann", None),
        ("ida", Some(ErrorKind::AccountInactive)),
        ("sue", Some(ErrorKind::AccountSuspended)),
    ] {
        drop(house.hasher.take_calls());
        assert_eq!(house.try_sign_in(name).await.kind(), kind);
        assert_eq!(house.hasher.take_calls(), [HasherCall::Verify { generation: Some(0) }]);
    }
}

/// E1: an unknown account costs the current parameters.
async fn an_unknown_account_is_verified_against_the_decoy(ground: Ground) {
    let house = House::on(ground);
    assert!(house.try_sign_in("nobody").await.is_err());
    assert_eq!(house.hasher.take_calls(), [HasherCall::Verify { generation: None }]);
}

/// P6
async fn a_sign_in_renews_an_outdated_hash_once(ground: Ground) {
    let house = House::on(ground);
    house.user("ann", "client").await;
    house.hasher.change_parameters();
    house.events.take();
    drop(house.hasher.take_calls());
    assert!(login(&house.goat, address("ann"), "wrong").await.is_err());
    assert_eq!(house.hasher.hashes(), 0, "only a password that is right is hashed anew");
    house.sign_in("ann").await;
    assert_eq!((house.hasher.verifications(), house.hasher.hashes()), (2, 1));
    assert!(house.events.take_kinds().contains(&EventKind::PasswordRehashed));
    let user = house.sign_in("ann").await.user;
    assert_eq!((house.hasher.verifications(), house.hasher.hashes()), (3, 1));
    // Nothing else of the user has changed.
    assert_eq!(user.updated_at, user.created_at);
}

/// P6, R7: a hash that is renewed late does not undo a new password.
async fn a_late_renewal_does_not_bring_an_old_password_back(ground: Ground) {
    let house = House::on(ground);
    let id = house.user("ann", "client").await.id;
    house.hasher.change_parameters();
    let held = house.pauses.hold("users.signed_in", Point::Entry);
    let slow = tokio::spawn({
        let goat = house.goat.clone();
        async move { login(&goat, address("ann"), PASSWORD).await }
    });
    held.reached().await;
    let set = house.goat.users().reset_password(system(), id, OTHER_PASSWORD.into()).await;
    set.expect("a new password");
    held.release();
    drop(slow.await.expect("no panic"));
    assert_eq!(house.try_sign_in("ann").await.kind(), Some(ErrorKind::InvalidCredentials));
    login(&house.goat, address("ann"), OTHER_PASSWORD).await.expect("the new one");
}

fn five_a_minute(ground: Ground) -> House {
    House::with(ground, |settings| settings.account_quota = Some(Quota::per_minute(5)))
}

/// B1, B2
async fn parallel_guesses_reach_the_hasher_no_more_often_than_the_quota_says(ground: Ground) {
    let house = five_a_minute(ground);
    house.user("ann", "client").await;
    for name in ["ann", "nobody"] {
        drop(house.hasher.take_calls());
        let spellings = [
            format!("{name}@example.org"),
            format!("  {name}@example.org\t"),
            format!("{}@EXAMPLE.org", name.to_uppercase()),
            format!("{name}@Ｅxample.org"),
        ];
        let guesses: Vec<_> = (0..100)
            .map(|number| {
                let (goat, email) = (house.goat.clone(), spellings[number % 4].clone());
                tokio::spawn(async move { login(&goat, email, &format!("guess {number}")).await })
            })
            .collect();
        let mut refused = 0;
        for guess in guesses {
            let error = guess.await.expect("no panic").expect_err("a wrong guess");
            if error.kind() == ErrorKind::RateLimited {
                refused += 1;
                assert_eq!(error.retry_after(), Some(Duration::from_secs(60)));
                assert_eq!(error.charges().len(), 1);
            }
        }
        assert_eq!((refused, house.hasher.verifications()), (95, 5), "{name}");
    }
}

/// B1: what is no address counts too, under one spelling.
async fn texts_that_are_no_address_are_counted_too(ground: Ground) {
    let house = five_a_minute(ground);
    for number in 0..8 {
        let text = if number % 2 == 0 { " Not An Address" } else { "not an address " };
        let expected =
            if number < 5 { ErrorKind::InvalidCredentials } else { ErrorKind::RateLimited };
        assert_eq!(login(&house.goat, text, PASSWORD).await.kind(), Some(expected));
    }
    assert_eq!(house.hasher.verifications(), 5);
}

/// B3, E1: a throttled attempt costs no hash, and the account opens again by itself.
async fn a_throttled_account_opens_again_by_itself(ground: Ground) {
    let house = five_a_minute(ground);
    house.user("ann", "client").await;
    for _ in 0..5 {
        assert!(login(&house.goat, address("ann"), "wrong").await.is_err());
    }
    house.events.take();
    drop(house.hasher.take_calls());
    let error = house.try_sign_in("ann").await.expect_err("throttled, also with the password");
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert!(house.hasher.take_calls().is_empty());
    assert_eq!(house.events.take_kinds(), [EventKind::Limited("account".to_owned())]);
    house.clock.advance(error.retry_after().expect("when to come back"));
    house.sign_in("ann").await;
}

/// B8
async fn without_a_store_of_limits_nobody_signs_in(ground: Ground) {
    use goat_core::testing::limits::FailingLimits;
    let house = five_a_minute(ground);
    house.user("ann", "client").await;
    let limits = std::sync::Arc::new(FailingLimits);
    let goat = house.node(Stores { limits, ..house.stores.clone() });
    let refused = login(&goat, address("ann"), PASSWORD).await.kind();
    assert_eq!(refused, Some(ErrorKind::Unavailable));
    assert_eq!(house.hasher.verifications(), 0);
}

async fn one_session_too_many_ends_the_oldest_at_once(ground: Ground) {
    let house = House::with(ground, |settings| settings.sessions_per_user = 2);
    let first = house.member("ann", "client").await.tokens;
    house.principal(&first).await;
    house.advance(1);
    let second = house.sign_in("ann").await.tokens;
    house.principal(&first).await;
    house.principal(&second).await;
    house.events.take();
    house.clock.advance(Duration::from_millis(1));
    let third = house.sign_in("ann").await.tokens;
    assert_eq!(house.authenticate(&first).await.kind(), Some(ErrorKind::SessionRevoked));
    house.principal(&second).await;
    house.principal(&third).await;
    assert!(house.events.take_kinds().contains(&EventKind::SessionsEvicted(1)));
}

/// A session that was made is told of, and what it evicted is forgotten, whoever has hung up.
async fn a_sign_in_whose_caller_hangs_up_is_carried_to_its_end(ground: Ground) {
    let house = House::with(ground, |settings| settings.sessions_per_user = 1);
    let first = house.member("ann", "client").await.tokens;
    house.principal(&first).await;
    house.clock.advance(Duration::from_millis(1));
    house.events.take();
    let held = house.pauses.hold("sessions.create", Point::Return);
    let abandoned = tokio::spawn({
        let goat = house.goat.clone();
        async move { login(&goat, address("ann"), PASSWORD).await }
    });
    held.reached().await;
    abandoned.abort();
    assert!(abandoned.await.expect_err("aborted").is_cancelled());
    held.release();
    // The next sign-in's own calls come after what the abandoned one left to do.
    house.events.wait_for(|kind| *kind == EventKind::SignedIn).await;
    assert_eq!(house.authenticate(&first).await.kind(), Some(ErrorKind::SessionRevoked));
}

/// The device is cut, by characters.
async fn a_long_device_is_cut_at_256_characters(ground: Ground) {
    use goat_core::PageRequest;
    use goat_core::auth::Login;
    use goat_core::session::Origin;
    let house = House::on(ground);
    house.user("ann", "client").await;
    let origin = Origin { device: Some("ü".repeat(300)), address: None };
    let login = Login { email: address("ann").into(), password: PASSWORD.into(), origin };
    let tokens = house.goat.login(login).await.expect("a session").value.tokens;
    let me = house.principal(&tokens).await;
    let sessions = house.goat.sessions().list(&me, PageRequest::default()).await.expect("a page");
    assert_eq!(sessions.items[0].device, "ü".repeat(256));
}

on_every_store![
    an_admitted_attempt_costs_exactly_one_verification,
    an_unknown_account_is_verified_against_the_decoy,
    a_sign_in_renews_an_outdated_hash_once,
    a_late_renewal_does_not_bring_an_old_password_back,
    parallel_guesses_reach_the_hasher_no_more_often_than_the_quota_says,
    texts_that_are_no_address_are_counted_too,
    a_throttled_account_opens_again_by_itself,
    without_a_store_of_limits_nobody_signs_in,
    one_session_too_many_ends_the_oldest_at_once,
    a_sign_in_whose_caller_hangs_up_is_carried_to_its_end,
    a_long_device_is_cut_at_256_characters,
];
