//! `/api/v1/role`.

use serde_json::{Value, json};

use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, TestApp, TestUser};
use crate::support::backend::Backend;

on_every_backend!(roles_are_listed_by_rank_with_their_permissions);

async fn roles_are_listed_by_rank_with_their_permissions(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    let roles = app.get("/api/v1/role").bearer(&admin.token).send().await;
    let of_operator = json!(["user:change_status", "user:read", "user:update"]);
    let expected = json!([
        {"name": "client", "rank": 100, "permissions": []},
        {"name": "operator", "rank": 500, "permissions": of_operator},
        {"name": "admin", "rank": 1000, "permissions": ["full_access"]},
    ]);
    assert_eq!(roles.data(), &expected);
}

const PATH: &str = "/api/v1/role";

async fn create(app: &TestApp, admin: &TestUser, body: Value) -> Value {
    let response = app.post(PATH).bearer(&admin.token).json(&body).send().await;
    assert_eq!(response.status, 201, "{}", response.json);
    response.data().clone()
}

on_every_backend!(role_is_created_used_ranked_and_deleted);

async fn role_is_created_used_ranked_and_deleted(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    let body = json!({"name": "team-a", "rank": 300, "permissions": ["user:read", "a:*", "a:*"]});
    let response = app.post(PATH).bearer(&admin.token).json(&body).send().await;
    assert_eq!((response.status, response.header("location")), (201, "/api/v1/role/team-a"));
    let role = json!({"name": "team-a", "rank": 300, "permissions": ["a:*", "user:read"]});
    assert_eq!(response.data(), &role);
    let again = app.post(PATH).bearer(&admin.token).json(&body).send().await;
    assert_eq!(again.failure(), (409, "role-exists"));

    let ann = app.user("team-a").await;
    let verify = async |permission: &str| {
        let path = format!("/api/v1/auth/verify?permission={permission}");
        app.get(&path).bearer(&ann.token).send().await.status
    };
    assert_eq!((verify("a:b").await, verify("b:b").await), (204, 403));
    let grant = json!({"role": "team-a", "action": "b:b"});
    let granted = app.post("/api/v1/permission").bearer(&admin.token).json(&grant).send().await;
    assert_eq!((granted.status, verify("b:b").await), (201, 204));

    let path = format!("{PATH}/team-a");
    let ranked = app.patch(&path).bearer(&admin.token).json(&json!({"rank": 7})).send().await;
    assert_eq!((ranked.status, &ranked.data()["rank"]), (200, &json!(7)));
    // Unless the settings name another role, the one of the lowest rank is given at sign-up.
    let deleted = app.delete(&path).bearer(&admin.token).send().await;
    assert_eq!(deleted.failure(), (409, "role-protected"));
    let ranked = app.patch(&path).bearer(&admin.token).json(&json!({"rank": 101})).send().await;
    assert_eq!((ranked.status, &ranked.data()["rank"]), (200, &json!(101)));
    let deleted = app.delete(&path).bearer(&admin.token).send().await;
    assert_eq!((deleted.failure(), &deleted.json["users"]), ((409, "role-in-use"), &json!(1)));
    let change = format!("{}/change-role", ann.path());
    let body = json!({"role": "client"});
    assert_eq!(app.patch(&change).bearer(&admin.token).json(&body).send().await.status, 200);
    assert_eq!(app.delete(&path).bearer(&admin.token).send().await.status, 204);
    assert_eq!(verify("a:b").await, 403);
    for request in [
        app.delete(&path),
        app.patch(&path).json(&json!({"rank": 1})),
        app.get("/api/v1/permission/team-a"),
    ] {
        let response = request.bearer(&admin.token).send().await;
        assert_eq!(response.failure(), (404, "not-found"));
    }
    let body = json!({"role": "team-a"});
    let assigned = app.patch(&change).bearer(&admin.token).json(&body).send().await;
    assert_eq!((assigned.failure(), assigned.fields()), ((400, "validation"), vec!["role"]));
}

on_every_backend!(role_of_a_live_session_changes_with_immediate_effect);

