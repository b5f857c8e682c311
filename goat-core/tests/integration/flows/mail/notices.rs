//! Notices to the owner of an account.

use std::sync::Arc;

use goat_core::auth::Login;
use goat_core::courier::Message;
use goat_core::factor::{Answer, FactorKind};
use goat_core::key::{NewKey, Scopes};
use goat_core::session::Origin;
use goat_core::testing::Letters;
use goat_core::token::TokenKeys;
use goat_core::{Clock as _, ErrorKind, Goat, Languages, Quota, Settings, Signup, Stores};

use super::{harness, kind, letter, letters};
use crate::flows::support::{
    Backend, Harness, OTHER_PASSWORD, PASSWORD, address, email, on_every_store,
};

on_every_store!(
    the_owner_is_told_of_a_new_password,
    the_owner_is_told_of_a_new_key,
    the_owner_is_told_of_a_sign_in_on_a_new_device,
    the_owner_is_told_once_an_hour_of_a_wrong_second_factor,
    notices_do_not_flood_a_mailbox,
);

fn origin() -> Origin {
    Origin {
        address: Some([192, 0, 2, 7].into()),
        device: Some("a browser".to_owned()),
        languages: Languages::parse("de"),
    }
}

fn log_in(name: &str) -> Login {
    Login::new(address(name), PASSWORD, origin())
}

/// M10
async fn the_owner_is_told_of_a_new_password(backend: Backend) {
    let harness = harness(backend);
    let ann = harness.member("ann", "client").await;
    let me = harness.principal(&ann.tokens).await;
    let (users, new) = (harness.goat.users(), OTHER_PASSWORD.into());
    users.change_password(&me, PASSWORD, &new, &origin()).await.expect("changed");
    let sent = letters(&harness).next_to(&address("ann")).await;
    assert_eq!(sent.languages, Languages::parse("de"));
    let Message::PasswordChanged { at, keys, factors } = sent.message else { panic!("{sent:?}") };
    assert_eq!((at, keys, factors.len()), (harness.clock.now(), 0, 0));
    // A full queue does not undo the change.
    let me = harness
        .principal(
            &harness
                .goat
                .login(Login::new(address("ann"), OTHER_PASSWORD, origin()))
                .await
                .expect("signed in")
                .value
                .tokens,
        )
        .await;
    letters(&harness).set_full(true);
    let new = PASSWORD.into();
    users.change_password(&me, OTHER_PASSWORD, &new, &origin()).await.expect("changed");
    harness.sign_in("ann").await;
}

/// M10
async fn the_owner_is_told_of_a_new_key(backend: Backend) {
    let harness = harness(backend);
    let ann = harness.member("ann", "client").await;
    let me = harness.principal(&ann.tokens).await;
    let recent = harness.goat.require_recent(&me).await.expect("just signed in");
    let new = NewKey { name: "nightly report".into(), scopes: Scopes::Role, expires_in: None };
    harness.goat.keys().create(recent, new).await.expect("a key");
    let message = letter(&harness, "ann").await;
    let Message::KeyCreated { name, at } = message else { panic!("{message:?}") };
    assert_eq!((name.as_str(), at), ("nightly report", harness.clock.now()));
}

/// Not of the first sign-in, and not of one with a device token of the user.
async fn the_owner_is_told_of_a_sign_in_on_a_new_device(backend: Backend) {
    let harness = harness(backend);
    for name in ["ann", "bob"] {
        harness.user(name, "client").await;
    }
    let first = harness.goat.login(log_in("ann")).await.expect("signed in").value;
    let bobs = harness.goat.login(log_in("bob")).await.expect("signed in").value;
    harness.advance(60);
    let known = Login { device_token: Some(first.device_token), ..log_in("ann") };
    harness.goat.login(known).await.expect("signed in");
    harness.goat.login(Login::new(address("ann"), "wrong", origin())).await.expect_err("wrong");
    assert!(letters(&harness).take().is_empty());
    let of_another = Login { device_token: Some(bobs.device_token), ..log_in("ann") };
    for login in [log_in("ann"), of_another] {
        harness.goat.login(login).await.expect("signed in");
        let sent = letters(&harness).next_to(&address("ann")).await;
        let Message::NewDevice { at, device, address } = sent.message else { panic!("{sent:?}") };
        assert_eq!((at, device.as_str()), (harness.clock.now(), "a browser"));
        assert_eq!((address, sent.languages), (origin().address, Languages::parse("de")));
    }
}

