//! Domain events: actor, action, target and origin, without addresses and secrets.

use std::fmt::Debug;

use goat_core::auth::{Login, SignUp};
use goat_core::event::{EventActor, EventKind};
use goat_core::session::{Origin, OtherSessions};
use goat_core::user::{NewUser, UserUpdate};
use goat_core::{Email, Error, ErrorKind, Quota, Signup, Status};

use crate::flows::support::{
    Backend, Harness, OTHER_PASSWORD, Outcome, PASSWORD, email, on_every_store, system,
};

const CANARY: &str = "canary4711";

fn origin() -> Origin {
    Origin {
        address: Some([192, 0, 2, 7].into()),
        device: Some("a browser".to_owned()),
        ..Origin::default()
    }
}

fn canary_login(password: &str) -> Login {
    let email = format!("{CANARY}@example.org").into();
    Login { email, password: password.into(), device_token: None, origin: origin() }
}

async fn events_of_a_session_have_actor_kind_and_origin(backend: Backend) {
    let harness = Harness::on(backend);
    let sign_up = SignUp { email: email("ann"), password: Some(PASSWORD.into()), origin: origin() };
    let ann = harness.goat.sign_up(sign_up).await.expect("an account").id;
    let login = |password: &str| Login {
        email: crate::flows::support::address("ann").into(),
        password: password.into(),
        device_token: None,
        origin: origin(),
    };
    assert!(harness.goat.login(login("wrong")).await.is_err());
    let signed_in = harness.goat.login(login(PASSWORD)).await.expect("a session").value;
    let token = &signed_in.tokens.refresh_token;
    let next = harness.goat.refresh(token, &origin()).await.expect("rotated").tokens;
    harness.goat.refresh(token, &origin()).await.expect("repeated");
    // D6
    let elsewhere = Origin { address: Some([198, 51, 100, 9].into()), ..origin() };
    harness.goat.refresh(token, &elsewhere).await.expect("repeated");
    harness.goat.refresh(token, &Origin::default()).await.expect("repeated");
    harness.advance(10);
    assert!(harness.goat.refresh(token, &origin()).await.is_err());
    assert!(harness.goat.refresh(&next.refresh_token, &origin()).await.is_err());

    let session = Some(signed_in.session);
    let expected = [
        (EventKind::SignedUp, EventActor::User(ann), None),
        (EventKind::SignInFailed(ErrorKind::InvalidCredentials), EventActor::Anonymous, None),
        (EventKind::SignedIn, EventActor::User(ann), session),
        (EventKind::Refreshed, EventActor::User(ann), session),
        (EventKind::RefreshRepeated, EventActor::User(ann), session),
        (EventKind::RefreshRepeatedElsewhere, EventActor::User(ann), session),
        (EventKind::RefreshRepeated, EventActor::User(ann), session),
        (EventKind::TokenReused, EventActor::Anonymous, session),
        (EventKind::RefreshFailed(ErrorKind::SessionRevoked), EventActor::Anonymous, session),
    ];
    let events = harness.events.take();
    assert_eq!(events.len(), expected.len(), "{events:?}");
    for (number, (event, (kind, by, session))) in events.into_iter().zip(expected).enumerate() {
        assert_eq!((&event.kind, &event.actor, event.session), (&kind, &by, session));
        assert_eq!(event.user, Some(ann), "{kind:?}");
        let address = match number {
            5 => elsewhere.address,
            6 => None,
            _ => origin().address,
        };
        assert_eq!(event.address, address, "{kind:?}");
    }
}

/// A failure without a known user has no user in its event.
async fn events_without_a_known_user_name_none(backend: Backend) {
    let harness = Harness::on(backend);
    assert!(harness.goat.login(canary_login(PASSWORD)).await.is_err());
    let forged = harness.goat.refresh(&"not a token".into(), &origin()).await.kind();
    assert_eq!(forged, Some(ErrorKind::InvalidToken));
    for event in harness.events.take() {
        assert_eq!((event.user, event.session, event.actor), (None, None, EventActor::Anonymous));
    }
}

