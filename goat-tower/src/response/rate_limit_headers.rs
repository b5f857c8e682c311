//! Rate-limit response headers: `RateLimit-Policy`, `RateLimit` and `X-RateLimit-…`.
//!
//! Invariant: the name of a limit cannot end the quoted string that contains it.

use std::cmp::Reverse;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use goat_core::Timestamp;
use goat_core::limit::Decision;
use http::{HeaderMap, HeaderName, HeaderValue};

const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const X_RATE_LIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The usual number of bytes of a limit in all headers, except for its name: `"";q=1000;w=3600, ` and the
/// like, and its share of the plain numbers. The buffer grows if necessary.
const USUAL_NUMBERS: usize = 80;

/// The rate-limit headers that a response gets.
///
/// ```
/// use goat_core::Quota;
/// use goat_core::testing::TestGoat;
/// use goat_tower::address::PeerAddress;
/// use goat_tower::{GoatExt, RateLimitHeaders};
/// use http::{Request, Response};
/// use http_body_util::Empty;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let limit = TestGoat::new().goat.limit(Quota::per_minute(300)).by_address();
/// let service = limit.headers(RateLimitHeaders::Legacy).layer(service_fn(async |_: Request<()>| {
///     Ok::<_, std::convert::Infallible>(Response::new(Empty::<&[u8]>::new()))
/// }));
/// let peer = PeerAddress(([192, 0, 2, 7], 4711).into());
/// let response = service.oneshot(Request::builder().extension(peer).body(())?).await?;
/// assert_eq!(response.headers()["x-ratelimit-remaining"], "299");
/// assert!(!response.headers().contains_key("ratelimit"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RateLimitHeaders {
    /// `RateLimit-Policy` and `RateLimit` (IETF draft-ietf-httpapi-ratelimit-headers).
    #[default]
    Ietf,
    /// `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`.
    Legacy,
    /// Both of these.
    Both,
    /// None of these. A 429 has `Retry-After` in any case.
    None,
}

impl RateLimitHeaders {
    const fn has_ietf(self) -> bool {
        matches!(self, Self::Ietf | Self::Both)
    }

    const fn has_legacy(self) -> bool {
        matches!(self, Self::Legacy | Self::Both)
    }
}

