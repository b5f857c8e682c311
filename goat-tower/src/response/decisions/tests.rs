//! Collected decisions and their headers.

use std::time::Duration;

use goat_core::{Error, Quota};
use http::HeaderMap;

use super::*;
use crate::Problem;
use crate::response::rate_limit_headers::push_number;

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_250);

fn decision(limit: &'static str, quota: u32, remaining: u32, reset_ms: u64) -> Decision {
    Decision {
        limit: limit.into(),
        quota: Quota::per_minute(quota),
        remaining,
        reset_after: Duration::from_millis(reset_ms),
        retry_after: None,
    }
}

fn refusal(limit: &'static str, wait_ms: u64) -> Decision {
    let wait = Duration::from_millis(wait_ms);
    Decision { retry_after: Some(wait), ..decision(limit, 5, 0, wait_ms) }
}

fn headers_of(decisions: &[Decision]) -> Vec<String> {
    let mut headers = HeaderMap::new();
    write_rate_limit_headers(&mut headers, RateLimitHeaders::Both, decisions, || NOW);
    let mut lines: Vec<_> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII")))
        .collect();
    lines.sort();
    lines
}

#[test]
fn all_limits_are_listed_and_the_tightest_is_shown_alone() {
    assert_eq!(
        headers_of(&[decision("address", 300, 299, 59_001), decision("user", 60, 7, 1)]),
        [
            r#"ratelimit-policy: "address";q=300;w=60, "user";q=60;w=60"#,
            r#"ratelimit: "address";r=299;t=60, "user";r=7;t=1"#,
            "x-ratelimit-limit: 60",
            "x-ratelimit-remaining: 7",
            "x-ratelimit-reset: 1767225601",
        ]
    );
}

#[test]
fn large_numbers_are_written_in_full() {
    for number in [0, 9, 10, 99, 100, 1_767_225_601, u64::from(u32::MAX), u64::MAX] {
        let mut text = b"=".to_vec();
        push_number(&mut text, number);
        assert_eq!(String::from_utf8(text), Ok(format!("={number}")));
    }
}

#[test]
fn no_decision_sets_no_header() {
    assert_eq!(headers_of(&[]), Vec::<String>::new());
}

#[test]
fn among_exhausted_limits_the_rejecting_one_is_shown() {
    let last = decision("a", 10, 0, 50_000);
    let lines = headers_of(&[last, refusal("b", 2000)]);
    assert!(lines.contains(&"x-ratelimit-limit: 5".to_owned()), "{lines:?}");
}

