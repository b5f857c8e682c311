//! What is told of what happened: who, what, to whom, from where; and nobody's address or secret.

use std::fmt::Debug;

use goat_core::auth::{Login, SignUp};
use goat_core::event::{EventActor, EventKind};
use goat_core::session::{Origin, OtherSessions};
use goat_core::user::{NewUser, UserUpdate};
use goat_core::{Email, Error, ErrorKind, Quota, Signup, Status};

use crate::support::{
    Ground, House, OTHER_PASSWORD, Outcome, PASSWORD, email, on_every_store, system,
};

const CANARY: &str = "canary4711";

fn origin() -> Origin {
    Origin { address: Some([192, 0, 2, 7].into()), device: Some("a browser".to_owned()) }
}

fn canary_login(password: &str) -> Login {
    let email = format!("{CANARY}@example.org").into();
    Login { email, password: password.into(), origin: origin() }
}

async fn events_of_a_session_say_who_what_and_from_where(ground: Ground) {
    let house = House::on(ground);
    let sign_up = SignUp { email: email("ann"), password: PASSWORD.into(), origin: origin() };
    let ann = house.goat.sign_up(sign_up).await.expect("an account").id;
    let login = |password: &str| Login {
        email: crate::support::address("ann").into(),
        password: password.into(),
        origin: origin(),
    };
    assert!(house.goat.login(login("wrong")).await.is_err());
    let signed_in = house.goat.login(login(PASSWORD)).await.expect("a session").value;
    let token = &signed_in.tokens.refresh_token;
    let next = house.goat.refresh(token, &origin()).await.expect("rotated").tokens;
    house.goat.refresh(token, &origin()).await.expect("repeated");
    house.advance(31);
    assert!(house.goat.refresh(token, &origin()).await.is_err());
    assert!(house.goat.refresh(&next.refresh_token, &origin()).await.is_err());

    let session = Some(signed_in.session);
    let expected = [
        (EventKind::SignedUp, EventActor::User(ann), None),
        (EventKind::SignInFailed(ErrorKind::InvalidCredentials), EventActor::Anonymous, None),
        (EventKind::SignedIn, EventActor::User(ann), session),
        (EventKind::Refreshed, EventActor::User(ann), session),
        (EventKind::RefreshRepeated, EventActor::User(ann), session),
        (EventKind::TokenReused, EventActor::Anonymous, session),
        (EventKind::RefreshFailed(ErrorKind::SessionRevoked), EventActor::Anonymous, session),
    ];
    let events = house.events.take();
    assert_eq!(events.len(), expected.len(), "{events:?}");
    for (event, (kind, by, session)) in events.into_iter().zip(expected) {
        assert_eq!((&event.kind, &event.actor, event.session), (&kind, &by, session));
        assert_eq!(event.user, Some(ann), "{kind:?}");
        assert_eq!(event.address, origin().address, "{kind:?}");
    }
}

/// What nobody knows names nobody.
async fn a_failure_about_nobody_names_nobody(ground: Ground) {
    let house = House::on(ground);
    assert!(house.goat.login(canary_login(PASSWORD)).await.is_err());
    let forged = house.goat.refresh(&"not a token".into(), &origin()).await.kind();
    assert_eq!(forged, Some(ErrorKind::InvalidToken));
    for event in house.events.take() {
        assert_eq!((event.user, event.session, event.actor), (None, None, EventActor::Anonymous));
    }
}