/// Sets the rate-limit headers of a response, replacing previous ones. `now` is called only if a header
/// needs the time.
///
/// `RateLimit-Policy` and `RateLimit` list all limits (IETF draft-ietf-httpapi-ratelimit-headers):
/// `"auth";q=5;w=60` is five in sixty seconds, `"auth";r=4;t=60` four remaining and the next one restored
/// in sixty seconds. `X-RateLimit-Limit`, `-Remaining` and `-Reset` (Unix seconds) show the limit with
/// the least remaining. Seconds are rounded up. Without decisions no header is set.
///
/// A quota with a [burst](goat_core::Quota::burst) is `"search";q=60;w=60;goat-burst=10`. The draft
/// (revision 11, section 3.1) has no burst: it treats other parameters as comments, and requires a prefix
/// to avoid collisions. A client that ignores the parameter reads the long-term rate; `r` and `t` apply
/// unchanged, since such a quota means "no more than `r` within `t` seconds" at any time.
/// `X-RateLimit-Limit` is then the burst, from which `-Remaining` counts down; 9 of 60 remaining after
/// the first request would be confusing.
///
/// ```
/// use std::time::Duration;
/// use goat_core::{Quota, Timestamp, limit::Decision};
/// use goat_tower::{RateLimitHeaders, write_rate_limit_headers};
///
/// let decision = Decision {
///     limit: "search".into(),
///     quota: Quota::per_minute(60).burst(10),
///     remaining: 9,
///     reset_after: Duration::from_secs(1),
///     retry_after: None,
/// };
/// let mut headers = http::HeaderMap::new();
/// let now = || Timestamp::from_seconds(1_767_225_600);
/// write_rate_limit_headers(&mut headers, RateLimitHeaders::Both, &[decision], now);
/// assert_eq!(headers["ratelimit-policy"], "\"search\";q=60;w=60;goat-burst=10");
/// assert_eq!(headers["ratelimit"], "\"search\";r=9;t=1");
/// assert_eq!(headers["x-ratelimit-limit"], "10");
/// ```
///
/// The layers call it themselves. It is for responses that pass no layer:
///
/// ```
/// use goat_core::Quota;
/// use goat_core::limit::LimitKey;
/// use goat_core::testing::TestGoat;
/// use goat_tower::{RateLimitHeaders, write_rate_limit_headers};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> goat_core::Result<()> {
/// let goat = TestGoat::new().goat;
/// let acquire = || goat.limits().acquire("mail", LimitKey::text("mail", "ann"), Quota::per_minute(1));
/// let mut headers = http::HeaderMap::new();
///
/// let allowed = acquire().await?;
/// let which = RateLimitHeaders::default();
/// write_rate_limit_headers(&mut headers, which, &[allowed], || goat.time().now());
/// assert_eq!(headers["ratelimit"], r#""mail";r=0;t=60"#);
///
/// let refused = acquire().await?;
/// assert!(refused.is_limited());
/// # Ok(())
/// # }
/// ```
pub fn write_rate_limit_headers(
    headers: &mut HeaderMap,
    which: RateLimitHeaders,
    decisions: &[Decision],
    now: impl FnOnce() -> Timestamp,
) {
    if decisions.is_empty() || which == RateLimitHeaders::None {
        return;
    }
    // All values share one buffer: two allocations in total instead of two per value.
    let names: usize = decisions.iter().map(|decision| decision.limit.len()).sum();
    let mut text = Vec::with_capacity(2 * names + decisions.len() * USUAL_NUMBERS);
    let ietf: [(HeaderName, Push<'_>); _] = [
        (RATE_LIMIT_POLICY, &|text| push_list(text, decisions, push_policy)),
        (RATE_LIMIT, &|text| push_list(text, decisions, push_state)),
    ];
    let mut values = Values::default();
    if which.has_ietf() {
        values.push(&mut text, ietf);
    }
    // Among equals, the one that limits, then the one that takes longest to reset.
    let least = decisions.iter().min_by_key(|decision| {
        (decision.remaining, !decision.is_limited(), Reverse(decision.reset_after))
    });
    if let Some(least) = least.filter(|_| which.has_legacy()) {
        let at_once = least.quota.burst_size().unwrap_or(least.quota.limit());
        let reset_at = (now() + least.reset_after + Duration::from_millis(999)).as_seconds();
        let reset_at = u64::try_from(reset_at).unwrap_or_default();
        let legacy: [(HeaderName, Push<'_>); _] = [
            (X_RATE_LIMIT_LIMIT, &|text| push_number(text, at_once.into())),
            (X_RATE_LIMIT_REMAINING, &|text| push_number(text, least.remaining.into())),
            (X_RATE_LIMIT_RESET, &|text| push_number(text, reset_at)),
        ];
        values.push(&mut text, legacy);
    }
    let text = Bytes::from(text);
    for (header, range) in values.headers.into_iter().flatten() {
        if let Ok(value) = HeaderValue::from_maybe_shared(text.slice(range)) {
            headers.insert(header, value);
        }
    }
}

/// Headers, and the places of their values in the text.
#[derive(Default)]
struct Values {
    headers: [Option<(HeaderName, Range<usize>)>; 5],
    count: usize,
}

impl Values {
    fn push<const N: usize>(&mut self, text: &mut Vec<u8>, headers: [(HeaderName, Push<'_>); N]) {
        for (header, push) in headers {
            let start = text.len();
            push(text);
            self.headers[self.count] = Some((header, start..text.len()));
            self.count += 1;
        }
    }
}

/// Appends a header value.
type Push<'a> = &'a dyn Fn(&mut Vec<u8>);

/// Appends a list of quoted names with their parameters (RFC 9651).
fn push_list(text: &mut Vec<u8>, decisions: &[Decision], push: fn(&mut Vec<u8>, &Decision)) {
    for (index, decision) in decisions.iter().enumerate() {
        text.extend_from_slice(if index == 0 { b"\"" } else { b", \"" });
        push_printable(text, &decision.limit);
        text.push(b'"');
        push(text, decision);
    }
}

/// Appends the parameters of a limit's policy.
fn push_policy(text: &mut Vec<u8>, decision: &Decision) {
    push_parameter(text, b";q=", decision.quota.limit().into());
    push_parameter(text, b";w=", ceil_seconds(decision.quota.window()));
    if let Some(burst) = decision.quota.burst_size() {
        push_parameter(text, b";goat-burst=", burst.into());
    }
}

/// Appends the parameters of a limit's state.
fn push_state(text: &mut Vec<u8>, decision: &Decision) {
    push_parameter(text, b";r=", decision.remaining.into());
    push_parameter(text, b";t=", ceil_seconds(decision.reset_after));
}

fn push_parameter(text: &mut Vec<u8>, name: &[u8], value: u64) {
    text.extend_from_slice(name);
    push_number(text, value);
}

/// Appends the content of a quoted string (RFC 9651 §3.3.3): quotes and backslashes escaped, anything but
/// printable ASCII as `?`.
fn push_printable(text: &mut Vec<u8>, name: &str) {
    for character in name.chars() {
        match character {
            '"' => text.extend_from_slice(br#"\""#),
            '\\' => text.extend_from_slice(br"\\"),
            // One byte: it is ASCII.
            ' '..='~' => text.push(character as u8),
            _ => text.push(b'?'),
        }
    }
}

/// Appends a decimal number. With `write!` it took a quarter of the instructions of an entire limit.
pub(super) fn push_number(text: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let (mut start, mut rest) = (digits.len(), number);
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    text.extend_from_slice(&digits[start..]);
}

/// Returns whole seconds, rounded up, so that a client that waits that long waits long enough.
pub(crate) const fn ceil_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add((duration.subsec_nanos() > 0) as u64)
}