#[test]
fn seconds_are_rounded_up() {
    let mut odd = decision("odd", 1, 1, 0);
    odd.quota = Quota::new(1, Duration::from_millis(1500));
    let lines = headers_of(&[odd]);
    assert!(lines.contains(&r#"ratelimit-policy: "odd";q=1;w=2"#.to_owned()), "{lines:?}");
    assert!(lines.contains(&r#"ratelimit: "odd";r=1;t=0"#.to_owned()), "{lines:?}");
    assert!(lines.contains(&"x-ratelimit-reset: 1767225601".to_owned()), "{lines:?}");
}

#[test]
fn burst_is_a_policy_parameter_and_the_shown_limit() {
    let mut search = decision("search", 60, 9, 1_000);
    search.quota = Quota::per_minute(60).burst(10);
    assert_eq!(
        headers_of(&[decision("address", 300, 299, 59_001), search]),
        [
            r#"ratelimit-policy: "address";q=300;w=60, "search";q=60;w=60;goat-burst=10"#,
            r#"ratelimit: "address";r=299;t=60, "search";r=9;t=1"#,
            "x-ratelimit-limit: 10",
            "x-ratelimit-remaining: 9",
            "x-ratelimit-reset: 1767225602",
        ]
    );
}

#[test]
fn remaining_does_not_exceed_the_shown_limit() {
    let mut steady = decision("steady", 60, 59, 1_000);
    steady.quota = Quota::per_second(1).burst(60);
    let lines = headers_of(&[steady]);
    let policy = r#"ratelimit-policy: "steady";q=1;w=1;goat-burst=60"#;
    assert!(lines.contains(&policy.to_owned()), "{lines:?}");
    assert!(lines.contains(&"x-ratelimit-limit: 60".to_owned()), "{lines:?}");
}

/// L2
#[test]
fn limit_name_cannot_end_the_quoted_string() {
    let lines = headers_of(&[decision("a\";q=9\\\r\n\u{f6}", 1, 1, 0)]);
    assert!(lines.contains(&r#"ratelimit: "a\";q=9\\???";r=1;t=0"#.to_owned()), "{lines:?}");
}

#[test]
fn first_layer_opens_the_collector_and_others_join() {
    let mut extensions = Extensions::new();
    let outer = LimitDecisions::collect(&mut extensions);
    assert!(matches!(outer, Collector::Opened(_)));
    let inner = LimitDecisions::collect(&mut extensions);
    assert!(matches!(inner, Collector::Joined(_)));
    inner.decisions().record(decision("user", 60, 7, 1));
    let mut response = Response::new(());
    outer.decisions().write_headers(&mut response, RateLimitHeaders::Both, || NOW);
    assert_eq!(response.headers()["ratelimit"], "\"user\";r=7;t=1");
}

#[test]
fn later_decision_of_a_limit_replaces_the_earlier() {
    let decisions = LimitDecisions::default();
    decisions.record_all([decision("a", 9, 8, 1), decision("b", 9, 8, 1), decision("a", 9, 7, 1)]);
    let mut response = Response::new(());
    decisions.write_headers(&mut response, RateLimitHeaders::Both, || NOW);
    assert_eq!(response.headers()["ratelimit"], "\"a\";r=7;t=1, \"b\";r=8;t=1");
}

/// B5
#[test]
fn decisions_of_an_error_are_shown_too() {
    let decisions = LimitDecisions::default();
    decisions.record(decision("address", 300, 299, 1));
    let error = Error::rate_limited(vec![refusal("auth", 1200), refusal("account", 2001)]);
    let mut response = Problem::from(error).into_response();
    decisions.write_headers(&mut response, RateLimitHeaders::Both, || NOW);
    let headers = response.headers();
    assert_eq!(
        headers["ratelimit"],
        "\"address\";r=299;t=1, \"auth\";r=0;t=2, \"account\";r=0;t=3"
    );
    assert_eq!(headers["retry-after"], "3");
    assert_eq!(headers["x-ratelimit-remaining"], "0");
    assert!(response.extensions().get::<LimitDecisions>().is_none());
}

/// B5
#[test]
fn every_429_gets_retry_after() {
    let decisions = LimitDecisions::default();
    decisions.record(refusal("auth", 1));
    let mut response = Response::new(());
    decisions.write_headers(&mut response, RateLimitHeaders::Both, || NOW);
    assert!(!response.headers().contains_key(RETRY_AFTER), "it was served all the same");
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    decisions.write_headers(&mut response, RateLimitHeaders::Both, || NOW);
    assert_eq!(response.headers()[RETRY_AFTER], "1");
}

#[test]
fn collector_in_the_response_does_not_deadlock() {
    let decisions = LimitDecisions::default();
    decisions.record(decision("a", 9, 8, 1));
    let mut response = Response::new(());
    response.extensions_mut().insert(decisions.clone());
    decisions.write_headers(&mut response, RateLimitHeaders::Both, || NOW);
    assert_eq!(response.headers()["ratelimit"], "\"a\";r=8;t=1");
}

#[test]
fn chosen_headers_are_written_and_a_refusal_always_has_retry_after() {
    let names = |which| {
        let decisions = LimitDecisions::from(vec![refusal("auth", 9_000)]);
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        decisions.write_headers(&mut response, which, || NOW);
        let mut names: Vec<_> = response.headers().keys().map(ToString::to_string).collect();
        names.sort();
        names
    };
    let ietf = ["ratelimit", "ratelimit-policy", "retry-after"];
    let legacy = ["retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
    assert_eq!(names(RateLimitHeaders::default()), ietf);
    assert_eq!(names(RateLimitHeaders::Legacy), legacy);
    assert_eq!(names(RateLimitHeaders::Both), [&ietf[..], &legacy[1..]].concat());
    assert_eq!(names(RateLimitHeaders::None), ["retry-after"]);
}