async fn role_of_a_live_session_changes_with_immediate_effect(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    let permissions = json!(["user:read", "user:change_status"]);
    for (name, rank) in [("one", 600), ("two", 600)] {
        create(&app, &admin, json!({"name": name, "rank": rank, "permissions": permissions})).await;
    }
    let (ann, bob) = (app.user("one").await, app.user("two").await);
    let status = format!("{}/change-status", bob.path());
    let suspend = async || {
        let body = json!({"status": "suspended"});
        app.patch(&status).bearer(&ann.token).json(&body).send().await
    };
    assert_eq!(suspend().await.failure(), (403, "outranked"), "of equal rank");
    let set_rank = async |name: &str, rank: u32| {
        let path = format!("{PATH}/{name}");
        app.patch(&path).bearer(&admin.token).json(&json!({"rank": rank})).send().await
    };
    assert_eq!(set_rank("two", 599).await.status, 200);
    assert_eq!(suspend().await.status, 200);
    assert_eq!(set_rank("admin", 5).await.failure(), (409, "role-protected"));
}

on_every_backend!(racing_assignments_and_deletions_leave_no_user_without_a_role);

/// A10: over HTTP, assignments and deletions of one role at once.
async fn racing_assignments_and_deletions_leave_no_user_without_a_role(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (admin, other) = (app.admin().await, app.admin().await);
    let ann = app.client().await;
    let (path, change) = (format!("{PATH}/team"), format!("{}/change-role", ann.path()));
    for _ in 0..5 {
        create(&app, &admin, json!({"name": "team", "rank": 300})).await;
        let body = json!({"role": "team"});
        let (deleted, assigned, profile) = tokio::join!(
            app.delete(&path).bearer(&admin.token).send(),
            app.patch(&change).bearer(&other.token).json(&body).send(),
            app.get("/api/v1/user").bearer(&ann.token).send(),
        );
        assert_eq!(profile.status, 200);
        match (deleted.status, assigned.status) {
            (204, 400) => continue,
            (409, 200) => {}
            other => panic!("{other:?}: {} {}", deleted.json, assigned.json),
        }
        let body = json!({"role": "client"});
        assert_eq!(app.patch(&change).bearer(&admin.token).json(&body).send().await.status, 200);
        assert_eq!(app.delete(&path).bearer(&admin.token).send().await.status, 204);
    }
}

#[tokio::test]
async fn invalid_roles_are_rejected() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let post = async |body: Value| app.post(PATH).bearer(&admin.token).json(&body).send().await;
    for (body, fields) in [
        (json!({}), vec!["name", "rank"]),
        (json!({"name": "9lives", "rank": "1"}), vec!["name", "rank"]),
        (json!({"name": "a".repeat(33), "rank": 1000}), vec!["name", "rank"]),
        (json!({"name": "Team", "rank": -1}), vec!["name", "rank"]),
        (json!({"name": "team", "rank": 1.5}), vec!["rank"]),
        (
            json!({"name": "team", "rank": 1, "permissions": ["full_access"]}),
            vec!["permissions[0]"],
        ),
        (json!({"name": "team", "rank": 1, "permissions": "a:b"}), vec!["permissions"]),
        (json!({"name": "team", "rank": 1, "permissions": vec!["a:b"; 101]}), vec!["permissions"]),
        (json!({"name": "team", "rank": 1, "Rank": 1}), vec!["Rank"]),
    ] {
        let response = post(body.clone()).await;
        assert_eq!(response.failure(), (400, "validation"), "{body}");
        assert_eq!(response.fields(), fields, "{body}");
    }
    let path = format!("{PATH}/client");
    let escaped = app.delete(&format!("{PATH}/cl%69ent")).bearer(&admin.token).send().await;
    assert_eq!(escaped.failure(), (400, "validation"));
    let protected = app.delete(&path).bearer(&admin.token).send().await;
    assert_eq!(protected.failure(), (409, "role-protected"), "it is given at sign-up");
    // Without `full_access`, nothing else is looked at.
    let operator = app.operator().await;
    let refused = app.post(PATH).bearer(&operator.token).json(&json!({})).send().await;
    assert_eq!(refused.failure(), (403, "forbidden"));
    let body = json!({"email": "new@example.org", "password": PASSWORD});
    let signed_up = app.post("/api/v1/auth/signup").json(&body).send().await;
    assert_eq!(signed_up.data()["role"], "client");
}
