//! Requirements: roles, predicates and combinations.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use goat_core::auth::Login;
use goat_core::testing::{TestGoat, TestUser};
use goat_core::{Permission, Principal, Role, RoleSet, Stores};
use goat_tower::{Denial, GoatExt, Requirement};
use tower::Layer;

use crate::support::{EXPORTS, REPORTS, TestResponse, request, send, whoami};

fn role(test: &TestGoat, name: &str) -> Role {
    test.goat.roles().get(name).unwrap()
}

async fn fetch(test: &TestGoat, requirement: Requirement, user: Option<&TestUser>) -> TestResponse {
    send(&test.goat.require(requirement).layer(whoami()), request(user)).await
}

/// Returns the unmet part, as it is logged.
fn reason(response: &TestResponse) -> String {
    let denial = response.head.extensions().get::<Denial>().unwrap();
    std::error::Error::source(denial.error().unwrap()).unwrap().to_string()
}

#[tokio::test]
async fn a_role_requirement_allows_only_that_role() {
    let test = TestGoat::new();
    let client = test.sign_in_as("client", "client").await;
    let admin = test.sign_in_as("admin", "admin").await;
    for (name, expected) in [("client", [200, 403, 401]), ("admin", [403, 200, 401])] {
        for (user, expected) in [Some(&client), Some(&admin), None].into_iter().zip(expected) {
            let response = fetch(&test, role(&test, name).into(), user).await;
            assert_eq!(response.status, expected, "{name} {user:?}");
        }
    }
}

#[tokio::test]
async fn at_least_allows_the_role_and_higher_ranks() {
    let test = TestGoat::new();
    let mut users = Vec::new();
    for name in ["client", "spare_07", "spare_08", "admin"] {
        users.push(test.sign_in_as(name, name).await);
    }
    for (lowest, expected) in [
        ("client", [200, 200, 200, 200]),
        ("spare_08", [403, 403, 200, 200]),
        ("admin", [403, 403, 403, 200]),
    ] {
        let requirement = Requirement::at_least(test.goat.roles(), &role(&test, lowest));
        for (user, expected) in users.iter().zip(expected) {
            let response = fetch(&test, requirement.clone(), Some(user)).await;
            assert_eq!(response.status, expected, "{lowest} {}", user.user.role);
        }
    }
    let ghost = Role::parse("ghost").unwrap();
    let nobody = Requirement::at_least(test.goat.roles(), &ghost);
    assert_eq!(fetch(&test, nobody, users.last()).await.outcome(), (403, "forbidden"));
}

/// A renamed or misspelt role must not grant the rights of its old rows in the database.
#[tokio::test]
async fn an_unknown_role_satisfies_nothing_and_has_the_lowest_rank() {
    let stores = Stores::memory();
    let with = |names: &'static [&'static str]| {
        TestGoat::build(stores.clone(), move |builder| {
            let roles =
                names.iter().map(|name| (*name, vec![])).chain([("top", vec!["full_access"])]);
            builder.roles(RoleSet::new(roles).unwrap())
        })
    };
    let before = with(&["low", "auditor"]);
    before.sign_in_as("alice", "auditor").await;
    let after = with(&["low"]);
    let login = Login {
        email: "alice@example.org".into(),
        password: "a long walk on a short pier".into(),
        device_token: None,
        origin: Default::default(),
    };
    let alice = TestUser::from(after.goat.login(login).await.unwrap().value);
    assert_eq!(alice.user.role.as_str(), "auditor");
    let auditor = role(&before, "auditor");
    for requirement in [
        Requirement::role(auditor.clone()),
        Requirement::at_least(after.goat.roles(), &role(&after, "low")),
        Requirement::at_least(after.goat.roles(), &auditor),
        Requirement::from(REPORTS).or(&auditor),
    ] {
        let response = fetch(&after, requirement.clone(), Some(&alice)).await;
        assert_eq!(response.outcome(), (403, "forbidden"), "{requirement}");
    }
    assert_eq!(fetch(&after, Requirement::signed_in(), Some(&alice)).await.outcome(), (200, ""));
}

#[cfg(feature = "tracing")]
#[tokio::test]
async fn an_unknown_required_role_is_logged_when_the_layer_is_created() {
    let test = TestGoat::new();
    let requirement = Requirement::from(REPORTS).and(Role::parse("amdin").unwrap());
    let lines = crate::support::log::logged(|| drop(test.goat.require(requirement)));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0].0, tracing::Level::ERROR);
    assert!(lines[0].1.contains("required role unknown to this goat"), "{lines:?}");
    let sound = Requirement::from(REPORTS).and(role(&test, "admin"));
    assert_eq!(crate::support::log::logged(|| drop(test.goat.require(sound))), []);
}

