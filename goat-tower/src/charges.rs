//! The limits that were charged while a request was served, and the headers that show them.
//!
//! Several limits meet in one request: two or three layers and the handler's own. Each records what
//! it was told in one collector in the request's extensions; whoever opened the collector, the
//! outermost, writes the headers once, for all of them, on the way back.

use std::cmp::Reverse;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use goat_core::Timestamp;
use goat_core::limit::Charge;
use http::header::RETRY_AFTER;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const X_RATE_LIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// How many limits a request usually meets: address, user, and one of the handler's.
const USUAL: usize = 3;

/// The bytes that a limit takes in the headers besides its name, twice: `"";q=1000;w=3600, ` and the
/// like, and its share of the plain numbers. Where there are more, the text grows.
const USUAL_NUMBERS: usize = 80;

/// What every limit said that was asked for one request. Clones share the same list.
///
/// ```
/// use std::time::Duration;
/// use goat_core::{Quota, Timestamp, limit::Charge};
/// use goat_tower::{Charges, Collector};
///
/// let mut request = http::Request::new(());
/// let Collector::Opened(charges) = Charges::collect(request.extensions_mut()) else {
///     panic!("nobody outside has opened one")
/// };
/// charges.record(Charge {
///     limit: "auth".into(),
///     quota: Quota::per_minute(5),
///     remaining: 4,
///     reset_after: Duration::from_secs(60),
///     retry_after: None,
/// });
///
/// let mut response = http::Response::new(());
/// charges.show(&mut response, Timestamp::from_seconds(1_767_225_600));
/// assert_eq!(response.headers()["ratelimit-policy"], "\"auth\";q=5;w=60");
/// assert_eq!(response.headers()["ratelimit"], "\"auth\";r=4;t=60");
/// assert_eq!(response.headers()["x-ratelimit-reset"], "1767225660");
/// ```
///
/// A handler that has a limit of its own, such as one by what a form says, joins the collector that
/// the layers have opened. They write the headers, for its limit too:
///
/// ```
/// use goat_core::limit::LimitKey;
/// use goat_core::testing::TestGoat;
/// use goat_core::{Error, Quota};
/// use goat_tower::{Charges, GoatExt, Problem};
/// use goat_tower::address::PeerAddress;
/// use http::{Request, Response, StatusCode};
/// use http_body_util::Full;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let test = TestGoat::new();
/// let limits = test.goat.limits().clone();
/// let handler = service_fn(move |mut request: Request<&'static str>| {
///     let limits = limits.clone();
///     async move {
///         let quota = Quota::per_hour(1);
///         let key = LimitKey::text("invite", request.body());
///         let charge = limits.charge("invite", key, quota).await?;
///         Charges::collect(request.extensions_mut()).charges().record(charge.clone());
///         Ok::<_, Error>(match charge.refuses() {
///             false => Response::new(Full::default()),
///             true => Problem::from(Error::rate_limited(vec![charge])).into_response().map(Full::new),
///         })
///     }
/// });
/// let service = test.goat.limit(Quota::per_minute(300)).by_address().layer(handler);
///
/// let peer = PeerAddress(([192, 0, 2, 7], 4711).into());
/// let request = || Request::builder().extension(peer).body("bob@example.org");
///
/// let allowed = service.clone().oneshot(request()?).await?;
/// assert_eq!(allowed.headers()["ratelimit"], r#""address";r=299;t=60, "invite";r=0;t=3600"#);
///
/// let refused = service.oneshot(request()?).await?;
/// assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
/// assert_eq!(refused.headers()["ratelimit"], r#""address";r=298;t=60, "invite";r=0;t=3600"#);
/// assert_eq!(refused.headers()["retry-after"], "3600");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Charges(Arc<Mutex<Vec<Charge>>>);

/// The collector of a request, and who is to write the headers.
#[derive(Clone, Debug)]
pub enum Collector {
    /// It was opened by this call: the caller is the outermost and calls [`Charges::show`].
    Opened(Charges),
    /// Somebody outside opened it, and will write the headers.
    Joined(Charges),
}

impl Collector {
    /// The collector, whoever opened it.
    #[must_use]
    pub const fn charges(&self) -> &Charges {
        match self {
            Self::Opened(charges) | Self::Joined(charges) => charges,
        }
    }
}

impl Charges {
    /// Joins the collector of a request, or opens it if there is none yet.
    pub fn collect(extensions: &mut Extensions) -> Collector {
        if let Some(charges) = extensions.get::<Self>() {
            return Collector::Joined(charges.clone());
        }
        let charges = Self(Arc::new(Mutex::new(Vec::with_capacity(USUAL))));
        extensions.insert(charges.clone());
        Collector::Opened(charges)
    }

