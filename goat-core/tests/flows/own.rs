//! What users do to themselves, and to their sessions.

use goat_core::event::{EventActor, EventKind};
use goat_core::session::{Origin, OtherSessions};
use goat_core::testing::Point;
use goat_core::{ErrorKind, PageRequest, Quota, SessionId, Status, Timestamp};

use crate::support::{
    Ground, House, OTHER_PASSWORD, Outcome, PASSWORD, address, email, login, on_every_store, system,
};

/// P8
async fn a_new_password_ends_every_session_but_the_one_that_asks(ground: Ground) {
    let house = House::on(ground);
    let mine = house.member("ann", "client").await.tokens;
    let others = [house.sign_in("ann").await.tokens, house.sign_in("ann").await.tokens];
    let me = house.principal(&mine).await;
    for tokens in &others {
        house.principal(tokens).await;
    }
    house.events.take();
    let new = OTHER_PASSWORD.into();
    let ended = house.goat.users().change_password(&me, PASSWORD, &new).await.expect("changed");
    assert_eq!(ended.value, 2);
    assert_eq!(
        house.events.take_kinds(),
        [EventKind::SessionsRevoked(2), EventKind::PasswordChanged],
    );
    for tokens in &others {
        assert_eq!(house.authenticate(tokens).await.kind(), Some(ErrorKind::SessionRevoked));
        assert_eq!(house.refresh(tokens).await.kind(), Some(ErrorKind::SessionRevoked));
    }
    let mine = house.refresh(&mine).await.expect("this one goes on").tokens;
    house.principal(&mine).await;
    assert_eq!(house.try_sign_in("ann").await.kind(), Some(ErrorKind::InvalidCredentials));
    // And again, from the session that was kept.
    let second = login(&house.goat, address("ann"), OTHER_PASSWORD).await.expect("the new one");
    let me = house.principal(&mine).await;
    let changed = house.goat.users().change_password(&me, OTHER_PASSWORD, &PASSWORD.into()).await;
    assert_eq!(changed.expect("changed").value, 1);
    assert!(house.authenticate(&second.tokens).await.is_err());
    house.principal(&mine).await;
}

/// P8
async fn changes_of_oneself_need_the_current_password(ground: Ground) {
    let house = House::on(ground);
    let tokens = house.member("ann", "client").await.tokens;
    let me = house.principal(&tokens).await;
    let users = house.goat.users();
    let wrong = Some(ErrorKind::WrongPassword);
    for tried in ["", "wrong", "\0", &"x".repeat(100_000)] {
        drop(house.hasher.take_calls());
        assert_eq!(users.change_email(&me, email("ben"), tried).await.kind(), wrong);
        let new = OTHER_PASSWORD.into();
        assert_eq!(users.change_password(&me, tried, &new).await.kind(), wrong);
        assert_eq!(users.delete_self(&me, tried).await.kind(), wrong);
        assert_eq!((house.hasher.verifications(), house.hasher.hashes()), (3, 0));
    }
    let same = users.change_password(&me, PASSWORD, &PASSWORD.into()).await.kind();
    assert_eq!(same, Some(ErrorKind::PasswordUnchanged));
    let short = users.change_password(&me, PASSWORD, &"short".into()).await.expect_err("short");
    assert_eq!(short.kind(), ErrorKind::Invalid);
    assert_eq!(short.violations()[0].field, "new_password");
    assert_eq!(house.sign_in("ann").await.user.email, email("ann"));
}

/// P8, E3
async fn an_address_changes_unless_it_is_taken(ground: Ground) {
    let house = House::on(ground);
    house.user("ben", "client").await;
    let tokens = house.member("ann", "client").await.tokens;
    let me = house.principal(&tokens).await;
    let users = house.goat.users();
    let taken = users.change_email(&me, email("ben"), PASSWORD).await.expect_err("taken");
    assert_eq!(taken.kind(), ErrorKind::EmailTaken);
    assert!(!format!("{taken} {taken:?} {}", taken.client_message()).contains("ben@"));
    // One's own address in another case is no conflict; the very same one is nothing to change.
    let louder = goat_core::Email::parse("ANN@example.org").expect("an address");
    let user = users.change_email(&me, louder.clone(), PASSWORD).await.expect("no conflict").value;
    assert_eq!(user.email.as_str(), "ANN@example.org");
    drop(house.hasher.take_calls());
    users.change_email(&me, louder, "wrong").await.expect("nothing to change");
    assert_eq!(house.hasher.verifications(), 0);
    users.change_email(&me, email("ann2"), PASSWORD).await.expect("changed");
    assert!(house.try_sign_in("ann").await.is_err());
    house.sign_in("ann2").await;
    house.principal(&tokens).await;
}

