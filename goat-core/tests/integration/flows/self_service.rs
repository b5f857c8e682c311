//! Self-service: changes of users by themselves, and of their sessions.

use goat_core::event::{EventActor, EventKind};
use goat_core::session::{Origin, OtherSessions};
use goat_core::testing::Point;
use goat_core::user::UserUpdate;
use goat_core::{ErrorKind, PageRequest, SessionId, Status, Timestamp};

use crate::flows::support::{
    Backend, Harness, OTHER_PASSWORD, Outcome, PASSWORD, address, email, login, on_every_store,
    system,
};

/// P8
async fn a_password_change_ends_all_other_sessions(backend: Backend) {
    let harness = Harness::on(backend);
    let mine = harness.member("ann", "client").await.tokens;
    let others = [harness.sign_in("ann").await.tokens, harness.sign_in("ann").await.tokens];
    let me = harness.principal(&mine).await;
    for tokens in &others {
        harness.principal(tokens).await;
    }
    harness.events.take();
    let new = OTHER_PASSWORD.into();
    let ended = harness
        .goat
        .users()
        .change_password(&me, PASSWORD, &new, &Origin::default())
        .await
        .expect("changed");
    assert_eq!(ended.value.revoked_sessions, 2);
    assert_eq!(
        harness.events.take_kinds(),
        [EventKind::SessionsRevoked(2), EventKind::PasswordChanged],
    );
    for tokens in &others {
        assert_eq!(harness.authenticate(tokens).await.kind(), Some(ErrorKind::SessionRevoked));
        assert_eq!(harness.refresh(tokens).await.kind(), Some(ErrorKind::SessionRevoked));
    }
    assert_eq!(harness.authenticate(&mine).await.kind(), Some(ErrorKind::SessionRevoked));
    let mine = harness.refresh(&ended.value.tokens).await.expect("the current session").tokens;
    harness.principal(&mine).await;
    assert_eq!(harness.try_sign_in("ann").await.kind(), Some(ErrorKind::InvalidCredentials));
    // And again, from the kept session.
    let second = login(&harness.goat, address("ann"), OTHER_PASSWORD).await.expect("the new one");
    let me = harness.principal(&mine).await;
    let changed = harness
        .goat
        .users()
        .change_password(&me, OTHER_PASSWORD, &PASSWORD.into(), &Origin::default())
        .await;
    let changed = changed.expect("changed").value;
    assert_eq!(changed.revoked_sessions, 1);
    assert!(harness.authenticate(&second.tokens).await.is_err());
    harness.principal(&changed.tokens).await;
}

/// P8
async fn self_service_changes_require_the_current_password(backend: Backend) {
    let harness = Harness::on(backend);
    let tokens = harness.member("ann", "client").await.tokens;
    let me = harness.principal(&tokens).await;
    let users = harness.goat.users();
    let wrong = Some(ErrorKind::WrongPassword);
    for tried in ["", "wrong", "\0", &"x".repeat(100_000)] {
        drop(harness.hasher.take_calls());
        assert_eq!(
            users.change_email(&me, email("ben"), tried, &Origin::default()).await.kind(),
            wrong
        );
        let new = OTHER_PASSWORD.into();
        assert_eq!(users.change_password(&me, tried, &new, &Origin::default()).await.kind(), wrong);
        assert_eq!(users.delete_self(&me, tried).await.kind(), wrong);
        assert_eq!((harness.hasher.verifications(), harness.hasher.hashes()), (3, 0));
    }
    let same =
        users.change_password(&me, PASSWORD, &PASSWORD.into(), &Origin::default()).await.kind();
    assert_eq!(same, Some(ErrorKind::PasswordUnchanged));
    let short = users
        .change_password(&me, PASSWORD, &"short".into(), &Origin::default())
        .await
        .expect_err("short");
    assert_eq!(short.kind(), ErrorKind::Invalid);
    assert_eq!(short.violations()[0].field, "new_password");
    assert_eq!(harness.sign_in("ann").await.user.email, email("ann"));
}

