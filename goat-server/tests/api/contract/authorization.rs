//! Authorization: the matrix of callers and routes, generated from the route table.

use std::sync::Arc;

use goat_core::invalidation::LocalInvalidations;
use goat_core::token::TokenKeys;
use goat_core::{Actor, Goat, Status, Stores};
use goat_server::api::{PublicLimit, Rule, table};
use http::Method;
use serde_json::{Value, json};

use crate::support::app::{PASSWORD, TestApp};

/// A caller of the matrix.
struct Caller {
    name: &'static str,
    token: Option<String>,
    permissions: &'static [&'static str],
}

/// The rejection by the guards of a route, if any.
fn expected(rule: &Rule, caller: &Caller) -> Option<(u16, &'static str)> {
    match (rule, &caller.token) {
        (Rule::Public(_) | Rule::RefreshToken, _) => None,
        (_, None) => Some((401, "unauthenticated")),
        (Rule::Authenticated | Rule::SessionControl | Rule::Verify, Some(_)) => None,
        (
            Rule::Permission(permission) | Rule::Lookup(permission) | Rule::Scrape(permission),
            Some(_),
        ) => {
            let held = caller.permissions;
            let has = held.contains(&permission.as_str()) || held.contains(&"full_access");
            (!has).then_some((403, "forbidden"))
        }
    }
}

/// A1: anonymous, client, operator and administrator, on every route of the table.
#[tokio::test]
async fn every_route_admits_exactly_the_callers_that_its_rule_allows() {
    for endpoint in table() {
        // An app of its own, since an admitted request may end the caller's session.
        let app = TestApp::with_every_route().await;
        let callers = [
            Caller { name: "anonymous", token: None, permissions: &[] },
            Caller { name: "client", token: Some(app.client().await.token), permissions: &[] },
            Caller {
                name: "operator",
                token: Some(app.operator().await.token),
                permissions: &["user:read", "user:update", "user:change_status"],
            },
            Caller {
                name: "admin",
                token: Some(app.admin().await.token),
                permissions: &["full_access"],
            },
        ];
        for caller in &callers {
            // No handler accepts this parameter, so an admitted request is a validation failure, except
            // on the routes that ignore the query.
            let path = endpoint.path().replace("{id}", "x").replace("{key}", "%");
            let path = format!("{path}?beyond=the-guards");
            let mut request = app.request(endpoint.method().clone(), &path);
            if let Some(token) = &caller.token {
                request = request.bearer(token);
            }
            let response = request.send().await;
            let case = format!("{} {} as {}", endpoint.method(), endpoint.path(), caller.name);
            let ignores_query = !endpoint.path().starts_with("/api/v1/");
            let admitted = if ignores_query { (200, "") } else { (400, "validation") };
            let outcome = expected(endpoint.rule(), caller).unwrap_or(admitted);
            assert_eq!(response.failure(), outcome, "{case}: {}", response.json);
        }
    }
}

/// A valid body for a change of the caller's own account.
fn own_change(method: &Method, path: &str) -> Option<Value> {
    match (method.as_str(), path) {
        ("PATCH", "/api/v1/user/change-email") => {
            Some(json!({"email": "new@example.org", "current_password": PASSWORD}))
        }
        ("PATCH", "/api/v1/user/change-password") => {
            Some(json!({"current_password": PASSWORD, "new_password": "seven lamps over the quay"}))
        }
        ("PATCH", "/api/v1/user/attributes") | ("POST", "/api/v1/user/verify-email") => {
            Some(json!({}))
        }
        ("POST", "/api/v1/auth/step-up") => Some(json!({"password": PASSWORD})),
        ("POST", "/api/v1/keys") => Some(json!({"name": "a key", "scopes": "*"})),
        ("DELETE", "/api/v1/user") => Some(json!({"current_password": PASSWORD})),
        _ => None,
    }
}

