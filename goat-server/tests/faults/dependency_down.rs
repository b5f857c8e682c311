//! O1: any store call that fails or times out is a 503 with `Retry-After` on every route: no 500, no
//! rejection, and no request that passes unchecked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use goat_core::factor::FactorKind;
use goat_core::key::{Key, NewKey, Scopes};
use goat_core::limit::{LimitKey, LimitStore, StoreAcquire, StoreDecision, StoreReply};
use goat_core::testing::{Failpoints, Point, TestFactors};
use goat_core::user::{NewService, ServiceName};
use goat_core::{Actor, Quota, RecentActor, StoreError, Stores};
use goat_server::api::{Endpoint, PublicLimit, Rule, table};
use http::Method;
use serde_json::{Value, json};

use crate::support::app::{PASSWORD, TestApp, TestRequest, TestResponse, TestUser};
use crate::support::mail::{by_link, with};

const NEW_PASSWORD: &str = "seven lamps over the quay";

/// Longer than the staleness of any cache, and shorter than the TTL of an access token.
const MUCH_LATER: Duration = Duration::from_secs(120);

/// An app with failable stores, the users of all routes, and empty caches.
struct Fixture {
    app: TestApp,
    failpoints: Failpoints,
    /// The administrator that sends the requests, beside another one.
    caller: TestUser,
    /// Another session of the caller.
    other: TestUser,
    /// The user that requests are about.
    target: TestUser,
    /// The id of a revocable permission.
    grant: String,
    /// A pending sign-in of another user, and its answer.
    answer: Value,
    /// A key of the caller.
    own_key: Key,
    /// A key of a service account.
    service_key: Key,
    mail: Option<Mail>,
}

/// Unanswered letters.
struct Mail {
    sign_up: Value,
    /// To the caller.
    verify: Value,
    /// To the target.
    recover: Value,
    /// To another user, with a verified address.
    code: Value,
    /// To the new address of a user, and to the old one of another.
    change: Value,
    undo: Value,
    /// The user with the changed address.
    changed: TestUser,
    invite: Value,
    /// The invited user.
    invited: String,
}

impl Mail {
    async fn new(app: &TestApp, caller: &TestUser, target: &TestUser) -> Self {
        let post_by = async |by: &TestUser, path: &str, body: Value| {
            let response = app.post(path).bearer(&by.token).json(&body).send().await;
            assert!((200..300).contains(&response.status), "{path}: {}", response.json);
            response
        };
        let post = async |path: &str, body: Value| post_by(caller, path, body).await;
        let link = async |to: &str, name: &str| by_link(&app.letter(to, name).await);
        let verified = async || {
            let user = app.client().await;
            post_by(&user, "/api/v1/user/verify-email", json!({})).await;
            let answer = link(&user.email, "verify-email").await;
            post_by(&user, "/api/v1/auth/verify-email/confirm", answer).await;
            user
        };
        post("/api/v1/auth/signup", json!({"email": "ann@example.org"})).await;
        let sign_up = link("ann@example.org", "confirm-sign-up").await;
        post("/api/v1/user/verify-email", json!({})).await;
        let verify = link(&caller.email, "verify-email").await;
        post("/api/v1/auth/recover", json!({"email": target.email})).await;
        let recover = link(&target.email, "reset-password").await;
        let signing_in = verified().await;
        post("/api/v1/auth/code", json!({"email": signing_in.email})).await;
        let code = link(&signing_in.email, "sign-in-code").await;
        let change = async |new: &str| {
            let user = verified().await;
            let body = json!({"email": new, "current_password": PASSWORD});
            let path = "/api/v1/user/change-email";
            let sent = app.patch(path).bearer(&user.token).json(&body).send().await;
            assert_eq!(sent.status, 202, "{}", sent.json);
            (user, link(new, "confirm-new-email").await)
        };
        let (changed, answer) = change("changed@example.org").await;
        post("/api/v1/auth/change-email/confirm", answer).await;
        let undo = link(&changed.email, "email-changed").await;
        let (_, change) = change("changing@example.org").await;
        let invited = post("/api/v1/user/invite", json!({"email": "invited@example.org"})).await;
        let invited = invited.data()["id"].as_str().expect("an id").to_owned();
        let invite = link("invited@example.org", "invitation").await;
        Self { sign_up, verify, recover, code, change, undo, changed, invite, invited }
    }
}