/// L1, E3: no address, password or token in an event, an error, or what `Debug` shows.
async fn nobodys_address_or_secret_is_told(ground: Ground) {
    let house =
        House::with(ground, |settings| settings.account_quota = Some(Quota::per_minute(20)));
    let mut told = String::new();
    let mut note = |what: &dyn Debug| told.push_str(&format!("{what:?}\n{what:#?}\n"));
    let failed = |error: Error| {
        format!("{error} {error:?} {error:#?} {} {:?}", error.client_message(), error.violations())
    };
    let canary = Email::parse(&format!("{CANARY}@example.org")).expect("an address");
    let secret = format!("a password of {CANARY} and more");
    let sign_up =
        SignUp { email: canary.clone(), password: secret.as_str().into(), origin: origin() };
    note(&sign_up);
    note(&canary_login(&secret));
    let user = house.goat.sign_up(sign_up.clone()).await.expect("an account");
    note(&user);
    note(&failed(house.goat.sign_up(sign_up.clone()).await.expect_err("taken")));
    let own_address = SignUp { password: canary.as_str().into(), ..sign_up };
    note(&failed(house.goat.sign_up(own_address).await.expect_err("against the policy")));
    note(&failed(house.goat.login(canary_login("wrong")).await.expect_err("wrong")));
    let signed_in = house.goat.login(canary_login(&secret)).await.expect("a session").value;
    note(&signed_in);
    let me = house.principal(&signed_in.tokens).await;
    note(&me);
    let users = house.goat.users();
    note(&users.profile(&me).await.expect("a profile"));
    note(&failed(users.change_email(&me, email("x"), "wrong").await.expect_err("wrong")));
    let new = OTHER_PASSWORD.into();
    note(&failed(users.change_password(&me, "wrong", &new).await.expect_err("wrong")));
    note(&failed(users.delete_self(&me, &format!("{CANARY} no")).await.expect_err("wrong")));
    let new = NewUser {
        email: canary.clone(),
        password: secret.as_str().into(),
        role: house.role("client"),
        status: Status::Active,
    };
    note(&new);
    note(&failed(users.create(system(), new).await.expect_err("taken")));
    let ben = house.user("ben", "client").await.id;
    let update = UserUpdate { email: Some(canary), password: Some(secret.as_str().into()) };
    note(&update);
    note(&failed(users.update(system(), ben, update).await.expect_err("taken")));
    note(&users.list_all(Default::default()).await.expect("a page"));
    let refreshed = house.refresh(&signed_in.tokens).await.expect("rotated");
    note(&refreshed);
    house.goat.sessions().revoke_all(&me, OtherSessions::KeepCurrent).await.expect("ended");
    while house.goat.login(canary_login("wrong")).await.kind() != Some(ErrorKind::RateLimited) {}
    note(&failed(house.goat.login(canary_login("wrong")).await.expect_err("throttled")));
    users.delete(system(), user.id).await.expect("deleted");
    let events = house.events.take();
    assert!(events.len() > 10);
    note(&events);
    note(&house.goat);
    for (what, needle) in [
        ("address", CANARY),
        ("token", signed_in.tokens.access_token.expose().as_str()),
        ("token", signed_in.tokens.refresh_token.expose().as_str()),
        ("token", refreshed.tokens.refresh_token.expose().as_str()),
        ("hash", "plain$0"),
    ] {
        let place = told.find(needle);
        assert!(place.is_none(), "an {what} was told: …{}", &told[place.unwrap_or(0)..][..80]);
    }
}

async fn sign_up_follows_its_setting(ground: Ground) {
    let house = House::with(ground, |settings| settings.signup = Signup::Inactive);
    let sign_up = SignUp { email: email("ann"), password: PASSWORD.into(), origin: origin() };
    let user = house.goat.sign_up(sign_up.clone()).await.expect("an account");
    assert_eq!((user.status, user.role.as_str()), (Status::Inactive, "client"));
    assert_eq!(house.try_sign_in("ann").await.kind(), Some(ErrorKind::AccountInactive));
    let taken = house.goat.sign_up(sign_up.clone()).await.kind();
    assert_eq!(taken, Some(ErrorKind::EmailTaken));
    let short = SignUp { password: "short".into(), ..sign_up };
    assert_eq!(house.goat.sign_up(short).await.kind(), Some(ErrorKind::Invalid));
}

async fn a_closed_sign_up_makes_no_account(ground: Ground) {
    let house = House::with(ground, |settings| settings.signup = Signup::Closed);
    let sign_up = SignUp { email: email("ann"), password: PASSWORD.into(), origin: origin() };
    assert_eq!(house.goat.sign_up(sign_up).await.kind(), Some(ErrorKind::SignupClosed));
    assert!(house.hasher.take_calls().is_empty());
}

/// Of many who want one address at once, one gets it.
async fn one_address_is_given_once(ground: Ground) {
    let house = House::on(ground);
    let attempts: Vec<_> = (0..20)
        .map(|number| {
            let goat = house.goat.clone();
            let text = if number % 2 == 0 { "ann@example.org" } else { "ANN@example.org" };
            let email = Email::parse(text).expect("an address");
            let request = SignUp { email, password: PASSWORD.into(), origin: origin() };
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
    events_of_a_session_say_who_what_and_from_where,
    a_failure_about_nobody_names_nobody,
    nobodys_address_or_secret_is_told,
    sign_up_follows_its_setting,
    a_closed_sign_up_makes_no_account,
    one_address_is_given_once,
];
