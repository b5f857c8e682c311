//! Rate-limiting middleware: limits requests per address, user, route or another key.

mod builder;
mod key;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use goat_core::limit::{Decision, Limits, PendingDecision};
use goat_core::{Error, Quota};
use http::request::Parts;
use tower_layer::Layer;

use crate::address::{PeerAddress, TrustedProxies};
use crate::guard::{Check, Guard, Guarded, Rejection, ResponseHeaders};
use crate::response::denial::{Denial, ProblemDetails, RenderDenial};
use crate::response::rate_limit_headers::RateLimitHeaders;

use key::{By, Counted};

/// Limits the rate of requests.
///
/// - A request counts when the service is called, not when readiness is polled, and at most once per limit.
///   Above the limit it is rejected with 429 `rate-limited` and `Retry-After`, and does not count.
/// - `RateLimit-Policy`, `RateLimit` and `X-RateLimit-…` show every limit that decided on the request,
///   by name; the outermost limit writes the headers for all, on every response.
/// - If the limit store fails, the response is a 503: limits never fail open.
/// - Limits with the same name and quota share their counters, wherever they are. Give a limit that has
///   to count separately another name, or another [counter](LimitLayer::counted_as).
/// - The log shows each limit once (feature `tracing`): when it is first applied to a service, at level
///   `info`, in the words of its `Display`.
/// - A limit kept in memory decides without waiting. With a remote store it costs a round trip, unless it
///   is combined with another operation: see
///   [`AuthenticateWithLimitsLayer`](crate::AuthenticateWithLimitsLayer).
///
/// ```
/// use goat_core::Quota;
/// use goat_core::testing::TestGoat;
/// use goat_tower::GoatExt;
/// use goat_tower::address::PeerAddress;
/// use http::{Request, Response, StatusCode};
/// use http_body_util::Empty;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let limit = TestGoat::new().goat.limit(Quota::per_minute(1)).by_address();
/// let service = limit.layer(service_fn(async |_: Request<()>| {
///     Ok::<_, std::convert::Infallible>(Response::new(Empty::<&[u8]>::new()))
/// }));
///
/// // The server stores the address of the connection's peer.
/// let peer = PeerAddress(([192, 0, 2, 7], 4711).into());
/// let request = || Request::builder().extension(peer).body(());
///
/// let allowed = service.clone().oneshot(request()?).await?;
/// assert_eq!(allowed.status(), StatusCode::OK);
/// assert_eq!(allowed.headers()["ratelimit"], r#""address";r=0;t=60"#);
///
/// let rejected = service.oneshot(request()?).await?;
/// assert_eq!(rejected.status(), StatusCode::TOO_MANY_REQUESTS);
/// assert_eq!(rejected.headers()["retry-after"], "60");
/// # Ok(())
/// # }
/// ```
///
/// # Keys
///
/// | | counts by | not counted | evaded by |
/// |---|---|---|---|
/// | [`by_address`](Self::by_address) (default) | client address, and IPv6 /48 | | many networks |
/// | [`by_user`](Self::by_user) | user | anonymous requests | another sign-up |
/// | [`by_session`](Self::by_session) | session, or API key | anonymous requests | another login |
/// | [`by_key`](Self::by_key) | API key | sessions, anonymous requests | another key |
/// | [`by_token`](Self::by_token), [`by_token_or_cookie`](Self::by_token_or_cookie) | unverified access token | requests without a token | refresh; made-up tokens |
/// | [`by_header`](Self::by_header) | value of a header | requests without it | another value |
/// | [`by_path_template`](Self::by_path_template) | route | | another route |
/// | [`by_custom_key`](Self::by_custom_key) | result of a function | `None` | depends on the function |
///
/// Several of them make one key: `.by_user().by_path_template()` counts each user on each route.
///
/// - That is finer than either and never stricter: the quota applies to each user *on each route*. To bound
///   a user across routes, stack another limit `by_user`.
/// - A request that lacks a part shares a counter with others that lack it, so that omitting a part gains
///   nothing: `.by_address().by_header(…)` counts requests without the header by address. Only a request
///   that lacks every part that identifies a client is not counted: with `.by_user().by_path_template()`
///   that is an anonymous request, since anonymous clients would exhaust each other's quota.
/// - The default name joins the names of the parts. Such a name, and that of a header, costs each request an
///   allocation; the key costs none.
///
/// ```
/// use goat_core::Quota;
/// use goat_core::testing::TestGoat;
/// use goat_tower::GoatExt;
///
/// let goat = TestGoat::new().goat;
/// let limit = goat.limit(Quota::per_minute(60)).by_user().by_path_template();
/// assert_eq!(
///     limit.to_string(),
///     r#"limit "user-path": 60 per minute, counted by user and path template"#
/// );
/// ```
#[derive(Clone)]
pub struct LimitLayer {
    limits: Limits,
    quota: Quota,
    name: Option<Cow<'static, str>>,
    counter: Option<Cow<'static, str>>,
    by: By,
    /// The peers whose requests are not counted.
    uncounted: TrustedProxies,
    headers: RateLimitHeaders,
    renderer: Arc<dyn RenderDenial>,
    /// Whether the log has shown this limit. Shared by clones, reset by changes.
    is_announced: Arc<AtomicBool>,
}

