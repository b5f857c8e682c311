//! Defence of an attacked account: limits of sessions and devices, beside those of the account.

use std::time::Duration;

use goat_core::auth::{Login, SignedIn};
use goat_core::event::EventKind;
use goat_core::limit::WithDecisions;
use goat_core::session::Origin;
use goat_core::{Error, ErrorKind, Quota, Result, Secret, Settings};

use crate::flows::support::{
    Backend, Harness, OTHER_PASSWORD, Outcome, PASSWORD, address, email, login, on_every_store,
};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// The default limits.
fn defended(backend: Backend) -> Harness {
    Harness::with(backend, |settings| *settings = Settings::default())
}

/// The default limits, with a small one of the account.
fn limited(backend: Backend) -> Harness {
    Harness::with(backend, |settings| {
        let account_quota = Some(Quota::per_minute(5));
        *settings = Settings { account_quota, ..Settings::default() };
    })
}

/// A login with a device token.
async fn login_with(
    harness: &Harness,
    name: &str,
    password: &str,
    device: &str,
) -> Result<WithDecisions<SignedIn>> {
    let login = Login {
        email: address(name).into(),
        password: password.into(),
        device_token: Some(Secret::from(device)),
        origin: Origin::default(),
    };
    harness.goat.login(login).await
}

/// Guesses until the limit of the account refuses.
async fn exhaust(harness: &Harness, name: &str) {
    while login(&harness.goat, address(name), "wrong").await.kind() != Some(ErrorKind::RateLimited)
    {
    }
}

/// The names of the limits in an error, and whether each refused.
fn limits(error: &Error) -> Vec<(&str, bool)> {
    let decisions = error.decisions().iter();
    decisions.map(|decision| (&*decision.limit, decision.is_limited())).collect()
}

/// D2: anonymous logins do not keep a signed-in user from changing password and address.
async fn current_passwords_do_not_count_per_account(backend: Backend) {
    let harness = limited(backend);
    let tokens = harness.member("ann", "client").await.tokens;
    let me = harness.principal(&tokens).await;
    exhaust(&harness, "ann").await;
    let (users, origin) = (harness.goat.users(), Origin::default());
    let changed = users.change_email(&me, email("ann2"), PASSWORD, &origin).await;
    let decisions = changed.expect("changed").decisions;
    assert_eq!(decisions.iter().map(|one| &*one.limit).collect::<Vec<_>>(), ["password-check"]);
    users.change_email(&me, email("ann"), PASSWORD, &origin).await.expect("changed");
    exhaust(&harness, "ann").await;
    let changed =
        users.change_password(&me, PASSWORD, &OTHER_PASSWORD.into(), &Origin::default()).await;
    let me = harness.principal(&changed.expect("changed").value.tokens).await;
    users.delete_self(&me, OTHER_PASSWORD).await.expect("deleted");
}

/// D2, B2: attempts at the current password count per session, before they are verified.
async fn current_passwords_are_limited_per_session(backend: Backend) {
    let harness = defended(backend);
    let tokens = harness.member("ann", "client").await.tokens;
    let other = harness.sign_in("ann").await.tokens;
    let (me, other) = (harness.principal(&tokens).await, harness.principal(&other).await);
    let users = harness.goat.users();
    drop(harness.hasher.take_calls());
    let guesses: Vec<_> = (0..50)
        .map(|_| {
            let (users, me) = (users.clone(), me.clone());
            tokio::spawn(async move { users.delete_self(&me, "wrong").await.kind() })
        })
        .collect();
    let mut refused = 0;
    for guess in guesses {
        refused += usize::from(guess.await.expect("no panic") == Some(ErrorKind::RateLimited));
    }
    assert_eq!((refused, harness.hasher.verifications()), (40, 10));
    harness.events.take();
    let error = users.delete_self(&me, PASSWORD).await.expect_err("limited");
    assert_eq!(limits(&error), [("password-check", true)]);
    assert_eq!(error.retry_after(), Some(MINUTE));
    assert_eq!(harness.events.take_kinds(), [EventKind::Limited("password-check".to_owned())]);
    let error = users.delete_self(&other, "wrong").await.expect_err("wrong");
    assert_eq!(limits(&error), [("password-check", false)]);
    harness.clock.advance(MINUTE);
    assert_eq!(users.delete_self(&me, "wrong").await.kind(), Some(ErrorKind::WrongPassword));
}

