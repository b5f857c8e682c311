//! Attributes: own keys, rank, bounds, events and sign-up.

use goat_core::auth::SignUp;
use goat_core::event::{EventActor, EventKind};
use goat_core::session::Origin;
use goat_core::user::{AttributePatch, Attributes};
use goat_core::{Error, ErrorKind, User};
use serde_json::{Value, json};

use crate::flows::support::{
    Backend, Harness, OTHER_PASSWORD, Outcome, PASSWORD, email, on_every_store, system,
};

fn patch(value: Value) -> AttributePatch {
    AttributePatch::parse(value).expect("a patch")
}

fn harness(backend: Backend) -> Harness {
    Harness::with(backend, |settings| {
        settings.self_attributes = vec!["locale".to_owned(), "theme".to_owned()];
    })
}

fn fields(error: &Error) -> Vec<&str> {
    assert_eq!(error.kind(), ErrorKind::Invalid);
    error.violations().iter().map(|violation| &*violation.field).collect()
}

fn shown(user: &User) -> &str {
    user.attributes.as_str()
}

/// The principal of the next request has them from the cache.
async fn users_change_their_own_keys_only(backend: Backend) {
    let harness = harness(backend);
    let tokens = harness.member("ann", "client").await.tokens;
    let me = harness.principal(&tokens).await;
    let users = harness.goat.users();
    harness.advance(5);
    let change = patch(json!({ "locale": "de", "theme": ["dark"] }));
    let user = users.change_own_attributes(&me, change.clone()).await.expect("changed");
    assert_eq!(shown(&user), r#"{"locale":"de","theme":["dark"]}"#);
    assert!(user.updated_at > me.profile().updated_at);
    let seen = harness.principal(&tokens).await;
    assert_eq!(seen.profile(), &user);
    // The same again changes nothing.
    harness.advance(5);
    assert_eq!(users.change_own_attributes(&seen, change).await.expect("unchanged"), user);

    let others = patch(json!({ "locale": "en", "plan": "pro", "tenant": null }));
    let error = users.change_own_attributes(&seen, others).await.expect_err("other keys");
    assert_eq!(fields(&error), ["plan", "tenant"]);
    assert_eq!(harness.principal(&tokens).await.profile(), &user);
}

/// A1, A2: as every route that acts on a user, decided in the write's transaction.
async fn an_actor_changes_any_key_of_users_below(backend: Backend) {
    let harness = harness(backend);
    let operator = harness.member("olga", "operator").await.tokens;
    let (ann, other) =
        (harness.user("ann", "client").await.id, harness.user("otto", "operator").await.id);
    let users = harness.goat.users();
    let change = || patch(json!({ "plan": "pro", "seats": 5 }));
    let actor = harness.actor(&operator).await;
    let user = users.change_attributes(actor, ann, change()).await.expect("changed");
    assert_eq!(shown(&user), r#"{"plan":"pro","seats":5}"#);
    let own = harness.principal(&operator).await.user();
    for outranked in [own, other] {
        let actor = harness.actor(&operator).await;
        let refused = users.change_attributes(actor, outranked, change()).await;
        assert_eq!(refused.kind(), Some(ErrorKind::Outranked));
    }
    let client = harness.member("carl", "client").await.tokens;
    let actor = harness.actor(&client).await;
    let refused = users.change_attributes(actor, ann, change()).await;
    assert_eq!(refused.kind(), Some(ErrorKind::Forbidden));
    let actor = harness.actor(&operator).await;
    users.delete(system(), ann).await.expect("deleted");
    let gone = users.change_attributes(actor, ann, change()).await;
    assert_eq!(gone.kind(), Some(ErrorKind::NotFound));
}

/// D3: a session that ended after the principal was read changes nothing.
async fn an_ended_session_changes_no_attributes(backend: Backend) {
    let harness = harness(backend);
    let ann = harness.member("ann", "client").await;
    let me = harness.principal(&ann.tokens).await;
    let users = harness.goat.users();
    users.reset_password(system(), ann.user.id, OTHER_PASSWORD.into()).await.expect("changed");
    let refused = users.change_own_attributes(&me, patch(json!({ "locale": "de" }))).await;
    assert_eq!(refused.kind(), Some(ErrorKind::SessionRevoked));
    let kept = harness.stores.users.by_id(ann.user.id).await.expect("a store").expect("Ann");
    assert!(kept.user.attributes.is_empty());
}

async fn bounds_include_the_attributes_that_the_user_has(backend: Backend) {
    let harness = harness(backend);
    let ann = harness.user("ann", "client").await.id;
    let users = harness.goat.users();
    let full = patch(json!({ "a": "b".repeat(4000) }));
    users.change_attributes(system(), ann, full).await.expect("changed");
    let more = || patch(json!({ "c": "d".repeat(100) }));
    let error = users.change_attributes(system(), ann, more()).await.expect_err("too many bytes");
    assert_eq!(fields(&error), ["attributes"]);
    users.change_attributes(system(), ann, patch(json!({ "a": null }))).await.expect("changed");
    let user = users.change_attributes(system(), ann, more()).await.expect("changed");
    assert_eq!(user.attributes.keys().collect::<Vec<_>>(), ["c"]);
}

/// L1: the event names the keys, and no value.
async fn the_event_names_the_changed_keys(backend: Backend) {
    let harness = harness(backend);
    let ann = harness.member("ann", "client").await;
    let me = harness.principal(&ann.tokens).await;
    let users = harness.goat.users();
    let change = || patch(json!({ "locale": "canary", "theme": ["canary"] }));
    harness.events.take();
    let user = users.change_own_attributes(&me, change()).await.expect("changed");
    users.change_own_attributes(&me, change()).await.expect("unchanged");
    let rest = patch(json!({ "locale": null, "theme": ["canary"], "plan": "canary" }));
    users.change_attributes(system(), user.id, rest).await.expect("changed");
    let events = harness.events.take();
    let seen: Vec<_> = events.iter().map(|event| (&event.kind, &event.actor, event.user)).collect();
    let keys = |keys: &[&str]| {
        EventKind::AttributesChanged(keys.iter().map(|key| (*key).to_owned()).collect())
    };
    let system = EventActor::System("a test".to_owned());
    assert_eq!(
        seen,
        [
            (&keys(&["locale", "theme"]), &EventActor::User(user.id), Some(user.id)),
            (&keys(&["locale", "plan"]), &system, Some(user.id)),
        ]
    );
    assert!(!format!("{events:?} {user:?} {me:?}").contains("canary"));
}

/// Each of two requests changes another key: both wait until the other has begun.
async fn concurrent_changes_of_different_keys_survive(backend: Backend) {
    let harness = harness(backend);
    let ann = harness.member("ann", "client").await;
    let me = harness.principal(&ann.tokens).await;
    for round in 0..10 {
        let start = std::sync::Arc::new(tokio::sync::Barrier::new(3));
        let changes = ["locale", "theme", "plan"].map(|key| {
            let (start, goat, me) = (start.clone(), harness.goat.clone(), me.clone());
            tokio::spawn(async move {
                let change = patch(json!({ key: round }));
                start.wait().await;
                let users = goat.users();
                match key {
                    "plan" => users.change_attributes(system(), me.user(), change).await,
                    _ => users.change_own_attributes(&me, change).await,
                }
            })
        });
        for change in changes {
            change.await.expect("no panic").expect("changed");
        }
        let user = harness.principal(&ann.tokens).await.profile().clone();
        let all = json!({ "locale": round, "plan": round, "theme": round });
        assert_eq!(shown(&user), all.to_string());
    }
}

async fn a_prepared_sign_up_takes_attributes(backend: Backend) {
    let harness = harness(backend);
    let request =
        SignUp { email: email("ann"), password: Some(PASSWORD.into()), origin: Origin::default() };
    let attributes =
        Attributes::parse(json!({ "tenant": "acme", "note": null })).expect("attributes");
    let prepared = harness.goat.prepare_sign_up(request).await.expect("prepared");
    let user = prepared.with_attributes(attributes).create().await.expect("signed up");
    assert_eq!(shown(&user), r#"{"note":null,"tenant":"acme"}"#);
    assert_eq!(harness.sign_in("ann").await.user.attributes, user.attributes);
    assert_eq!(harness.events.take()[0].kind, EventKind::SignedUp);
}

on_every_store![
    users_change_their_own_keys_only,
    an_actor_changes_any_key_of_users_below,
    an_ended_session_changes_no_attributes,
    bounds_include_the_attributes_that_the_user_has,
    the_event_names_the_changed_keys,
    concurrent_changes_of_different_keys_survive,
    a_prepared_sign_up_takes_attributes,
];

#[test]
fn settings_refuse_what_is_no_key() {
    use goat_core::{Goat, Settings, Stores, token::TokenKeys};
    let settings = Settings { self_attributes: vec!["Plan".to_owned()], ..Settings::default() };
    let built = Goat::builder(Stores::memory(), TokenKeys::generate()).settings(settings).build();
    assert_eq!(built.err().map(|error| error.kind()), Some(ErrorKind::Configuration));
}