/// P8, E3
async fn an_address_can_be_changed_unless_taken(backend: Backend) {
    let harness = Harness::on(backend);
    harness.user("ben", "client").await;
    let tokens = harness.member("ann", "client").await.tokens;
    let me = harness.principal(&tokens).await;
    let users = harness.goat.users();
    let taken = users
        .change_email(&me, email("ben"), PASSWORD, &Origin::default())
        .await
        .expect_err("taken");
    assert_eq!(taken.kind(), ErrorKind::EmailTaken);
    assert!(!format!("{taken} {taken:?} {}", taken.client_message()).contains("ben@"));
    // The own address in another case is no conflict; the identical one is no change.
    let louder = goat_core::Email::parse("ANN@example.org").expect("an address");
    let user = users
        .change_email(&me, louder.clone(), PASSWORD, &Origin::default())
        .await
        .expect("no conflict")
        .value
        .changed()
        .expect("without a courier");
    assert_eq!(user.email.as_str(), "ANN@example.org");
    drop(harness.hasher.take_calls());
    users.change_email(&me, louder, "wrong", &Origin::default()).await.expect("nothing to change");
    assert_eq!(harness.hasher.verifications(), 0);
    users.change_email(&me, email("ann2"), PASSWORD, &Origin::default()).await.expect("changed");
    assert!(harness.try_sign_in("ann").await.is_err());
    harness.sign_in("ann2").await;
    harness.principal(&tokens).await;
}

/// A new address is not verified. Another spelling of a verified one is, and sign-ins and other changes keep
/// the time.
async fn a_changed_address_is_not_verified(backend: Backend) {
    let harness = Harness::on(backend);
    let tokens = harness.member("ann", "client").await.tokens;
    let me = harness.principal(&tokens).await;
    assert_eq!(me.profile().email_verified_at, None);
    let users = harness.goat.users();
    let change = async |email: &str| {
        let email = goat_core::Email::parse(email).expect("an address");
        let changed = users.change_email(&me, email, PASSWORD, &Origin::default()).await;
        changed.expect("changed").value.changed().expect("at once").email_verified_at
    };
    let update = async |email: &str| {
        let email = Some(goat_core::Email::parse(email).expect("an address"));
        let update = UserUpdate { email, password: None };
        users.update(system(), me.user(), update).await.expect("changed").email_verified_at
    };
    let verified_at = harness.verify_email(me.user()).await;
    harness.advance(5);
    assert_eq!(change("ANN@Example.org").await, Some(verified_at));
    assert_eq!(update("Ann@example.ORG").await, Some(verified_at));
    users.reset_password(system(), me.user(), PASSWORD.into()).await.expect("changed");
    users.change_role(system(), me.user(), harness.role("operator")).await.expect("changed");
    let signed_in = harness.sign_in("ann").await;
    assert_eq!(signed_in.user.email_verified_at, Some(verified_at));
    let me = harness.principal(&signed_in.tokens).await;
    assert_eq!(me.profile().email_verified_at, Some(verified_at));
    let other = goat_core::Email::parse("anna@example.org").expect("an address");
    let changed = users.change_email(&me, other, PASSWORD, &Origin::default()).await;
    let user = changed.expect("changed").value.changed().expect("without a courier");
    assert_eq!(user.email_verified_at, None);
    let me = harness.principal(&signed_in.tokens).await;
    assert_eq!(me.profile().email_verified_at, None);
    // The earlier address is not verified when it comes back.
    assert_eq!(update("ann@example.org").await, None);
    harness.verify_email(me.user()).await;
    assert_eq!(update("another@example.org").await, None);
    assert_eq!(harness.principal(&signed_in.tokens).await.profile().email_verified_at, None);
}

/// A principal from a stale cache does not allow password attempts.
async fn an_ended_session_cannot_try_passwords(backend: Backend) {
    let harness = Harness::on(backend);
    let tokens = harness.member("ann", "client").await.tokens;
    let id = harness.principal(&tokens).await.user();
    let me = harness.principal(&tokens).await;
    let users = harness.goat.users();
    users.change_status(system(), id, Status::Suspended).await.expect("suspended");
    drop(harness.hasher.take_calls());
    let revoked = Some(ErrorKind::SessionRevoked);
    assert_eq!(users.delete_self(&me, PASSWORD).await.kind(), revoked);
    assert_eq!(
        users.change_email(&me, email("x"), PASSWORD, &Origin::default()).await.kind(),
        revoked
    );
    let new = OTHER_PASSWORD.into();
    assert_eq!(
        users.change_password(&me, PASSWORD, &new, &Origin::default()).await.kind(),
        revoked
    );
    assert_eq!(harness.hasher.verifications(), 0);
}

