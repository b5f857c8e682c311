//! `/api/v1/permission`: granting, listing and revoking permissions.

use serde_json::json;

use crate::backends::on_every_backend;
use crate::support::app::TestApp;
use crate::support::backend::Backend;

const PATH: &str = "/api/v1/permission";

on_every_backend!(granted_and_revoked_permissions_apply_to_the_role);

async fn granted_and_revoked_permissions_apply_to_the_role(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (admin, client) = (app.admin().await, app.client().await);
    let list = async || app.get("/api/v1/user/list").bearer(&client.token).send().await.status;
    let body = json!({"role": "client", "action": "user:read"});
    let granted = app.post(PATH).bearer(&admin.token).json(&body).send().await;
    assert_eq!((granted.status, &granted.data()["action"]), (201, &json!("user:read")));
    assert_eq!(list().await, 200);
    let again = app.post(PATH).bearer(&admin.token).json(&body).send().await;
    assert_eq!(again.failure(), (409, "permission-exists"));

    let listed = app.get(&format!("{PATH}?limit=2")).bearer(&admin.token).send().await;
    assert_eq!(listed.json["meta"], json!({"page": 1, "limit": 2, "total": 5, "total_pages": 3}));
    let of_role = app.get(&format!("{PATH}/client")).bearer(&admin.token).send().await;
    assert_eq!(of_role.data(), &json!([granted.data()]));
    let id = granted.data()["id"].as_str().expect("an id");
    assert_eq!(app.delete(&format!("{PATH}/{id}")).bearer(&admin.token).send().await.status, 204);
    assert_eq!(list().await, 403);
}

#[tokio::test]
async fn unknown_roles_and_invalid_actions_are_rejected() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    for (role, action, fields) in [
        ("king", "User:read", vec!["role", "action"]),
        // Only the top role has full access.
        ("client", "full_access", vec!["action"]),
    ] {
        let body = json!({"role": role, "action": action});
        let response = app.post(PATH).bearer(&admin.token).json(&body).send().await;
        assert_eq!((response.failure(), response.fields()), ((400, "validation"), fields));
    }
    let unknown = app.get(&format!("{PATH}/king")).bearer(&admin.token).send().await;
    assert_eq!(unknown.failure(), (404, "not-found"));
    // A role is no id.
    let role = app.delete(&format!("{PATH}/client")).bearer(&admin.token).send().await;
    assert_eq!((role.failure(), role.fields()), ((400, "validation"), vec!["key"]));
}
