//! Service accounts: users without sign-in, for programs.

use goat_core::access::permissions;
use goat_core::auth::{SignUp, Vouch};
use goat_core::event::EventKind;
use goat_core::session::Origin;
use goat_core::user::{NewService, NewUser, ServiceName, UserFilter, UserKind, UserUpdate};
use goat_core::{Email, ErrorKind, Status, User};

use super::support::{Backend, Harness, Outcome as _, PASSWORD, login, on_every_store, system};

on_every_store!(
    a_service_account_is_an_active_user_without_sign_in,
    no_person_gets_an_address_of_a_service_account,
    a_service_account_is_no_administrator,
    a_service_account_is_listed_by_its_kind,
    the_role_of_a_service_account_is_one_that_the_actor_may_assign,
);

async fn service(harness: &Harness, name: &str, role: &str) -> User {
    let name = ServiceName::parse(name).expect("a name");
    let new = NewService { name, role: harness.role(role) };
    harness.goat.users().create_service(system(), new).await.expect("a service account")
}

/// K2: no proof opens a session of a service account: neither a password, also one that the database has
/// for it, nor the word of an application or an operator. No change gives it a password or another address.
async fn a_service_account_is_an_active_user_without_sign_in(backend: Backend) {
    let harness = Harness::on(backend);
    let goat = &harness.goat;
    let backup = service(&harness, "backup", "client").await;
    assert_eq!(backup.email.as_str(), "backup@service.invalid");
    assert_eq!((backup.kind(), backup.status), (UserKind::Service, Status::Active));
    let account = harness.stores.users.by_id(backup.id).await.expect("a read").expect("the user");
    assert!(!account.has_password());

    let ann = harness.user("ann", "client").await;
    let hash = harness.stores.users.by_id(ann.id).await.expect("a read").expect("ann");
    for hash in [account.password_hash, hash.password_hash] {
        harness.store_hash(backup.id, hash.expose()).await;
        let before = harness.hasher.verifications();
        let refused = login(goat, "backup@service.invalid", PASSWORD).await;
        assert_eq!(refused.kind(), Some(ErrorKind::InvalidCredentials));
        assert_eq!(harness.hasher.verifications(), before + 1);
    }

    let vouch = || Vouch::multi("smartcard");
    let proof = goat.vouch(backup.id, vouch()).await.expect("a proof");
    let refused = goat.open_session(proof, Origin::default()).await;
    assert_eq!(refused.kind(), Some(ErrorKind::InvalidTransition));
    let opened = goat.sessions().open(system(), backup.id, vouch(), Origin::default()).await;
    assert_eq!(opened.kind(), Some(ErrorKind::InvalidTransition));

    let email = Some(Email::parse("backup@example.org").expect("an address"));
    for update in [
        UserUpdate { email, password: None },
        UserUpdate { email: None, password: Some("seven lamps over the quay".into()) },
    ] {
        let refused = goat.users().update(system(), backup.id, update).await;
        assert_eq!(refused.kind(), Some(ErrorKind::InvalidTransition));
    }
    let suspended = goat.users().change_status(system(), backup.id, Status::Suspended).await;
    assert_eq!(suspended.expect("suspended").status, Status::Suspended);
    goat.users().delete(system(), backup.id).await.expect("deleted");
}