/// D2: a hundred wrong passwords in a session in a day; a right one starts the count again.
async fn wrong_passwords_of_a_session_are_bounded_over_a_day(backend: Backend) {
    let harness = defended(backend);
    let tokens = harness.member("ann", "client").await.tokens;
    let me = harness.principal(&tokens).await;
    let (users, origin) = (harness.goat.users(), Origin::default());
    let guess = async |count: usize| {
        for number in 0..count {
            if number % 10 == 0 {
                harness.clock.advance(MINUTE);
            }
            assert_eq!(
                users.delete_self(&me, "wrong").await.kind(),
                Some(ErrorKind::WrongPassword)
            );
        }
    };
    guess(99).await;
    users.change_email(&me, email("ann2"), PASSWORD, &origin).await.expect("the hundredth");
    guess(100).await;
    harness.clock.advance(MINUTE);
    let error = users.delete_self(&me, PASSWORD).await.expect_err("limited");
    assert_eq!(limits(&error), [("password-check", true)]);
    let wait = error.retry_after().expect("a wait");
    assert!(wait > DAY / 2 && wait < DAY, "{wait:?}");
    // Another session of the user has its own count.
    let other = harness.sign_in("ann2").await.tokens;
    let other = harness.principal(&other).await;
    assert_eq!(users.delete_self(&other, "wrong").await.kind(), Some(ErrorKind::WrongPassword));
    harness.clock.advance(wait);
    assert_eq!(users.delete_self(&me, "wrong").await.kind(), Some(ErrorKind::WrongPassword));
}

/// D3: a device of the owner signs in while attackers keep the account throttled.
async fn a_device_token_admits_its_owner_to_a_throttled_account(backend: Backend) {
    let harness = limited(backend);
    let device = harness.member("ann", "client").await.device_token;
    exhaust(&harness, "ann").await;
    assert_eq!(harness.try_sign_in("ann").await.kind(), Some(ErrorKind::RateLimited));
    let signed_in =
        login_with(&harness, "ann", PASSWORD, device.expose()).await.expect("a session");
    let names: Vec<_> = signed_in.decisions.iter().map(|one| &*one.limit).collect();
    assert_eq!(names, ["device", "device-day"]);
    // Each login returns another one.
    let next = signed_in.value.device_token;
    assert_ne!(next.expose(), device.expose());
    login_with(&harness, "ann", PASSWORD, next.expose()).await.expect("a session");
    // The address may change.
    let me = harness.principal(&signed_in.value.tokens).await;
    let users = harness.goat.users();
    let changed = users.change_email(&me, email("ann2"), PASSWORD, &Origin::default()).await;
    changed.expect("changed");
    exhaust(&harness, "ann2").await;
    login_with(&harness, "ann2", PASSWORD, next.expose()).await.expect("a session");
}

/// D3, B2: attempts with one device token count by it, in a minute and in a day.
async fn attempts_with_a_device_token_are_limited_by_it(backend: Backend) {
    let harness = limited(backend);
    let device = harness.member("ann", "client").await.device_token;
    let second = harness.sign_in("ann").await.device_token;
    drop(harness.hasher.take_calls());
    for round in 0..5 {
        for _ in 0..10 {
            let error = login_with(&harness, "ann", "wrong", device.expose()).await;
            assert_eq!(error.kind(), Some(ErrorKind::InvalidCredentials), "{round}");
        }
        let error = login_with(&harness, "ann", PASSWORD, device.expose()).await;
        let error = error.expect_err("limited, also with the right password");
        let day = ("device-day", true);
        let refused = if round < 4 { vec![("device", true)] } else { vec![("device", true), day] };
        assert_eq!((error.kind(), limits(&error)), (ErrorKind::RateLimited, refused));
        harness.clock.advance(MINUTE);
    }
    assert_eq!(harness.hasher.verifications(), 50);
    let error = login_with(&harness, "ann", PASSWORD, device.expose()).await;
    let error = error.expect_err("limited for a day");
    assert_eq!(limits(&error), [("device-day", true)]);
    assert_eq!(error.retry_after(), Some(DAY - 5 * MINUTE));
    // Neither another device nor the account is affected.
    login_with(&harness, "ann", PASSWORD, second.expose()).await.expect("a session");
    harness.sign_in("ann").await;
}

