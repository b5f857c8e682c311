//! What may be answered while an engine fails, and waiting until it does not.

use std::time::{Duration, Instant};

use crate::support::node::Node;
use crate::support::process::{Response, Site};

/// The time-out of a call to a store, and of a request.
const STORE: (&str, &str) = ("GOAT_STORE_TIMEOUT", "250ms");
const REQUEST: (&str, &str) = ("GOAT_REQUEST_TIMEOUT", "2s");

/// The deadline of a request, and what a busy machine adds.
const BOUND: Duration = Duration::from_secs(4);

/// How long everything may take to be well again by itself once an engine is.
pub(crate) const RECOVERY: Duration = Duration::from_secs(15);

/// Short time-outs, and limits that are counted and never reached.
pub(crate) fn impatient(site: Site) -> Site {
    let site = site.with(STORE.0, STORE.1).with(REQUEST.0, REQUEST.1);
    counted(site)
}

/// Limits that are counted and never reached.
pub(crate) fn counted(site: Site) -> Site {
    let limits = ["AUTH", "REFRESH", "PUBLIC", "ADDRESS", "USER"];
    limits
        .into_iter()
        .fold(site, |site, limit| site.with(&format!("GOAT_RATE_LIMIT_{limit}"), "100000/1m"))
}

/// Asks, and sees to it that a response came in time. None is no response.
pub(crate) fn in_time(case: &str, ask: impl FnOnce() -> Option<Response>) -> Response {
    let begun = Instant::now();
    let response = ask().unwrap_or_else(|| panic!("{case}: the connection broke"));
    assert!(begun.elapsed() < BOUND, "{case}: {:?}", begun.elapsed());
    response
}

/// Whether it is a success; and if it is none, that it is a 503 that says when to come back.
pub(crate) fn is_success(case: &str, response: &Response) -> bool {
    if (200..300).contains(&response.status) {
        return true;
    }
    assert_eq!(response.failure(), (503, "unavailable"), "{case}: {response:?}");
    let wait: u64 = response.header("retry-after").parse().expect("seconds");
    assert!(wait >= 1, "{case}");
    false
}

/// Asks again and again while the response is a 503; nothing else may be wrong with it meanwhile.
pub(crate) fn once_well(case: &str, ask: impl Fn() -> Option<Response>) -> Response {
    let begun = Instant::now();
    loop {
        let response = ask().unwrap_or_else(|| panic!("{case}: the connection broke"));
        assert_ne!(response.status, 500, "{case}: {response:?}");
        if response.status != 503 {
            return response;
        }
        assert!(begun.elapsed() < RECOVERY, "{case}: not well again within {RECOVERY:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until a node says that it is ready.
pub(crate) fn wait_until_ready(case: &str, node: Node) {
    let response = once_well(case, || Some(node.ready()));
    assert_eq!(response.status, 200, "{case}: {response:?}");
}
