//! Replacement of a session's tokens by a change of the password (D5).

use std::time::Duration;

use goat_core::auth::{PasswordChanged, TokenPair};
use goat_core::event::EventKind;
use goat_core::session::Origin;
use goat_core::session::OtherSessions;
use goat_core::testing::Point;
use goat_core::{ErrorKind, Goat, Principal};

use crate::flows::support::{
    Backend, Harness, OTHER_PASSWORD, Outcome, PASSWORD, on_every_store, refresh,
};

const REVOKED: Option<ErrorKind> = Some(ErrorKind::SessionRevoked);

async fn change(goat: &Goat, me: &Principal, passwords: [&str; 2]) -> PasswordChanged {
    let [old, new] = passwords;
    goat.users()
        .change_password(me, old, &new.into(), &Origin::default())
        .await
        .expect("changed")
        .value
}

/// Checks that the tokens are the living ones of their session, and that `replaced` end nothing.
async fn assert_replaced(harness: &Harness, replaced: &[&TokenPair], living: &TokenPair) {
    for tokens in replaced {
        assert_eq!(harness.authenticate(tokens).await.kind(), REVOKED);
        assert_eq!(harness.refresh(tokens).await.kind(), REVOKED);
    }
    harness.principal(living).await;
    let next = harness.refresh(living).await.expect("the living token").tokens;
    for tokens in replaced {
        assert_eq!(harness.authenticate(tokens).await.kind(), REVOKED);
        assert_eq!(harness.refresh(tokens).await.kind(), REVOKED);
    }
    harness.refresh(&next).await.expect("its successor");
}

async fn earlier_tokens_do_not_work_and_end_nothing(backend: Backend) {
    let harness = Harness::on(backend);
    let first = harness.member("ann", "client").await.tokens;
    let second = harness.refresh(&first).await.expect("rotated").tokens;
    let third = harness.refresh(&second).await.expect("rotated").tokens;
    let me = harness.principal(&third).await;
    harness.events.take();
    let changed = change(&harness.goat, &me, [PASSWORD, OTHER_PASSWORD]).await;
    assert_eq!(changed.revoked_sessions, 0);
    let replaced = [&first, &second, &third];
    assert_replaced(&harness, &replaced, &changed.tokens).await;
    let failed = EventKind::RefreshFailed(ErrorKind::SessionRevoked);
    let events = harness.events.take_kinds();
    assert_eq!(events.iter().filter(|kind| **kind == failed).count(), 6);
    assert!(!events.contains(&EventKind::TokenReused));
    // The new tokens are subject to reuse detection again.
    harness.advance(60);
    assert_eq!(harness.refresh(&changed.tokens).await.kind(), Some(ErrorKind::TokenReused));
    assert_eq!(harness.authenticate(&changed.tokens).await.kind(), REVOKED);
}

async fn each_change_replaces_the_tokens_of_the_one_before(backend: Backend) {
    let harness = Harness::on(backend);
    let first = harness.member("ann", "client").await.tokens;
    let me = harness.principal(&first).await;
    let second = change(&harness.goat, &me, [PASSWORD, OTHER_PASSWORD]).await.tokens;
    // The principal from before the first change is of the same session.
    let third = change(&harness.goat, &me, [OTHER_PASSWORD, PASSWORD]).await.tokens;
    assert_replaced(&harness, &[&first, &second], &third).await;
    // The tokens of a later session are of the later epoch.
    let other = harness.sign_in("ann").await.tokens;
    harness.refresh(&other).await.expect("a session of its own");
}

/// The user's row decides: the session store learns of the replacement at the next refresh, also if it
/// comes with a token from before, and after another rise of the epoch.
async fn a_replacement_that_was_not_stored_is_applied_at_the_next_refresh(backend: Backend) {
    let harness = Harness::on(backend);
    for (name, is_raised_again) in [("ann", false), ("bob", true)] {
        for with_the_old_token_first in [false, true] {
            let name = format!("{name}-{with_the_old_token_first}");
            let first = harness.member(&name, "client").await.tokens;
            let me = harness.principal(&first).await;
            harness.failpoints.fail("sessions.replace_tokens", Point::Entry);
            let second = change(&harness.goat, &me, [PASSWORD, OTHER_PASSWORD]).await.tokens;
            if is_raised_again {
                let me = harness.principal(&second).await;
                let others = OtherSessions::KeepCurrent;
                harness.goat.sessions().revoke_all(&me, others).await.expect("revoked");
            }
            let replaced: &[&TokenPair] = if with_the_old_token_first { &[&first] } else { &[] };
            assert_replaced(&harness, replaced, &second).await;
            assert_eq!(harness.refresh(&first).await.kind(), REVOKED);
        }
    }
}

