//! Races of administrative actions with a login, refresh or read, at every store call, before and
//! after it.

use std::future::Future;
use std::pin::Pin;

use goat_core::auth::TokenPair;
use goat_core::session::{Origin, OtherSessions};
use goat_core::testing::Point;
use goat_core::user::UserUpdate;
use goat_core::{ErrorKind, Principal, Result, Status, UserId};

use crate::flows::support::{
    Backend, Harness, OTHER_PASSWORD, Outcome, PASSWORD, login, on_every_store, refresh, system,
};

/// A change of a user during another operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Suspend,
    SuspendAndReactivate,
    Delete,
    SetPassword,
    ChangeOwnPassword,
    RevokeAllByAdministrator,
    RevokeAll,
    RevokeOthers,
    Promote,
}

impl Action {
    const ALL: [Self; 9] = [
        Self::Suspend,
        Self::SuspendAndReactivate,
        Self::Delete,
        Self::SetPassword,
        Self::ChangeOwnPassword,
        Self::RevokeAllByAdministrator,
        Self::RevokeAll,
        Self::RevokeOthers,
        Self::Promote,
    ];

    /// Returns the tokens that replace those of `me`.
    async fn perform(self, harness: &Harness, user: UserId, me: &Principal) -> Option<TokenPair> {
        let (users, sessions) = (harness.goat.users(), harness.goat.sessions());
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
                let changed = users
                    .change_password(me, PASSWORD, &OTHER_PASSWORD.into(), &Origin::default())
                    .await;
                return Some(changed.expect("a new password").value.tokens);
            }
            Self::RevokeAllByAdministrator => {
                sessions.revoke_all_of(system(), user).await.expect("ended");
            }
            Self::RevokeAll => {
                sessions.revoke_all(me, OtherSessions::EndCurrentToo).await.expect("ended");
            }
            Self::RevokeOthers => {
                sessions.revoke_all(me, OtherSessions::KeepCurrent).await.expect("ended");
            }
            Self::Promote => {
                users
                    .change_role(system(), user, harness.role("operator"))
                    .await
                    .expect("promoted");
            }
        }
        None
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<TokenPair>> + Send>>;

/// Performs every action at every store call of `begin`, and checks the result.
async fn race_every_action_at_every_call(
    backend: Backend,
    begin: fn(&Harness, &str, &TokenPair) -> Answer,
) {
    let harness = Harness::on(backend);
    let tokens = harness.member("rehearsal", "client").await.tokens;
    drop(harness.failpoints.take_calls());
    begin(&harness, "rehearsal", &tokens).await.expect("success without a race");
    let mut calls = harness.failpoints.take_calls();
    calls.retain(|call| *call != "roles.load");
    assert!(calls.len() >= 2, "{calls:?}");

    let mut number = 0;
    for call in calls {
        for (point, action) in
            Point::ALL.into_iter().flat_map(|p| Action::ALL.map(|action| (p, action)))
        {
            let case = format!("{action:?} at the {point:?} of {call}");
            number += 1;
            let name = format!("user{number}");
            let user = harness.user(&name, "client").await.id;
            let mine = harness.sign_in(&name).await.tokens;
            let theirs = harness.sign_in(&name).await.tokens;
            let me = harness.principal(&mine).await;

            let held = harness.failpoints.hold(call, point);
            let under_way = tokio::spawn(begin(&harness, &name, &theirs));
            held.reached().await;
            let replaced = action.perform(&harness, user, &me).await;
            held.release();
            let answer = under_way.await.expect("no panic");

            if action == Action::Promote {
                let tokens = answer.expect("a change of role ends nothing");
                assert_eq!(harness.principal(&tokens).await.role().as_str(), "operator", "{case}");
                continue;
            }
            // A login that has not read the user yet runs after the action and is valid.
            let begins_after = (call, point) == ("users.by_email", Point::Entry);
            for tokens in answer.iter().filter(|_| !begins_after).chain([&theirs]) {
                let refused = Some(ErrorKind::SessionRevoked);
                assert_eq!(harness.authenticate(tokens).await.kind(), refused, "{case}");
                assert_eq!(harness.refresh(tokens).await.kind(), refused, "{case}");
            }
            let mine_lives = action == Action::RevokeOthers;
            assert_eq!(harness.authenticate(&mine).await.is_ok(), mine_lives, "{case}");
            assert_eq!(harness.refresh(&mine).await.is_ok(), mine_lives, "{case}");
            if let Some(current) = replaced {
                assert!(harness.authenticate(&current).await.is_ok(), "{case}");
                assert!(harness.refresh(&current).await.is_ok(), "{case}");
            }
        }
    }
}

/// R7
async fn a_login_that_lost_a_race_is_invalid(backend: Backend) {
    race_every_action_at_every_call(backend, |harness, name, _| {
        let (goat, email) = (harness.goat.clone(), crate::flows::support::address(name));
        Box::pin(async move { Ok(login(&goat, email, PASSWORD).await?.tokens) })
    })
    .await;
}

/// R7
async fn a_refresh_that_lost_a_race_is_invalid(backend: Backend) {
    race_every_action_at_every_call(backend, |harness, _, tokens| {
        let (goat, token) = (harness.goat.clone(), tokens.refresh_token.clone());
        Box::pin(async move { Ok(refresh(&goat, &token).await?.tokens) })
    })
    .await;
}

