//! Sign-in proofs: a session opens by a proof and by nothing else.

use std::net::IpAddr;
use std::time::Duration;

use goat_core::auth::{Assurance, Method, MethodName, Methods, Proof, SignUp, Vouch};
use goat_core::event::{EventActor, EventKind};
use goat_core::session::{Origin, OtherSessions, Session};
use goat_core::testing::{HasherCall, Point};
use goat_core::user::{NewUser, UserUpdate};
use goat_core::{Actor, ErrorKind, PageRequest, Principal, Status, UserId};

use crate::flows::support::{
    Backend, Harness, OTHER_PASSWORD, Outcome, PASSWORD, address, email, login, on_every_store,
    system,
};

const LDAP: Vouch = Vouch::single("ldap");

async fn vouch(harness: &Harness, user: UserId, vouch: Vouch) -> Proof {
    harness.goat.vouch(user, vouch).await.expect("the user exists")
}

async fn sessions(harness: &Harness, me: &Principal) -> Vec<Session> {
    let page = harness.goat.sessions().list(me, PageRequest::default()).await;
    page.expect("the store responds").items
}

/// G5: the session and its access tokens carry methods, assurance and the time of the proof; a refresh
/// moves none of them.
async fn a_session_remembers_its_proof(backend: Backend) {
    let harness = Harness::on(backend);
    let user = harness.user("ann", "client").await.id;
    let methods = Methods::of;
    for (by, expected, assurance, amr) in [
        (None, methods(Method::Password), Assurance::Single, &["pwd"][..]),
        (Some(LDAP), methods(Method::Vouched), Assurance::Single, &[]),
        (Some(Vouch::multi("smartcard")), methods(Method::Vouched), Assurance::Multi, &["mfa"]),
    ] {
        harness.advance(100);
        let at = harness.goat.time().now();
        let signed_in = match by {
            None => harness.sign_in("ann").await,
            Some(by) => {
                let proof = vouch(&harness, user, by).await;
                // The session's lifetime counts from the proof.
                harness.advance(30);
                harness.goat.open_session(proof, Origin::default()).await.expect("a session")
            }
        };
        harness.advance(10);
        let tokens = harness.refresh(&signed_in.tokens).await.expect("refreshed").tokens;
        let me = harness.principal(&tokens).await;
        let found = sessions(&harness, &me).await;
        let session = found.iter().find(|session| session.id == signed_in.session);
        let session = session.expect("it is live");
        assert_eq!((session.methods, session.assurance()), (expected, assurance));
        assert_eq!((session.created_at, session.authenticated_at), (at, at));
        assert_eq!(session.multi_at, (assurance == Assurance::Multi).then_some(at));
        let lifetime = harness.goat.settings().session_ttl;
        assert_eq!(session.ends_at, (at + lifetime).floor_to_second());
        for tokens in [&signed_in.tokens, &tokens] {
            let verifier = harness.verifier();
            let claims = verifier.verify(tokens.access_token.expose()).expect("a valid token");
            assert_eq!(claims.authenticated_at(), at.floor_to_second());
            assert_eq!((claims.acr(), claims.amr()), (Some(assurance), &*strings(amr)));
        }
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// G7: a vouched sign-in obeys status and session limit, and its events name method and address.
async fn a_vouched_sign_in_is_like_any_other(backend: Backend) {
    let harness = Harness::with(backend, |settings| settings.sessions_per_user = 2);
    let user = harness.user("ann", "client").await.id;
    let from: IpAddr = "192.0.2.7".parse().expect("an address");
    let origin =
        || Origin { address: Some(from), device: Some("kiosk".to_owned()), ..Origin::default() };
    let open = async |user: UserId| {
        let proof = vouch(&harness, user, LDAP).await;
        harness.goat.open_session(proof, origin()).await
    };
    let mut opened = Vec::new();
    drop(harness.events.take());
    for _ in 0..3 {
        harness.advance(1);
        opened.push(open(user).await.expect("a session"));
    }
    let refused = harness.authenticate(&opened[0].tokens).await.kind();
    assert_eq!(refused, Some(ErrorKind::SessionRevoked), "evicted");
    assert_eq!(harness.principal(&opened[2].tokens).await.user(), user);
    let events = harness.events.take();
    let signed_in: Vec<_> =
        events.iter().filter(|event| event.kind == EventKind::SignedIn).collect();
    assert_eq!(signed_in.len(), 3);
    for event in signed_in {
        assert_eq!(event.method, Some(MethodName::new("ldap")));
        assert_eq!((event.address, event.user), (Some(from), Some(user)));
    }

    let new = NewUser {
        email: email("ida"),
        password: Some(PASSWORD.into()),
        role: harness.role("client"),
        status: Status::Inactive,
    };
    let inactive = harness.goat.users().create(system(), new).await.expect("a user").id;
    assert_eq!(open(inactive).await.kind(), Some(ErrorKind::AccountInactive));
    let suspended = harness.goat.users().change_status(system(), user, Status::Suspended).await;
    suspended.expect("suspended");
    drop(harness.events.take());
    // Also for a smart card.
    for by in [LDAP, Vouch::multi("smartcard")] {
        let proof = vouch(&harness, user, by.clone()).await;
        let refused = harness.goat.open_session(proof, origin()).await;
        assert_eq!(refused.kind(), Some(ErrorKind::AccountSuspended));
        let events = harness.events.take();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].kind, EventKind::SignInFailed(ErrorKind::AccountSuspended));
        assert_eq!((&events[0].method, events[0].address), (&Some(by.method), Some(from)));
        assert_eq!(events[0].user, Some(user));
    }
    harness.goat.users().delete(system(), inactive).await.expect("deleted");
    let gone = harness.goat.vouch(inactive, LDAP).await;
    assert_eq!(gone.kind(), Some(ErrorKind::NotFound));
}

