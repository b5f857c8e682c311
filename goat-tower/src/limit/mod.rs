//! Limits: how often may this client, this user, or whoever is counted, ask?

mod builder;
mod key;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use goat_core::limit::{Charge, Charging, Limits};
use goat_core::{Error, Quota};
use http::request::Parts;
use tower_layer::Layer;

use crate::guard::{Check, Guard, Guarded, Rejection, ResponseHeaders};
use crate::response::denial::{Denial, ProblemDetails, RenderDenial};

use key::By;

/// Charges a quota for each request.
///
/// - A request is charged when it is called, never when readiness is polled, and at most once by each
///   limit that it meets. What refuses is a 429 `rate-limited` with `Retry-After`, and is not charged.
/// - Every limit that was asked shows in `RateLimit-Policy`, `RateLimit` and `X-RateLimit-…`, by its
///   name; the outermost limit writes the headers for all, on whatever answer comes back.
/// - A store of limits that fails is a 503: nothing is ever unlimited for that.
/// - Limits of one name and one quota count together, wherever they stand. Give a limit that is to
///   count alone a name of its own, or a [counter](LimitLayer::counted_as) of its own.
/// - It says once in the log which limit counts what (feature `tracing`): when it is first put around a
///   service, at level `info`, in the words of its `Display`.
/// - A limit kept in memory answers without waiting. One kept elsewhere costs a round trip, unless it
///   is asked together with another: see [`AuthenticateWithLimitsLayer`](crate::AuthenticateWithLimitsLayer).
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
/// // Whoever accepts connections leaves their other end.
/// let peer = PeerAddress(([192, 0, 2, 7], 4711).into());
/// let request = || Request::builder().extension(peer).body(());
///
/// let allowed = service.clone().oneshot(request()?).await?;
/// assert_eq!(allowed.status(), StatusCode::OK);
/// assert_eq!(allowed.headers()["ratelimit"], r#""address";r=0;t=60"#);
///
/// let refused = service.oneshot(request()?).await?;
/// assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
/// assert_eq!(refused.headers()["retry-after"], "60");
/// # Ok(())
/// # }
/// ```
///
/// # What it counts by
///
/// | | counts | who is not counted | what a client can do about it |
/// |---|---|---|---|
/// | [`by_address`](Self::by_address) | clients; where nothing is said | nobody | have many addresses |
/// | [`by_user`](Self::by_user) | users | strangers | sign up again |
/// | [`by_session`](Self::by_session) | sign-ins | strangers | sign in again |
/// | [`by_token`](Self::by_token), [`by_token_or_cookie`](Self::by_token_or_cookie) | tokens, before they are verified | who shows none | refresh; make tokens up |
/// | [`by_header`](Self::by_header) | values of a header | who sends none | leave it out; send another value |
/// | [`by_path_template`](Self::by_path_template) | routes | nobody | use another route |
/// | [`by_key`](Self::by_key) | what a function says | whom it gives no key | that depends on the function |
///
/// Several of them make one key: `.by_user().by_path_template()` counts each user on each route.
///
/// - That is finer than either, and never stricter: so many a minute for each user *on each route*. To
///   bound a user on all routes together, stack another limit `by_user`.
/// - A request that lacks one of them is counted among those that lack it, so that leaving something
///   out leads nowhere: `.by_address().by_header(…)` counts who sends no header by address. Only who
///   lacks all that could tell who asks is not counted: with `.by_user().by_path_template()`, strangers
///   are not, or they would use up each other's quota.
/// - The names of what is counted by, joined, are its name, unless [told](Self::named). Such a name, and
///   a header's, costs each request an allocation; the key costs none.
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
    renderer: Arc<dyn RenderDenial>,
    /// Whether the log has heard of it. Clones share it, and what is changed has its own.
    is_announced: Arc<AtomicBool>,
}

impl LimitLayer {
    /// The layer over limits of their own, for a service that has no `Goat`; see
    /// [`GoatExt::limit`](crate::GoatExt::limit).
    #[must_use]
    pub fn new(limits: Limits, quota: Quota) -> Self {
        Self {
            limits,
            quota,
            name: None,
            counter: None,
            by: By::default(),
            renderer: Arc::new(ProblemDetails),
            is_announced: Arc::default(),
        }
    }

    /// The limit's name, as the headers show it, and as it is counted under unless
    /// [`counted_as`](Self::counted_as) says otherwise.
    #[must_use]
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self.changed()
    }

    /// Counts under another name than the headers show: for limits that clients know by one name,
    /// and that are to count apart.
    #[must_use]
    pub fn counted_as(mut self, counter: impl Into<Cow<'static, str>>) -> Self {
        self.counter = Some(counter.into());
        self.changed()
    }

    /// How its denials look, in place of [`ProblemDetails`]. The headers of limits are added to
    /// whatever it makes.
    #[must_use]
    pub fn render_with(mut self, renderer: impl RenderDenial) -> Self {
        self.renderer = Arc::new(renderer);
        self
    }

    /// It is another limit now, of which the log has not heard.
    fn changed(self) -> Self {
        Self { is_announced: Arc::default(), ..self }
    }

    /// Says in the log what is counted, once for however many services it is put around.
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

/// In words: `limit "user": 60 per minute, counted by user`, and as what else where it is
/// [counted](LimitLayer::counted_as) under another name.
impl fmt::Display for LimitLayer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { quota, by, .. } = self;
        write!(formatter, "limit {:?}: {quota}, counted by {by}", self.name())?;
        match &self.counter {
            Some(counter) if counter != self.name() => write!(formatter, " as {counter:?}"),
            _ => Ok(()),
        }
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
    /// Acquires the limit for the request; `None` if it does not count here.
    pub(crate) fn charge(&self, request: &Parts) -> Result<Option<Charging>, Error> {
        let name = self.name();
        let key = self.by.key(self.counter.as_deref().unwrap_or(name), request)?;
        Ok(key.map(|key| self.limits.charge(name.clone(), key, self.quota)))
    }

    fn reject(&self, error: Error) -> Rejection<'_> {
        Rejection::new(Denial::new(error), self.renderer.as_ref())
    }
}

impl Guard for LimitLayer {
    type Pending = Charging;

    fn check(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
    ) -> Result<Check<Charging>, Rejection<'_>> {
        match self.charge(request).map_err(|error| self.reject(error))? {
            None => Ok(Check::Allow),
            Some(charging) => match charging.ready() {
                Ok(charge) => self.decide(request, headers, Ok(charge)),
                Err(charging) => Ok(Check::Wait(charging)),
            },
        }
    }

    fn decide(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
        answer: Result<Charge, Error>,
    ) -> Result<Check<Charging>, Rejection<'_>> {
        let charge = answer.map_err(|error| self.reject(error))?;
        headers.collect(request, self.limits.time()).record(charge.clone());
        if charge.refuses() {
            return Err(self.reject(Error::rate_limited(vec![charge])));
        }
        Ok(Check::Allow)
    }
}