/// D4: a device token that is forged, expired, or of another account counts as none, and the account's
/// limit applies.
async fn an_invalid_device_token_counts_as_none(backend: Backend) {
    let harness = limited(backend);
    let device = harness.member("ann", "client").await.device_token;
    let ben = harness.member("ben", "client").await;
    let elsewhere = Harness::on(Backend::memory());
    let other_keys = elsewhere.member("ann", "client").await.device_token;
    let mut forged = device.expose().clone();
    forged.insert(5, 'x');
    exhaust(&harness, "ann").await;
    let long = "x".repeat(100_000);
    for token in [
        ben.device_token.expose(),
        other_keys.expose(),
        &forged,
        ben.tokens.access_token.expose(),
        ben.tokens.refresh_token.expose(),
        "",
        "\0",
        &long,
    ] {
        let error = login_with(&harness, "ann", PASSWORD, token).await.expect_err("limited");
        assert_eq!(limits(&error), [("account", true)]);
        // Nor is it an error of its own: an unthrottled account signs in.
        login_with(&harness, "ben", PASSWORD, &forged).await.expect("a session");
        harness.clock.advance(MINUTE);
        exhaust(&harness, "ann").await;
    }
    // An expired one. It grants nothing before, either.
    let token = device.expose();
    assert!(harness.goat.authenticate_token(token).await.is_err());
    assert!(harness.goat.refresh(&device, &Origin::default()).await.is_err());
    login_with(&harness, "ann", PASSWORD, token).await.expect("a session");
    harness.clock.advance(DAY * 180 + MINUTE);
    exhaust(&harness, "ann").await;
    assert_eq!(
        login_with(&harness, "ann", PASSWORD, token).await.kind(),
        Some(ErrorKind::RateLimited)
    );
}

/// D3: without a limit per account, a device token limits nothing.
async fn without_account_limits_a_device_token_is_not_counted(backend: Backend) {
    let harness = Harness::on(backend);
    let device = harness.member("ann", "client").await.device_token;
    for _ in 0..60 {
        let error = login_with(&harness, "ann", "wrong", device.expose()).await;
        assert_eq!(error.kind(), Some(ErrorKind::InvalidCredentials));
    }
}

/// B10: a hundred failures in a day, for known and unknown accounts alike; a success starts the count
/// again.
async fn logins_of_an_account_are_bounded_over_a_day(backend: Backend) {
    let harness = defended(backend);
    harness.user("ann", "client").await;
    for name in ["ann", "unknown"] {
        for round in 0..2 {
            for _ in 0..50 {
                let refused = login(&harness.goat, address(name), "wrong").await.kind();
                assert_eq!(refused, Some(ErrorKind::InvalidCredentials), "{name} {round}");
            }
            if round == 0 {
                harness.clock.advance(MINUTE);
            }
        }
        let error = login(&harness.goat, address(name), PASSWORD).await.expect_err("limited");
        assert_eq!(limits(&error), [("account", true), ("account-day", true)], "{name}");
        assert_eq!(error.retry_after(), Some(DAY - MINUTE));
        harness.clock.advance(MINUTE);
        let error = login(&harness.goat, address(name), PASSWORD).await.expect_err("limited");
        assert_eq!(limits(&error), [("account-day", true)], "{name}");
        harness.clock.advance(DAY - MINUTE * 2);
        for _ in 0..50 {
            assert!(login(&harness.goat, address(name), "wrong").await.is_err());
        }
        harness.clock.advance(MINUTE);
    }
    // 99 failures, a success, and a hundred more.
    harness.clock.advance(DAY);
    for round in 0..2 {
        for _ in 0..49 {
            assert!(login(&harness.goat, address("ann"), "wrong").await.is_err());
        }
        if round == 1 {
            harness.sign_in("ann").await;
        }
        harness.clock.advance(MINUTE);
    }
    for _ in 0..2 {
        for _ in 0..50 {
            let refused = login(&harness.goat, address("ann"), "wrong").await.kind();
            assert_eq!(refused, Some(ErrorKind::InvalidCredentials));
        }
        harness.clock.advance(MINUTE);
    }
    assert_eq!(harness.try_sign_in("ann").await.kind(), Some(ErrorKind::RateLimited));
}

