//! Who may call what: the matrix of actors and routes, made from the route table.

use crate::support::app::TestApp;
use goat_server::router::{PublicLimit, Rule, table};

/// Somebody in the matrix.
struct Actor {
    name: &'static str,
    token: Option<String>,
    permissions: &'static [&'static str],
}

/// What the guards of a route say to an actor; `None` where they let the request through.
fn expected(rule: &Rule, actor: &Actor) -> Option<(u16, &'static str)> {
    match (rule, &actor.token) {
        (Rule::Public(_) | Rule::RefreshToken, _) => None,
        (_, None) => Some((401, "unauthenticated")),
        (Rule::Authenticated, Some(_)) => None,
        (Rule::Permission(permission), Some(_)) => {
            let held = actor.permissions;
            let has = held.contains(&permission.as_str()) || held.contains(&"full_access");
            (!has).then_some((403, "forbidden"))
        }
    }
}

/// A1: nobody, a client, an operator and an administrator, on every route of the table.
#[tokio::test]
async fn every_route_lets_in_whom_its_rule_names_and_nobody_else() {
    for endpoint in table() {
        // An app of its own, since a route that lets somebody in may end their session.
        let app = TestApp::new().await;
        let actors = [
            Actor { name: "nobody", token: None, permissions: &[] },
            Actor { name: "client", token: Some(app.client().await.token), permissions: &[] },
            Actor {
                name: "operator",
                token: Some(app.operator().await.token),
                permissions: &["user:read", "user:update", "user:change_status"],
            },
            Actor {
                name: "admin",
                token: Some(app.admin().await.token),
                permissions: &["full_access"],
            },
        ];
        for actor in &actors {
            // A parameter that no handler accepts: whoever gets that far is told about it.
            let path = endpoint.path().replace("{id}", "x").replace("{key}", "%");
            let path = format!("{path}?beyond=the-guards");
            let mut request = app.request(endpoint.method().clone(), &path);
            if let Some(token) = &actor.token {
                request = request.bearer(token);
            }
            let answer = request.send().await;
            let case = format!("{} {} as {}", endpoint.method(), endpoint.path(), actor.name);
            let failure = expected(endpoint.rule(), actor).unwrap_or((400, "validation"));
            assert_eq!(answer.failure(), failure, "{case}: {}", answer.json);
        }
    }
}

/// A1: what anybody may call is a short list, and whoever adds to it changes it here too.
#[test]
fn public_routes_are_these_and_no_others() {
    let public: Vec<_> = table()
        .into_iter()
        .filter(|endpoint| !endpoint.rule().is_protected())
        .map(|endpoint| format!("{} {}", endpoint.method(), endpoint.path()))
        .collect();
    assert_eq!(
        public,
        [
            "POST /api/v1/auth/signup",
            "POST /api/v1/auth/login",
            "POST /api/v1/auth/refresh",
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
fn only_probes_and_metrics_are_not_limited() {
    let unlimited: Vec<_> = table()
        .into_iter()
        .filter(|endpoint| *endpoint.rule() == Rule::Public(PublicLimit::Unlimited))
        .map(|endpoint| endpoint.path())
        .collect();
    assert_eq!(unlimited, ["/api/health", "/api/ready", "/api/metrics"]);
}

#[test]
fn no_route_is_there_twice() {
    let mut routes: Vec<_> = table()
        .into_iter()
        .map(|endpoint| format!("{} {}", endpoint.method(), endpoint.path()))
        .collect();
    routes.sort();
    let all = routes.len();
    routes.dedup();
    assert_eq!(routes.len(), all);
}