/// R7, B23
async fn a_renewal_that_lost_a_race_is_invalid(backend: Backend) {
    race_every_action_at_every_call(backend, |harness, _, tokens| {
        let (goat, token) = (harness.goat.clone(), tokens.refresh_token.clone());
        Box::pin(async move { Ok(goat.renew(&token, &Origin::default()).await?.tokens) })
    })
    .await;
}

/// R4, R7: a slow read does not cache a state that an action has changed.
async fn a_slow_read_does_not_cache_an_ended_session(backend: Backend) {
    let harness = Harness::on(backend);
    let tokens = harness.member("rehearsal", "client").await.tokens;
    drop(harness.failpoints.take_calls());
    harness.principal(&tokens).await;
    let mut calls = harness.failpoints.take_calls();
    calls.retain(|call| *call != "roles.load");
    assert!(!calls.is_empty());

    let mut number = 0;
    for call in calls {
        for (point, action) in
            Point::ALL.into_iter().flat_map(|p| Action::ALL.map(|action| (p, action)))
        {
            let case = format!("{action:?} at the {point:?} of {call}");
            number += 1;
            let name = format!("user{number}");
            let user = harness.user(&name, "client").await.id;
            let me = harness.principal(&harness.sign_in(&name).await.tokens).await;
            let read = harness.sign_in(&name).await.tokens;

            let held = harness.failpoints.hold(call, point);
            let reading = harness.goat.authenticate_token(read.access_token.expose());
            let reading = tokio::spawn(reading);
            held.reached().await;
            action.perform(&harness, user, &me).await;
            held.release();
            drop(reading.await.expect("no panic"));

            match harness.authenticate(&read).await {
                Ok(principal) => {
                    assert_eq!(action, Action::Promote, "{case}");
                    assert_eq!(principal.role().as_str(), "operator", "{case}");
                }
                Err(error) => {
                    assert_ne!(action, Action::Promote, "{case}");
                    assert_eq!(error.kind(), ErrorKind::SessionRevoked, "{case}");
                }
            }
        }
    }
}

/// R4
async fn a_slow_read_does_not_revive_a_session_after_logout(backend: Backend) {
    let harness = Harness::on(backend);
    for point in Point::ALL {
        let tokens = harness.member(&format!("ann{point:?}"), "client").await.tokens;
        let me = harness.principal(&tokens).await;
        let again = harness.sign_in(&format!("ann{point:?}")).await;
        let other = harness.principal(&again.tokens).await;
        harness.advance(2);
        let held = harness.failpoints.hold("sessions.find", point);
        let reading =
            tokio::spawn(harness.goat.authenticate_token(again.tokens.access_token.expose()));
        held.reached().await;
        if point == Point::Entry {
            harness.goat.logout(&other, &Origin::default()).await.expect("signed out");
        } else {
            harness.goat.sessions().revoke(&me, &[again.session]).await.expect("ended");
        }
        held.release();
        drop(reading.await.expect("no panic"));
        let refused = harness.authenticate(&again.tokens).await.kind();
        assert_eq!(refused, Some(ErrorKind::SessionRevoked));
    }
}

/// R7: the steps after a commit run even if the caller is dropped.
async fn an_action_completes_after_its_caller_is_dropped(backend: Backend) {
    let harness = Harness::on(backend);
    let user = harness.user("ann", "client").await.id;
    let tokens = harness.sign_in("ann").await.tokens;
    harness.principal(&tokens).await;
    let held = harness.failpoints.hold("users.write", Point::Return);
    let action = tokio::spawn({
        let goat = harness.goat.clone();
        async move { goat.users().change_status(system(), user, Status::Suspended).await }
    });
    held.reached().await;
    action.abort();
    assert!(action.await.expect_err("aborted").is_cancelled());
    let ending = harness.failpoints.hold("sessions.revoke_all", Point::Return);
    held.release();
    ending.reached().await;
    assert_eq!(harness.authenticate(&tokens).await.kind(), Some(ErrorKind::SessionRevoked));
}

/// If a reader is dropped while it loads a changed role table, the next one loads it.
async fn a_dropped_reader_leaves_no_stale_permissions(backend: Backend) {
    use goat_core::Permission;
    const REPORTS: Permission = Permission::new("report:read");
    let harness = Harness::on(backend);
    let other_node = harness.second_node();
    harness.goat.prepare().await.expect("ready");
    other_node.roles().grant(system(), "client", REPORTS).await.expect("granted");
    // The invalidation has arrived; the next reader is dropped while it loads the table.
    let held = harness.failpoints.hold("roles.load", Point::Entry);
    let reading = tokio::spawn({
        let goat = harness.goat.clone();
        async move { goat.roles().list().await }
    });
    held.reached().await;
    reading.abort();
    assert!(reading.await.expect_err("aborted").is_cancelled());
    let roles = harness.goat.roles().list().await.expect("roles");
    assert_eq!(roles[0].permissions, [REPORTS]);
}

on_every_store![
    a_login_that_lost_a_race_is_invalid,
    a_refresh_that_lost_a_race_is_invalid,
    a_renewal_that_lost_a_race_is_invalid,
    a_slow_read_does_not_cache_an_ended_session,
    a_slow_read_does_not_revive_a_session_after_logout,
    an_action_completes_after_its_caller_is_dropped,
    a_dropped_reader_leaves_no_stale_permissions,
];
