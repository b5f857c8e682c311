//! `/api/v1/user/{id}`: administration of other users, by rank and permission.

use std::sync::Arc;

use goat_core::{Status, UserId};
use serde_json::{Value, json};
use tokio::sync::Barrier;

use super::send;
use crate::backends::on_every_backend;
use crate::support::app::{CLIENT, PASSWORD, TestApp, TestUser};
use crate::support::backend::Backend;

const NEW_PASSWORD: &str = "seven lamps over the quay";

/// An app in which operators have every permission about users.
async fn powerful_operators(backend: Backend) -> (TestApp, TestUser) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    for action in ["user:write", "user:delete", "user:change_role"] {
        let body = json!({"role": "operator", "action": action});
        assert_eq!(send(&app, &admin, "POST /api/v1/permission", body).await.status, 201);
    }
    (app, admin)
}

/// Every request about another user.
fn requests_about(id: UserId) -> [(String, Value); 7] {
    let path = format!("/api/v1/user/{id}");
    [
        (format!("GET {path}"), Value::Null),
        (format!("GET {path}/sessions"), Value::Null),
        (format!("PUT {path}"), json!({"password": NEW_PASSWORD})),
        (format!("PATCH {path}/change-role"), json!({"role": "client"})),
        (format!("PATCH {path}/change-status"), json!({"status": "active"})),
        (format!("DELETE {path}/sessions"), Value::Null),
        (format!("DELETE {path}"), Value::Null),
    ]
}

on_every_backend!(equal_and_higher_ranks_are_off_limits_except_for_the_top_rank);

/// A2
async fn equal_and_higher_ranks_are_off_limits_except_for_the_top_rank(backend: Backend) {
    let (app, admin) = powerful_operators(backend).await;
    let operator = app.operator().await;
    for (target, expected) in
        [(app.operator().await, (403, "outranked")), (app.admin().await, (403, "outranked"))]
    {
        for (line, body) in requests_about(target.id) {
            let response = send(&app, &operator, &line, body).await;
            assert_eq!(response.failure(), expected, "{line}");
        }
        // Nothing changed.
        assert_eq!(app.get("/api/v1/user").bearer(&target.token).send().await.status, 200);
    }
    let (lower, peer) = (app.client().await, app.admin().await);
    for (actor, target) in [(&operator, lower.id), (&admin, peer.id)] {
        for (line, body) in requests_about(target) {
            let response = send(&app, actor, &line, body).await;
            assert!((200..300).contains(&response.status), "{line}: {}", response.json);
        }
    }
}

on_every_backend!(only_lower_roles_can_be_assigned);

/// A2
async fn only_lower_roles_can_be_assigned(backend: Backend) {
    let (app, admin) = powerful_operators(backend).await;
    let operator = app.operator().await;
    let target = app.client().await;
    let line = format!("PATCH {}/change-role", target.path());
    for role in ["operator", "admin"] {
        let response = send(&app, &operator, &line, json!({"role": role})).await;
        assert_eq!(response.failure(), (403, "role-not-assignable"), "{role}");
        let body = json!({"email": "new@example.org", "password": PASSWORD, "role": role});
        let response = send(&app, &operator, "POST /api/v1/user", body).await;
        assert_eq!(response.failure(), (403, "role-not-assignable"), "{role}");
    }
    assert_eq!(send(&app, &operator, &line, json!({"role": "client"})).await.status, 200);
    for role in ["admin", "operator", "client"] {
        assert_eq!(send(&app, &admin, &line, json!({"role": role})).await.data()["role"], role);
    }
}

on_every_backend!(users_with_a_permission_that_the_actor_lacks_are_off_limits);

