//! Requirements on the proofs of a session, with the challenges of RFC 9470.

use std::sync::Arc;
use std::time::Duration;

use goat_core::auth::{StepUp, TokenPair, Vouch};
use goat_core::session::Origin;
use goat_core::testing::{TestGoat, TestUser};
use goat_core::token::{AccessClaims, TokenKeys, TokenSettings, Tokens, Verifier};
use goat_core::user::{Attributes, Revisions};
use goat_core::{Clock, Permission, SessionId, Settings, Stores, TokenId, UserId};
use goat_tower::offline::{TokenRequirement, VerifierExt};
use goat_tower::{FreshPrincipal, GoatExt, Requirement};
use http::{HeaderValue, Request, Response, StatusCode};
use tower::{Layer, service_fn};

use crate::support::{REPORTS, Sent, TestResponse, in_grpc, request, send, whoami, with_header};

const STEP_UP: (u16, &str) = (401, "step-up-required");

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

fn challenge(response: &TestResponse) -> &str {
    response.head.headers()["www-authenticate"].to_str().unwrap()
}

async fn fetch(test: &TestGoat, requirement: Requirement, user: &TestUser) -> TestResponse {
    send(&test.goat.require(requirement).layer(whoami()), request(Some(user))).await
}

/// Signs in a user of the goat by several factors.
async fn by_smart_card(test: &TestGoat, name: &str) -> TestUser {
    let user = test.sign_in(name, [REPORTS]).await;
    let proof = test.goat.vouch(user.user.id, Vouch::multi("smartcard")).await.unwrap();
    test.goat.open_session(proof, Origin::default()).await.unwrap().into()
}

/// A longer life of access tokens than any window here.
fn patient() -> TestGoat {
    TestGoat::build(Stores::memory(), |goat| {
        goat.settings(Settings { access_ttl: minutes(60), ..Settings::default() })
    })
}

/// G5: the window counts from the proof, to the second.
#[tokio::test]
async fn recent_requirement_asks_for_a_step_up_after_its_window() {
    let test = patient();
    let alice = test.sign_in("alice", [REPORTS]).await;
    let recent = || Requirement::from(REPORTS).and(Requirement::recent(minutes(5)));
    for (seconds, expected) in [(0, 200), (300, 200), (1, 401)] {
        test.clock.advance(Duration::from_secs(seconds));
        assert_eq!(fetch(&test, recent(), &alice).await.status, expected, "{seconds}");
    }
    let rejected = fetch(&test, recent(), &alice).await;
    assert_eq!(rejected.outcome(), STEP_UP);
    assert_eq!(
        challenge(&rejected),
        r#"Bearer realm="goat", error="insufficient_user_authentication", max_age="300""#
    );
    // The permission alone is enough without the window.
    assert_eq!(fetch(&test, REPORTS.into(), &alice).await.status, 200);

    let me = test.goat.authenticate_token(alice.access_token()).await.unwrap();
    let proof = StepUp::Password("a long walk on a short pier".into());
    let next = test.goat.step_up(&me, proof, &Origin::default()).await.unwrap().value;
    let next = with_header("authorization", &bearer(&next.tokens));
    let service = test.goat.require(recent()).layer(whoami());
    assert_eq!(send(&service, next).await.status, 200);
    assert_eq!(fetch(&test, recent(), &alice).await.outcome(), (401, "session-revoked"));
}

fn bearer(tokens: &TokenPair) -> String {
    format!("Bearer {}", tokens.access_token.expose())
}