async fn no_person_gets_an_address_of_a_service_account(backend: Backend) {
    let harness = Harness::on(backend);
    let users = harness.goat.users();
    service(&harness, "backup", "client").await;
    let ann = harness.user("ann", "client").await;
    let me = harness.principal(&harness.sign_in("ann").await.tokens).await;
    for text in ["backup@service.invalid", "Ann@Service.INVALID"] {
        let email = || Email::parse(text).expect("an address");
        let check = |error: goat_core::Error, case| {
            let fields: Vec<_> = error.violations().iter().map(|one| one.field.clone()).collect();
            assert_eq!(fields, ["email"], "{case} {text}");
        };
        let sign_up = SignUp::new(email(), PASSWORD, Origin::default());
        check(harness.goat.sign_up(sign_up).await.expect_err("refused"), "sign_up");
        let (role, status) = (harness.role("client"), Status::Active);
        let new = NewUser { email: email(), password: Some(PASSWORD.into()), role, status };
        check(users.create(system(), new).await.expect_err("refused"), "create");
        let update = UserUpdate { email: Some(email()), password: None };
        check(users.update(system(), ann.id, update).await.expect_err("refused"), "update");
        let changed = users.change_email(&me, email(), PASSWORD, &Origin::default()).await;
        check(changed.expect_err("refused"), "change_email");
    }
}

/// A3: an active service account of the top role does not stand in for the last administrator.
async fn a_service_account_is_no_administrator(backend: Backend) {
    let harness = Harness::on(backend);
    let users = harness.goat.users();
    let robot = service(&harness, "robot", "admin").await;
    assert!(!users.has_administrator().await.expect("an answer"));
    let ada = harness.user("ada", "admin").await;
    let last = Some(ErrorKind::LastAdministrator);
    let client = harness.role("client");
    let demoted = users.change_role(system(), ada.id, client.clone()).await;
    assert_eq!(demoted.kind(), last);
    let suspended = users.change_status(system(), ada.id, Status::Suspended).await;
    assert_eq!(suspended.kind(), last);
    let deleted = users.delete(system(), ada.id).await;
    assert_eq!(deleted.kind(), last);
    // The service account itself may go.
    users.change_role(system(), robot.id, client).await.expect("demoted");
    users.delete(system(), robot.id).await.expect("deleted");
    assert!(users.has_administrator().await.expect("an answer"));
}

async fn a_service_account_is_listed_by_its_kind(backend: Backend) {
    let harness = Harness::on(backend);
    harness.user("ann", "client").await;
    service(&harness, "backup", "client").await;
    assert_eq!(harness.events.take_kinds(), [EventKind::UserCreated, EventKind::UserCreated]);
    for (kind, expected) in [
        (Some(UserKind::Service), vec!["backup@service.invalid"]),
        (Some(UserKind::Person), vec!["ann@example.org"]),
        (None, vec!["ann@example.org", "backup@service.invalid"]),
    ] {
        let filter = UserFilter { kind, ..UserFilter::default() };
        let page = harness.goat.users().list_all(filter).await.expect("a page");
        let mut found: Vec<_> = page.users.iter().map(|user| user.email.as_str()).collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{kind:?}");
    }
}

/// A2: rank and permissions decide on service accounts as on other users.
async fn the_role_of_a_service_account_is_one_that_the_actor_may_assign(backend: Backend) {
    let harness = Harness::on(backend);
    let ada = harness.member("ada", "admin").await.tokens;
    let ann = harness.member("ann", "client").await.tokens;
    let create = async |by, name: &str, role: &str| {
        let actor = harness.actor(by).await;
        let name = ServiceName::parse(name).expect("a name");
        let new = NewService { name, role: harness.role(role) };
        harness.goat.users().create_service(actor, new).await
    };
    assert_eq!(create(&ann, "one", "client").await.kind(), Some(ErrorKind::Forbidden));
    create(&ada, "two", "admin").await.expect("the top rank assigns every role");
    create(&ada, "three", "client").await.expect("created");
    assert_eq!(create(&ada, "Three", "client").await.kind(), Some(ErrorKind::EmailTaken));
    let grant = harness.goat.roles().grant(system(), "operator", permissions::USER_WRITE).await;
    grant.expect("granted");
    let olga = harness.member("olga", "operator").await.tokens;
    create(&olga, "four", "client").await.expect("created");
    let peer = create(&olga, "five", "operator").await;
    assert_eq!(peer.kind(), Some(ErrorKind::RoleNotAssignable));
}