impl Fixture {
    async fn new(has_mail: bool) -> Self {
        let factors = TestFactors::default();
        let stores = Stores { factors: Arc::new(factors.clone()), ..Stores::memory() };
        let (stores, failpoints) = Failpoints::over(stores);
        let app = TestApp::with(|setup| {
            (setup.stores, setup.factors) = (stores, factors);
            setup.goat.self_attributes = vec!["locale".to_owned()];
            if has_mail {
                setup.every_route();
            }
        })
        .await;
        let (caller, _) = (app.admin().await, app.admin().await);
        let other = app.sign_in(&caller.email, PASSWORD).await;
        let target = app.client().await;
        let grants = app.get("/api/v1/permission/operator").bearer(&caller.token).send().await;
        let grant = grants.data()[0]["id"].as_str().expect("an id").to_owned();
        let enrolled = app.client().await;
        app.factors.enrol(enrolled.id, FactorKind::Totp, app.goat.time().now());
        let login = json!({"email": enrolled.email, "password": PASSWORD});
        let held = app.post("/api/v1/auth/login").json(&login).send().await.json;
        let answer = json!({
            "challenge": held["challenge"], "secret": held["secret"], "code": TestFactors::CODE,
        });
        let me = app.goat.authenticate_token(&caller.token).await.expect("a live session");
        let recent = app.goat.require_recent(&me).await.expect("it is recent");
        let new = || NewKey { name: "a key".into(), scopes: Scopes::Role, expires_in: None };
        let own_key = app.goat.keys().create(recent, new()).await.expect("created").key;
        let name = ServiceName::parse("robot").expect("a name");
        let service = NewService { name, role: app.goat.roles().get("client").expect("a role") };
        let service = app.goat.users().create_service(Actor::system("a test"), service).await;
        let (system, service) = (RecentActor::system("a test"), service.expect("created").id);
        let service_key = app.goat.keys().create_for(system, service, new()).await;
        let service_key = service_key.expect("created").key;
        let mail = match has_mail {
            true => Some(Mail::new(&app, &caller, &target).await),
            false => None,
        };
        app.clock.advance(MUCH_LATER);
        let _before = failpoints.take_calls();
        Self { app, failpoints, caller, other, target, grant, answer, own_key, service_key, mail }
    }

    /// A valid body of a route that exists with mail, or that differs with it.
    fn mail_body(&self, template: &str) -> Option<Value> {
        let mail = self.mail.as_ref()?;
        Some(match template {
            "/api/v1/auth/signup" => json!({"email": "new@example.org"}),
            "/api/v1/auth/signup/confirm" => with(&mail.sign_up, &json!({"password": PASSWORD})),
            "/api/v1/auth/recover" => json!({"email": self.target.email}),
            "/api/v1/auth/recover/confirm" => {
                with(&mail.recover, &json!({"new_password": NEW_PASSWORD}))
            }
            "/api/v1/auth/verify-email/confirm" => mail.verify.clone(),
            "/api/v1/auth/change-email/confirm" => mail.change.clone(),
            "/api/v1/auth/change-email/undo" => mail.undo.clone(),
            "/api/v1/auth/code" => json!({"email": self.target.email}),
            "/api/v1/auth/code/confirm" => mail.code.clone(),
            "/api/v1/auth/invite/confirm" => with(&mail.invite, &json!({"password": PASSWORD})),
            "/api/v1/user/invite" => json!({"email": "new@example.org"}),
            "/api/v1/user/verify-email"
            | "/api/v1/user/{id}/invite"
            | "/api/v1/user/{id}/recover" => Value::Null,
            _ => return None,
        })
    }

