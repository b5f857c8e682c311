//! Problem documents and their headers.

use super::*;
use goat_core::limit::Decision;
use goat_core::{ErrorKind, Quota};
use proptest::prelude::*;
use serde_json::{Value, json};

fn document(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).expect("JSON")
}

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().expect("ASCII"))
}

fn parts(uri: &str) -> Parts {
    http::Request::builder().uri(uri).body(()).expect("a request").into_parts().0
}

#[test]
fn every_kind_has_its_status_and_code() {
    use ErrorKind as Kind;
    let table = [
        (Kind::Unauthenticated, 401, "unauthenticated"),
        (Kind::InvalidToken, 401, "invalid-token"),
        (Kind::TokenExpired, 401, "token-expired"),
        (Kind::SessionRevoked, 401, "session-revoked"),
        (Kind::TokenReused, 401, "token-reused"),
        (Kind::InvalidCredentials, 401, "invalid-credentials"),
        (Kind::SecondFactorRequired, 401, "second-factor-required"),
        (Kind::StepUpRequired, 401, "step-up-required"),
        (Kind::Forbidden, 403, "forbidden"),
        (Kind::Outranked, 403, "outranked"),
        (Kind::RoleNotAssignable, 403, "role-not-assignable"),
        (Kind::WrongPassword, 403, "wrong-password"),
        (Kind::WrongCode, 403, "wrong-code"),
        (Kind::AccountInactive, 403, "account-inactive"),
        (Kind::AccountSuspended, 403, "account-suspended"),
        (Kind::SignupClosed, 404, "not-found"),
        (Kind::Invalid, 400, "validation"),
        (Kind::InvalidChallenge, 400, "invalid-challenge"),
        (Kind::NotFound, 404, "not-found"),
        (Kind::EmailTaken, 409, "email-taken"),
        (Kind::PasswordUnchanged, 409, "password-unchanged"),
        (Kind::LastAdministrator, 409, "last-administrator"),
        (Kind::InvalidTransition, 409, "invalid-transition"),
        (Kind::PermissionExists, 409, "permission-exists"),
        (Kind::RoleExists, 409, "role-exists"),
        (Kind::RoleInUse, 409, "role-in-use"),
        (Kind::RoleProtected, 409, "role-protected"),
        (Kind::TooMany, 409, "too-many"),
        (Kind::RateLimited, 429, "rate-limited"),
        (Kind::Unavailable, 503, "unavailable"),
        (Kind::Configuration, 500, "internal"),
        (Kind::Internal, 500, "internal"),
    ];
    for (kind, status, code) in table {
        let problem = Problem::from(Error::from(kind));
        assert_eq!(problem.grpc_status() == 16, status == 401, "{kind:?}");
        assert_eq!((problem.status().as_u16(), problem.code()), (status, code), "{kind:?}");
        let response = problem.into_response();
        // 401 always has a challenge; 429 and 503 always have Retry-After.
        assert_eq!(
            header(&response, "www-authenticate").is_some(),
            status == 401 || kind == Kind::Forbidden
        );
        assert_eq!(header(&response, "retry-after").is_some(), status == 429 || status == 503);
        assert_eq!(header(&response, "cache-control"), Some("no-store"));
    }
}

#[test]
fn document_has_all_members_in_order() {
    let mut request = parts("/api/v1/auth/signup?token=secret");
    let id = RequestId::new(HeaderValue::from_static("01J")).expect("an id");
    request.extensions.insert(id);
    let error = Error::invalid(vec![
        Violation::new("email", "must be an e-mail address"),
        Violation::new("password", "must have 15 characters or more"),
    ]);
    let response = Problem::from(&error).for_request(&request).into_response();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(header(&response, "content-type"), Some("application/problem+json"));
    let text = std::str::from_utf8(response.body()).expect("UTF-8");
    assert_eq!(
        text,
        concat!(
            r#"{"type":"/errors/validation","title":"Invalid request","status":400,"#,
            r#""detail":"The request is invalid. See `errors` for each field.","#,
            r#""instance":"/api/v1/auth/signup","code":"validation","request_id":"01J","#,
            r#""errors":[{"field":"email","message":"must be an e-mail address"},"#,
            r#"{"field":"password","message":"must have 15 characters or more"}]}"#,
        )
    );
}