/// A proof opens a session for ten minutes.
async fn an_old_proof_opens_nothing(backend: Backend) {
    let harness = Harness::on(backend);
    let user = harness.user("ann", "client").await.id;
    for (seconds, expected) in [(600, None), (601, Some(ErrorKind::InvalidCredentials))] {
        let proof = vouch(&harness, user, LDAP).await;
        harness.advance(seconds);
        let opened = harness.goat.open_session(proof, Origin::default()).await;
        assert_eq!(opened.kind(), expected, "{seconds}");
    }
}

/// A change that ends every session of a user.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Suspend,
    SuspendAndReactivate,
    Delete,
    SetPassword,
    RevokeAll,
    RevokeOthers,
}

impl Change {
    pub(crate) const ALL: [Self; 6] = [
        Self::Suspend,
        Self::SuspendAndReactivate,
        Self::Delete,
        Self::SetPassword,
        Self::RevokeAll,
        Self::RevokeOthers,
    ];

    pub(crate) async fn perform(self, harness: &Harness, user: UserId, me: &Principal) {
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
                let update = UserUpdate { email: None, password: Some(OTHER_PASSWORD.into()) };
                users.update(system(), user, update).await.expect("a new password");
            }
            Self::RevokeAll => {
                sessions.revoke_all_of(system(), user).await.expect("ended");
            }
            Self::RevokeOthers => {
                sessions.revoke_all(me, OtherSessions::KeepCurrent).await.expect("ended");
            }
        }
    }
}