/// R7: a refresh that read the session before the change and rotates after it.
async fn a_slow_refresh_does_not_survive_a_changed_password(backend: Backend) {
    let harness = Harness::on(backend);
    let other_node = harness.second_node();
    for is_stored in [true, false] {
        let name = format!("ann-{is_stored}");
        let first = harness.member(&name, "client").await.tokens;
        let me = harness.principal(&first).await;
        let held = harness.failpoints.hold("sessions.rotate", Point::Entry);
        let slow = tokio::spawn({
            let (goat, token) = (harness.goat.clone(), first.refresh_token.clone());
            async move { refresh(&goat, &token).await }
        });
        held.reached().await;
        if !is_stored {
            harness.failpoints.fail("sessions.replace_tokens", Point::Entry);
        }
        let second = change(&harness.goat, &me, [PASSWORD, OTHER_PASSWORD]).await.tokens;
        held.release();
        let slow = slow.await.expect("no panic");
        assert_eq!(slow.is_err(), is_stored);
        let mut replaced = vec![&first];
        replaced.extend(slow.iter().map(|refreshed| &refreshed.tokens));
        let next = refresh(&other_node, &second.refresh_token).await.expect("living").tokens;
        assert_replaced(&harness, &replaced, &next).await;
    }
}

/// R7: a refresh or a request between the commit of the change and its write to the session store.
async fn a_use_of_old_tokens_during_a_change_does_not_win_over_it(backend: Backend) {
    let harness = Harness::on(backend);
    let first = harness.member("ann", "client").await.tokens;
    let me = harness.principal(&first).await;
    let held = harness.failpoints.hold("sessions.replace_tokens", Point::Entry);
    let changing = tokio::spawn({
        let (goat, me) = (harness.goat.clone(), me.clone());
        async move { change(&goat, &me, [PASSWORD, OTHER_PASSWORD]).await }
    });
    held.reached().await;
    let other_node = harness.second_node();
    // Neither node caches the session as the store has it.
    for goat in [&harness.goat, &other_node] {
        let used = goat.authenticate_token(first.access_token.expose()).await;
        assert_eq!(used.kind(), REVOKED);
    }
    assert_eq!(refresh(&other_node, &first.refresh_token).await.kind(), REVOKED);
    held.release();
    let second = changing.await.expect("no panic").tokens;
    assert_replaced(&harness, &[&first], &second).await;
}

/// R3: a change whose caller is dropped after the commit is complete.
async fn a_change_completes_after_its_caller_is_dropped(backend: Backend) {
    let harness = Harness::on(backend);
    let first = harness.member("ann", "client").await.tokens;
    let me = harness.principal(&first).await;
    let held = harness.failpoints.hold("users.write", Point::Return);
    let changing = tokio::spawn({
        let goat = harness.goat.clone();
        async move { change(&goat, &me, [PASSWORD, OTHER_PASSWORD]).await }
    });
    held.reached().await;
    changing.abort();
    assert!(changing.await.expect_err("aborted").is_cancelled());
    assert_eq!(harness.refresh(&first).await.kind(), REVOKED);
    held.release();
    harness.events.wait_for(|kind| *kind == EventKind::PasswordChanged).await;
    harness.clock.advance(Duration::from_secs(1));
    assert_eq!(harness.refresh(&first).await.kind(), REVOKED);
}

on_every_store![
    earlier_tokens_do_not_work_and_end_nothing,
    each_change_replaces_the_tokens_of_the_one_before,
    a_replacement_that_was_not_stored_is_applied_at_the_next_refresh,
    a_slow_refresh_does_not_survive_a_changed_password,
    a_use_of_old_tokens_during_a_change_does_not_win_over_it,
    a_change_completes_after_its_caller_is_dropped,
];