/// A step-up is asked for only if the principal satisfies the rest.
#[tokio::test]
async fn missing_permission_comes_before_a_step_up() {
    let test = patient();
    let bob = test.sign_in("bob", []).await;
    test.clock.advance(minutes(6));
    let recent = Requirement::from(REPORTS).and(Requirement::recent(minutes(5)));
    let rejected = fetch(&test, recent.clone(), &bob).await;
    assert_eq!(rejected.outcome(), (403, "forbidden"));
    assert!(challenge(&rejected).ends_with(r#"scope="report:read""#), "{}", challenge(&rejected));
    assert_eq!(fetch(&test, recent.or(Requirement::signed_in()), &bob).await.status, 200);
}

#[tokio::test]
async fn multi_factor_requirement_names_the_assurance() {
    let test = patient();
    let (alice, carol) = (test.sign_in("alice", []).await, by_smart_card(&test, "carol").await);
    let multi = Requirement::multi_factor;
    assert_eq!(fetch(&test, multi(), &carol).await.status, 200);
    let rejected = fetch(&test, multi(), &alice).await;
    assert_eq!(rejected.outcome(), STEP_UP);
    let begins = r#"Bearer realm="goat", error="insufficient_user_authentication""#;
    assert_eq!(challenge(&rejected), format!(r#"{begins}, acr_values="multi""#));
    let both = || Requirement::recent(minutes(5)).and(multi());
    test.clock.advance(minutes(6));
    for user in [&alice, &carol] {
        let rejected = fetch(&test, both(), user).await;
        let expected = format!(r#"{begins}, max_age="300", acr_values="multi""#);
        assert_eq!(challenge(&rejected), expected);
    }
    // In a session of several factors only such a proof is recent.
    let rejected = fetch(&test, Requirement::recent(minutes(5)), &carol).await;
    assert_eq!(challenge(&rejected), format!(r#"{begins}, max_age="300", acr_values="multi""#));
}

#[tokio::test]
async fn grpc_client_gets_status_16() {
    let test = patient();
    let alice = test.sign_in("alice", []).await;
    let service = test.goat.require(Requirement::multi_factor()).layer(whoami());
    let call = in_grpc(request(Some(&alice)), "application/grpc");
    let rejected = send(&service, call).await;
    assert_eq!(
        (rejected.status, &rejected.head.headers()["grpc-status"]),
        (StatusCode::OK, &HeaderValue::from_static("16"))
    );
}

/// G6: the layer asks the stores, and leaves a fresh principal.
#[tokio::test]
async fn recent_layer_requires_the_configured_window() {
    let test = patient();
    let alice = test.sign_in("alice", [REPORTS]).await;
    let bob = test.sign_in("bob", []).await;
    let service =
        test.goat.require(REPORTS).recent().layer(service_fn(async |request: Request<Sent>| {
            let me = FreshPrincipal::take(request.extensions()).expect("a fresh principal");
            let response = Response::builder().header("x-user", me.user().to_string());
            Ok::<_, std::convert::Infallible>(response.body(Sent::default()).unwrap())
        }));
    assert_eq!(send(&service, request(Some(&alice))).await.status, 200);
    test.clock.advance(Duration::from_secs(301));
    assert_eq!(send(&service, request(Some(&alice))).await.outcome(), STEP_UP);
    assert_eq!(send(&service, request(Some(&bob))).await.outcome(), (403, "forbidden"));
}

/// G8: an offline verifier asks for `auth_time` and `acr`.
#[tokio::test]
async fn offline_verifier_asks_for_the_time_and_the_assurance() {
    let test = patient();
    let (alice, carol) = (test.sign_in("alice", []).await, by_smart_card(&test, "carol").await);
    let (jwks, clock) = (test.goat.jwks().to_string(), Arc::new(test.clock.clone()));
    let verifier = Verifier::with_clock(jwks, TokenSettings::default(), clock).unwrap();
    let inner = || {
        service_fn(async |_: Request<Sent>| {
            Ok::<_, std::convert::Infallible>(Response::new(Sent::default()))
        })
    };
    let recent = verifier.require(TokenRequirement::recent(minutes(5))).layer(inner());
    let multi = verifier.require(TokenRequirement::multi_factor()).layer(inner());
    assert_eq!(send(&recent, request(Some(&alice))).await.status, 200);
    assert_eq!(send(&multi, request(Some(&carol))).await.status, 200);
    assert_eq!(send(&multi, request(Some(&alice))).await.outcome(), STEP_UP);
    test.clock.advance(Duration::from_secs(301));
    let rejected = send(&recent, request(Some(&alice))).await;
    assert_eq!(rejected.outcome(), STEP_UP);
    assert!(challenge(&rejected).ends_with(r#", max_age="300""#), "{}", challenge(&rejected));
    // Of a verifier without a list of permissions the proof is asked for all the same.
    let needs: Requirement = TokenRequirement::recent(minutes(5)).into();
    assert_eq!(fetch(&test, needs, &alice).await.outcome(), STEP_UP);
}

/// G8: a token of a version before `acr` is rejected where the assurance is asked for.
#[tokio::test]
async fn token_without_the_assurance_is_rejected_where_it_is_asked_for() {
    let (keys, clock) = (TokenKeys::generate(), goat_core::testing::ManualClock::default());
    let now = clock.now();
    let claims = AccessClaims {
        user: UserId::generate(now),
        session: SessionId::generate(now),
        id: TokenId::generate(now),
        issued_at: now,
        expires_at: now + minutes(5),
        client_id: "goat".to_owned(),
        authenticated_at: now,
        amr: Vec::new(),
        acr: None,
        revisions: Revisions::default(),
        epoch: 0,
        permissions: Some(vec![REPORTS.as_str().to_owned()]),
        attributes: Attributes::default(),
    };
    let token = Tokens::new(keys.clone(), TokenSettings::default()).sign_access(&claims).unwrap();
    let (jwks, clock) = (keys.jwks().to_string(), Arc::new(clock));
    let verifier = Verifier::with_clock(jwks, TokenSettings::default(), clock).unwrap();
    let ask = async |requirement: TokenRequirement| {
        let service = verifier.require(requirement).layer(service_fn(async |_: Request<Sent>| {
            Ok::<_, std::convert::Infallible>(Response::new(Sent::default()))
        }));
        send(&service, with_header("authorization", &format!("Bearer {token}"))).await
    };
    let permission = || TokenRequirement::from(Permission::new("report:read"));
    assert_eq!(ask(permission()).await.status, 200);
    assert_eq!(ask(permission().and(TokenRequirement::multi_factor())).await.outcome(), STEP_UP);
}
