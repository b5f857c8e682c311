//! Offline authentication and requirements, with public keys only.

#[cfg(feature = "axum")]
mod extractors;
#[cfg(feature = "tracing")]
mod log;

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use goat_core::session::Origin;
use goat_core::testing::{TestGoat, TestUser};
use goat_core::token::{TokenSettings, Verifier};
use goat_core::{Permission, Quota, Settings, Stores};
use goat_tower::offline::{TokenPrincipal, TokenRequirement, VerifierExt};
use goat_tower::{Denial, GoatExt, LimitLayer};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, Service, ServiceBuilder, service_fn};

use crate::cookie::{COOKIES, from_page, from_site};
use crate::support::{EXPORTS, REPORTS, Sent, TestResponse, in_grpc, request, send, with_header};

/// An issuer whoami tokens contain permissions, and a verifier with its public keys.
pub(crate) struct Pair {
    pub(crate) issuer: TestGoat,
    pub(crate) verifier: Verifier,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::with_permissions(true)
    }

    fn with_permissions(access_token_permissions: bool) -> Self {
        let settings = Settings { access_token_permissions, ..Settings::default() };
        let issuer = TestGoat::build(Stores::memory(), |goat| goat.settings(settings));
        let verifier = verifier_of(&issuer);
        Self { issuer, verifier }
    }
}

fn verifier_of(issuer: &TestGoat) -> Verifier {
    let (jwks, clock) = (issuer.goat.jwks().to_string(), Arc::new(issuer.clock.clone()));
    Verifier::with_clock(jwks, TokenSettings::default(), clock).unwrap()
}

/// Inner service that responds with 200 and the token's user id in `x-user`.
fn whoami()
-> impl Service<Request<Sent>, Response = Response<Sent>, Error = Infallible, Future: Send> + Clone
{
    service_fn(|request: Request<Sent>| {
        let user = TokenPrincipal::of(request.extensions()).map(|me| me.user().to_string());
        let response = Response::builder().header("x-user", user.unwrap_or_default());
        ready(Ok(response.body(Full::from("answered")).unwrap()))
    })
}

/// H1
#[tokio::test]
async fn a_valid_token_becomes_a_principal_and_the_response_is_not_cacheable() {
    let Pair { issuer, verifier } = Pair::new();
    let alice = issuer.sign_in("alice", [REPORTS]).await;
    let authenticate = verifier.authenticate().layer(whoami());
    // A requirement verifies the token by itself.
    let require = verifier.require(REPORTS).layer(whoami());
    for _ in 0..2 {
        for response in [
            send(&authenticate, request(Some(&alice))).await,
            send(&require, request(Some(&alice))).await,
        ] {
            assert_eq!(response.outcome(), (200, ""));
            assert_eq!(response.header("x-user"), alice.user.id.to_string());
            assert_eq!(response.header("cache-control"), "no-store");
            assert_eq!(response.body, "answered");
        }
    }
}