/// A2
async fn users_with_a_permission_that_the_actor_lacks_are_off_limits(backend: Backend) {
    let (app, admin) = powerful_operators(backend).await;
    let (operator, target) = (app.operator().await, app.client().await);
    let create = json!({"email": "new@example.org", "password": PASSWORD});
    let body = json!({"role": "client", "action": "refund:approve"});
    assert_eq!(send(&app, &admin, "POST /api/v1/permission", body).await.status, 201);
    for (line, body) in requests_about(target.id) {
        let response = send(&app, &operator, &line, body).await;
        assert_eq!(response.failure(), (403, "outranked"), "{line}");
    }
    let response = send(&app, &operator, "POST /api/v1/user", create.clone()).await;
    assert_eq!(response.failure(), (403, "role-not-assignable"));
    for query in ["", "?role=client", "?search=client"] {
        let line = format!("GET /api/v1/user/list{query}");
        let list = send(&app, &operator, &line, Value::Null).await;
        let shown: Vec<_> = list.data().as_array().expect("a list").iter().collect();
        assert!(shown.iter().all(|user| user["email"] == *operator.email), "{query}: {shown:?}");
        assert_eq!(list.json["meta"]["total"], usize::from(query.is_empty()), "{query}");
    }
    // A wildcard of the operator's own covers the permission.
    let body = json!({"role": "operator", "action": "refund:*"});
    assert_eq!(send(&app, &admin, "POST /api/v1/permission", body).await.status, 201);
    assert_eq!(send(&app, &operator, "POST /api/v1/user", create).await.status, 201);
    for (line, body) in requests_about(target.id) {
        let response = send(&app, &operator, &line, body).await;
        assert!((200..300).contains(&response.status), "{line}: {}", response.json);
    }
}

on_every_backend!(own_account_cannot_be_administered);

/// A2
async fn own_account_cannot_be_administered(backend: Backend) {
    let (app, admin) = powerful_operators(backend).await;
    app.admin().await;
    for user in [&admin, &app.operator().await] {
        for (line, body) in requests_about(user.id) {
            let response = send(&app, user, &line, body).await;
            if line.starts_with("GET") {
                assert_eq!(response.status, 200, "{line}: {}", response.json);
            } else {
                assert_eq!(response.failure(), (403, "outranked"), "{line}");
            }
        }
    }
}

on_every_backend!(last_administrator_cannot_be_removed);

/// A3
async fn last_administrator_cannot_be_removed(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    // Neither an inactive administrator nor an operator counts.
    app.add("late@example.org", "admin", Status::Inactive).await;
    app.operator().await;
    let body = json!({"current_password": PASSWORD});
    let response = send(&app, &admin, "DELETE /api/v1/user", body.clone()).await;
    assert_eq!(response.failure(), (409, "last-administrator"));
    // The password is checked first.
    let wrong = json!({"current_password": "wrong"});
    let response = send(&app, &admin, "DELETE /api/v1/user", wrong).await;
    assert_eq!(response.failure(), (403, "wrong-password"));
    let grants = send(&app, &admin, "GET /api/v1/permission/admin", Value::Null).await;
    let line =
        format!("DELETE /api/v1/permission/{}", grants.data()[0]["id"].as_str().expect("id"));
    let response = send(&app, &admin, &line, Value::Null).await;
    assert_eq!(response.failure(), (409, "last-administrator"));
    assert_eq!(send(&app, &admin, "GET /api/v1/user", Value::Null).await.status, 200);

    app.admin().await;
    assert_eq!(send(&app, &admin, "DELETE /api/v1/user", body).await.status, 204);
}

on_every_backend!(status_transitions_and_repeated_changes);

async fn status_transitions_and_repeated_changes(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    let target = app.add("late@example.org", "client", Status::Inactive).await;
    let line = format!("PATCH /api/v1/user/{target}/change-status");
    for (status, expected) in [
        ("inactive", 200),
        ("suspended", 409),
        ("active", 200),
        ("inactive", 409),
        ("active", 200),
        ("suspended", 200),
        ("inactive", 409),
        ("suspended", 200),
        ("active", 200),
    ] {
        let before = send(&app, &admin, &format!("GET /api/v1/user/{target}"), Value::Null).await;
        app.clock.advance(std::time::Duration::from_secs(1));
        let response = send(&app, &admin, &line, json!({"status": status})).await;
        assert_eq!(response.status, expected, "{status}: {}", response.json);
        if expected == 409 {
            assert_eq!(response.code(), "invalid-transition");
        } else if before.data()["status"] == status {
            assert_eq!(response.json, before.json, "unchanged");
        } else {
            assert_ne!(response.data()["updated_at"], before.data()["updated_at"]);
        }
    }
    let line = format!("PATCH /api/v1/user/{target}/change-role");
    let before = send(&app, &admin, &format!("GET /api/v1/user/{target}"), Value::Null).await;
    app.clock.advance(std::time::Duration::from_secs(1));
    let response = send(&app, &admin, &line, json!({"role": "client"})).await;
    assert_eq!(response.json, before.json, "unchanged");
}

