//! Stored passwords that no hasher can read: their users have none that would be right.

use goat_core::password::{Argon2Settings, Argon2id, PasswordHasher as _, Peppers};
use goat_core::testing::HasherCall;
use goat_core::token::TokenKeys;
use goat_core::user::{UserChange, UserSnapshot, UserWrite};
use goat_core::{ErrorKind, Goat, Secret, UserId};

use crate::log::Lines;
use crate::support::{
    Ground, House, OTHER_PASSWORD, Outcome, PASSWORD, address, email, login, on_every_store, system,
};

/// What other programs write where somebody has no password, and what other hashers write.
const UNREADABLE: [&str; 5] = [
    "!",
    "",
    "*",
    "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
    "a long walk on a short pier",
];
/// The one verification that there is.
const DECOY: [HasherCall; 1] = [HasherCall::Verify { generation: None }];

/// Writes a text where a hash should be, past goat.
async fn store_hash(house: &House, id: UserId, hash: &str) {
    let decide = |snapshot: &UserSnapshot| {
        let mut account = snapshot.target.clone().ok_or(ErrorKind::NotFound)?;
        account.password_hash = hash.into();
        Ok(UserChange::Put(account))
    };
    let top_role = &house.role("admin");
    let write = UserWrite { actor: None, target: id, top_role, decide: &decide };
    house.stores.users.write(write).await.expect("the store answers");
}

/// E1, E2: the answer and the price are those of an unknown account.
async fn who_has_no_readable_password_is_refused_as_if_there_were_no_such_user(ground: Ground) {
    let house = House::on(ground);
    let id = house.user("ann", "client").await.id;
    let nobody = login(&house.goat, address("nobody"), PASSWORD).await.expect_err("nobody");
    house.hasher.change_parameters();
    for hash in UNREADABLE {
        store_hash(&house, id, hash).await;
        for password in [PASSWORD, "wrong", hash, "", "x".repeat(1 << 20).as_str()] {
            drop(house.hasher.take_calls());
            let error = login(&house.goat, address("ann"), password).await.expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::InvalidCredentials, "{hash:?}");
            assert_eq!(error.to_string(), nobody.to_string());
            assert_eq!(house.hasher.take_calls(), DECOY, "{hash:?}");
        }
    }
}

/// E1, P8
async fn an_unreadable_password_is_wrong_for_its_owner_too(ground: Ground) {
    let house = House::on(ground);
    let signed_in = house.member("ann", "client").await;
    let me = house.principal(&signed_in.tokens).await;
    let users = house.goat.users();
    let wrong = Some(ErrorKind::WrongPassword);
    for hash in UNREADABLE {
        store_hash(&house, signed_in.user.id, hash).await;
        drop(house.hasher.take_calls());
        assert_eq!(users.change_email(&me, email("ben"), PASSWORD).await.kind(), wrong);
        assert_eq!(house.hasher.take_calls(), DECOY);
        let new = OTHER_PASSWORD.into();
        assert_eq!(users.change_password(&me, PASSWORD, &new).await.kind(), wrong);
        assert_eq!(house.hasher.take_calls(), DECOY);
        assert_eq!(users.delete_self(&me, PASSWORD).await.kind(), wrong);
        assert_eq!(house.hasher.take_calls(), DECOY);
    }
}

/// P8
async fn an_administrator_gives_a_password_to_who_has_none(ground: Ground) {
    let house = House::on(ground);
    let id = house.user("ann", "client").await.id;
    let admin = house.member("ada", "admin").await.tokens;
    let actor = house.actor(&admin).await;
    for (hash, actor) in [("!", actor), ("", system())] {
        store_hash(&house, id, hash).await;
        let set = house.goat.users().reset_password(actor, id, OTHER_PASSWORD.into()).await;
        set.expect("a new password");
        login(&house.goat, address("ann"), OTHER_PASSWORD).await.expect("a session");
    }
}

/// P5: what is no hash does not hinder a start, nor hide one whose pepper is missing.
async fn a_start_goes_on_over_what_is_no_hash_and_not_over_a_lost_pepper(ground: Ground) {
    let house = House::on(ground);
    let goat = Goat::builder(house.stores.clone(), TokenKeys::generate()).build().expect("a goat");
    for number in 0..101_usize {
        let id = house.user(&format!("user-{number}"), "client").await.id;
        store_hash(&house, id, UNREADABLE[number % UNREADABLE.len()]).await;
    }
    goat.prepare().await.expect("nothing is lost");

    let id = house.user("ann", "client").await.id;
    let peppers = Peppers::new([Secret::new(vec![7; 32])]).expect("a pepper");
    let peppered = Argon2id::new(Argon2Settings::default(), peppers);
    let hash = peppered.hash(PASSWORD.as_bytes()).expect("a hash");
    store_hash(&house, id, &hash).await;
    assert_eq!(goat.prepare().await.kind(), Some(ErrorKind::Configuration));

    // A hash that the settings could be made to accept is not given up either.
    let plain = Argon2id::new(Argon2Settings::default(), Peppers::none());
    let hash = plain.hash(PASSWORD.as_bytes()).expect("a hash");
    store_hash(&house, id, &hash.replace("t=2", "t=99")).await;
    assert_eq!(goat.prepare().await.kind(), Some(ErrorKind::Internal));
    let refused = login(&goat, address("ann"), PASSWORD).await.kind();
    assert_eq!(refused, Some(ErrorKind::InvalidCredentials));
}

/// L1: the operator learns whose password it is, and not what is stored or was typed.
#[tokio::test]
async fn the_log_names_the_user_whose_password_is_unreadable_and_nothing_else() {
    let lines = Lines::begin();
    let house = House::on(Ground::memory());
    let signed_in = house.member("ann", "client").await;
    let me = house.principal(&signed_in.tokens).await;
    login(&house.goat, address("ann"), "typed").await.expect_err("wrong");
    assert_eq!(lines.take_warnings(), [""; 0], "a wrong password is no warning");

    store_hash(&house, signed_in.user.id, "stored-canary").await;
    let _ = login(&house.goat, address("ann"), "typed-canary").await.expect_err("refused");
    let _ = house.goat.users().delete_self(&me, "typed-canary").await.expect_err("refused");
    house.goat.prepare().await.expect("ready");
    let warnings = lines.take_warnings();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    for line in &warnings[..2] {
        assert!(line.contains(&signed_in.user.id.to_string()), "{line}");
    }
    assert!(warnings[2].contains("unreadable=1"), "{warnings:?}");
    for line in &warnings {
        assert!(!line.contains("canary") && !line.contains('@'), "{line}");
    }
}

on_every_store![
    who_has_no_readable_password_is_refused_as_if_there_were_no_such_user,
    an_unreadable_password_is_wrong_for_its_owner_too,
    an_administrator_gives_a_password_to_who_has_none,
    a_start_goes_on_over_what_is_no_hash_and_not_over_a_lost_pepper,
];