/// R7: between the password check and the write.
async fn a_self_service_change_that_lost_a_race_is_refused_inside_the_write(backend: Backend) {
    let harness = Harness::on(backend);
    for (number, expected) in
        [ErrorKind::SessionRevoked, ErrorKind::WrongPassword].into_iter().enumerate()
    {
        let name = format!("ann{number}");
        let tokens = harness.member(&name, "client").await.tokens;
        let me = harness.principal(&tokens).await;
        let held = harness.failpoints.hold("users.write", Point::Entry);
        let slow = tokio::spawn({
            let (goat, me) = (harness.goat.clone(), me.clone());
            async move {
                goat.users().change_email(&me, email("new"), PASSWORD, &Origin::default()).await
            }
        });
        held.reached().await;
        if expected == ErrorKind::SessionRevoked {
            let reset = harness.goat.users();
            reset.reset_password(system(), me.user(), OTHER_PASSWORD.into()).await.expect("reset");
        } else {
            // From the same session, which is kept.
            let users = harness.goat.users();
            users
                .change_password(&me, PASSWORD, &OTHER_PASSWORD.into(), &Origin::default())
                .await
                .expect("changed");
        }
        held.release();
        assert_eq!(slow.await.expect("no panic").kind(), Some(expected));
    }
}

/// A write that does not change the password does not invalidate the check.
async fn revoking_other_sessions_does_not_invalidate_a_password_check(backend: Backend) {
    let harness = Harness::on(backend);
    let tokens = harness.member("ann", "client").await.tokens;
    let me = harness.principal(&tokens).await;
    let held = harness.failpoints.hold("users.write", Point::Entry);
    let slow = tokio::spawn({
        let (goat, me) = (harness.goat.clone(), me.clone());
        async move { goat.users().change_email(&me, email("new"), PASSWORD, &Origin::default()).await }
    });
    held.reached().await;
    let sessions = harness.goat.sessions();
    sessions.revoke_all(&me, OtherSessions::KeepCurrent).await.expect("ended");
    held.release();
    slow.await.expect("no panic").expect("the password was right");
}

/// R9: after a restore of older users, the session store has sessions of a later epoch. Revoking
/// all sessions removes them, so that a later epoch does not make them valid.
async fn revoking_all_sessions_removes_those_of_later_epochs(backend: Backend) {
    let harness = Harness::on(backend);
    let mine = harness.member("ann", "client").await;
    let user = harness.principal(&mine.tokens).await.user();
    let sessions = &harness.stores.sessions;
    let kept =
        sessions.find(user, mine.session).await.expect("an answer").expect("a session").session;
    let mut later = kept.clone();
    later.id = SessionId::generate(kept.created_at);
    later.epoch = kept.epoch + 2;
    sessions.create(&later, 50).await.expect("an answer");
    for _ in 0..3 {
        harness.goat.sessions().revoke_all_of(system(), user).await.expect("ended");
        assert!(sessions.find(user, later.id).await.expect("an answer").is_none());
    }
}

async fn users_can_delete_themselves(backend: Backend) {
    let harness = Harness::on(backend);
    let admin = harness.member("root", "admin").await.tokens;
    let root = harness.principal(&admin).await;
    let refused = harness.goat.users().delete_self(&root, PASSWORD).await.kind();
    assert_eq!(refused, Some(ErrorKind::LastAdministrator));
    let tokens = harness.member("ann", "client").await.tokens;
    let me = harness.principal(&tokens).await;
    harness.goat.users().delete_self(&me, PASSWORD).await.expect("deleted");
    assert_eq!(harness.authenticate(&tokens).await.kind(), Some(ErrorKind::SessionRevoked));
    assert_eq!(harness.refresh(&tokens).await.kind(), Some(ErrorKind::SessionRevoked));
    assert_eq!(harness.try_sign_in("ann").await.kind(), Some(ErrorKind::InvalidCredentials));
    harness.member("ann", "client").await;
}