on_every_backend!(changes_apply_to_the_next_request);

/// R7
async fn changes_apply_to_the_next_request(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    let status = async |user: &TestUser| {
        let response = app.get("/api/v1/user/list").bearer(&user.token).send().await;
        (response.status, response.code().to_owned())
    };
    let is = |status: u16, code: &str| (status, code.to_owned());
    let (revoked, lacking) = (is(401, "session-revoked"), is(403, "forbidden"));

    let user = app.client().await;
    let role = format!("PATCH {}/change-role", user.path());
    assert_eq!(status(&user).await, lacking);
    send(&app, &admin, &role, json!({"role": "operator"})).await;
    assert_eq!(status(&user).await, is(200, ""));
    send(&app, &admin, &role, json!({"role": "client"})).await;
    assert_eq!(status(&user).await, lacking);

    let body = json!({"role": "client", "action": "user:*"});
    let granted = send(&app, &admin, "POST /api/v1/permission", body).await;
    assert_eq!(status(&user).await, is(200, ""));
    let id = granted.data()["id"].as_str().expect("an id");
    send(&app, &admin, &format!("DELETE /api/v1/permission/{id}"), Value::Null).await;
    assert_eq!(status(&user).await, lacking);

    let own = json!({"email": "moved@example.org"});
    assert_eq!(send(&app, &admin, &format!("PUT {}", user.path()), own).await.status, 200);
    assert_eq!(status(&user).await, lacking, "a new address ends no session");
    for (line, body) in [
        ("PUT {}", json!({"password": NEW_PASSWORD})),
        ("PATCH {}/change-status", json!({"status": "suspended"})),
        ("DELETE {}/sessions", Value::Null),
        ("DELETE {}", Value::Null),
    ] {
        let user = app.operator().await;
        assert_eq!(status(&user).await, is(200, ""));
        let response = send(&app, &admin, &line.replace("{}", &user.path()), body).await;
        assert!((200..300).contains(&response.status), "{line}: {}", response.json);
        assert_eq!(status(&user).await, revoked, "{line}");
        let body = json!({"refresh_token": user.refresh_token});
        let response = app.post("/api/v1/auth/refresh").json(&body).send().await;
        assert_eq!(response.failure(), (401, "session-revoked"), "{line}");
    }
}

on_every_backend!(administrator_creates_changes_and_deletes_a_user);

