//! Unreadable stored hashes: their users have no valid password.

use goat_core::password::{Argon2Settings, Argon2id, PasswordHasher as _, Peppers};
use goat_core::session::Origin;
use goat_core::testing::HasherCall;
use goat_core::token::TokenKeys;
use goat_core::{ErrorKind, Goat, Secret};

use crate::flows::captured_log::Lines;
use crate::flows::support::{
    Backend, Harness, OTHER_PASSWORD, Outcome, PASSWORD, address, email, login, on_every_store,
    system,
};

/// Values that other programs store for users without a password, and texts that no hasher verifies.
const UNREADABLE: [&str; 6] = [
    NO_PASSWORD[0],
    NO_PASSWORD[1],
    NO_PASSWORD[2],
    NO_PASSWORD[3],
    "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
    "a long walk on a short pier",
];
const NO_PASSWORD: [&str; 4] = ["!", "", "*", "!3GxhVVvr1ZZ2m0XnQ7dB6eBcPvR4yfJQ0i7lC9qK"];
/// The only verification: against the dummy hash.
const DUMMY: [HasherCall; 1] = [HasherCall::Verify { generation: None }];

/// E1, E2: the response and the cost are those of an unknown account.
async fn an_unreadable_hash_is_treated_like_an_unknown_account(backend: Backend) {
    let harness = Harness::on(backend);
    let id = harness.user("ann", "client").await.id;
    let unknown = login(&harness.goat, address("unknown"), PASSWORD).await.expect_err("unknown");
    harness.hasher.change_parameters();
    for hash in UNREADABLE {
        harness.store_hash(id, hash).await;
        for password in [PASSWORD, "wrong", hash, "", "x".repeat(1 << 20).as_str()] {
            drop(harness.hasher.take_calls());
            let error = login(&harness.goat, address("ann"), password).await.expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::InvalidCredentials, "{hash:?}");
            assert_eq!(error.to_string(), unknown.to_string());
            assert_eq!(harness.hasher.take_calls(), DUMMY, "{hash:?}");
        }
    }
}

/// E1, P8
async fn an_unreadable_hash_matches_no_current_password(backend: Backend) {
    let harness = Harness::on(backend);
    let signed_in = harness.member("ann", "client").await;
    let me = harness.principal(&signed_in.tokens).await;
    let users = harness.goat.users();
    let wrong = Some(ErrorKind::WrongPassword);
    for hash in UNREADABLE {
        harness.store_hash(signed_in.user.id, hash).await;
        drop(harness.hasher.take_calls());
        assert_eq!(
            users.change_email(&me, email("ben"), PASSWORD, &Origin::default()).await.kind(),
            wrong
        );
        assert_eq!(harness.hasher.take_calls(), DUMMY);
        let new = OTHER_PASSWORD.into();
        assert_eq!(
            users.change_password(&me, PASSWORD, &new, &Origin::default()).await.kind(),
            wrong
        );
        assert_eq!(harness.hasher.take_calls(), DUMMY);
        assert_eq!(users.delete_self(&me, PASSWORD).await.kind(), wrong);
        assert_eq!(harness.hasher.take_calls(), DUMMY);
    }
}

async fn an_administrator_can_reset_an_unreadable_password(backend: Backend) {
    let harness = Harness::on(backend);
    let id = harness.user("ann", "client").await.id;
    let admin = harness.member("ada", "admin").await.tokens;
    let actor = harness.actor(&admin).await;
    for (hash, actor) in [("!", actor), ("", system())] {
        harness.store_hash(id, hash).await;
        let set = harness.goat.users().reset_password(actor, id, OTHER_PASSWORD.into()).await;
        set.expect("a new password");
        login(&harness.goat, address("ann"), OTHER_PASSWORD).await.expect("a session");
    }
}

/// P5: users without a password do not prevent a start, and do not hide a missing pepper; a hash that no
/// hasher verifies does.
async fn a_start_accepts_users_without_a_password_but_no_hash_that_cannot_be_verified(
    backend: Backend,
) {
    let harness = Harness::on(backend);
    let goat =
        Goat::builder(harness.stores.clone(), TokenKeys::generate()).build().expect("a goat");
    for number in 0..101_usize {
        let id = harness.user(&format!("user-{number}"), "client").await.id;
        harness.store_hash(id, NO_PASSWORD[number % NO_PASSWORD.len()]).await;
    }
    goat.prepare().await.expect("ready");

    let id = harness.user("ann", "client").await.id;
    for hash in UNREADABLE.iter().filter(|hash| !NO_PASSWORD.contains(hash)) {
        harness.store_hash(id, hash).await;
        let error = goat.prepare().await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Configuration, "{hash}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("1 of 102 sampled") && !shown.contains(hash), "{shown}");
    }

    let peppers = Peppers::new([Secret::new(vec![7; 32])]).expect("a pepper");
    let peppered = Argon2id::new(Argon2Settings::default(), peppers);
    let hash = peppered.hash(PASSWORD.as_bytes()).expect("a hash");
    harness.store_hash(id, &hash).await;
    let error = goat.prepare().await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("pepper"), "{error}");

    // A hash above the accepted cost, which the settings could raise, is reported too.
    let plain = Argon2id::new(Argon2Settings::default(), Peppers::none());
    let hash = plain.hash(PASSWORD.as_bytes()).expect("a hash");
    harness.store_hash(id, &hash.replace("t=2", "t=99")).await;
    assert_eq!(goat.prepare().await.kind(), Some(ErrorKind::Internal));
    let refused = login(&goat, address("ann"), PASSWORD).await.kind();
    assert_eq!(refused, Some(ErrorKind::InvalidCredentials));
}

/// L1: the log has the user's id, and neither the stored value nor the attempt.
#[tokio::test]
async fn the_log_names_only_the_user_of_an_unreadable_hash() {
    let lines = Lines::begin();
    let harness = Harness::on(Backend::memory());
    let signed_in = harness.member("ann", "client").await;
    let me = harness.principal(&signed_in.tokens).await;
    login(&harness.goat, address("ann"), "typed").await.expect_err("wrong");
    assert_eq!(lines.take_warnings(), [""; 0], "a wrong password is not a warning");

    for hash in NO_PASSWORD {
        harness.store_hash(signed_in.user.id, hash).await;
        login(&harness.goat, address("ann"), "typed").await.expect_err("no password");
        harness.goat.prepare().await.expect("ready");
    }
    assert_eq!(lines.take_warnings(), [""; 0], "nor is a user without a password");

    harness.store_hash(signed_in.user.id, "stored-canary").await;
    let _ = login(&harness.goat, address("ann"), "typed-canary").await.expect_err("refused");
    let _ = harness.goat.users().delete_self(&me, "typed-canary").await.expect_err("refused");
    let refused = harness.goat.prepare().await.expect_err("a hash that no hasher verifies");
    assert!(!format!("{refused} {refused:?}").contains("canary"), "{refused:?}");
    let warnings = lines.take_warnings();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    for line in &warnings {
        assert!(line.contains(&signed_in.user.id.to_string()), "{line}");
        assert!(!line.contains("canary") && !line.contains('@'), "{line}");
    }
}

on_every_store![
    an_unreadable_hash_is_treated_like_an_unknown_account,
    an_unreadable_hash_matches_no_current_password,
    an_administrator_can_reset_an_unreadable_password,
    a_start_accepts_users_without_a_password_but_no_hash_that_cannot_be_verified,
];