/// G3: at every store call of the sign-in, before and after it.
async fn a_proof_from_before_the_end_of_all_sessions_opens_nothing(backend: Backend) {
    let harness = Harness::on(backend);
    let user = harness.user("rehearsal", "client").await.id;
    let proof = vouch(&harness, user, LDAP).await;
    drop(harness.failpoints.take_calls());
    harness.goat.open_session(proof, Origin::default()).await.expect("a session");
    let mut calls = harness.failpoints.take_calls();
    calls.retain(|call| *call != "roles.load");
    assert!(calls.len() >= 3, "{calls:?}");
    let places = calls.iter().flat_map(|call| Point::ALL.map(|point| Some((*call, point))));
    let mut number = 0;
    // The first place is before the sign-in begins.
    for place in [None].into_iter().chain(places) {
        for change in Change::ALL {
            let case = format!("{change:?} at {place:?}");
            number += 1;
            let name = format!("user{number}");
            let user = harness.user(&name, "client").await.id;
            let me = harness.principal(&harness.sign_in(&name).await.tokens).await;
            let proof = vouch(&harness, user, LDAP).await;
            let goat = harness.goat.clone();
            let open = async move { goat.open_session(proof, Origin::default()).await };
            let opened = match place {
                None => {
                    change.perform(&harness, user, &me).await;
                    open.await
                }
                Some((call, point)) => {
                    let held = harness.failpoints.hold(call, point);
                    let opening = tokio::spawn(open);
                    held.reached().await;
                    change.perform(&harness, user, &me).await;
                    held.release();
                    opening.await.expect("no panic")
                }
            };
            match opened {
                Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidCredentials, "{case}"),
                Ok(signed_in) => {
                    let is_last = place.is_some_and(|(call, point)| {
                        call == "sessions.create"
                            || (call, point) == ("users.signed_in", Point::Return)
                    });
                    assert!(is_last, "{case}: no read of the user follows");
                    let refused = Some(ErrorKind::SessionRevoked);
                    let tokens = &signed_in.tokens;
                    assert_eq!(harness.authenticate(tokens).await.kind(), refused, "{case}");
                    assert_eq!(harness.refresh(tokens).await.kind(), refused, "{case}");
                }
            }
        }
    }
}

/// G7, A2: an operator's system signs in only users that it may act on, and the event names it.
async fn an_actor_signs_in_users_that_it_outranks(backend: Backend) {
    let harness = Harness::on(backend);
    let ann = harness.user("ann", "client").await.id;
    let admin = harness.member("ada", "admin").await;
    let operator = harness.member("oli", "operator").await;
    let open = async |actor: Actor, user: UserId| {
        harness.goat.sessions().open(actor, user, LDAP, Origin::default()).await
    };
    let forbidden = open(harness.actor(&operator.tokens).await, ann).await.kind();
    assert_eq!(forbidden, Some(ErrorKind::Forbidden));
    drop(harness.events.take());
    let opened = open(harness.actor(&admin.tokens).await, ann).await.expect("a session");
    assert_eq!(harness.principal(&opened.tokens).await.user(), ann);
    let events = harness.events.take();
    let event = events.iter().find(|event| event.kind == EventKind::SignedIn).expect("one");
    assert_eq!(event.actor, EventActor::User(admin.user.id));
    assert_eq!((event.user, &event.method), (Some(ann), &Some(MethodName::new("ldap"))));
    let own = open(harness.actor(&admin.tokens).await, admin.user.id).await.kind();
    assert_eq!(own, Some(ErrorKind::Outranked));

    let granted = harness.goat.roles();
    let create = goat_core::access::permissions::SESSION_CREATE;
    granted.grant(system(), "operator", create).await.expect("granted");
    open(harness.actor(&operator.tokens).await, ann).await.expect("a session");
    for user in [admin.user.id, operator.user.id] {
        let outranked = open(harness.actor(&operator.tokens).await, user).await.kind();
        assert_eq!(outranked, Some(ErrorKind::Outranked));
    }
    // The actor and the user may have changed since the actor was read.
    let [late, later, last] = [&admin, &operator, &operator].map(|by| harness.actor(&by.tokens));
    let (late, later, last) = (late.await, later.await, last.await);
    harness.goat.sessions().revoke_all_of(system(), admin.user.id).await.expect("ended");
    assert_eq!(open(late, ann).await.kind(), Some(ErrorKind::SessionRevoked));
    let role = |name| goat_core::Role::parse(name).expect("a role");
    let users = harness.goat.users();
    users.change_role(system(), ann, role("operator")).await.expect("changed");
    assert_eq!(open(later, ann).await.kind(), Some(ErrorKind::Outranked));
    users.change_role(system(), ann, role("client")).await.expect("changed");
    users.change_role(system(), operator.user.id, role("client")).await.expect("changed");
    assert_eq!(open(last, ann).await.kind(), Some(ErrorKind::Forbidden));
    users.change_role(system(), operator.user.id, role("operator")).await.expect("changed");
    harness.goat.users().delete(system(), ann).await.expect("deleted");
    let missing = open(harness.actor(&operator.tokens).await, ann).await.kind();
    assert_eq!(missing, Some(ErrorKind::NotFound));
}