/// B1, B2: passwords that are tried here count where sign-ins count.
async fn passwords_tried_on_oneself_count_with_the_account(ground: Ground) {
    let house = House::with(ground, |settings| settings.account_quota = Some(Quota::per_minute(5)));
    let tokens = house.member("ann", "client").await.tokens;
    let me = house.principal(&tokens).await;
    let users = house.goat.users();
    drop(house.hasher.take_calls());
    for _ in 0..4 {
        let error = users.delete_self(&me, "wrong").await.expect_err("wrong");
        assert_eq!((error.kind(), error.charges().len()), (ErrorKind::WrongPassword, 1));
    }
    let limited = Some(ErrorKind::RateLimited);
    house.events.take();
    assert_eq!(users.delete_self(&me, PASSWORD).await.kind(), limited);
    assert_eq!(users.change_email(&me, email("x"), PASSWORD).await.kind(), limited);
    assert_eq!(house.try_sign_in("ann").await.kind(), limited);
    assert_eq!(house.hasher.verifications(), 4);
    let limit = EventKind::Limited("account".to_owned());
    assert_eq!(house.events.take_kinds(), [limit.clone(), limit.clone(), limit]);
}

/// A principal from the cache of a node that has heard nothing is not enough to try passwords.
async fn an_ended_session_tries_no_passwords(ground: Ground) {
    let house = House::on(ground);
    let tokens = house.member("ann", "client").await.tokens;
    let id = house.principal(&tokens).await.user();
    let me = house.principal(&tokens).await;
    let users = house.goat.users();
    users.change_status(system(), id, Status::Suspended).await.expect("suspended");
    drop(house.hasher.take_calls());
    let revoked = Some(ErrorKind::SessionRevoked);
    assert_eq!(users.delete_self(&me, PASSWORD).await.kind(), revoked);
    assert_eq!(users.change_email(&me, email("x"), PASSWORD).await.kind(), revoked);
    let new = OTHER_PASSWORD.into();
    assert_eq!(users.change_password(&me, PASSWORD, &new).await.kind(), revoked);
    assert_eq!(users.profile(&me).await.kind(), revoked);
    assert_eq!(house.hasher.verifications(), 0);
}

/// R7: between the proof and the write.
async fn a_change_of_oneself_that_was_overtaken_is_refused_inside_the_write(ground: Ground) {
    let house = House::on(ground);
    for (number, expected) in
        [ErrorKind::SessionRevoked, ErrorKind::WrongPassword].into_iter().enumerate()
    {
        let name = format!("ann{number}");
        let tokens = house.member(&name, "client").await.tokens;
        let me = house.principal(&tokens).await;
        let held = house.pauses.hold("users.write", Point::Entry);
        let slow = tokio::spawn({
            let (goat, me) = (house.goat.clone(), me.clone());
            async move { goat.users().change_email(&me, email("new"), PASSWORD).await }
        });
        held.reached().await;
        if expected == ErrorKind::SessionRevoked {
            let reset = house.goat.users();
            reset.reset_password(system(), me.user(), OTHER_PASSWORD.into()).await.expect("reset");
        } else {
            // In the same session, so that it lives on.
            let users = house.goat.users();
            users.change_password(&me, PASSWORD, &OTHER_PASSWORD.into()).await.expect("changed");
        }
        held.release();
        assert_eq!(slow.await.expect("no panic").kind(), Some(expected));
    }
}

/// What does not touch the password does not make it wrong.
async fn the_end_of_other_sessions_does_not_make_the_password_wrong(ground: Ground) {
    let house = House::on(ground);
    let tokens = house.member("ann", "client").await.tokens;
    let me = house.principal(&tokens).await;
    let held = house.pauses.hold("users.write", Point::Entry);
    let slow = tokio::spawn({
        let (goat, me) = (house.goat.clone(), me.clone());
        async move { goat.users().change_email(&me, email("new"), PASSWORD).await }
    });
    held.reached().await;
    let sessions = house.goat.sessions();
    sessions.revoke_all(&me, OtherSessions::KeepCurrent).await.expect("ended");
    held.release();
    slow.await.expect("no panic").expect("the password was right");
}

/// R9: after the users were restored from an older copy, sessions of a later epoch lie in their
/// store. To end all sessions removes them, so that no later rise of the epoch meets them again.
async fn the_end_of_all_sessions_leaves_none_of_a_later_epoch(ground: Ground) {
    let house = House::on(ground);
    let mine = house.member("ann", "client").await;
    let user = house.principal(&mine.tokens).await.user();
    let sessions = &house.stores.sessions;
    let kept =
        sessions.find(user, mine.session).await.expect("an answer").expect("a session").session;
    let mut later = kept.clone();
    later.id = SessionId::generate(kept.created_at);
    later.epoch = kept.epoch + 2;
    sessions.create(&later, 50).await.expect("an answer");
    for _ in 0..3 {
        house.goat.sessions().revoke_all_of(system(), user).await.expect("ended");
        assert!(sessions.find(user, later.id).await.expect("an answer").is_none());
    }
}