/// R8
async fn a_batch_with_a_foreign_session_has_no_effect(backend: Backend) {
    let harness = Harness::on(backend);
    let mine = harness.member("ann", "client").await;
    let second = harness.sign_in("ann").await;
    let other = harness.member("ben", "client").await;
    let me = harness.principal(&mine.tokens).await;
    let sessions = harness.goat.sessions();
    let unknown = SessionId::generate(Timestamp::from_millis(0));
    let ended = harness.sign_in("ann").await;
    sessions.revoke(&me, &[ended.session]).await.expect("ended");
    let mut answers = Vec::new();
    for foreign in [other.session, unknown, ended.session] {
        for batch in [vec![foreign], vec![second.session, foreign], vec![foreign, mine.session]] {
            let error = sessions.revoke(&me, &batch).await.expect_err("not there");
            assert_eq!(error.kind(), ErrorKind::NotFound);
            answers.push(error.to_string());
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "foreign, unknown and ended sessions are indistinguishable");
    for live in [&mine, &second, &other] {
        harness.principal(&live.tokens).await;
    }
    let twice = [second.session, mine.session, second.session];
    assert_eq!(sessions.revoke(&me, &twice).await.expect("ended"), 2);
    assert!(harness.authenticate(&mine.tokens).await.is_err());
    assert!(harness.authenticate(&second.tokens).await.is_err());
    harness.principal(&other.tokens).await;
}

async fn all_or_all_other_sessions_can_be_revoked(backend: Backend) {
    let harness = Harness::on(backend);
    let mine = harness.member("ann", "client").await.tokens;
    let other = harness.sign_in("ann").await.tokens;
    let foreign = harness.member("ben", "client").await.tokens;
    let me = harness.principal(&mine).await;
    harness.principal(&other).await;
    let sessions = harness.goat.sessions();
    let page = |all: goat_core::Page<goat_core::session::Session>| all.total;
    let listed = sessions.list(&me, PageRequest::default()).await.map(page);
    assert_eq!(listed.expect("a page"), 2);
    let ended = sessions.revoke_all(&me, OtherSessions::KeepCurrent).await.expect("ended");
    assert_eq!(ended, 1);
    assert!(harness.authenticate(&other).await.is_err());
    let me = harness.principal(&mine).await;
    let listed = sessions.list(&me, PageRequest::default()).await.map(page);
    assert_eq!(listed.expect("a page"), 1);
    let ended = sessions.revoke_all(&me, OtherSessions::EndCurrentToo).await.expect("ended");
    assert_eq!(ended, 1);
    assert!(harness.authenticate(&mine).await.is_err());
    let again = sessions.revoke_all(&me, OtherSessions::EndCurrentToo).await.kind();
    assert_eq!(again, Some(ErrorKind::SessionRevoked));
    harness.principal(&foreign).await;
}

/// The epoch decides. A later failure of the session store does not turn success into an error.
async fn sessions_end_even_if_their_store_fails_afterwards(backend: Backend) {
    let harness = Harness::on(backend);
    let mine = harness.member("ann", "client").await.tokens;
    let other = harness.sign_in("ann").await.tokens;
    let me = harness.principal(&mine).await;
    harness.failpoints.fail("sessions.revoke_all", Point::Entry);
    let sessions = harness.goat.sessions();
    sessions.revoke_all(&me, OtherSessions::KeepCurrent).await.expect("revoked");
    assert!(harness.authenticate(&other).await.is_err());
    assert!(harness.refresh(&other).await.is_err());
    harness.principal(&mine).await;
}

/// R9: sessions that the epoch ended stay invalid, even if the session store restores them.
async fn restored_sessions_of_an_old_epoch_stay_invalid(backend: Backend) {
    let harness = Harness::on(backend);
    for action in ["suspension", "own password", "set password", "all", "others", "by admin"] {
        let name = action.replace(' ', "_");
        let mine = harness.member(&name, "client").await;
        let other = harness.sign_in(&name).await;
        let me = harness.principal(&mine.tokens).await;
        let mut dump = Vec::new();
        for session in [mine.session, other.session] {
            let view = harness.stores.sessions.find(me.user(), session).await.expect("an answer");
            dump.push(view.expect("a session").session);
        }
        let (users, sessions, id) = (harness.goat.users(), harness.goat.sessions(), me.user());
        let mut current = mine.tokens.clone();
        let kept = match action {
            "suspension" => {
                for status in [Status::Suspended, Status::Active] {
                    users.change_status(system(), id, status).await.expect("changed");
                }
                false
            }
            "own password" => {
                let new = OTHER_PASSWORD.into();
                let changed = users
                    .change_password(&me, PASSWORD, &new, &Origin::default())
                    .await
                    .expect("changed");
                current = changed.value.tokens;
                true
            }
            "set password" => {
                users.reset_password(system(), id, OTHER_PASSWORD.into()).await.expect("set");
                false
            }
            "all" => {
                sessions.revoke_all(&me, OtherSessions::EndCurrentToo).await.expect("ended");
                false
            }
            "others" => {
                sessions.revoke_all(&me, OtherSessions::KeepCurrent).await.expect("ended");
                true
            }
            _ => {
                sessions.revoke_all_of(system(), id).await.expect("ended");
                false
            }
        };
        for session in &dump {
            harness.stores.sessions.end(session.user, session.id).await.expect("ended");
            harness.stores.sessions.create(session, 50).await.expect("restored");
        }
        let refused = Some(ErrorKind::SessionRevoked);
        assert_eq!(harness.authenticate(&other.tokens).await.kind(), refused, "{action}");
        assert_eq!(harness.refresh(&other.tokens).await.kind(), refused, "{action}");
        assert_eq!(harness.authenticate(&current).await.is_ok(), kept, "{action}");
        if action == "own password" {
            // D5: also in a session store that went back to before the change.
            assert_eq!(harness.authenticate(&mine.tokens).await.kind(), refused, "{action}");
            assert_eq!(harness.refresh(&mine.tokens).await.kind(), refused, "{action}");
        }
        assert_eq!(harness.refresh(&current).await.is_ok(), kept, "{action}");
    }
}

/// R9: the same for a deletion.
async fn a_restored_session_of_a_deleted_user_stays_invalid(backend: Backend) {
    let harness = Harness::on(backend);
    let signed_in = harness.member("ann", "client").await;
    let view = harness
        .stores
        .sessions
        .find(signed_in.user.id, signed_in.session)
        .await
        .expect("an answer");
    let session = view.expect("a session").session;
    harness.goat.users().delete(system(), signed_in.user.id).await.expect("deleted");
    // A store with users may reject the row; for one without, it must not matter.
    drop(harness.stores.sessions.create(&session, 50).await);
    assert!(harness.authenticate(&signed_in.tokens).await.is_err());
    assert!(harness.refresh(&signed_in.tokens).await.is_err());
}

/// R7: a suspension takes effect even if it was written without goat and left the epoch unchanged.
async fn a_suspension_written_without_goat_takes_effect(backend: Backend) {
    use goat_core::store::{UserChange, UserSnapshot, UserWrite};
    let harness = Harness::on(backend);
    let root = harness.member("root", "admin").await;
    let actor = harness.actor(&root.tokens).await;
    let me = harness.principal(&root.tokens).await;
    let top_role = harness.role("admin");
    let suspend = |snapshot: &UserSnapshot| {
        let mut account = snapshot.target.clone().ok_or(ErrorKind::NotFound)?;
        account.user.status = Status::Suspended;
        Ok(UserChange::Put(account))
    };
    let target = root.user.id;
    let write = UserWrite {
        actor: None,
        key: None,
        target,
        top_role: &top_role,
        assigns: None,
        decide: &suspend,
    };
    harness.stores.users.write(write).await.expect("written");
    harness.advance(1);
    let revoked = Some(ErrorKind::SessionRevoked);
    assert_eq!(harness.authenticate(&root.tokens).await.kind(), revoked);
    assert_eq!(harness.refresh(&root.tokens).await.kind(), revoked);
    assert_eq!(harness.goat.users().delete_self(&me, PASSWORD).await.kind(), revoked);
    let carl = harness.user("carl", "client").await.id;
    assert_eq!(harness.goat.users().delete(actor, carl).await.kind(), revoked);
}

async fn logout_events_have_actor_and_session(backend: Backend) {
    let harness = Harness::on(backend);
    let signed_in = harness.member("ann", "client").await;
    let me = harness.principal(&signed_in.tokens).await;
    harness.events.take();
    let origin = Origin { address: Some([192, 0, 2, 1].into()), ..Origin::default() };
    harness.goat.logout(&me, &origin).await.expect("signed out");
    let events = harness.events.take();
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(event.kind, EventKind::SignedOut);
    assert_eq!(event.actor, EventActor::User(signed_in.user.id));
    assert_eq!(event.user, Some(signed_in.user.id));
    assert_eq!(event.session, Some(signed_in.session));
    assert_eq!(event.address, origin.address);
}

on_every_store![
    a_password_change_ends_all_other_sessions,
    self_service_changes_require_the_current_password,
    an_address_can_be_changed_unless_taken,
    a_changed_address_is_not_verified,
    an_ended_session_cannot_try_passwords,
    a_self_service_change_that_lost_a_race_is_refused_inside_the_write,
    revoking_other_sessions_does_not_invalidate_a_password_check,
    revoking_all_sessions_removes_those_of_later_epochs,
    users_can_delete_themselves,
    a_batch_with_a_foreign_session_has_no_effect,
    all_or_all_other_sessions_can_be_revoked,
    sessions_end_even_if_their_store_fails_afterwards,
    restored_sessions_of_an_old_epoch_stay_invalid,
    a_restored_session_of_a_deleted_user_stays_invalid,
    a_suspension_written_without_goat_takes_effect,
    logout_events_have_actor_and_session,
];