/// The password is a proof whose event names it, whether it is right or wrong.
async fn events_of_a_login_name_the_password(backend: Backend) {
    let harness = Harness::on(backend);
    harness.user("ann", "client").await;
    drop(harness.events.take());
    harness.sign_in("ann").await;
    assert!(login(&harness.goat, address("ann"), "wrong").await.is_err());
    let events = harness.events.take();
    assert_eq!(events.len(), 2);
    for event in events {
        assert_eq!(event.method, Some(MethodName::new("password")), "{:?}", event.kind);
    }
}

/// E1: a user without a password signs in by other means only; a login costs what one to an unknown account
/// costs.
async fn a_user_without_a_password_signs_in_by_other_means(backend: Backend) {
    let harness = Harness::on(backend);
    let (email, role) = (email("ann"), harness.role("client"));
    let new = NewUser { email, password: None, role, status: Status::Active };
    let ann = harness.goat.users().create(system(), new).await.expect("a user").id;
    let (email, origin) = (crate::flows::support::email("ben"), Origin::default());
    let ben = harness.goat.sign_up(SignUp { email, password: None, origin }).await;
    let ben = ben.expect("signed up").id;
    harness.goat.prepare().await.expect("ready");
    assert!(harness.hasher.take_calls().is_empty(), "no password, no hash");
    for (name, id) in [("ann", ann), ("ben", ben)] {
        for password in ["", "!", PASSWORD] {
            let refused = login(&harness.goat, address(name), password).await.kind();
            assert_eq!(refused, Some(ErrorKind::InvalidCredentials));
            assert_eq!(harness.hasher.take_calls(), [HasherCall::Verify { generation: None }]);
        }
        let proof = vouch(&harness, id, LDAP).await;
        harness.goat.open_session(proof, Origin::default()).await.expect("a session");
        let set = harness.goat.users().reset_password(system(), id, PASSWORD.into()).await;
        set.expect("a password");
        harness.sign_in(name).await;
        drop(harness.hasher.take_calls());
    }
}

/// R6: the absolute expiry of a session from a proof that was kept is that of the proof.
async fn a_kept_proof_does_not_extend_the_session(backend: Backend) {
    let harness = Harness::with(backend, |settings| {
        settings.session_ttl = Duration::from_secs(3600);
    });
    let user = harness.user("ann", "client").await.id;
    let proof = vouch(&harness, user, LDAP).await;
    harness.advance(599);
    let opened = harness.goat.open_session(proof, Origin::default()).await.expect("a session");
    harness.advance(3600 - 600);
    let tokens = harness.refresh(&opened.tokens).await.expect("live").tokens;
    harness.advance(1);
    assert!(harness.authenticate(&tokens).await.is_err());
}

on_every_store![
    a_session_remembers_its_proof,
    a_vouched_sign_in_is_like_any_other,
    an_old_proof_opens_nothing,
    a_proof_from_before_the_end_of_all_sessions_opens_nothing,
    an_actor_signs_in_users_that_it_outranks,
    events_of_a_login_name_the_password,
    a_user_without_a_password_signs_in_by_other_means,
    a_kept_proof_does_not_extend_the_session,
];
