//! `GET /api/v1/auth/verify`.

use http::Method;
use serde_json::json;

use super::VERIFY;
use crate::backends::on_every_backend;
use crate::support::app::TestApp;
use crate::support::backend::Backend;

#[tokio::test]
async fn verify_returns_the_user_the_role_and_the_session_as_headers() {
    let app = TestApp::new().await;
    let operator = app.operator().await;
    let verify = |query: &str| app.get(&format!("{VERIFY}{query}")).bearer(&operator.token);
    for query in ["", "?permission=user:read", "?permission=user:read&permission=user:update"] {
        let response = verify(query).send().await;
        assert_eq!((response.status, response.body.len()), (204, 0), "{query}");
        assert_eq!(response.header("x-goat-user"), operator.id.to_string());
        assert_eq!(response.header("x-goat-role"), "operator");
        assert_eq!(response.header("x-goat-session"), operator.session.to_string());
    }
    let query = "?permission=user:read&permission=user:delete&permission=full_access";
    let response = verify(query).send().await;
    assert_eq!(response.failure(), (403, "forbidden"));
    let challenge = response.header("www-authenticate");
    assert!(challenge.ends_with(r#"scope="user:delete full_access""#), "{challenge}");
    assert_eq!(response.header("x-goat-user"), "");
    for query in ["?permission=", "?permission=User:read", "?permission=a:b&permission=x"] {
        let response = verify(query).send().await;
        assert_eq!(
            (response.failure(), response.fields()),
            ((400, "validation"), vec!["permission"])
        );
    }
}

on_every_backend!(verify_names_every_missing_permission_and_accepts_wildcards);

async fn verify_names_every_missing_permission_and_accepts_wildcards(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (admin, client) = (app.admin().await, app.client().await);
    let verify = async |token: &str, query: &str| {
        app.get(&format!("{VERIFY}{query}")).bearer(token).send().await
    };
    let body = json!({"role": "client", "action": "report:*"});
    let granted = app.post("/api/v1/permission").bearer(&admin.token).json(&body).send().await;
    assert_eq!(granted.status, 201);
    assert_eq!(verify(&client.token, "?permission=report:read").await.status, 204);
    assert_eq!(verify(&client.token, "?permission=report:*").await.status, 204);
    assert_eq!(verify(&admin.token, "?permission=any_resource:any_verb").await.status, 204);
    let rejected = verify(&client.token, "?permission=report:read&permission=user:read").await;
    assert_eq!(rejected.failure(), (403, "forbidden"));
    assert_eq!(
        rejected.header("www-authenticate"),
        r#"Bearer realm="goat", error="insufficient_scope", scope="user:read""#
    );
    let head = app.request(Method::HEAD, VERIFY).bearer(&client.token).send().await;
    assert_eq!((head.status, head.header("x-goat-user")), (204, client.id.to_string().as_str()));
    assert_eq!(app.get(VERIFY).send().await.failure(), (401, "unauthenticated"));
    assert_eq!(verify(&client.token, "?permissions=a:b").await.fields(), ["permissions"]);
}