async fn who_deletes_themselves_is_gone(ground: Ground) {
    let house = House::on(ground);
    let admin = house.member("root", "admin").await.tokens;
    let root = house.principal(&admin).await;
    let refused = house.goat.users().delete_self(&root, PASSWORD).await.kind();
    assert_eq!(refused, Some(ErrorKind::LastAdministrator));
    let tokens = house.member("ann", "client").await.tokens;
    let me = house.principal(&tokens).await;
    house.goat.users().delete_self(&me, PASSWORD).await.expect("deleted");
    assert_eq!(house.authenticate(&tokens).await.kind(), Some(ErrorKind::SessionRevoked));
    assert_eq!(house.refresh(&tokens).await.kind(), Some(ErrorKind::SessionRevoked));
    assert_eq!(house.try_sign_in("ann").await.kind(), Some(ErrorKind::InvalidCredentials));
    house.member("ann", "client").await;
}

/// R8
async fn a_batch_with_a_foreign_session_ends_nothing(ground: Ground) {
    let house = House::on(ground);
    let mine = house.member("ann", "client").await;
    let second = house.sign_in("ann").await;
    let other = house.member("ben", "client").await;
    let me = house.principal(&mine.tokens).await;
    let sessions = house.goat.sessions();
    let unknown = SessionId::generate(Timestamp::from_millis(0));
    let ended = house.sign_in("ann").await;
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
    assert_eq!(answers.len(), 1, "foreign, unknown and ended are told apart by nothing");
    for living in [&mine, &second, &other] {
        house.principal(&living.tokens).await;
    }
    let twice = [second.session, mine.session, second.session];
    assert_eq!(sessions.revoke(&me, &twice).await.expect("ended"), 2);
    assert!(house.authenticate(&mine.tokens).await.is_err());
    assert!(house.authenticate(&second.tokens).await.is_err());
    house.principal(&other.tokens).await;
}

async fn all_sessions_or_all_others_end_at_once(ground: Ground) {
    let house = House::on(ground);
    let mine = house.member("ann", "client").await.tokens;
    let other = house.sign_in("ann").await.tokens;
    let foreign = house.member("ben", "client").await.tokens;
    let me = house.principal(&mine).await;
    house.principal(&other).await;
    let sessions = house.goat.sessions();
    let page = |all: goat_core::Page<goat_core::session::Session>| all.total;
    let listed = sessions.list(&me, PageRequest::default()).await.map(page);
    assert_eq!(listed.expect("a page"), 2);
    let ended = sessions.revoke_all(&me, OtherSessions::KeepCurrent).await.expect("ended");
    assert_eq!(ended, 1);
    assert!(house.authenticate(&other).await.is_err());
    let me = house.principal(&mine).await;
    let listed = sessions.list(&me, PageRequest::default()).await.map(page);
    assert_eq!(listed.expect("a page"), 1);
    let ended = sessions.revoke_all(&me, OtherSessions::EndCurrentToo).await.expect("ended");
    assert_eq!(ended, 1);
    assert!(house.authenticate(&mine).await.is_err());
    let again = sessions.revoke_all(&me, OtherSessions::EndCurrentToo).await.kind();
    assert_eq!(again, Some(ErrorKind::SessionRevoked));
    house.principal(&foreign).await;
}

/// The epoch decides. A store of sessions that fails afterwards does not turn success into failure.
async fn sessions_end_also_when_their_store_fails_afterwards(ground: Ground) {
    let house = House::on(ground);
    let mine = house.member("ann", "client").await.tokens;
    let other = house.sign_in("ann").await.tokens;
    let me = house.principal(&mine).await;
    house.pauses.fail("sessions.revoke_all", Point::Entry);
    let sessions = house.goat.sessions();
    sessions.revoke_all(&me, OtherSessions::KeepCurrent).await.expect("they are dead");
    assert!(house.authenticate(&other).await.is_err());
    assert!(house.refresh(&other).await.is_err());
    house.principal(&mine).await;
}