impl LimitLayer {
    /// Creates a layer with its own limiter, for a service without a `Goat`; see
    /// [`GoatExt::limit`](crate::GoatExt::limit).
    #[must_use]
    pub fn new(limits: Limits, quota: Quota) -> Self {
        Self {
            limits,
            quota,
            name: None,
            counter: None,
            by: By::default(),
            uncounted: TrustedProxies::none(),
            headers: RateLimitHeaders::default(),
            renderer: Arc::new(ProblemDetails),
            is_announced: Arc::default(),
        }
    }

    /// Sets the name of the limit, for the headers, and for the counters unless
    /// [`counted_as`](Self::counted_as) sets another.
    #[must_use]
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self.changed()
    }

    /// Sets a name for the counters only: for limits that clients see under one name and that count
    /// separately.
    #[must_use]
    pub fn counted_as(mut self, counter: impl Into<Cow<'static, str>>) -> Self {
        self.counter = Some(counter.into());
        self.changed()
    }

    /// Does not count requests whose [peer](PeerAddress::of) is one of these proxies: for a route that a
    /// proxy calls for each request that it forwards (`auth_request`, `forwardAuth`), where the limits
    /// for its clients are in the proxy.
    ///
    /// ```
    /// use goat_core::Quota;
    /// use goat_core::testing::TestGoat;
    /// use goat_tower::GoatExt;
    /// use goat_tower::address::TrustedProxies;
    ///
    /// let proxies = TrustedProxies::parse(["10.0.0.0/8"])?;
    /// let limit = TestGoat::new().goat.limit(Quota::per_minute(300)).by_address().except_from(proxies);
    /// # Ok::<_, goat_tower::address::InvalidProxy>(())
    /// ```
    #[must_use]
    pub fn except_from(mut self, proxies: TrustedProxies) -> Self {
        self.uncounted = proxies;
        self.changed()
    }

    /// Chooses the rate-limit headers of responses; without this, those of the IETF. The outermost limit
    /// that a request passes decides for all.
    #[must_use]
    pub fn headers(mut self, headers: RateLimitHeaders) -> Self {
        self.headers = headers;
        self
    }

    /// Renders rejections with `renderer` instead of [`ProblemDetails`]. The layer adds the rate-limit
    /// headers.
    #[must_use]
    pub fn render_with(mut self, renderer: impl RenderDenial) -> Self {
        self.renderer = Arc::new(renderer);
        self
    }

    /// Marks a changed limit as not logged yet.
    fn changed(self) -> Self {
        Self { is_announced: Arc::default(), ..self }
    }

    /// Logs the limit, once for all services that it is applied to.
    pub(crate) fn announce(&self) {
        if !self.is_announced.swap(true, Ordering::Relaxed) {
            #[cfg(feature = "tracing")]
            tracing::info!("{self}");
        }
    }

    fn name(&self) -> &Cow<'static, str> {
        self.name.as_ref().unwrap_or(self.by.name())
    }
}

/// In words: `limit "user": 60 per minute, counted by user`, followed by the name of the counters if
/// [that](LimitLayer::counted_as) is another.
impl fmt::Display for LimitLayer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { quota, by, .. } = self;
        write!(formatter, "limit {:?}: {quota}, counted by {by}", self.name())?;
        match &self.counter {
            Some(counter) if counter != self.name() => write!(formatter, " as {counter:?}")?,
            _ => {}
        }
        if self.uncounted.is_empty() {
            return Ok(());
        }
        formatter.write_str(", except from trusted proxies")
    }
}

impl fmt::Debug for LimitLayer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quota = format_args!("{}", self.quota);
        let mut debug = formatter.debug_struct("LimitLayer");
        debug.field("name", self.name()).field("quota", &quota);
        debug.field("by", &format_args!("{}", self.by)).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = Guarded<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        self.announce();
        Guarded::new(inner, self.clone())
    }
}

impl LimitLayer {
    /// Acquires the limit for a request; `None` if the request does not count.
    pub(crate) fn acquire(&self, request: &Parts) -> Result<Option<PendingDecision>, Error> {
        if !self.uncounted.is_empty()
            && let Some(peer) = PeerAddress::of(&request.extensions)
            && self.uncounted.contains(peer.0.ip())
        {
            return Ok(None);
        }
        let name = self.name();
        let counted = self.by.key(self.counter.as_deref().unwrap_or(name), request)?;
        Ok(counted.map(|Counted { key, network }| {
            self.limits.acquire_in_network(name.clone(), key, network, self.quota)
        }))
    }

    fn reject(&self, error: Error) -> Rejection<'_> {
        Rejection::new(Denial::new(error), self.renderer.as_ref())
    }
}

impl Guard for LimitLayer {
    type Pending = PendingDecision;

    fn check(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
    ) -> Result<Check<PendingDecision>, Rejection<'_>> {
        match self.acquire(request).map_err(|error| self.reject(error))? {
            None => Ok(Check::Allow),
            Some(pending_decision) => match pending_decision.ready() {
                Ok(decision) => self.decide(request, headers, Ok(decision)),
                Err(pending_decision) => Ok(Check::Wait(pending_decision)),
            },
        }
    }

    fn decide(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
        answer: Result<Decision, Error>,
    ) -> Result<Check<PendingDecision>, Rejection<'_>> {
        let decision = answer.map_err(|error| self.reject(error))?;
        headers.collect(request, self.headers, self.limits.time()).record(decision.clone());
        if decision.is_limited() {
            return Err(self.reject(Error::rate_limited(vec![decision])));
        }
        Ok(Check::Allow)
    }
}
