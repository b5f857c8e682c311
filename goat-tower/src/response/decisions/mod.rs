//! Collector of the decisions of all rate limits of a request.
//!
//! A request passes several limits: of two or three layers, and of the handler. Each records its decision in
//! one collector in the request's extensions. The outermost layer, which opened the collector, writes the
//! headers for all of them once.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use goat_core::Timestamp;
use goat_core::limit::Decision;
use http::header::RETRY_AFTER;
use http::{Extensions, HeaderValue, Response, StatusCode};

use crate::response::rate_limit_headers::{
    RateLimitHeaders, ceil_seconds, write_rate_limit_headers,
};

/// The usual number of limits of a request: address, user, and one of the handler.
const USUAL: usize = 3;

/// The decisions of all limits of a request. Clones share the same list.
///
/// ```
/// use std::time::Duration;
/// use goat_core::{Quota, Timestamp, limit::Decision};
/// use goat_tower::{Collector, LimitDecisions, RateLimitHeaders};
///
/// let mut request = http::Request::new(());
/// let Collector::Opened(decisions) = LimitDecisions::collect(request.extensions_mut()) else {
///     panic!("no outer layer opened one")
/// };
/// decisions.record(Decision {
///     limit: "auth".into(),
///     quota: Quota::per_minute(5),
///     remaining: 4,
///     reset_after: Duration::from_secs(60),
///     retry_after: None,
/// });
///
/// let mut response = http::Response::new(());
/// let now = || Timestamp::from_seconds(1_767_225_600);
/// decisions.write_headers(&mut response, RateLimitHeaders::Both, now);
/// assert_eq!(response.headers()["ratelimit-policy"], "\"auth\";q=5;w=60");
/// assert_eq!(response.headers()["ratelimit"], "\"auth\";r=4;t=60");
/// assert_eq!(response.headers()["x-ratelimit-reset"], "1767225660");
/// ```
///
/// A handler with a limit of its own, such as one by a field of a form, joins the collector that the layers
/// opened, and they write the headers for its limit too:
///
/// ```
/// use goat_core::limit::LimitKey;
/// use goat_core::testing::TestGoat;
/// use goat_core::{Error, Quota};
/// use goat_tower::{LimitDecisions, GoatExt, Problem};
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
///         let decision = limits.acquire("invite", key, quota).await?;
///         LimitDecisions::collect(request.extensions_mut()).decisions().record(decision.clone());
///         Ok::<_, Error>(match decision.is_limited() {
///             false => Response::new(Full::default()),
///             true => Problem::from(Error::rate_limited(vec![decision])).into_response().map(Full::new),
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
pub struct LimitDecisions(Arc<Mutex<Vec<Decision>>>);

/// The collector of a request, and whether the caller has to write the headers.
#[derive(Clone, Debug)]
#[must_use = "the opener of the collector must write the headers"]
pub enum Collector {
    /// This call opened it: the caller is the outermost and calls [`LimitDecisions::write_headers`].
    Opened(LimitDecisions),
    /// An outer layer opened it, and writes the headers.
    Joined(LimitDecisions),
}

impl Collector {
    /// Returns the decisions in either case.
    #[must_use]
    pub const fn decisions(&self) -> &LimitDecisions {
        match self {
            Self::Opened(decisions) | Self::Joined(decisions) => decisions,
        }
    }
}

impl LimitDecisions {
    /// Joins the collector of a request, or opens one.
    pub fn collect(extensions: &mut Extensions) -> Collector {
        if let Some(decisions) = extensions.get::<Self>() {
            return Collector::Joined(decisions.clone());
        }
        let decisions = Self::default();
        extensions.insert(decisions.clone());
        Collector::Opened(decisions)
    }

    /// Records a decision. It replaces an earlier decision of a limit with the same name.
    pub fn record(&self, decision: Decision) {
        let mut list = self.lock();
        match list.iter_mut().find(|known| known.limit == decision.limit) {
            Some(known) => *known = decision,
            None => {
                if list.is_empty() {
                    list.reserve_exact(USUAL);
                }
                list.push(decision);
            }
        }
    }

    /// Records several decisions.
    pub fn record_all(&self, decisions: impl IntoIterator<Item = Decision>) {
        decisions.into_iter().for_each(|decision| self.record(decision));
    }

    /// Sets the headers of all decisions (see [`write_rate_limit_headers`]), including those in the
    /// response's extensions. A 429 without `Retry-After` gets the longest wait of the limits that
    /// rejected.
    pub fn write_headers<B>(
        &self,
        response: &mut Response<B>,
        which: RateLimitHeaders,
        now: impl FnOnce() -> Timestamp,
    ) {
        if let Some(theirs) = response.extensions_mut().remove::<Self>()
            && !Arc::ptr_eq(&self.0, &theirs.0)
        {
            let theirs = std::mem::take(&mut *theirs.lock());
            self.record_all(theirs);
        }
        let list = self.lock();
        write_rate_limit_headers(response.headers_mut(), which, &list, now);
        if response.status() == StatusCode::TOO_MANY_REQUESTS
            && !response.headers().contains_key(RETRY_AFTER)
            && let Some(wait) = list.iter().filter_map(|decision| decision.retry_after).max()
        {
            let seconds = HeaderValue::from(ceil_seconds(wait).max(1));
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
    }

    /// A panicking thread leaves complete decisions in the list, so a poisoned lock is usable.
    fn lock(&self) -> MutexGuard<'_, Vec<Decision>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Vec<Decision>> for LimitDecisions {
    fn from(decisions: Vec<Decision>) -> Self {
        Self(Arc::new(Mutex::new(decisions)))
    }
}
