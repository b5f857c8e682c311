//! Requests by an address: alike for every one, in result and in work, and bounded by recipient.

use std::sync::Arc;

use goat_core::auth::{ChallengeSent, EmailChange};
use goat_core::courier::Message;
use goat_core::event::EventKind;
use goat_core::session::Origin;
use goat_core::testing::Point;
use goat_core::{Clock as _, Email, ErrorKind, Quota, Result, Settings, Signup, Status};

use super::{harness, kind, letter, letters};
use crate::flows::support::{Backend, Harness, PASSWORD, email, on_every_store, system};

on_every_store!(
    a_request_does_the_same_work_for_every_address,
    a_change_of_an_address_does_the_same_work_for_every_address,
    a_request_does_not_wait_for_the_letter,
    letters_to_one_address_are_bounded_over_all_requests,
    a_full_queue_rejects_every_address_alike,
    a_failed_store_sends_no_letter_and_frees_the_place,
);

/// A request by an address, as an anonymous client makes it.
#[derive(Clone, Copy, Debug)]
enum Request {
    SignUp,
    Recovery,
    SignIn,
}

const REQUESTS: [Request; 3] = [Request::SignUp, Request::Recovery, Request::SignIn];

impl Request {
    async fn make(self, harness: &Harness, email: Email) -> Result<ChallengeSent> {
        let (goat, origin) = (&harness.goat, Origin::default());
        match self {
            Self::SignUp => goat.request_sign_up(email, &origin).await,
            Self::Recovery => goat.request_recovery(email, &origin).await,
            Self::SignIn => goat.request_sign_in(email, &origin).await,
        }
    }
}

/// Users in every state, and an address without one.
async fn everyone(harness: &Harness) -> Vec<&'static str> {
    for name in ["active", "verified", "suspended", "inactive", "enrolled", "no-password"] {
        harness.user(name, "client").await;
    }
    let id = |name| async move {
        let found = harness.stores.users.by_email(email(name).canonical()).await;
        found.expect("the store responds").expect("a user").user.id
    };
    harness.verify_email(id("verified").await).await;
    let users = harness.goat.users();
    let suspended = users.change_status(system(), id("suspended").await, Status::Suspended);
    suspended.await.expect("suspended");
    users.delete(system(), id("inactive").await).await.expect("deleted");
    let role = harness.role("client");
    users.invite(system(), email("inactive"), role, &Origin::default()).await.expect("invited");
    let kind = goat_core::factor::FactorKind::Totp;
    harness.factors.enrol(id("enrolled").await, kind, harness.clock.now());
    let without = id("no-password").await;
    harness.factors.enrol(without, kind, harness.clock.now());
    harness.store_hash(without, "!").await;
    vec!["unknown", "active", "verified", "suspended", "inactive", "enrolled", "no-password"]
}

/// M1: one read and one write; all else comes after the response.
async fn a_request_does_the_same_work_for_every_address(backend: Backend) {
    let harness = harness(backend);
    let everyone = everyone(&harness).await;
    for request in REQUESTS {
        for name in &everyone {
            harness.advance(1);
            drop(harness.failpoints.take_calls());
            drop(harness.hasher.take_calls());
            let sent = request.make(&harness, email(name)).await.expect("accepted");
            let mut calls = harness.failpoints.take_calls();
            // Of the tasks that choose letters, for which no response waits: see the next behaviour.
            calls.retain(|call| *call != "factors.of");
            assert_eq!(calls, ["users.by_email", "challenges.put"], "{request:?} {name}");
            assert!(harness.hasher.take_calls().is_empty(), "{request:?} {name}: no hash");
            assert!(sent.expires_at > harness.clock.now(), "{request:?} {name}");
        }
    }
}

/// M1
async fn a_change_of_an_address_does_the_same_work_for_every_address(backend: Backend) {
    let harness = harness(backend);
    let everyone = everyone(&harness).await;
    let bob = harness.member("bob", "client").await;
    let me = harness.principal(&bob.tokens).await;
    let users = harness.goat.users();
    let mut works = Vec::new();
    for name in &everyone {
        drop((harness.failpoints.take_calls(), harness.hasher.take_calls()));
        let changed = users.change_email(&me, email(name), PASSWORD, &Origin::default()).await;
        assert!(matches!(changed.expect("accepted").value, EmailChange::Sent(_)), "{name}");
        let hashes = harness.hasher.take_calls().len();
        works.push((harness.failpoints.take_calls(), hashes));
    }
    let (calls, _) = &works[0];
    assert_eq!(calls[calls.len() - 2..], ["users.by_email", "challenges.put"]);
    for (work, name) in works.iter().zip(&everyone) {
        assert_eq!(work, &works[0], "{name}");
    }
}