#[tokio::test]
async fn a_request_without_credentials_is_unauthenticated() {
    let verifier = Pair::new().verifier;
    let service = verifier.authenticate().layer(whoami());
    let alone = verifier.require(REPORTS).layer(whoami());
    for anonymous in [|| request(None), || with_header("authorization", "Basic YTpi")] {
        for response in [send(&service, anonymous()).await, send(&alone, anonymous()).await] {
            assert_eq!(response.outcome(), (401, "unauthenticated"));
            assert_eq!(response.header("www-authenticate"), r#"Bearer realm="goat""#);
            assert_eq!(response.header("cache-control"), "no-store");
        }
    }
}

#[tokio::test]
async fn optional_authentication_allows_anonymous_requests_and_rejects_invalid_tokens() {
    let Pair { issuer, verifier } = Pair::new();
    let alice = issuer.sign_in("alice", []).await;
    let service = verifier.authenticate().optional().layer(whoami());
    let response = send(&service, request(None)).await;
    assert_eq!((response.outcome(), response.header("x-user")), ((200, ""), ""));
    assert_eq!(response.header("cache-control"), "");
    let response = send(&service, request(Some(&alice))).await;
    assert_eq!(response.header("x-user"), alice.user.id.to_string());
    let response = send(&service, with_header("authorization", "Bearer nonsense")).await;
    assert_eq!(response.outcome(), (401, "invalid-token"));
}

/// J3, J5, J7, J8.
#[tokio::test]
async fn a_rejected_token_has_a_reason() {
    let Pair { issuer, verifier } = Pair::new();
    let alice = issuer.sign_in("alice", []).await;
    let foreign = TestGoat::new().sign_in("mallory", []).await;
    let service = verifier.authenticate().layer(whoami());

    let refresh = format!("Bearer {}", alice.tokens.refresh_token.expose());
    for rejected in [request(Some(&foreign)), with_header("authorization", &refresh)] {
        let response = send(&service, rejected).await;
        assert_eq!(response.outcome(), (401, "invalid-token"));
        assert!(response.header("www-authenticate").contains(r#"error="invalid_token""#));
    }
    for layer in [verifier.authenticate(), verifier.authenticate().optional()] {
        let mut twice = request(Some(&alice));
        let value = twice.headers()["authorization"].clone();
        twice.headers_mut().append("authorization", value);
        assert_eq!(send(&layer.layer(whoami()), twice).await.outcome(), (400, "bad-request"));
    }
    // A cached verification expires with its token.
    assert_eq!(send(&service, request(Some(&alice))).await.outcome(), (200, ""));
    issuer.clock.advance(Duration::from_secs(305));
    let response = send(&service, request(Some(&alice))).await;
    assert_eq!(response.outcome(), (401, "token-expired"));
}

/// The difference from `goat.authenticate()`: revocation takes effect when the token expires.
#[tokio::test]
async fn a_token_of_a_revoked_session_is_valid_until_it_expires() {
    let Pair { issuer, verifier } = Pair::new();
    let alice = issuer.sign_in("alice", [REPORTS]).await;
    let principal = issuer.goat.authenticate_token(alice.access_token()).await.unwrap();
    issuer.goat.logout(&principal, &Origin::default()).await.unwrap();
    let live = issuer.goat.require(REPORTS).layer(whoami());
    let offline = verifier.require(REPORTS).layer(whoami());
    assert_eq!(send(&live, request(Some(&alice))).await.outcome(), (401, "session-revoked"));
    assert_eq!(send(&offline, request(Some(&alice))).await.outcome(), (200, ""));
    issuer.clock.advance(Duration::from_secs(305));
    assert_eq!(send(&offline, request(Some(&alice))).await.outcome(), (401, "token-expired"));
}

/// A6: the same decisions as the online layers, for all users and requirements.
#[tokio::test]
async fn permissions_decide_as_in_the_online_layers() {
    const USERS: Permission = Permission::new("user:read");

    let Pair { issuer, verifier } = Pair::new();
    let users = [
        issuer.sign_in("both", [REPORTS, EXPORTS]).await,
        issuer.sign_in("one", [EXPORTS]).await,
        issuer.sign_in("all", [Permission::new("report:*")]).await,
        issuer.sign_in("other", [Permission::new("user:*")]).await,
        issuer.sign_in("root", [Permission::FULL_ACCESS]).await,
        issuer.sign_in("none", []).await,
    ];
    let cases = [
        (TokenRequirement::from(&REPORTS), goat_tower::Requirement::from(&REPORTS)),
        ([REPORTS, EXPORTS].into(), [REPORTS, EXPORTS].into()),
        (
            TokenRequirement::any([REPORTS, EXPORTS]),
            goat_tower::Requirement::any([REPORTS, EXPORTS]),
        ),
        (TokenRequirement::signed_in(), goat_tower::Requirement::signed_in()),
        (Permission::FULL_ACCESS.into(), Permission::FULL_ACCESS.into()),
        (Permission::new("report:*").into(), Permission::new("report:*").into()),
        (
            TokenRequirement::from(EXPORTS).and(TokenRequirement::from(REPORTS).or(USERS)),
            goat_tower::Requirement::from(EXPORTS)
                .and(goat_tower::Requirement::any([REPORTS, USERS])),
        ),
    ];
    let (mut allowed, mut rejected) = (0, 0);
    for (permissions, requirement) in cases {
        assert_eq!(permissions.to_string(), requirement.to_string());
        let offline = verifier.require(permissions.clone()).layer(whoami());
        let live = issuer.goat.require(requirement).layer(whoami());
        let converted = issuer.goat.require(permissions.clone()).layer(whoami());
        for user in &users {
            let theirs = send(&live, request(Some(user))).await.status;
            assert_eq!(send(&converted, request(Some(user))).await.status, theirs);
            let ours = send(&offline, request(Some(user))).await.status;
            assert_eq!(ours, theirs, "{permissions:?} {}", user.user.email.as_str());
            *(if ours.is_success() { &mut allowed } else { &mut rejected }) += 1;
        }
    }
    assert!(allowed > 10 && rejected > 10, "{allowed} {rejected}");
    let none = verifier.require(TokenRequirement::any::<Permission>([])).layer(whoami());
    assert_eq!(send(&none, request(Some(&users[4]))).await.outcome(), (403, "forbidden"));
}

#[tokio::test]
async fn a_forbidden_request_names_the_missing_permissions() {
    let Pair { issuer, verifier } = Pair::new();
    let bob = issuer.sign_in("bob", []).await;
    let insufficient = r#"Bearer realm="goat", error="insufficient_scope""#;
    for (permissions, scope) in [
        (TokenRequirement::from(REPORTS), r#", scope="report:read""#),
        ([REPORTS, EXPORTS].into(), r#", scope="report:read report:export""#),
        (TokenRequirement::any([REPORTS]), r#", scope="report:read""#),
        (TokenRequirement::any([REPORTS, EXPORTS]), r#", scope="report:read report:export""#),
        (TokenRequirement::any::<Permission>([]), ""),
    ] {
        let service = ServiceBuilder::new()
            .layer(verifier.authenticate())
            .layer(verifier.require(permissions))
            .service(whoami());
        let response = send(&service, request(Some(&bob))).await;
        assert_eq!(response.outcome(), (403, "forbidden"));
        assert_eq!(response.header("www-authenticate"), format!("{insufficient}{scope}"));
        assert_eq!(response.header("cache-control"), "no-store");
    }
}

/// An issuer with default settings, whoami tokens contain no permissions.
#[tokio::test]
async fn a_token_without_permissions_is_forbidden_with_a_reason_for_the_log() {
    use std::error::Error as _;

    let Pair { issuer, verifier } = Pair::with_permissions(false);
    let root = issuer.sign_in("root", [Permission::FULL_ACCESS]).await;
    let service = verifier.authenticate().layer(whoami());
    assert_eq!(send(&service, request(Some(&root))).await.outcome(), (200, ""));
    let service = verifier.require(TokenRequirement::signed_in()).layer(whoami());
    assert_eq!(send(&service, request(Some(&root))).await.outcome(), (200, ""));

    for permissions in [REPORTS.into(), TokenRequirement::any([REPORTS, EXPORTS])] {
        let service = verifier.require(permissions).layer(whoami());
        let response = send(&service, request(Some(&root))).await;
        assert_eq!(response.outcome(), (403, "forbidden"));
        let denial = response.head.extensions().get::<Denial>().unwrap();
        let advice = denial.error().unwrap().source().unwrap().to_string();
        assert!(advice.contains("GOAT_ACCESS_TOKEN_PERMISSIONS"), "{advice}");
        assert!(!response.body.contains("GOAT"), "the client sees no details");
    }
    // A token with an empty list differs from one without permissions.
    let Pair { issuer, verifier } = Pair::new();
    let bob = issuer.sign_in("bob", []).await;
    let response = send(&verifier.require(REPORTS).layer(whoami()), request(Some(&bob))).await;
    let denial = response.head.extensions().get::<Denial>().unwrap();
    let reason = denial.error().unwrap().source().unwrap().to_string();
    assert_eq!(reason, "not met: report:read");
}

/// Asserts a 500 without details whose log reason contains the fix.
fn assert_misplaced(response: &TestResponse, advice: &str) {
    assert_eq!(response.outcome(), (500, "internal"), "{advice}");
    assert!(!response.body.contains("is inside"), "{}", response.body);
    let reason = response.head.extensions().get::<Denial>().unwrap().error().unwrap();
    assert!(reason.to_string().contains(advice), "{reason} for {advice}");
}

/// Every mix of offline and online layers, with an administrator's token and without a token.
#[tokio::test]
async fn online_and_offline_layers_do_not_replace_each_other() {
    let Pair { issuer, verifier } = Pair::new();
    let root = issuer.sign_in("root", [Permission::FULL_ACCESS]).await;
    let (goat, another) = (&issuer.goat, verifier_of(&issuer));
    let live = [goat.require(REPORTS), goat.require(REPORTS).fresh()];
    let offline = || verifier.require(REPORTS).layer(whoami());

    for token in [Some(&root), None] {
        // An offline principal does not satisfy layers that need a live session.
        for live in &live {
            let outer = verifier.authenticate().optional();
            let response = send(&outer.layer(live.layer(whoami())), request(token)).await;
            assert_misplaced(&response, "goat.require(..) is inside of verifier.authenticate()");
        }
        // An online principal does not satisfy offline layers.
        let outer = goat.authenticate().optional();
        let response = send(&outer.layer(offline()), request(token)).await;
        assert_misplaced(&response, "verifier.require(..) is inside of goat.authenticate()");
        // Nor does the principal of another verifier, even with the same keys.
        let outer = another.authenticate().optional();
        let response = send(&outer.layer(offline()), request(token)).await;
        assert_misplaced(&response, "inside of another verifier's authenticate()");
    }
    // A requirement authenticates by itself, and its principal has the same restrictions.
    let service = verifier.require(REPORTS).layer(live[0].layer(whoami()));
    let response = send(&service, request(Some(&root))).await;
    assert_misplaced(&response, "goat.require(..) is inside");
    let response = send(&live[0].layer(offline()), request(Some(&root))).await;
    assert_misplaced(&response, "verifier.require(..) is inside");

    // With both layers, each requirement finds its own principal.
    let both = ServiceBuilder::new()
        .layer(verifier.authenticate())
        .layer(goat.authenticate())
        .layer(live[0].clone())
        .layer(verifier.clone().require(REPORTS))
        .service(whoami());
    assert_eq!(send(&both, request(Some(&root))).await.outcome(), (200, ""));
}

#[tokio::test]
async fn cookies_are_opt_in_and_origin_checked() {
    let Pair { issuer, verifier } = Pair::new();
    let alice = issuer.sign_in("alice", []).await;
    let service = verifier.authenticate().cookies(COOKIES).layer(whoami());
    let response = send(&service, from_page(&alice)).await;
    assert_eq!(response.header("x-user"), alice.user.id.to_string());
    assert_eq!(response.header("cache-control"), "no-store");
    let foreign = from_site("cross-site", alice.access_token());
    assert_eq!(send(&service, foreign).await.outcome(), (403, "cross-site-request"));
    let service = verifier.authenticate().layer(whoami());
    assert_eq!(send(&service, from_page(&alice)).await.outcome(), (401, "unauthenticated"));
}

#[tokio::test]
async fn a_limit_by_session_counts_the_tokens_session() {
    let Pair { issuer, verifier } = Pair::new();
    let alice = issuer.sign_in("alice", []).await;
    let again = issuer.sign_in("alice", []).await;
    let limit = LimitLayer::new(issuer.goat.limits().clone(), Quota::per_minute(1)).by_session();
    let service =
        ServiceBuilder::new().layer(verifier.authenticate()).layer(limit).service(whoami());
    for (user, outcome) in
        [(&alice, (200, "")), (&alice, (429, "rate-limited")), (&again, (200, ""))]
    {
        assert_eq!(send(&service, request(Some(user))).await.outcome(), outcome);
    }
}

/// A service without a goat has its own limits.
#[tokio::test]
async fn a_limit_by_user_counts_the_tokens_user() {
    let Pair { issuer, verifier } = Pair::new();
    let alice = issuer.sign_in("alice", []).await;
    let again = issuer.sign_in("alice", []).await;
    let bob = issuer.sign_in("bob", []).await;
    let limit = LimitLayer::new(issuer.goat.limits().clone(), Quota::per_minute(2)).by_user();
    let service = ServiceBuilder::new()
        .layer(verifier.authenticate().optional())
        .layer(limit.clone())
        .service(whoami());
    let fetch = async |user: Option<&TestUser>| send(&service, request(user)).await;
    assert_eq!(fetch(Some(&alice)).await.header("ratelimit"), r#""user";r=1;t=60"#);
    assert_eq!(fetch(Some(&again)).await.outcome(), (200, ""));
    assert_eq!(fetch(Some(&alice)).await.outcome(), (429, "rate-limited"));
    assert_eq!(fetch(Some(&bob)).await.outcome(), (200, ""));
    for _ in 0..5 {
        let response = fetch(None).await;
        assert_eq!((response.outcome(), response.header("ratelimit")), ((200, ""), ""));
    }
    let response = send(&limit.layer(whoami()), request(Some(&alice))).await;
    assert_misplaced(&response, "no layer has authenticated");
}

#[tokio::test]
async fn offline_authentication_combines_with_limits() {
    let Pair { issuer, verifier } = Pair::new();
    let alice = issuer.sign_in("alice", []).await;
    let limit = || LimitLayer::new(issuer.goat.limits().clone(), Quota::per_minute(2));
    let combined = verifier.authenticate().limited(limit().by_address(), limit().by_user());
    let service = combined.layer(whoami());
    let response = send(&service, request(Some(&alice))).await;
    assert_eq!(response.outcome(), (200, ""));
    assert_eq!(response.header("ratelimit"), r#""address";r=1;t=60, "user";r=1;t=60"#);
    let response = send(&service, request(None)).await;
    assert_eq!(response.outcome(), (401, "unauthenticated"));
    assert_eq!(response.header("ratelimit"), r#""address";r=0;t=60"#);
    assert_eq!(send(&service, request(Some(&alice))).await.outcome(), (429, "rate-limited"));
}

#[tokio::test]
async fn the_application_can_render_the_denial() {
    let renderer = |denial: &Denial, _: &http::request::Parts| -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(denial.code()));
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        response
    };
    let verifier = Pair::new().verifier;
    let authenticate = verifier.authenticate().render_with(renderer).layer(whoami());
    let require = verifier.require(REPORTS).render_with(renderer).layer(whoami());
    for response in [send(&authenticate, request(None)).await, send(&require, request(None)).await]
    {
        assert_eq!((response.status.as_u16(), response.body.as_str()), (418, "unauthenticated"));
    }
}

#[tokio::test]
async fn a_grpc_denial_is_trailers_only() {
    let Pair { issuer, verifier } = Pair::new();
    let bob = issuer.sign_in("bob", []).await;
    let service = verifier.require(REPORTS).layer(whoami());
    for (user, status) in [(None, "16"), (Some(&bob), "7")] {
        let response = send(&service, in_grpc(request(user), "application/grpc")).await;
        assert_eq!((response.status.as_u16(), response.header("grpc-status")), (200, status));
    }
}

/// J7: keys can be replaced under running layers.
#[tokio::test]
async fn replaced_keys_apply_immediately() {
    let Pair { issuer, verifier } = Pair::new();
    let alice = issuer.sign_in("alice", []).await;
    let service = verifier.authenticate().layer(whoami());
    assert_eq!(send(&service, request(Some(&alice))).await.outcome(), (200, ""));
    let other = TestGoat::new();
    verifier.replace_keys(other.goat.jwks().to_string()).unwrap();
    assert_eq!(send(&service, request(Some(&alice))).await.outcome(), (401, "invalid-token"));
    let eve = other.sign_in("eve", []).await;
    assert_eq!(send(&service, request(Some(&eve))).await.outcome(), (200, ""));
}