    /// Records what a limit said. A limit that spoke before under the same name is replaced: the
    /// later word is the newer state.
    pub fn record(&self, charge: Charge) {
        let mut list = self.lock();
        match list.iter_mut().find(|known| known.limit == charge.limit) {
            Some(known) => *known = charge,
            None => list.push(charge),
        }
    }

    /// Records several.
    pub fn record_all(&self, charges: impl IntoIterator<Item = Charge>) {
        charges.into_iter().for_each(|charge| self.record(charge));
    }

    /// Writes the headers of all that was recorded (see [`write_rate_limits`]), those included that
    /// an error brought along in the response's extensions. A 429 without `Retry-After` gets the
    /// longest wait of the limits that refuse.
    pub fn show<B>(&self, response: &mut Response<B>, now: Timestamp) {
        if let Some(theirs) = response.extensions_mut().remove::<Self>()
            && !Arc::ptr_eq(&self.0, &theirs.0)
        {
            let theirs = std::mem::take(&mut *theirs.lock());
            self.record_all(theirs);
        }
        let list = self.lock();
        write_rate_limits(response.headers_mut(), &list, now);
        if response.status() == StatusCode::TOO_MANY_REQUESTS
            && !response.headers().contains_key(RETRY_AFTER)
            && let Some(wait) = list.iter().filter_map(|charge| charge.retry_after).max()
        {
            let seconds = HeaderValue::from(ceil_seconds(wait).max(1));
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
    }

    /// A thread that panicked left whole charges behind, so the list goes on being used.
    fn lock(&self) -> MutexGuard<'_, Vec<Charge>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Vec<Charge>> for Charges {
    fn from(charges: Vec<Charge>) -> Self {
        Self(Arc::new(Mutex::new(charges)))
    }
}

/// Writes what limits say into a response's headers, in place of what stood there.
///
/// `RateLimit-Policy` and `RateLimit` list them all (IETF draft-ietf-httpapi-ratelimit-headers):
/// `"auth";q=5;w=60` is five in sixty seconds, `"auth";r=4;t=60` four left and one more given back
/// in sixty seconds. `X-RateLimit-Limit`, `-Remaining` and `-Reset` (Unix seconds) show the one with
/// the least remaining. Seconds are rounded up. Without charges nothing is written.
///
/// A quota with a [burst](goat_core::Quota::burst) is `"search";q=60;w=60;goat-burst=10`. The draft
/// (revision 11, section 3.1) knows no burst: it takes any other parameter for a comment, and asks
/// for the prefix so that two makers' parameters do not meet. So who knows nothing of it reads the
/// pace, which holds in the long run; and `r` and `t` need no comment, since "no more than `r`
/// within `t` seconds" is what such a quota means at any moment. `X-RateLimit-Limit` is the burst
/// then, which is what `-Remaining` counts down from; nobody would understand 9 of 60 remaining
/// after the first call, or 9 of 1.
///
/// ```
/// use std::time::Duration;
/// use goat_core::{Quota, Timestamp, limit::Charge};
/// use goat_tower::write_rate_limits;
///
/// let charge = Charge {
///     limit: "search".into(),
///     quota: Quota::per_minute(60).burst(10),
///     remaining: 9,
///     reset_after: Duration::from_secs(1),
///     retry_after: None,
/// };
/// let mut headers = http::HeaderMap::new();
/// write_rate_limits(&mut headers, &[charge], Timestamp::from_seconds(1_767_225_600));
/// assert_eq!(headers["ratelimit-policy"], "\"search\";q=60;w=60;goat-burst=10");
/// assert_eq!(headers["ratelimit"], "\"search\";r=9;t=1");
/// assert_eq!(headers["x-ratelimit-limit"], "10");
/// ```
///
/// The layers do this themselves. It is for answers that no layer sees:
///
/// ```
/// use goat_core::Quota;
/// use goat_core::limit::LimitKey;
/// use goat_core::testing::TestGoat;
/// use goat_tower::write_rate_limits;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> goat_core::Result<()> {
/// let goat = TestGoat::new().goat;
/// let spend = || goat.limits().charge("mail", LimitKey::text("mail", "ann"), Quota::per_minute(1));
/// let mut headers = http::HeaderMap::new();
///
/// let allowed = spend().await?;
/// write_rate_limits(&mut headers, &[allowed], goat.time().now());
/// assert_eq!(headers["x-ratelimit-remaining"], "0");
///
/// let refused = spend().await?;
/// assert!(refused.refuses());
/// # Ok(())
/// # }
/// ```
pub fn write_rate_limits(headers: &mut HeaderMap, charges: &[Charge], now: Timestamp) {
    // Of those with as little left, the one that refuses, then the one that takes longest.
    let Some(least) = charges
        .iter()
        .min_by_key(|charge| (charge.remaining, !charge.refuses(), Reverse(charge.reset_after)))
    else {
        return;
    };
    let reset_at = (now + least.reset_after + Duration::from_millis(999)).as_seconds();
    let at_once = least.quota.burst_size().unwrap_or(least.quota.limit());
    let reset_at = u64::try_from(reset_at).unwrap_or_default();
    // All values lie in one text and share it: two allocations in all, where each value by itself
    // would cost two.
    let names: usize = charges.iter().map(|charge| charge.limit.len()).sum();
    let mut text = Vec::with_capacity(2 * names + charges.len() * USUAL_NUMBERS);
    let all: [(HeaderName, Push<'_>); _] = [
        (RATE_LIMIT_POLICY, &|text| push_list(text, charges, push_policy)),
        (RATE_LIMIT, &|text| push_list(text, charges, push_state)),
        (X_RATE_LIMIT_LIMIT, &|text| push_number(text, at_once.into())),
        (X_RATE_LIMIT_REMAINING, &|text| push_number(text, least.remaining.into())),
        (X_RATE_LIMIT_RESET, &|text| push_number(text, reset_at)),
    ];
    let values = all.map(|(header, push)| {
        let start = text.len();
        push(&mut text);
        (header, start..text.len())
    });
    let text = Bytes::from(text);
    for (header, range) in values {
        if let Ok(value) = HeaderValue::from_maybe_shared(text.slice(range)) {
            headers.insert(header, value);
        }
    }
}

/// Appends a header's value.
type Push<'a> = &'a dyn Fn(&mut Vec<u8>);

/// A list of quoted names, each with its parameters (RFC 9651).
fn push_list(text: &mut Vec<u8>, charges: &[Charge], push: fn(&mut Vec<u8>, &Charge)) {
    for (index, charge) in charges.iter().enumerate() {
        text.extend_from_slice(if index == 0 { b"\"" } else { b", \"" });
        push_printable(text, &charge.limit);
        text.push(b'"');
        push(text, charge);
    }
}

/// The parameters of a limit's policy.
fn push_policy(text: &mut Vec<u8>, charge: &Charge) {
    push_parameter(text, b";q=", charge.quota.limit().into());
    push_parameter(text, b";w=", ceil_seconds(charge.quota.window()));
    if let Some(burst) = charge.quota.burst_size() {
        push_parameter(text, b";goat-burst=", burst.into());
    }
}

/// The parameters of a limit's state.
fn push_state(text: &mut Vec<u8>, charge: &Charge) {
    push_parameter(text, b";r=", charge.remaining.into());
    push_parameter(text, b";t=", ceil_seconds(charge.reset_after));
}

fn push_parameter(text: &mut Vec<u8>, name: &[u8], value: u64) {
    text.extend_from_slice(name);
    push_number(text, value);
}

/// A limit's name as the inside of a string of RFC 9651 §3.3.3: quotes and backslashes escaped,
/// what is not printable ASCII as `?`.
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

/// In decimal, by hand: `write!` took a quarter of the instructions of a whole limit.
fn push_number(text: &mut Vec<u8>, number: u64) {
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

/// Whole seconds, rounded up: who waits that long has waited long enough.
pub(crate) const fn ceil_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add((duration.subsec_nanos() > 0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use goat_core::{Error, Quota};

    use crate::Problem;

    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_250);

    fn charge(limit: &'static str, quota: u32, remaining: u32, reset_ms: u64) -> Charge {
        Charge {
            limit: limit.into(),
            quota: Quota::per_minute(quota),
            remaining,
            reset_after: Duration::from_millis(reset_ms),
            retry_after: None,
        }
    }

    fn refusal(limit: &'static str, wait_ms: u64) -> Charge {
        let wait = Duration::from_millis(wait_ms);
        Charge { retry_after: Some(wait), ..charge(limit, 5, 0, wait_ms) }
    }

    fn headers_of(charges: &[Charge]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        write_rate_limits(&mut headers, charges, NOW);
        let mut lines: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII")))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn every_limit_is_listed_and_the_tightest_shown_alone() {
        assert_eq!(
            headers_of(&[charge("address", 300, 299, 59_001), charge("user", 60, 7, 1)]),
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
    fn numbers_are_written_whole() {
        for number in [0, 9, 10, 99, 100, 1_767_225_601, u64::from(u32::MAX), u64::MAX] {
            let mut text = b"=".to_vec();
            push_number(&mut text, number);
            assert_eq!(String::from_utf8(text), Ok(format!("={number}")));
        }
    }

    #[test]
    fn no_charge_writes_no_header() {
        assert_eq!(headers_of(&[]), Vec::<String>::new());
    }

    #[test]
    fn of_two_that_have_none_left_the_one_that_refuses_is_shown() {
        let last = charge("a", 10, 0, 50_000);
        let lines = headers_of(&[last, refusal("b", 2000)]);
        assert!(lines.contains(&"x-ratelimit-limit: 5".to_owned()), "{lines:?}");
    }

    #[test]
    fn seconds_are_rounded_up_and_a_window_keeps_its_fraction_out() {
        let mut odd = charge("odd", 1, 1, 0);
        odd.quota = Quota::new(1, Duration::from_millis(1500));
        let lines = headers_of(&[odd]);
        assert!(lines.contains(&r#"ratelimit-policy: "odd";q=1;w=2"#.to_owned()), "{lines:?}");
        assert!(lines.contains(&r#"ratelimit: "odd";r=1;t=0"#.to_owned()), "{lines:?}");
        assert!(lines.contains(&"x-ratelimit-reset: 1767225601".to_owned()), "{lines:?}");
    }

    #[test]
    fn a_burst_is_a_comment_on_the_policy_and_the_number_that_is_counted_down_from() {
        let mut search = charge("search", 60, 9, 1_000);
        search.quota = Quota::per_minute(60).burst(10);
        assert_eq!(
            headers_of(&[charge("address", 300, 299, 59_001), search]),
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
    fn of_a_burst_larger_than_the_limit_no_more_remains_than_the_limit_that_is_shown() {
        let mut steady = charge("steady", 60, 59, 1_000);
        steady.quota = Quota::per_second(1).burst(60);
        let lines = headers_of(&[steady]);
        let policy = r#"ratelimit-policy: "steady";q=1;w=1;goat-burst=60"#;
        assert!(lines.contains(&policy.to_owned()), "{lines:?}");
        assert!(lines.contains(&"x-ratelimit-limit: 60".to_owned()), "{lines:?}");
    }

    /// L2
    #[test]
    fn a_name_cannot_break_out_of_its_quotes() {
        let lines = headers_of(&[charge("a\";q=9\\\r\n\u{f6}", 1, 1, 0)]);
        assert!(lines.contains(&r#"ratelimit: "a\";q=9\\???";r=1;t=0"#.to_owned()), "{lines:?}");
    }

    #[test]
    fn the_first_opens_the_collector_and_the_others_join_it() {
        let mut extensions = Extensions::new();
        let outer = Charges::collect(&mut extensions);
        assert!(matches!(outer, Collector::Opened(_)));
        let inner = Charges::collect(&mut extensions);
        assert!(matches!(inner, Collector::Joined(_)));
        inner.charges().record(charge("user", 60, 7, 1));
        let mut response = Response::new(());
        outer.charges().show(&mut response, NOW);
        assert_eq!(response.headers()["ratelimit"], "\"user\";r=7;t=1");
    }

    #[test]
    fn the_later_word_of_one_limit_counts() {
        let charges = Charges::default();
        charges.record_all([charge("a", 9, 8, 1), charge("b", 9, 8, 1), charge("a", 9, 7, 1)]);
        let mut response = Response::new(());
        charges.show(&mut response, NOW);
        assert_eq!(response.headers()["ratelimit"], "\"a\";r=7;t=1, \"b\";r=8;t=1");
    }

    /// B5
    #[test]
    fn what_an_error_brings_along_is_shown_with_the_rest() {
        let charges = Charges::default();
        charges.record(charge("address", 300, 299, 1));
        let error = Error::rate_limited(vec![refusal("auth", 1200), refusal("account", 2001)]);
        let mut response = Problem::from(error).into_response();
        charges.show(&mut response, NOW);
        let headers = response.headers();
        assert_eq!(
            headers["ratelimit"],
            "\"address\";r=299;t=1, \"auth\";r=0;t=2, \"account\";r=0;t=3"
        );
        assert_eq!(headers["retry-after"], "3");
        assert_eq!(headers["x-ratelimit-remaining"], "0");
        assert!(response.extensions().get::<Charges>().is_none());
    }

    /// B5
    #[test]
    fn a_429_of_anybodys_making_says_how_long_to_wait() {
        let charges = Charges::default();
        charges.record(refusal("auth", 1));
        let mut response = Response::new(());
        charges.show(&mut response, NOW);
        assert!(!response.headers().contains_key(RETRY_AFTER), "it was served all the same");
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        charges.show(&mut response, NOW);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
    }

    #[test]
    fn the_collector_itself_in_the_response_is_no_deadlock() {
        let charges = Charges::default();
        charges.record(charge("a", 9, 8, 1));
        let mut response = Response::new(());
        response.extensions_mut().insert(charges.clone());
        charges.show(&mut response, NOW);
        assert_eq!(response.headers()["ratelimit"], "\"a\";r=8;t=1");
    }
}