    /// A valid request to an endpoint.
    fn request(&self, endpoint: &Endpoint) -> TestRequest<'_> {
        let (method, template) = (endpoint.method().as_str(), endpoint.path());
        let id = match template {
            "/api/v1/sessions/{id}" => self.other.session.to_string(),
            "/api/v1/keys/{id}" => self.own_key.id.to_string(),
            path if path.contains("/keys") => self.service_key.owner.to_string(),
            "/api/v1/user/{id}/invite" => {
                self.mail.as_ref().map(|mail| mail.invited.clone()).unwrap_or_default()
            }
            _ => self.target.id.to_string(),
        };
        let key = match (method, template) {
            (_, "/api/v1/user/{id}/keys/{key}") => self.service_key.id.to_string(),
            ("DELETE", _) => self.grant.clone(),
            _ => "operator".to_owned(),
        };
        let path = template.replace("{id}", &id).replace("{key}", &key);
        let path = path.replace("{name}", "operator");
        let mut request = self.app.request(endpoint.method().clone(), &path);
        if endpoint.rule().is_protected() {
            request = request.bearer(&self.caller.token);
        }
        if let Some(body) = self.mail_body(template) {
            return if body.is_null() { request } else { request.json(&body) };
        }
        let body = match (method, template) {
            ("POST", "/api/v1/auth/signup" | "/api/v1/user") => {
                json!({"email": "new@example.org", "password": PASSWORD})
            }
            ("POST", "/api/v1/auth/login") => {
                json!({"email": self.target.email, "password": PASSWORD})
            }
            ("POST", "/api/v1/auth/login/confirm") => self.answer.clone(),
            ("POST", "/api/v1/auth/step-up") => json!({"password": PASSWORD}),
            ("POST", "/api/v1/auth/introspect" | "/api/v1/auth/revoke") => {
                let form = format!("token={}", self.other.token);
                return request.body("application/x-www-form-urlencoded", form);
            }
            ("POST", "/api/v1/user/service") => json!({"name": "backup"}),
            ("POST", "/api/v1/keys" | "/api/v1/user/{id}/keys") => {
                json!({"name": "a key", "scopes": "*"})
            }
            ("POST", "/api/v1/auth/refresh") => {
                json!({"refresh_token": self.target.refresh_token})
            }
            ("PUT", "/api/v1/user/{id}") if self.mail.is_some() => {
                json!({"email": "new@example.org"})
            }
            ("PUT", "/api/v1/user/{id}") => {
                json!({"email": "new@example.org", "password": NEW_PASSWORD})
            }
            ("PATCH", "/api/v1/user/change-email") => {
                json!({"email": "new@example.org", "current_password": PASSWORD})
            }
            ("PATCH", "/api/v1/user/change-password") => {
                json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD})
            }
            ("PATCH", "/api/v1/user/attributes") => json!({"locale": "de"}),
            ("PATCH", "/api/v1/user/{id}/attributes") => json!({"plan": "pro"}),
            ("PATCH", "/api/v1/user/{id}/change-role") => json!({"role": "operator"}),
            ("PATCH", "/api/v1/user/{id}/change-status") => json!({"status": "suspended"}),
            ("POST", "/api/v1/user/{id}/session") => json!({"method": "ldap"}),
            ("DELETE", "/api/v1/user") => json!({"current_password": PASSWORD}),
            ("DELETE", "/api/v1/sessions") => json!({"others": true}),
            ("POST", "/api/v1/role") => json!({"name": "team", "rank": 300}),
            ("PATCH", "/api/v1/role/{name}") => json!({"rank": 300}),
            ("POST", "/api/v1/permission") => json!({"role": "client", "action": "report:read"}),
            ("POST", "/api/v1/auth/logout") | ("GET", _) | ("DELETE", _) => return request,
            _ => panic!("no body for {method} {template}"),
        };
        request.json(&body)
    }

    /// Asserts that the sessions that an endpoint ends are invalid, although their removal failed.
    async fn assert_in_force(&self, endpoint: &Endpoint, case: &str) {
        let changed = self.mail.as_ref().map(|mail| &mail.changed);
        let ended = match endpoint.path() {
            "/api/v1/auth/login" | "/api/v1/user/{id}/session" => return,
            // With mail, it changes the address alone.
            "/api/v1/user/{id}" if endpoint.method() == Method::PUT && changed.is_some() => return,
            "/api/v1/auth/recover/confirm" => &self.target,
            "/api/v1/auth/change-email/undo" => changed.expect("with mail"),
            path if path.contains("{id}") => &self.target,
            _ => &self.other,
        };
        let response = self.app.get("/api/v1/user").bearer(&ended.token).send().await;
        assert_eq!(response.failure(), (401, "session-revoked"), "{case}");
    }

    /// Lets a number of calls pass before the next planned failure.
    fn skip(&self, call: &'static str, point: Point, times: usize) {
        for _ in 0..times {
            drop(self.failpoints.hold(call, point));
        }
    }
}

/// Every endpoint with mail, and again without it if its requests differ.
fn cases() -> Vec<(Endpoint, bool)> {
    let differs = |endpoint: &Endpoint| {
        let route = (endpoint.method().as_str(), endpoint.path());
        matches!(
            route,
            ("POST", "/api/v1/auth/signup")
                | ("PUT", "/api/v1/user/{id}")
                | ("PATCH", "/api/v1/user/change-email" | "/api/v1/user/change-password")
        )
    };
    let without = table().into_iter().filter(differs).map(|endpoint| (endpoint, false));
    table().into_iter().map(|endpoint| (endpoint, true)).chain(without).collect()
}

/// The store calls of a valid request, each with the number of earlier calls of the same name.
async fn calls_of(endpoint: &Endpoint, has_mail: bool) -> Vec<(&'static str, usize)> {
    let fixture = Fixture::new(has_mail).await;
    let response = fixture.request(endpoint).send().await;
    let name = format!("{} {}", endpoint.method(), endpoint.path());
    assert!((200..300).contains(&response.status), "{name}: {} {}", response.status, response.json);
    let calls = fixture.failpoints.take_calls();
    let before = |place: usize| calls[..place].iter().filter(|call| **call == calls[place]).count();
    (0..calls.len()).map(|place| (calls[place], before(place))).collect()
}

