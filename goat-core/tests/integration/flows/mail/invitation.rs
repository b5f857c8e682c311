//! Invitations.

use goat_core::auth::{Method, Methods, SignedIn};
use goat_core::courier::Message;
use goat_core::event::EventKind;
use goat_core::session::Origin;
use goat_core::{Clock as _, ErrorKind, PageRequest, Result, Secret, Settings, Status, User};

use super::{INVALID, harness, kind, letter, token};
use crate::flows::support::{Backend, Harness, PASSWORD, email, on_every_store, system};

on_every_store!(
    an_invited_user_chooses_a_password_and_is_signed_in,
    a_new_letter_ends_the_older_one,
    wrong_answers_end_the_letter_and_not_the_user,
    only_an_invited_user_is_invited_again,
    the_ranks_hold_for_invitations,
    an_invitation_ends_with_the_address,
);

async fn invite(harness: &Harness, name: &str) -> User {
    let role = harness.role("client");
    let users = harness.goat.users();
    users.invite(system(), email(name), role, &Origin::default()).await.expect("invited")
}

async fn accept(harness: &Harness, token: Secret<String>) -> Result<SignedIn> {
    harness.goat.accept_invitation(token, &PASSWORD.into(), &Origin::default()).await
}

async fn an_invited_user_chooses_a_password_and_is_signed_in(backend: Backend) {
    let harness = harness(backend);
    let ann = invite(&harness, "ann").await;
    assert_eq!((ann.status, ann.email_verified_at), (Status::Inactive, None));
    let kinds = harness.events.take_kinds();
    assert_eq!(kinds, [EventKind::UserCreated, EventKind::UserInvited]);
    let message = letter(&harness, "ann").await;
    let secret = message.secret().expect("a secret");
    assert!(matches!(message, Message::Invitation(_)) && secret.code.is_none());
    assert_eq!(secret.expires_at, harness.clock.now() + Settings::default().invite_ttl);
    let refused = kind(harness.try_sign_in("ann").await);
    assert_eq!(refused, Some(ErrorKind::InvalidCredentials), "there is no password");
    harness.advance(60);
    let (short, origin) = ("short".into(), Origin::default());
    let weak = harness.goat.accept_invitation(token(&message), &short, &origin).await;
    assert_eq!(kind(weak), Some(ErrorKind::Invalid));
    let signed_in = accept(&harness, token(&message)).await.expect("accepted");
    assert_eq!((signed_in.user.id, signed_in.user.status), (ann.id, Status::Active));
    assert_eq!(signed_in.user.email_verified_at, Some(harness.clock.now()));
    let me = harness.principal(&signed_in.tokens).await;
    let page = harness.goat.sessions().list(&me, PageRequest::default()).await.expect("a page");
    assert_eq!(page.items[0].methods, Methods::of(Method::EmailCode));
    harness.sign_in("ann").await;
    assert_eq!(kind(accept(&harness, token(&message)).await), INVALID, "it is answered");
}

async fn a_new_letter_ends_the_older_one(backend: Backend) {
    let harness = harness(backend);
    let ann = invite(&harness, "ann").await;
    let older = letter(&harness, "ann").await;
    harness.advance(1);
    let users = harness.goat.users();
    users.invite_again(system(), ann.id, &Origin::default()).await.expect("sent again");
    let newer = letter(&harness, "ann").await;
    assert_eq!(kind(accept(&harness, token(&older)).await), INVALID);
    accept(&harness, token(&newer)).await.expect("accepted");
}

async fn wrong_answers_end_the_letter_and_not_the_user(backend: Backend) {
    let harness = harness(backend);
    let ann = invite(&harness, "ann").await;
    let message = letter(&harness, "ann").await;
    let right = token(&message).expose().clone();
    let end = if right.ends_with('0') { "G" } else { "0" };
    let wrong = right[..right.len() - 1].to_owned() + end;
    for _ in 0..5 {
        assert_eq!(kind(accept(&harness, wrong.as_str().into()).await), INVALID);
    }
    assert_eq!(kind(accept(&harness, right.into()).await), INVALID, "no attempt is left");
    let users = harness.goat.users();
    users.invite_again(system(), ann.id, &Origin::default()).await.expect("sent again");
    accept(&harness, token(&letter(&harness, "ann").await)).await.expect("accepted");
}

async fn only_an_invited_user_is_invited_again(backend: Backend) {
    let harness = harness(backend);
    let ann = invite(&harness, "ann").await;
    let early = letter(&harness, "ann").await;
    let users = harness.goat.users();
    users.change_status(system(), ann.id, Status::Active).await.expect("active");
    let again = users.invite_again(system(), ann.id, &Origin::default()).await;
    assert_eq!(kind(again), Some(ErrorKind::InvalidTransition));
    assert_eq!(kind(accept(&harness, token(&early)).await), INVALID, "it was activated otherwise");
    let (role, origin) = (harness.role("client"), Origin::default());
    let taken = users.invite(system(), email("ann"), role, &origin).await;
    assert_eq!(kind(taken), Some(ErrorKind::EmailTaken));
}

async fn the_ranks_hold_for_invitations(backend: Backend) {
    let harness = harness(backend);
    let boss = harness.member("boss", "admin").await;
    let ann = harness.member("ann", "client").await;
    let (users, origin) = (harness.goat.users(), Origin::default());
    let admin = harness.role("admin");
    let refused =
        users.invite(harness.actor(&boss.tokens).await, email("eve"), admin.clone(), &origin).await;
    assert_eq!(kind(refused), None, "the highest role gives its own");
    let eve = letter(&harness, "eve").await;
    accept(&harness, token(&eve)).await.expect("accepted");
    let actor = harness.actor(&ann.tokens).await;
    let refused = users.invite(actor, email("mallory"), admin, &origin).await;
    assert_eq!(kind(refused), Some(ErrorKind::Forbidden));
    let bob = invite(&harness, "bob").await;
    let actor = harness.actor(&ann.tokens).await;
    let refused = users.invite_again(actor, bob.id, &origin).await;
    assert_eq!(kind(refused), Some(ErrorKind::Forbidden));
}

async fn an_invitation_ends_with_the_address(backend: Backend) {
    let harness = harness(backend);
    let ann = invite(&harness, "ann").await;
    let message = letter(&harness, "ann").await;
    let update = goat_core::user::UserUpdate { email: Some(email("eve")), password: None };
    harness.goat.users().update(system(), ann.id, update).await.expect("changed");
    assert_eq!(kind(accept(&harness, token(&message)).await), INVALID);
    let users = harness.goat.users();
    users.invite_again(system(), ann.id, &Origin::default()).await.expect("sent again");
    let signed_in = accept(&harness, token(&letter(&harness, "eve").await)).await;
    assert_eq!(signed_in.expect("accepted").user.id, ann.id);
}
