//! `/api/v1/role`.

use serde_json::json;

use crate::backends::on_every_backend;
use crate::support::app::TestApp;
use crate::support::backend::Backend;

on_every_backend!(roles_are_listed_by_rank_with_their_permissions);

async fn roles_are_listed_by_rank_with_their_permissions(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    let roles = app.get("/api/v1/role").bearer(&admin.token).send().await;
    let of_operator = json!(["user:change_status", "user:read", "user:update"]);
    let expected = json!([
        {"name": "client", "rank": 1, "permissions": []},
        {"name": "operator", "rank": 2, "permissions": of_operator},
        {"name": "admin", "rank": 3, "permissions": ["full_access"]},
    ]);
    assert_eq!(roles.data(), &expected);
}
