//! The responses that a failing backend may cause, and waiting for the recovery.

use std::time::{Duration, Instant};

use crate::support::node::Node;
use crate::support::process::{Program, Response};

/// The timeouts of a store call and of a request. A call into a black hole takes as long.
const STORE: (&str, &str) = ("GOAT_STORE_TIMEOUT", "800ms");
const REQUEST: (&str, &str) = ("GOAT_REQUEST_TIMEOUT", "8s");

/// The request timeout, and a tolerance for a busy machine.
const BOUND: Duration = Duration::from_secs(30);

/// The bound of the recovery, which only ends a test that hangs.
pub(crate) const RECOVERY: Duration = Duration::from_secs(120);

/// The grace period of refresh tokens, the longest.
pub(crate) const GRACE: Duration = Duration::from_secs(60);

/// Sets short timeouts, beside [`with_limits`].
pub(crate) fn with_short_timeouts(program: Program) -> Program {
    let program = program.with(STORE.0, STORE.1).with(REQUEST.0, REQUEST.1);
    with_limits(program)
}

/// Sets rate limits that are never reached, and tokens and a grace period that outlive a recovery.
pub(crate) fn with_limits(program: Program) -> Program {
    let program = program.with("GOAT_ACCESS_TOKEN_TTL", "1h").with("GOAT_REFRESH_LEEWAY", "60s");
    let limits = [
        "AUTH",
        "ACCOUNT_DAY",
        "REFRESH",
        "PUBLIC",
        "ADDRESS",
        "USER",
        "VERIFY",
        "SESSION_CONTROL",
        "PASSWORD_CHECK",
    ];
    limits.into_iter().fold(program, |program, limit| {
        program.with(&format!("GOAT_RATE_LIMIT_{limit}"), "100000/1m")
    })
}

/// Sends a request, and asserts that there is a response in time.
pub(crate) fn in_time(case: &str, ask: impl FnOnce() -> Option<Response>) -> Response {
    let begun = Instant::now();
    let response = ask().unwrap_or_else(|| panic!("{case}: the connection broke"));
    assert!(begun.elapsed() < BOUND, "{case}: {:?}", begun.elapsed());
    response
}

/// Whether the response is a success. Asserts that any other is a 503 with `Retry-After`.
pub(crate) fn is_success(case: &str, response: &Response) -> bool {
    if (200..300).contains(&response.status) {
        return true;
    }
    assert_eq!(response.failure(), (503, "unavailable"), "{case}: {response:?}");
    let wait: u64 = response.header("retry-after").parse().expect("seconds");
    assert!(wait >= 1, "{case}");
    false
}

/// Retries while the response is a 503.
pub(crate) fn once_recovered(case: &str, ask: impl Fn() -> Option<Response>) -> Response {
    let begun = Instant::now();
    loop {
        let response = ask().unwrap_or_else(|| panic!("{case}: the connection broke"));
        assert_ne!(response.status, 500, "{case}: {response:?}");
        if response.status != 503 {
            return response;
        }
        assert!(begun.elapsed() < RECOVERY, "{case}: no recovery within {RECOVERY:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until a node is ready.
pub(crate) fn wait_until_ready(case: &str, node: Node) {
    let response = once_recovered(case, || Some(node.ready()));
    assert_eq!(response.status, 200, "{case}: {response:?}");
}