async fn administrator_creates_changes_and_deletes_a_user(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    let body = json!({"email": "ann@example.org", "password": PASSWORD, "status": "inactive"});
    let made = app.post("/api/v1/user").bearer(&admin.token).json(&body).send().await;
    assert_eq!((made.status, &made.data()["role"]), (201, &json!("client")));
    let path = made.header("location").to_owned();
    assert_eq!(&app.get(&path).bearer(&admin.token).send().await.json, &made.json);

    let body = json!({"status": "active"});
    let status = format!("{path}/change-status");
    let response = app.patch(&status).bearer(&admin.token).json(&body).send().await;
    assert_eq!(response.data()["status"], "active");
    let body = json!({"role": "operator"});
    let role = format!("{path}/change-role");
    let response = app.patch(&role).bearer(&admin.token).json(&body).send().await;
    assert_eq!(response.data()["role"], "operator");
    let body = json!({"role": "king"});
    let response = app.patch(&role).bearer(&admin.token).json(&body).send().await;
    assert_eq!((response.failure(), response.fields()), ((400, "validation"), vec!["role"]));
    let response = app.put(&path).bearer(&admin.token).json(&json!({})).send().await;
    assert_eq!((response.failure(), response.fields()), ((400, "validation"), vec!["email"]));
    let body = json!({"email": "bea@example.org", "password": NEW_PASSWORD});
    let response = app.put(&path).bearer(&admin.token).json(&body).send().await;
    assert_eq!(response.data()["email"], "bea@example.org");

    app.sign_in("bea@example.org", NEW_PASSWORD).await;
    let sessions = format!("{path}/sessions");
    let response = app.get(&sessions).bearer(&admin.token).send().await;
    assert_eq!(response.json["meta"]["total"], 1);
    assert_eq!(response.data()[0]["ip"], CLIENT);
    let response = app.delete(&sessions).bearer(&admin.token).send().await;
    assert_eq!(response.data(), &json!({"revoked": 1}));
    assert_eq!(app.delete(&path).bearer(&admin.token).send().await.status, 204);
    assert_eq!(app.get(&path).bearer(&admin.token).send().await.failure(), (404, "not-found"));
    let own = app.delete(&admin.path()).bearer(&admin.token).send().await;
    assert_eq!(own.failure(), (403, "outranked"));
}

/// Rounds of a race.
const ROUNDS: usize = 20;

/// A request by which an administrator loses the role.
#[derive(Clone, Copy, Debug)]
enum Removal {
    Demote,
    Suspend,
    Delete,
    DeleteSelf,
}

async fn perform(app: &TestApp, removal: Removal, by: &TestUser, on: &TestUser) -> (u16, String) {
    let path = on.path();
    let request = match removal {
        Removal::Demote => {
            app.patch(&format!("{path}/change-role")).json(&json!({"role": "client"}))
        }
        Removal::Suspend => {
            app.patch(&format!("{path}/change-status")).json(&json!({"status": "suspended"}))
        }
        Removal::Delete => app.delete(&path),
        Removal::DeleteSelf => {
            app.delete("/api/v1/user").json(&json!({"current_password": PASSWORD}))
        }
    };
    let response = request.bearer(&by.token).send().await;
    (response.status, response.code().to_owned())
}

on_every_backend!(multi_thread of_two_administrators_who_remove_each_other_one_stays);

/// A3
async fn of_two_administrators_who_remove_each_other_one_stays(backend: Backend) {
    let app = Arc::new(TestApp::on(backend).await);
    let mut last = app.admin().await;
    let removals = [Removal::Demote, Removal::Suspend, Removal::Delete, Removal::DeleteSelf];
    for round in 0..ROUNDS {
        let removal = removals[round % removals.len()];
        let pair = [last, app.admin().await];
        let start = Arc::new(Barrier::new(2));
        let races: Vec<_> = [(0, 1), (1, 0)]
            .into_iter()
            .map(|(by, on)| {
                let (app, start) = (Arc::clone(&app), Arc::clone(&start));
                let (by, on) = (pair[by].clone(), pair[on].clone());
                tokio::spawn(async move {
                    start.wait().await;
                    perform(&app, removal, &by, &on).await
                })
            })
            .collect();
        let mut done = 0;
        for race in races {
            match race.await.expect("a response") {
                (200 | 204, _) => done += 1,
                (401, code) => assert_eq!(code, "session-revoked", "{removal:?}"),
                (403, code) => {
                    assert!(["forbidden", "outranked"].contains(&&*code), "{removal:?}: {code}");
                }
                (409, code) => assert_eq!(code, "last-administrator", "{removal:?}"),
                other => panic!("{removal:?}: {other:?}"),
            }
        }
        assert_eq!(done, 1, "{removal:?}");
        let mut left = Vec::new();
        for admin in pair {
            let roles = app.get("/api/v1/role").bearer(&admin.token).send().await;
            if roles.status == 200 {
                left.push(admin);
            }
        }
        assert_eq!(left.len(), 1, "{removal:?}");
        last = left.remove(0);
    }
}