#[tokio::test]
async fn a_predicate_decides_by_the_principal_and_its_name_is_the_reason() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let bob = test.sign_in("bob", []).await;
    let id = alice.user.id;
    let is_alice = Requirement::when("is alice", move |me: &Principal| me.user() == id);
    assert_eq!(fetch(&test, is_alice.clone(), Some(&alice)).await.outcome(), (200, ""));
    let response = fetch(&test, is_alice.clone(), Some(&bob)).await;
    assert_eq!(response.outcome(), (403, "forbidden"));
    assert_eq!(reason(&response), "not met: is alice");
    assert!(!response.body.contains("alice"), "not shown to the client: {}", response.body);
    // Predicates are not called for anonymous requests.
    let anyone = Requirement::when("anyone", |_| true);
    assert_eq!(fetch(&test, anyone, None).await.outcome(), (401, "unauthenticated"));
}

#[tokio::test]
async fn the_scope_names_the_permissions_that_would_satisfy_the_requirement() {
    let test = TestGoat::new();
    let none = test.sign_in("none", []).await;
    let reports = test.sign_in("reports", [REPORTS]).await;
    let client = || Requirement::role(role(&test, "client"));
    let admin = || Requirement::role(role(&test, "admin"));
    let never = || Requirement::when("never", |_| false);
    let read = || Requirement::from(REPORTS);
    let cases = [
        (read().and(client()), &none, "report:read", "report:read"),
        (read().and(EXPORTS), &reports, "report:read report:export", "report:export"),
        (read().or(admin()), &none, "report:read", "report:read or role admin"),
        (
            read().or(EXPORTS).or(never()),
            &none,
            "report:read report:export",
            "report:read or report:export or never",
        ),
        // The role would still be missing.
        (read().and(admin()), &none, "", "report:read and role admin"),
        (read().and(never()), &reports, "", "never"),
        (admin(), &reports, "", "role admin"),
        (never(), &reports, "", "never"),
        (admin().or(never()), &none, "", "role admin or never"),
        (Requirement::any::<Permission>([]), &none, "", "nobody"),
        // Permissions can satisfy one alternative only.
        (
            read().and(never()).or(EXPORTS),
            &reports,
            "report:export",
            "(report:read and never) or report:export",
        ),
    ];
    for (requirement, user, scope, unmet) in cases {
        let words = requirement.to_string();
        let response = fetch(&test, requirement, Some(user)).await;
        assert_eq!(response.outcome(), (403, "forbidden"), "{words}");
        let scope = if scope.is_empty() { String::new() } else { format!(r#", scope="{scope}""#) };
        let challenge = format!(r#"Bearer realm="goat", error="insufficient_scope"{scope}"#);
        assert_eq!(response.header("www-authenticate"), challenge, "{words}");
        assert_eq!(reason(&response), format!("not met: {unmet}"));
    }
}

/// A2: changes of another node that this node's cache does not have yet.
#[tokio::test]
async fn a_fresh_requirement_re_evaluates_roles_and_predicates() {
    let test = TestGoat::new();
    let alice = test.sign_in_as("alice", "spare_01").await;
    let stale = test.goat.authenticate_token(alice.access_token()).await.unwrap();
    let spare = role(&test, "spare_01");
    let of_spare = spare.clone();
    let seen = Requirement::when("of spare role", move |me: &Principal| *me.role() == of_spare);
    let from_the_cache = || {
        let mut request = request(None);
        request.extensions_mut().insert::<Principal>(stale.clone());
        request
    };
    let requirements = [Requirement::role(spare), seen];
    for requirement in &requirements {
        let fresh = test.goat.require(requirement.clone()).fresh().layer(whoami());
        assert_eq!(send(&fresh, from_the_cache()).await.outcome(), (200, ""), "{requirement}");
    }
    test.sign_in_as("alice", "client").await;
    for requirement in &requirements {
        let remembered = test.goat.require(requirement.clone()).layer(whoami());
        assert_eq!(send(&remembered, from_the_cache()).await.outcome(), (200, ""), "{requirement}");
        let fresh = test.goat.require(requirement.clone()).fresh().layer(whoami());
        let response = send(&fresh, from_the_cache()).await;
        assert_eq!(response.outcome(), (403, "forbidden"), "{requirement}");
    }
}

#[tokio::test]
async fn predicates_are_short_circuited() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS]).await;
    let asked = Arc::new(AtomicBool::new(false));
    let watch = Arc::clone(&asked);
    let costly = Requirement::when("costly", move |_| {
        watch.store(true, SeqCst);
        true
    });
    let requirement = Requirement::from(REPORTS).or(costly);
    assert_eq!(fetch(&test, requirement, Some(&alice)).await.outcome(), (200, ""));
    assert!(!asked.load(SeqCst));
}