/// M1: a store that does not answer delays the letter and not the response.
async fn a_request_does_not_wait_for_the_letter(backend: Backend) {
    let harness = Arc::new(harness(backend));
    let ann = harness.user("ann", "client").await.id;
    harness.store_hash(ann, "!").await;
    let held = harness.failpoints.hold("factors.of", Point::Entry);
    Request::Recovery.make(&harness, email("ann")).await.expect("accepted");
    held.reached().await;
    assert!(letters(&harness).take().is_empty());
    held.release();
    assert!(matches!(letter(&harness, "ann").await, Message::ResetPassword { .. }));
}

/// M6: by any request and in any spelling, known or not; a spelling with a tag counts for itself.
async fn letters_to_one_address_are_bounded_over_all_requests(backend: Backend) {
    let quota = Quota::per_hour(3);
    let harness = Harness::with_letters(backend, |settings| {
        (settings.signup, settings.email_sign_in) = (Signup::Confirmed, true);
        settings.mail_quota = Some(quota);
    });
    assert_eq!(Settings::default().mail_quota, Some(quota));
    harness.user("ann", "client").await;
    for name in ["ann", "unknown"] {
        let spelled = [
            name.to_owned(),
            name.to_uppercase(),
            format!("{}{}", &name[..1].to_uppercase(), &name[1..]),
        ];
        for (request, name) in REQUESTS.into_iter().zip(&spelled) {
            request.make(&harness, email(name)).await.expect("one of three");
        }
        drop(harness.events.take());
        for request in REQUESTS {
            let error = request.make(&harness, email(name)).await.expect_err("the fourth");
            assert_eq!(error.kind(), ErrorKind::RateLimited);
            assert_eq!(error.decisions()[0].limit, "mail");
        }
        let limited = EventKind::Limited("mail".to_owned());
        assert_eq!(harness.events.take_kinds(), [limited.clone(), limited.clone(), limited]);
    }
    let bob = harness.member("bob", "client").await;
    let me = harness.principal(&bob.tokens).await;
    let users = harness.goat.users();
    let changed = users.change_email(&me, email("ann"), PASSWORD, &Origin::default()).await;
    assert_eq!(kind(changed), Some(ErrorKind::RateLimited), "a changed address counts as well");
    let role = harness.role("client");
    let invited = users.invite(system(), email("unknown"), role, &Origin::default()).await;
    assert_eq!(kind(invited), Some(ErrorKind::RateLimited), "and so does an invitation");
    let ann = harness.stores.users.by_email(email("ann").canonical()).await;
    let ann = ann.expect("the store responds").expect("a user").user.id;
    let started = users.start_recovery(system(), ann, &Origin::default()).await;
    assert_eq!(kind(started), Some(ErrorKind::RateLimited), "and an administrator's recovery");
    harness.advance(3600);
    Request::Recovery.make(&harness, email("ann")).await.expect("an hour later");
}

/// M6: before the address is looked up.
async fn a_full_queue_rejects_every_address_alike(backend: Backend) {
    let harness = harness(backend);
    let everyone = everyone(&harness).await;
    letters(&harness).set_full(true);
    for request in REQUESTS {
        for name in &everyone {
            drop(harness.failpoints.take_calls());
            let error = request.make(&harness, email(name)).await.expect_err("full");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{request:?} {name}");
            assert!(error.retry_after().is_some());
            assert!(harness.failpoints.take_calls().is_empty(), "{request:?} {name}");
        }
    }
}

async fn a_failed_store_sends_no_letter_and_frees_the_place(backend: Backend) {
    let harness = harness(backend);
    harness.user("ann", "client").await;
    for call in ["users.by_email", "challenges.put"] {
        harness.failpoints.fail(call, Point::Entry);
        let refused = Request::Recovery.make(&harness, email("ann")).await;
        assert_eq!(kind(refused), Some(ErrorKind::Unavailable), "{call}");
    }
    assert!(letters(&harness).take().is_empty());
    Request::Recovery.make(&harness, email("ann")).await.expect("accepted");
    letter(&harness, "ann").await;
}
