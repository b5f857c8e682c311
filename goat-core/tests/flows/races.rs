//! Administrative acts against a login, a refresh or a reader that is under way: at every call of
//! the stores, before it and after it.

use std::future::Future;
use std::pin::Pin;

use goat_core::auth::TokenPair;
use goat_core::session::{Origin, OtherSessions};
use goat_core::testing::Point;
use goat_core::user::UserUpdate;
use goat_core::{ErrorKind, Principal, Result, Status, UserId};

use crate::support::{
    Ground, House, OTHER_PASSWORD, Outcome, PASSWORD, login, on_every_store, refresh, system,
};

/// What may happen to a user in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Suspend,
    SuspendAndReactivate,
    Delete,
    SetPassword,
    ChangeOwnPassword,
    EndAllOfThem,
    EndAllOfMine,
    EndMyOthers,
    Promote,
}

impl Act {
    const ALL: [Self; 9] = [
        Self::Suspend,
        Self::SuspendAndReactivate,
        Self::Delete,
        Self::SetPassword,
        Self::ChangeOwnPassword,
        Self::EndAllOfThem,
        Self::EndAllOfMine,
        Self::EndMyOthers,
        Self::Promote,
    ];

    async fn happen(self, house: &House, user: UserId, me: &Principal) {
        let (users, sessions) = (house.goat.users(), house.goat.sessions());
        let status = |status| users.change_status(system(), user, status);
        match self {
            Self::Suspend => drop(status(Status::Suspended).await.expect("suspended")),
            Self::SuspendAndReactivate => {
                status(Status::Suspended).await.expect("suspended");
                status(Status::Active).await.expect("active again");
            }
            Self::Delete => users.delete(system(), user).await.expect("deleted"),
            Self::SetPassword => {
                let password = Some(OTHER_PASSWORD.into());
                let update = UserUpdate { email: None, password };
                users.update(system(), user, update).await.expect("a new password");
            }
            Self::ChangeOwnPassword => {
                let changed = users.change_password(me, PASSWORD, &OTHER_PASSWORD.into()).await;
                changed.expect("a new password");
            }
            Self::EndAllOfThem => {
                sessions.revoke_all_of(system(), user).await.expect("ended");
            }
            Self::EndAllOfMine => {
                sessions.revoke_all(me, OtherSessions::EndCurrentToo).await.expect("ended");
            }
            Self::EndMyOthers => {
                sessions.revoke_all(me, OtherSessions::KeepCurrent).await.expect("ended");
            }
            Self::Promote => {
                users.change_role(system(), user, house.role("operator")).await.expect("promoted");
            }
        }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<TokenPair>> + Send>>;

/// Lets every act happen at every call that `begin` makes, and checks what is left of its answer.
async fn every_act_at_every_call(ground: Ground, begin: fn(&House, &str, &TokenPair) -> Answer) {
    let house = House::on(ground);
    let tokens = house.member("rehearsal", "client").await.tokens;
    drop(house.pauses.take_calls());
    begin(&house, "rehearsal", &tokens).await.expect("it works undisturbed");
    let mut calls = house.pauses.take_calls();
    // Sessions are purged now and then, on a task that nobody waits for.
    calls.retain(|call| *call != "sessions.purge");
    assert!(calls.len() >= 2, "{calls:?}");

    let mut number = 0;
    for call in calls {
        for (point, act) in Point::ALL.into_iter().flat_map(|p| Act::ALL.map(|act| (p, act))) {
            let case = format!("{act:?} at the {point:?} of {call}");
            number += 1;
            let name = format!("user{number}");
            let user = house.user(&name, "client").await.id;
            let mine = house.sign_in(&name).await.tokens;
            let theirs = house.sign_in(&name).await.tokens;
            let me = house.principal(&mine).await;

            let held = house.pauses.hold(call, point);
            let under_way = tokio::spawn(begin(&house, &name, &theirs));
            held.reached().await;
            act.happen(&house, user, &me).await;
            held.release();
            let answer = under_way.await.expect("no panic");

            if act == Act::Promote {
                let tokens = answer.expect("a change of role ends nothing");
                assert_eq!(house.principal(&tokens).await.role().as_str(), "operator", "{case}");
                continue;
            }
            // A login that has read nothing yet begins after the act, and is as good as any other.
            let begins_after = (call, point) == ("users.by_email", Point::Entry);
            for tokens in answer.iter().filter(|_| !begins_after).chain([&theirs]) {
                let refused = Some(ErrorKind::SessionRevoked);
                assert_eq!(house.authenticate(tokens).await.kind(), refused, "{case}");
                assert_eq!(house.refresh(tokens).await.kind(), refused, "{case}");
            }
            let mine_lives = matches!(act, Act::ChangeOwnPassword | Act::EndMyOthers);
            assert_eq!(house.authenticate(&mine).await.is_ok(), mine_lives, "{case}");
            assert_eq!(house.refresh(&mine).await.is_ok(), mine_lives, "{case}");
        }
    }
}

/// R7
async fn nothing_lives_on_of_a_login_that_an_act_overtook(ground: Ground) {
    every_act_at_every_call(ground, |house, name, _| {
        let (goat, email) = (house.goat.clone(), crate::support::address(name));
        Box::pin(async move { Ok(login(&goat, email, PASSWORD).await?.tokens) })
    })
    .await;
}

/// R7
async fn nothing_lives_on_of_a_refresh_that_an_act_overtook(ground: Ground) {
    every_act_at_every_call(ground, |house, _, tokens| {
        let (goat, token) = (house.goat.clone(), tokens.refresh_token.clone());
        Box::pin(async move { Ok(refresh(&goat, &token).await?.tokens) })
    })
    .await;
}

/// R4, R7: a slow reader does not put an old verdict over what an act made of it.
async fn a_slow_reader_does_not_remember_what_an_act_has_ended(ground: Ground) {
    let house = House::on(ground);
    let tokens = house.member("rehearsal", "client").await.tokens;
    drop(house.pauses.take_calls());
    house.principal(&tokens).await;
    let mut calls = house.pauses.take_calls();
    calls.retain(|call| !["roles.load", "sessions.purge"].contains(call));
    assert!(!calls.is_empty());

    let mut number = 0;
    for call in calls {
        for (point, act) in Point::ALL.into_iter().flat_map(|p| Act::ALL.map(|act| (p, act))) {
            let case = format!("{act:?} at the {point:?} of {call}");
            number += 1;
            let name = format!("user{number}");
            let user = house.user(&name, "client").await.id;
            let me = house.principal(&house.sign_in(&name).await.tokens).await;
            let read = house.sign_in(&name).await.tokens;

            let held = house.pauses.hold(call, point);
            let reading = house.goat.authenticate_token(read.access_token.expose());
            let reading = tokio::spawn(reading);
            held.reached().await;
            act.happen(&house, user, &me).await;
            held.release();
            drop(reading.await.expect("no panic"));

            match house.authenticate(&read).await {
                Ok(principal) => {
                    assert_eq!(act, Act::Promote, "{case}");
                    assert_eq!(principal.role().as_str(), "operator", "{case}");
                }
                Err(error) => {
                    assert_ne!(act, Act::Promote, "{case}");
                    assert_eq!(error.kind(), ErrorKind::SessionRevoked, "{case}");
                }
            }
        }
    }
}

/// R4
async fn a_slow_reader_does_not_revive_a_session_that_was_signed_out(ground: Ground) {
    let house = House::on(ground);
    for point in Point::ALL {
        let tokens = house.member(&format!("ann{point:?}"), "client").await.tokens;
        let me = house.principal(&tokens).await;
        let again = house.sign_in(&format!("ann{point:?}")).await;
        let doomed = house.principal(&again.tokens).await;
        house.advance(2);
        let held = house.pauses.hold("sessions.find", point);
        let reading =
            tokio::spawn(house.goat.authenticate_token(again.tokens.access_token.expose()));
        held.reached().await;
        if point == Point::Entry {
            house.goat.logout(&doomed, &Origin::default()).await.expect("signed out");
        } else {
            house.goat.sessions().revoke(&me, &[again.session]).await.expect("ended");
        }
        held.release();
        drop(reading.await.expect("no panic"));
        let refused = house.authenticate(&again.tokens).await.kind();
        assert_eq!(refused, Some(ErrorKind::SessionRevoked));
    }
}

/// R7: what follows a commit follows it, whoever has hung up.
async fn an_act_whose_caller_hangs_up_is_carried_to_its_end(ground: Ground) {
    let house = House::on(ground);
    let user = house.user("ann", "client").await.id;
    let tokens = house.sign_in("ann").await.tokens;
    house.principal(&tokens).await;
    let held = house.pauses.hold("users.write", Point::Return);
    let act = tokio::spawn({
        let goat = house.goat.clone();
        async move { goat.users().change_status(system(), user, Status::Suspended).await }
    });
    held.reached().await;
    act.abort();
    assert!(act.await.expect_err("aborted").is_cancelled());
    let ending = house.pauses.hold("sessions.revoke_all", Point::Return);
    held.release();
    ending.reached().await;
    assert_eq!(house.authenticate(&tokens).await.kind(), Some(ErrorKind::SessionRevoked));
}

/// A change of permissions that is read while its reader hangs up is read by the next one.
async fn a_reader_that_hangs_up_leaves_no_old_permissions_in_force(ground: Ground) {
    use goat_core::Permission;
    const REPORTS: Permission = Permission::new("report:read");
    let house = House::on(ground);
    let neighbour = house.neighbour();
    house.goat.prepare().await.expect("ready");
    neighbour.roles().grant(system(), "client", REPORTS).await.expect("granted");
    // The notice has come; whoever reads the table next hangs up in the midst of it.
    let held = house.pauses.hold("roles.load", Point::Entry);
    let reading = tokio::spawn({
        let goat = house.goat.clone();
        async move { goat.roles().list().await }
    });
    held.reached().await;
    reading.abort();
    assert!(reading.await.expect_err("aborted").is_cancelled());
    let roles = house.goat.roles().list().await.expect("roles");
    assert_eq!(roles[0].permissions, [REPORTS]);
}

on_every_store![
    nothing_lives_on_of_a_login_that_an_act_overtook,
    nothing_lives_on_of_a_refresh_that_an_act_overtook,
    a_slow_reader_does_not_remember_what_an_act_has_ended,
    a_slow_reader_does_not_revive_a_session_that_was_signed_out,
    an_act_whose_caller_hangs_up_is_carried_to_its_end,
    a_reader_that_hangs_up_leaves_no_old_permissions_in_force,
];