fn assert_unavailable(response: &TestResponse, case: &str) {
    assert_eq!(response.failure(), (503, "unavailable"), "{case}: {}", response.json);
    let wait: u64 = response.header("retry-after").parse().expect("a number of seconds");
    assert!(wait >= 1, "{case}");
    assert_eq!(response.header("content-type"), "application/problem+json", "{case}");
    let shown = response.json.to_string();
    assert!(!shown.contains("users.") && !shown.contains("sessions."), "{case}: {shown}");
}

/// Calls after the commit that apply it to sessions, challenges and keys: those to remove are already
/// invalid, and the session of the caller gets its new tokens at its next refresh. Their failure is
/// logged, and the response is a success.
const AFTERWARDS: [&str; 4] =
    ["challenges.remove_all", "keys.revoke_all", "sessions.replace_tokens", "sessions.revoke_all"];

/// Whether a call comes after the commit.
fn is_afterwards(path: &str, call: &str, before: usize) -> bool {
    match (path, call, before) {
        // The keys from before the first proof of an address: a failure recovers nothing.
        ("/api/v1/auth/recover/confirm", "keys.revoke_all", 0) => false,
        // For the notice to the owner.
        ("/api/v1/auth/recover/confirm", "factors.of" | "keys.list", 0)
        | ("/api/v1/user/change-password", "factors.of" | "keys.list", 1)
        // Again, for a key that was created meanwhile.
        | ("/api/v1/auth/change-email/undo", "keys.list", 1) => true,
        _ => AFTERWARDS.contains(&call),
    }
}

/// The failure of a call.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Fails,
    Hangs,
}

/// Sends a request to every endpoint for each of its store calls, which fails.
async fn every_call_fails_with(failure: Failure) {
    let mut met = BTreeSet::new();
    for (endpoint, has_mail) in cases() {
        for (call, before) in calls_of(&endpoint, has_mail).await {
            for point in Point::ALL {
                let fixture = Fixture::new(has_mail).await;
                fixture.skip(call, point, before);
                let held = match failure {
                    Failure::Fails => {
                        fixture.failpoints.fail(call, point);
                        None
                    }
                    Failure::Hangs => Some(fixture.failpoints.hold(call, point)),
                };
                let response = fixture.request(&endpoint).send().await;
                drop(held);
                let (method, path) = (endpoint.method(), endpoint.path());
                let case =
                    format!("{method} {path}: {call} number {before} {failure:?} at {point:?}");
                met.insert(call);
                if is_afterwards(path, call, before) {
                    assert!((200..300).contains(&response.status), "{case}: {}", response.json);
                    fixture.assert_in_force(&endpoint, &case).await;
                } else {
                    assert_unavailable(&response, &case);
                }
            }
        }
    }
    assert!(met.len() > 15, "only {met:?}");
}

#[tokio::test]
async fn failing_store_call_is_a_503_on_every_route() {
    every_call_fails_with(Failure::Fails).await;
}

/// The clock of the runtime is paused, so that timeouts pass at once.
#[tokio::test(start_paused = true)]
async fn hanging_store_call_is_a_503_on_every_route() {
    every_call_fails_with(Failure::Hangs).await;
}

/// An unavailable limit store.
#[derive(Debug)]
struct NoLimits;

impl LimitStore for NoLimits {
    fn acquire(&self, _: LimitKey, _: Quota, _: Duration) -> StoreAcquire {
        unavailable("limits.acquire")
    }

    fn acquire_both(
        &self,
        _: [(LimitKey, Quota); 2],
        _: Duration,
    ) -> StoreReply<[StoreDecision; 2]> {
        unavailable("limits.acquire")
    }

    fn reset(&self, _: LimitKey, _: Quota) -> StoreReply<()> {
        unavailable("limits.reset")
    }
}

fn unavailable<T: Send + 'static>(operation: &'static str) -> StoreReply<T> {
    StoreReply::Pending(Box::pin(async move { Err(StoreError::unavailable(operation)) }))
}

/// B8: requests that cannot be counted are rejected.
#[tokio::test]
async fn unavailable_limit_store_is_a_503_on_every_limited_route() {
    let app = TestApp::with(|setup| {
        setup.every_route();
        setup.stores.limits = Arc::new(NoLimits);
    })
    .await;
    for endpoint in table() {
        let path = endpoint.path().replace("{id}", "x").replace("{key}", "x");
        let response = app.request(endpoint.method().clone(), &path).send().await;
        let case = format!("{} {path}", endpoint.method());
        if *endpoint.rule() == Rule::Public(PublicLimit::Unlimited) {
            assert_eq!(response.status, 200, "{case}");
        } else {
            assert_unavailable(&response, &case);
        }
    }
    assert_unavailable(&app.get("/nowhere").send().await, "nowhere");
}