/// M10, and once the second factor is right, of the new device.
async fn the_owner_is_told_once_an_hour_of_a_wrong_second_factor(backend: Backend) {
    let harness = harness(backend);
    harness.member("ann", "client").await;
    let ann = harness.user("bob", "client").await.id;
    harness.factors.enrol(ann, FactorKind::Totp, harness.clock.now());
    let guess = || async {
        let error = harness.goat.login(log_in("bob")).await.expect_err("a factor is in force");
        let pending = error.pending().expect("a pending sign-in").clone();
        let wrong = Answer::Totp("000000".into());
        assert_eq!(
            kind(harness.goat.answer(&pending, wrong, &origin()).await),
            Some(ErrorKind::InvalidChallenge)
        );
        pending
    };
    guess().await;
    let message = letter(&harness, "bob").await;
    assert!(matches!(message, Message::SecondFactorFailed { address: Some(_), .. }), "{message:?}");
    harness.advance(3599);
    guess().await;
    assert!(letters(&harness).take().is_empty());
    harness.advance(1);
    let pending = guess().await;
    assert!(matches!(letter(&harness, "bob").await, Message::SecondFactorFailed { .. }));
    let right = Answer::Totp(goat_core::testing::TestFactors::CODE.into());
    harness.goat.answer(&pending, right.clone(), &origin()).await.expect("signed in");
    assert!(letters(&harness).take().is_empty(), "the first sign-in");
    let error = harness.goat.login(log_in("bob")).await.expect_err("a factor is in force");
    let pending = error.pending().expect("a pending sign-in").clone();
    harness.goat.answer(&pending, right, &origin()).await.expect("signed in");
    assert!(matches!(letter(&harness, "bob").await, Message::NewDevice { .. }));
}

/// M6: to a verified address a few an hour; to another one, which may be a stranger's, within the limit of
/// letters.
async fn notices_do_not_flood_a_mailbox(backend: Backend) {
    let harness = Harness::with_letters(backend, |settings| {
        settings.mail_quota = Some(Quota::per_hour(3));
    });
    for name in ["ann", "bob"] {
        harness.member(name, "client").await;
    }
    let ann = harness.principal(&harness.sign_in("ann").await.tokens).await.user();
    harness.verify_email(ann).await;
    drop(letters(&harness).take());
    for name in ["ann", "bob"] {
        for _ in 0..10 {
            let signed_in = harness.goat.login(log_in(name)).await.expect("signed in").value;
            let me = harness.principal(&signed_in.tokens).await;
            let recent = harness.goat.require_recent(&me).await.expect("just signed in");
            let new = NewKey { name: "a key".into(), scopes: Scopes::Role, expires_in: None };
            harness.goat.keys().create(recent, new).await.expect("a key");
        }
        let sent = letters(&harness).take();
        let devices = sent.iter().filter(|letter| letter.message.name() == "new-device").count();
        assert!(devices <= 3, "{name}: {devices}");
        let all = sent.len();
        assert!(if name == "ann" { all == 3 - 1 + 10 } else { all <= 3 }, "{name}: {all}");
    }
    harness.goat.request_recovery(email("ann"), &Origin::default()).await.expect("not counted");
    let refused = harness.goat.request_recovery(email("bob"), &Origin::default()).await;
    assert_eq!(kind(refused), Some(ErrorKind::RateLimited));
}

/// A goat without a courier sends nothing, and says so.
#[tokio::test]
async fn without_a_courier_there_are_no_letters() {
    let harness = Harness::on(Backend::memory());
    assert!(!harness.goat.has_courier());
    harness.member("ann", "client").await;
    let refused = harness.goat.request_recovery(email("ann"), &Origin::default()).await;
    assert_eq!(kind(refused), Some(ErrorKind::NotFound));
}

#[test]
fn a_goat_without_the_parts_that_letters_need_is_refused() {
    let build = |change: fn(&mut Settings), letters: Option<Letters>| {
        let mut settings = Settings::default();
        change(&mut settings);
        let builder = Goat::builder(Stores::memory(), TokenKeys::generate()).settings(settings);
        let builder = match letters {
            Some(letters) => builder.courier(Arc::new(letters)),
            None => builder,
        };
        kind(builder.build())
    };
    let refused = Some(ErrorKind::Configuration);
    assert_eq!(build(|_| {}, Some(Letters::default())), refused, "no server keys");
    assert_eq!(build(|settings| settings.signup = Signup::Confirmed, None), refused);
    assert_eq!(build(|settings| settings.email_sign_in = true, None), refused);
    assert_eq!(build(|_| {}, None), None);
}