/// F1: a principal that the cache still accepts changes neither rights nor users: another node suspended
/// the administrator, and its invalidation was lost.
#[tokio::test]
async fn stale_principal_changes_neither_rights_nor_users() {
    let mut changes = 0;
    for endpoint in table() {
        let (method, path) = (endpoint.method(), endpoint.path());
        let own = own_change(method, path);
        let needs_permission = matches!(endpoint.rule(), Rule::Permission(_));
        if *method == Method::GET || !(needs_permission || own.is_some()) {
            continue;
        }
        changes += 1;
        let app = TestApp::with_every_route().await;
        app.admin().await;
        let (admin, client) = (app.admin().await, app.client().await);
        let verify = async || app.get("/api/v1/auth/verify").bearer(&admin.token).send().await;
        assert_eq!(verify().await.status, 204);
        let stores = Stores {
            invalidations: Arc::new(LocalInvalidations::default()),
            ..app.stores.stores.clone()
        };
        let other = Goat::builder(stores, TokenKeys::generate())
            .clock(Arc::new(app.clock.clone()))
            .build()
            .expect("another node");
        let suspended =
            other.users().change_status(Actor::system("a test"), admin.id, Status::Suspended);
        suspended.await.expect("suspended");
        assert_eq!(verify().await.status, 204, "the cache has not noticed");
        let target = path.replace("{id}", &client.id.to_string());
        let target = target.replace("{key}", "01KDWMBY00C8X0F4ZCV7J3T9QH");
        let target = target.replace("{name}", "operator");
        let request = app.request(method.clone(), &target).bearer(&admin.token);
        let response = request.json(&own.unwrap_or_else(|| json!({}))).send().await;
        assert_eq!(response.failure(), (401, "session-revoked"), "{method} {path}");
    }
    assert_eq!(changes, 26);
}

/// A1: the public routes are a short list, which a new one must be added to here.
#[test]
fn public_routes_are_exactly_these() {
    let public: Vec<_> = table()
        .into_iter()
        .filter(|endpoint| !endpoint.rule().is_protected())
        .map(|endpoint| format!("{} {}", endpoint.method(), endpoint.path()))
        .collect();
    assert_eq!(
        public,
        [
            "POST /api/v1/auth/signup",
            "POST /api/v1/auth/signup/confirm",
            "POST /api/v1/auth/login",
            "POST /api/v1/auth/login/confirm",
            "POST /api/v1/auth/refresh",
            "POST /api/v1/auth/recover",
            "POST /api/v1/auth/recover/confirm",
            "POST /api/v1/auth/change-email/confirm",
            "POST /api/v1/auth/change-email/undo",
            "POST /api/v1/auth/code",
            "POST /api/v1/auth/code/confirm",
            "POST /api/v1/auth/invite/confirm",
            "POST /api/v1/auth/revoke",
            "GET /api/link",
            "GET /api/link/page.css",
            "GET /api/link/page.js",
            "GET /.well-known/jwks.json",
            "GET /api/health",
            "GET /api/ready",
            "GET /api/metrics",
            "GET /api/openapi.json",
            "GET /api/docs",
            "GET /api/docs/page.css",
            "GET /api/docs/page.js",
        ]
    );
}

#[test]
fn only_probes_and_metrics_are_unlimited() {
    let unlimited: Vec<_> = table()
        .into_iter()
        .filter(|endpoint| *endpoint.rule() == Rule::Public(PublicLimit::Unlimited))
        .map(|endpoint| endpoint.path())
        .collect();
    assert_eq!(unlimited, ["/api/health", "/api/ready", "/api/metrics"]);
}

#[test]
fn routes_are_unique() {
    let mut routes: Vec<_> = table()
        .into_iter()
        .map(|endpoint| format!("{} {}", endpoint.method(), endpoint.path()))
        .collect();
    routes.sort();
    let all = routes.len();
    routes.dedup();
    assert_eq!(routes.len(), all);
}