#[test]
fn unknown_members_are_left_out() {
    let response = Problem::new(StatusCode::NOT_FOUND, "not-found", "Not found", "No such route.")
        .into_response();
    assert_eq!(
        document(&response),
        json!({
            "type": "/errors/not-found", "title": "Not found", "status": 404,
            "detail": "No such route.", "code": "not-found",
        })
    );
    assert_eq!(header(&response, "www-authenticate"), None);
}

#[test]
fn challenge_has_an_error_only_if_a_token_was_presented() {
    for kind in [ErrorKind::Unauthenticated, ErrorKind::InvalidCredentials] {
        let response = Problem::from(Error::from(kind)).into_response();
        assert_eq!(header(&response, "www-authenticate"), Some(r#"Bearer realm="goat""#));
    }
    let response = Problem::from(Error::from(ErrorKind::TokenExpired)).into_response();
    assert_eq!(
        header(&response, "www-authenticate"),
        Some(concat!(
            r#"Bearer realm="goat", error="invalid_token", "#,
            r#"error_description="The token has expired. Refresh the session or sign in again.""#
        ))
    );
    let by_hand = Problem::new(StatusCode::UNAUTHORIZED, "x", "X", "Say who you are.");
    assert_eq!(
        header(&by_hand.into_response(), "www-authenticate"),
        Some(r#"Bearer realm="goat""#)
    );
}

#[test]
fn missing_permission_is_the_scope() {
    let problem = Problem::from(Error::from(ErrorKind::Forbidden));
    assert_eq!(
        header(&problem.clone().into_response(), "www-authenticate"),
        Some(r#"Bearer realm="goat", error="insufficient_scope""#)
    );
    assert_eq!(
        header(&problem.with_scope("user:read user:write").into_response(), "www-authenticate"),
        Some(r#"Bearer realm="goat", error="insufficient_scope", scope="user:read user:write""#)
    );
}

/// H7
#[test]
fn scope_of_the_challenge_is_bounded_and_has_whole_permissions_only() {
    let permission = |index: usize| format!("{}{index:02}:{}", "r".repeat(62), "v".repeat(64));
    for count in 0..40 {
        let all: Vec<_> = (0..count).map(permission).collect();
        let response =
            Problem::from(ErrorKind::Forbidden).with_scope(all.join(" ")).into_response();
        let challenge = header(&response, "www-authenticate").expect("a challenge").to_owned();
        let scope = challenge.split_once(r#", scope=""#).map_or("", |(_, scope)| scope);
        let scope = scope.trim_end_matches('"');
        assert!(scope.len() <= 1024, "{count}: {}", scope.len());
        let shown: Vec<_> = scope.split(' ').filter(|one| !one.is_empty()).collect();
        assert_eq!(shown, all[..count.min(7)], "{count}");
    }
    // A shorter one that follows still fits.
    let long = "x".repeat(1020);
    for (last, expected) in [("a:b", format!("{long} a:b")), ("ab:cd", long.clone())] {
        let response = Problem::from(ErrorKind::Forbidden)
            .with_scope(format!("{long} {last}"))
            .into_response();
        let challenge = header(&response, "www-authenticate").expect("a challenge");
        assert!(challenge.ends_with(&format!(r#", scope="{expected}""#)), "{last}");
    }
}

/// W1
#[test]
fn document_lists_twenty_violations_and_counts_the_others() {
    let violations = |count: usize| -> Vec<_> {
        (0..count).map(|index| Violation::new(format!("f{index}"), "is unknown")).collect()
    };
    for (kept, omitted, listed, expected) in [
        (0, 0, None, None),
        (19, 0, Some(19), None),
        (20, 0, Some(20), None),
        (21, 0, Some(20), Some(1)),
        (20, 5, Some(20), Some(5)),
        (30, 1000, Some(20), Some(1010)),
    ] {
        let problem = Problem::from(Error::invalid(violations(kept)));
        let json = document(&problem.with_omitted_violations(omitted).into_response());
        assert_eq!(json["errors"].as_array().map(Vec::len), listed, "{kept} {omitted}");
        assert_eq!(json["errors_omitted"].as_u64(), expected, "{kept} {omitted}");
    }
}

/// B5
#[test]
fn retry_after_is_rounded_up_and_at_least_one_second() {
    let unavailable = |milliseconds| {
        let error = Error::unavailable("users.find", Duration::from_millis(milliseconds));
        header(&Problem::from(error).into_response(), "retry-after").map(str::to_owned)
    };
    assert_eq!(unavailable(0).as_deref(), Some("1"));
    assert_eq!(unavailable(1000).as_deref(), Some("1"));
    assert_eq!(unavailable(1001).as_deref(), Some("2"));
    let wait = |seconds| Decision {
        limit: "auth".into(),
        quota: Quota::per_minute(5),
        remaining: 0,
        reset_after: Duration::from_secs(seconds),
        retry_after: Some(Duration::from_secs(seconds)),
    };
    let response = Problem::from(Error::rate_limited(vec![wait(7), wait(31)])).into_response();
    assert_eq!(header(&response, "retry-after"), Some("31"));
    let by_hand = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "U", "Later.")
        .with_retry_after(Duration::from_secs(9));
    assert_eq!(header(&by_hand.into_response(), "retry-after"), Some("9"));
}

/// L1
#[test]
fn document_does_not_reveal_the_cause() {
    let error = Error::configuration("canary-context")
        .with_source(std::io::Error::other("canary-source: password=hunter2"));
    let response = Problem::from(&error).for_request(&parts("/x?canary=1")).into_response();
    let text = format!("{:?} {:?}", response.headers(), response.body());
    assert!(!text.contains("canary"), "{text}");
}

#[test]
fn invalid_email_is_a_violation_of_the_field() {
    let error = goat_core::Email::parse("ann").expect_err("no address");
    let json = document(&Problem::from(error).into_response());
    assert_eq!((json["status"].as_u64(), json["code"].as_str()), (Some(400), Some("validation")));
    assert_eq!(json["errors"][0]["field"], "email");
    assert_eq!(json["errors"][0]["message"], error.message());
}

#[test]
fn custom_header_is_added_or_replaces_the_default() {
    let allow = HeaderValue::from_static("GET, HEAD");
    let response = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "M", "No.")
        .with_header(http::header::ALLOW, allow.clone())
        .with_header(CACHE_CONTROL, HeaderValue::from_static("private"))
        .into_response();
    assert_eq!(response.headers()["allow"], allow);
    assert_eq!(response.headers().get_all("cache-control").iter().count(), 1);
    assert_eq!(response.headers()["cache-control"], "private");
}

#[test]
fn outer_layer_can_complete_the_problem() {
    let inner = Problem::from(Error::from(ErrorKind::NotFound)).into_response();
    let problem = inner.extensions().get::<Problem>().expect("the problem").clone();
    let outer = problem.for_request(&parts("/api/v1/user/x")).into_response();
    assert_eq!(document(&outer)["instance"], "/api/v1/user/x");
}

proptest! {
    #[test]
    fn arbitrary_strings_make_valid_documents_and_headers(
        detail in any::<String>(),
        scope in any::<String>(),
        field in any::<String>(),
        path in any::<String>(),
    ) {
        let response = Problem::from(Error::from(ErrorKind::TokenExpired).with_client_message(detail.clone()))
            .with_violations(vec![Violation::new(field.clone(), detail.clone())])
            .with_instance(path.clone())
            .into_response();
        let read = document(&response);
        prop_assert_eq!(&read["detail"], &json!(detail));
        prop_assert_eq!(&read["instance"], &json!(path));
        prop_assert_eq!(&read["errors"], &json!([{ "field": field, "message": detail }]));
        let challenge = header(&response, "www-authenticate").expect("a challenge");
        prop_assert_eq!(challenge.matches('"').count(), 6);

        let response = Problem::from(Error::from(ErrorKind::Forbidden)).with_scope(scope).into_response();
        let challenge = header(&response, "www-authenticate").expect("a challenge");
        prop_assert!(matches!(challenge.matches('"').count(), 4 | 6));
        prop_assert!(!challenge.contains('\\'));
    }
}
