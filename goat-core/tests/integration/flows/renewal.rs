//! Renewal: a refresh within a request, shared by concurrent requests with the same refresh token.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use goat_core::auth::{Renewed, TokenPair};
use goat_core::event::EventKind;
use goat_core::session::Origin;
use goat_core::testing::Point;
use goat_core::{ErrorKind, PageRequest, Result};

use crate::flows::support::{Backend, Harness, Outcome, on_every_store};

type Renewal = Pin<Box<dyn Future<Output = Result<Renewed>> + Send>>;

/// Begins a renewal: when this returns, it rotates or has joined a rotation in progress.
async fn begin(harness: &Harness, tokens: &TokenPair, address: Option<IpAddr>) -> Renewal {
    let (goat, token) = (harness.goat.clone(), tokens.refresh_token.clone());
    let origin = Origin { address, ..Origin::default() };
    let mut renewal: Renewal = Box::pin(async move { goat.renew(&token, &origin).await });
    std::future::poll_fn(|context| {
        assert!(renewal.as_mut().poll(context).is_pending(), "the rotation is held");
        Poll::Ready(())
    })
    .await;
    renewal
}

/// The number of rotations since the calls were last taken.
fn rotations(harness: &Harness) -> usize {
    harness.failpoints.take_calls().iter().filter(|call| **call == "sessions.rotate").count()
}

/// B23: also without a grace period, in which a second rotation would end the session.
async fn fifty_parallel_renewals_share_one_rotation_and_end_in_one_live_session(backend: Backend) {
    let harness = Harness::with(backend, |settings| settings.refresh_leeway = Duration::ZERO);
    let before = harness.member("ann", "client").await.tokens;
    rotations(&harness);
    let held = harness.failpoints.hold("sessions.rotate", Point::Entry);
    let mut renewals = Vec::new();
    for _ in 0..50 {
        renewals.push(begin(&harness, &before, None).await);
    }
    held.reached().await;
    held.release();
    let mut successors = Vec::new();
    for renewal in renewals {
        let Renewed { principal, tokens } = renewal.await.expect("a live session");
        let sessions = harness.goat.sessions().list(&principal, PageRequest::default()).await;
        assert_eq!(sessions.expect("a page").items.len(), 1);
        successors.push(tokens.refresh_token.expose().clone());
    }
    assert_eq!(rotations(&harness), 1);
    successors.dedup();
    assert_eq!(successors.len(), 1);
    let next = harness.goat.renew(&successors.remove(0).into(), &Origin::default()).await;
    next.expect("the session continues");
}

/// B23: a request that joins a rotation after the session has ended is rejected.
async fn a_renewal_never_revives_an_ended_session(backend: Backend) {
    let harness = Harness::on(backend);
    for (name, point) in ["ann", "bob"].into_iter().zip(Point::ALL) {
        let before = harness.member(name, "client").await.tokens;
        let held = harness.failpoints.hold("sessions.rotate", point);
        let first = begin(&harness, &before, None).await;
        held.reached().await;
        harness.logout(&before).await;
        let joined = begin(&harness, &before, None).await;
        held.release();
        for renewal in [first, joined] {
            assert_eq!(renewal.await.kind(), Some(ErrorKind::SessionRevoked), "{point:?}");
        }
        let again = harness.goat.renew(&before.refresh_token, &Origin::default()).await;
        assert_eq!(again.kind(), Some(ErrorKind::SessionRevoked), "{point:?}");
    }
}

/// B23, R3
async fn a_rotation_is_completed_for_the_others_if_its_first_caller_is_dropped(backend: Backend) {
    let harness = Harness::with(backend, |settings| settings.refresh_leeway = Duration::ZERO);
    let before = harness.member("ann", "client").await.tokens;
    rotations(&harness);
    let held = harness.failpoints.hold("sessions.rotate", Point::Return);
    let first = begin(&harness, &before, None).await;
    held.reached().await;
    let other = begin(&harness, &before, None).await;
    drop(first);
    held.release();
    other.await.expect("a live session");
    assert_eq!(rotations(&harness), 1);
}

async fn a_failed_rotation_is_shared_and_not_remembered(backend: Backend) {
    let harness = Harness::on(backend);
    let before = harness.member("ann", "client").await.tokens;
    let held = harness.failpoints.hold("sessions.find", Point::Entry);
    harness.failpoints.fail("sessions.rotate", Point::Entry);
    let renewals = [begin(&harness, &before, None).await, begin(&harness, &before, None).await];
    held.reached().await;
    held.release();
    for renewal in renewals {
        assert_eq!(renewal.await.kind(), Some(ErrorKind::Unavailable));
    }
    let again = harness.goat.renew(&before.refresh_token, &Origin::default()).await;
    again.expect("the token is still valid");
}

/// D6: a rotation in progress does not hide that another address presents the token.
async fn another_address_does_not_join_a_rotation(backend: Backend) {
    let harness = Harness::on(backend);
    let before = harness.member("ann", "client").await.tokens;
    harness.events.take();
    let held = harness.failpoints.hold("sessions.rotate", Point::Return);
    let [here, elsewhere] = [[192, 0, 2, 7], [198, 51, 100, 9]].map(|address| Some(address.into()));
    let first = begin(&harness, &before, here).await;
    held.reached().await;
    let origin = Origin { address: elsewhere, ..Origin::default() };
    let other = harness.goat.renew(&before.refresh_token, &origin).await;
    other.expect("a rotation of its own, within the grace period");
    held.release();
    first.await.expect("a live session");
    let events = harness.events.take_kinds();
    assert!(events.contains(&EventKind::RefreshRepeatedElsewhere), "{events:?}");
}

/// R2: an older token of the session is a reuse, also while its successor rotates.
async fn an_older_token_does_not_join_the_rotation_of_its_successor(backend: Backend) {
    let harness = Harness::on(backend);
    let stolen = harness.member("ann", "client").await.tokens;
    let current = harness.refresh(&stolen).await.expect("rotated").tokens;
    harness.advance(11);
    let held = harness.failpoints.hold("sessions.rotate", Point::Entry);
    let renewal = begin(&harness, &current, None).await;
    held.reached().await;
    let thief = harness.goat.renew(&stolen.refresh_token, &Origin::default()).await;
    assert_eq!(thief.kind(), Some(ErrorKind::TokenReused));
    held.release();
    assert_eq!(renewal.await.kind(), Some(ErrorKind::SessionRevoked));
}

on_every_store!(
    fifty_parallel_renewals_share_one_rotation_and_end_in_one_live_session,
    a_renewal_never_revives_an_ended_session,
    a_rotation_is_completed_for_the_others_if_its_first_caller_is_dropped,
    a_failed_rotation_is_shared_and_not_remembered,
    another_address_does_not_join_a_rotation,
    an_older_token_does_not_join_the_rotation_of_its_successor,
);