/// B12: no decision of an account's limit is returned unless it refuses.
async fn decisions_of_an_account_are_returned_only_if_they_refuse(backend: Backend) {
    let harness = limited(backend);
    harness.user("ann", "client").await;
    let login = |password: &str| Login {
        email: address("ann").into(),
        password: password.into(),
        device_token: None,
        origin: Origin::default(),
    };
    assert!(harness.goat.login(login(PASSWORD)).await.expect("a session").decisions.is_empty());
    for _ in 0..4 {
        let error = harness.goat.login(login("wrong")).await.expect_err("wrong");
        assert!(error.decisions().is_empty());
    }
    let error = harness.goat.login(login("wrong")).await.expect_err("limited");
    assert_eq!(limits(&error), [("account", true)]);
}

/// E3: changes of the address count per client address, together with sign-up, before the password.
async fn changes_of_the_address_count_with_sign_up(backend: Backend) {
    let harness = defended(backend);
    let tokens = harness.member("ann", "client").await.tokens;
    harness.user("taken", "client").await;
    let me = harness.principal(&tokens).await;
    let from = |address: &str| Origin { address: address.parse().ok(), ..Origin::default() };
    let origin = from("192.0.2.7");
    let users = harness.goat.users();
    let counts = harness.goat.limits();
    for _ in 0..2 {
        let quota = Quota::per_minute(5);
        let acquire =
            counts.acquire_by_address("auth", "signup", "192.0.2.7".parse().expect("one"), quota);
        assert!(!acquire.await.expect("a decision").is_limited());
    }
    let taken = Some(ErrorKind::EmailTaken);
    for _ in 0..3 {
        let refused = users.change_email(&me, email("taken"), PASSWORD, &origin).await;
        assert_eq!(refused.kind(), taken);
    }
    drop(harness.hasher.take_calls());
    harness.events.take();
    let error = users.change_email(&me, email("taken"), PASSWORD, &origin).await;
    assert_eq!(limits(&error.expect_err("limited")), [("auth", true)]);
    assert_eq!(harness.events.take_kinds(), [EventKind::Limited("auth".to_owned())]);
    assert_eq!(harness.hasher.verifications(), 0);
    // The own address is no change, and another client address has a count of its own.
    users.change_email(&me, email("ann"), "wrong", &origin).await.expect("nothing to change");
    let elsewhere = users.change_email(&me, email("taken"), PASSWORD, &from("192.0.2.8")).await;
    assert_eq!(elsewhere.kind(), taken);
    harness.clock.advance(MINUTE);
    assert_eq!(users.change_email(&me, email("taken"), PASSWORD, &origin).await.kind(), taken);
}

on_every_store![
    current_passwords_do_not_count_per_account,
    current_passwords_are_limited_per_session,
    wrong_passwords_of_a_session_are_bounded_over_a_day,
    a_device_token_admits_its_owner_to_a_throttled_account,
    attempts_with_a_device_token_are_limited_by_it,
    an_invalid_device_token_counts_as_none,
    without_account_limits_a_device_token_is_not_counted,
    logins_of_an_account_are_bounded_over_a_day,
    decisions_of_an_account_are_returned_only_if_they_refuse,
    changes_of_the_address_count_with_sign_up,
];