/// L1, E3: no address, password or token in events, errors or `Debug` output.
async fn addresses_and_secrets_are_redacted(backend: Backend) {
    let harness =
        Harness::with(backend, |settings| settings.account_quota = Some(Quota::per_minute(20)));
    let mut output = String::new();
    let mut note = |value: &dyn Debug| output.push_str(&format!("{value:?}\n{value:#?}\n"));
    let failed = |error: Error| {
        format!("{error} {error:?} {error:#?} {} {:?}", error.client_message(), error.violations())
    };
    let canary = Email::parse(&format!("{CANARY}@example.org")).expect("an address");
    let secret = format!("a password of {CANARY} and more");
    let sign_up =
        SignUp { email: canary.clone(), password: Some(secret.as_str().into()), origin: origin() };
    note(&sign_up);
    note(&canary_login(&secret));
    let user = harness.goat.sign_up(sign_up.clone()).await.expect("an account");
    note(&user);
    note(&failed(harness.goat.sign_up(sign_up.clone()).await.expect_err("taken")));
    let own_address = SignUp { password: Some(canary.as_str().into()), ..sign_up };
    note(&failed(harness.goat.sign_up(own_address).await.expect_err("against the policy")));
    note(&failed(harness.goat.login(canary_login("wrong")).await.expect_err("wrong")));
    let signed_in = harness.goat.login(canary_login(&secret)).await.expect("a session").value;
    note(&signed_in);
    let me = harness.principal(&signed_in.tokens).await;
    note(&me);
    let users = harness.goat.users();
    note(me.profile());
    note(&failed(
        users.change_email(&me, email("x"), "wrong", &Origin::default()).await.expect_err("wrong"),
    ));
    let new = OTHER_PASSWORD.into();
    note(&failed(
        users.change_password(&me, "wrong", &new, &Origin::default()).await.expect_err("wrong"),
    ));
    note(&failed(users.delete_self(&me, &format!("{CANARY} no")).await.expect_err("wrong")));
    let new = NewUser {
        email: canary.clone(),
        password: Some(secret.as_str().into()),
        role: harness.role("client"),
        status: Status::Active,
    };
    note(&new);
    note(&failed(users.create(system(), new).await.expect_err("taken")));
    let ben = harness.user("ben", "client").await.id;
    let update = UserUpdate { email: Some(canary), password: Some(secret.as_str().into()) };
    note(&update);
    note(&failed(users.update(system(), ben, update).await.expect_err("taken")));
    note(&users.list_all(Default::default()).await.expect("a page"));
    let refreshed = harness.refresh(&signed_in.tokens).await.expect("rotated");
    note(&refreshed);
    harness.goat.sessions().revoke_all(&me, OtherSessions::KeepCurrent).await.expect("ended");
    while harness.goat.login(canary_login("wrong")).await.kind() != Some(ErrorKind::RateLimited) {}
    note(&failed(harness.goat.login(canary_login("wrong")).await.expect_err("limited")));
    users.delete(system(), user.id).await.expect("deleted");
    let events = harness.events.take();
    assert!(events.len() > 10);
    note(&events);
    note(&harness.goat);
    for (kind, needle) in [
        ("address", CANARY),
        ("token", signed_in.tokens.access_token.expose().as_str()),
        ("token", signed_in.tokens.refresh_token.expose().as_str()),
        ("token", refreshed.tokens.refresh_token.expose().as_str()),
        ("hash", "plain$0"),
    ] {
        let place = output.find(needle);
        assert!(place.is_none(), "{kind} in the output: …{}", &output[place.unwrap_or(0)..][..80]);
    }
}

async fn sign_up_follows_its_setting(backend: Backend) {
    let harness = Harness::with(backend, |settings| settings.signup = Signup::Inactive);
    let sign_up = SignUp { email: email("ann"), password: Some(PASSWORD.into()), origin: origin() };
    let user = harness.goat.sign_up(sign_up.clone()).await.expect("an account");
    assert_eq!((user.status, user.role.as_str()), (Status::Inactive, "client"));
    assert_eq!(harness.try_sign_in("ann").await.kind(), Some(ErrorKind::AccountInactive));
    let taken = harness.goat.sign_up(sign_up.clone()).await.kind();
    assert_eq!(taken, Some(ErrorKind::EmailTaken));
    let short = SignUp { password: Some("short".into()), ..sign_up };
    assert_eq!(harness.goat.sign_up(short).await.kind(), Some(ErrorKind::Invalid));
}

async fn closed_sign_up_creates_no_account(backend: Backend) {
    refuses_sign_up(backend, Signup::Closed).await;
}

/// M8: no account before the mailbox answered.
async fn confirmed_sign_up_creates_no_account_from_a_password(backend: Backend) {
    refuses_sign_up(backend, Signup::Confirmed).await;
}

async fn refuses_sign_up(backend: Backend, signup: Signup) {
    let harness = Harness::with_letters(backend, |settings| settings.signup = signup);
    let sign_up = SignUp { email: email("ann"), password: Some(PASSWORD.into()), origin: origin() };
    assert_eq!(harness.goat.sign_up(sign_up).await.kind(), Some(ErrorKind::SignupClosed));
    assert!(harness.hasher.take_calls().is_empty());
    let found = harness.goat.users().find_by_email(&email("ann")).await.expect("a store");
    assert!(found.is_none());
}

/// Of concurrent sign-ups with one address, one succeeds.
async fn concurrent_sign_ups_with_one_address_create_one_account(backend: Backend) {
    let harness = Harness::on(backend);
    let attempts: Vec<_> = (0..20)
        .map(|number| {
            let goat = harness.goat.clone();
            let text = if number % 2 == 0 { "ann@example.org" } else { "ANN@example.org" };
            let email = Email::parse(text).expect("an address");
            let request = SignUp { email, password: Some(PASSWORD.into()), origin: origin() };
            tokio::spawn(async move { goat.sign_up(request).await })
        })
        .collect();
    let mut made = 0;
    for attempt in attempts {
        match attempt.await.expect("no panic") {
            Ok(_) => made += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::EmailTaken),
        }
    }
    assert_eq!(made, 1);
}

on_every_store![
    events_of_a_session_have_actor_kind_and_origin,
    events_without_a_known_user_name_none,
    addresses_and_secrets_are_redacted,
    sign_up_follows_its_setting,
    closed_sign_up_creates_no_account,
    confirmed_sign_up_creates_no_account_from_a_password,
    concurrent_sign_ups_with_one_address_create_one_account,
];