/// R9: what a rise of the epoch ended stays dead, whatever the store of sessions brings back.
async fn a_session_store_that_went_back_in_time_revives_nothing(ground: Ground) {
    let house = House::on(ground);
    for act in ["suspension", "own password", "set password", "mine", "others", "theirs"] {
        let name = act.replace(' ', "_");
        let mine = house.member(&name, "client").await;
        let other = house.sign_in(&name).await;
        let me = house.principal(&mine.tokens).await;
        let mut dump = Vec::new();
        for session in [mine.session, other.session] {
            let view = house.stores.sessions.find(me.user(), session).await.expect("an answer");
            dump.push(view.expect("a session").session);
        }
        let (users, sessions, id) = (house.goat.users(), house.goat.sessions(), me.user());
        let kept = match act {
            "suspension" => {
                for status in [Status::Suspended, Status::Active] {
                    users.change_status(system(), id, status).await.expect("changed");
                }
                false
            }
            "own password" => {
                let new = OTHER_PASSWORD.into();
                users.change_password(&me, PASSWORD, &new).await.expect("changed");
                true
            }
            "set password" => {
                users.reset_password(system(), id, OTHER_PASSWORD.into()).await.expect("set");
                false
            }
            "mine" => {
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
            house.stores.sessions.end(session.user, session.id).await.expect("ended");
            house.stores.sessions.create(session, 50).await.expect("back again");
        }
        let refused = Some(ErrorKind::SessionRevoked);
        assert_eq!(house.authenticate(&other.tokens).await.kind(), refused, "{act}");
        assert_eq!(house.refresh(&other.tokens).await.kind(), refused, "{act}");
        assert_eq!(house.authenticate(&mine.tokens).await.is_ok(), kept, "{act}");
        assert_eq!(house.refresh(&mine.tokens).await.is_ok(), kept, "{act}");
    }
}

/// R9: deletion too.
async fn a_session_of_a_deleted_user_stays_dead(ground: Ground) {
    let house = House::on(ground);
    let signed_in = house.member("ann", "client").await;
    let view =
        house.stores.sessions.find(signed_in.user.id, signed_in.session).await.expect("an answer");
    let session = view.expect("a session").session;
    house.goat.users().delete(system(), signed_in.user.id).await.expect("deleted");
    // A store that knows its users may refuse the row; one that does not must not matter.
    drop(house.stores.sessions.create(&session, 50).await);
    assert!(house.authenticate(&signed_in.tokens).await.is_err());
    assert!(house.refresh(&signed_in.tokens).await.is_err());
}

/// R7: the status decides by itself too, where somebody wrote it past goat and left the epoch alone.
async fn a_status_written_past_goat_shuts_out_as_well(ground: Ground) {
    use goat_core::user::{UserChange, UserSnapshot, UserWrite};
    let house = House::on(ground);
    let root = house.member("root", "admin").await;
    let actor = house.actor(&root.tokens).await;
    let me = house.principal(&root.tokens).await;
    let top_role = house.role("admin");
    let suspend = |snapshot: &UserSnapshot| {
        let mut account = snapshot.target.clone().ok_or(ErrorKind::NotFound)?;
        account.user.status = Status::Suspended;
        Ok(UserChange::Put(account))
    };
    let target = root.user.id;
    let write = UserWrite { actor: None, target, top_role: &top_role, decide: &suspend };
    house.stores.users.write(write).await.expect("written");
    house.advance(1);
    let revoked = Some(ErrorKind::SessionRevoked);
    assert_eq!(house.authenticate(&root.tokens).await.kind(), revoked);
    assert_eq!(house.refresh(&root.tokens).await.kind(), revoked);
    assert_eq!(house.goat.users().delete_self(&me, PASSWORD).await.kind(), revoked);
    let carl = house.user("carl", "client").await.id;
    assert_eq!(house.goat.users().delete(actor, carl).await.kind(), revoked);
}

async fn events_of_a_sign_out_say_who_and_which(ground: Ground) {
    let house = House::on(ground);
    let signed_in = house.member("ann", "client").await;
    let me = house.principal(&signed_in.tokens).await;
    house.events.take();
    let origin = Origin { address: Some([192, 0, 2, 1].into()), device: None };
    house.goat.logout(&me, &origin).await.expect("signed out");
    let events = house.events.take();
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(event.kind, EventKind::SignedOut);
    assert_eq!(event.actor, EventActor::User(signed_in.user.id));
    assert_eq!(event.user, Some(signed_in.user.id));
    assert_eq!(event.session, Some(signed_in.session));
    assert_eq!(event.address, origin.address);
}

on_every_store![
    a_new_password_ends_every_session_but_the_one_that_asks,
    changes_of_oneself_need_the_current_password,
    an_address_changes_unless_it_is_taken,
    passwords_tried_on_oneself_count_with_the_account,
    an_ended_session_tries_no_passwords,
    a_change_of_oneself_that_was_overtaken_is_refused_inside_the_write,
    the_end_of_other_sessions_does_not_make_the_password_wrong,
    the_end_of_all_sessions_leaves_none_of_a_later_epoch,
    who_deletes_themselves_is_gone,
    a_batch_with_a_foreign_session_ends_nothing,
    all_sessions_or_all_others_end_at_once,
    sessions_end_also_when_their_store_fails_afterwards,
    a_session_store_that_went_back_in_time_revives_nothing,
    a_session_of_a_deleted_user_stays_dead,
    a_status_written_past_goat_shuts_out_as_well,
    events_of_a_sign_out_say_who_and_which,
];
