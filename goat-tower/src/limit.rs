//! Limits: how often may this client, this user, or whoever is counted, ask?

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use goat_core::limit::{Charge, Charging, LimitKey, Limits};
use goat_core::{Error, Principal, Quota};
use http::request::Parts;
use tower_layer::Layer;

use crate::address::ClientAddress;
use crate::denial::{Denial, ProblemDetails, RenderDenial};
use crate::guard::{After, Check, Guard, Guarded, Refusal};
use crate::misplaced::misplaced;
use crate::offline::Seen;
use crate::principal::Anonymous;

/// Charges a quota for each request.
///
/// - A request is charged when it is called, never when readiness is polled, and at most once by each
///   limit that it meets. What refuses is a 429 `rate-limited` with `Retry-After`, and is not charged.
/// - Every limit that was asked shows in `RateLimit-Policy`, `RateLimit` and `X-RateLimit-…`, by its
///   name; the outermost limit writes the headers for all, on whatever answer comes back.
/// - A store of limits that fails is a 503: nothing is ever unlimited for that.
/// - Limits of one name and one quota count together, wherever they stand. Give a limit that is to
///   count alone a name of its own, or a [counter](LimitLayer::counted_as) of its own.
/// - A limit kept in memory answers without waiting. One kept elsewhere costs a round trip, unless it
///   is asked together with another: see [`AdmitLayer`](crate::AdmitLayer).
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
#[derive(Clone)]
pub struct LimitLayer {
    limits: Limits,
    quota: Quota,
    name: Option<Cow<'static, str>>,
    counter: Option<Cow<'static, str>>,
    by: By,
    renderer: Arc<dyn RenderDenial>,
}

/// Who is counted.
#[derive(Clone)]
enum By {
    Address,
    User,
    Key(Arc<KeyOf>),
}

type KeyOf = dyn Fn(&Parts) -> Option<Cow<'_, str>> + Send + Sync;

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
            by: By::Address,
            renderer: Arc::new(ProblemDetails),
        }
    }

    /// Counts by the client's address; IPv6 by its /64. This is how a limit counts unless told
    /// otherwise. Its name is `address` unless told.
    ///
    /// The address is the one that [`ClientAddressLayer`] found, or else the
    /// [peer's](crate::address::PeerAddress::of). Behind a proxy the peer is the proxy, and all its
    /// clients would share one counter: there, add [`ClientAddressLayer`] outside of this layer and
    /// tell it whom to trust.
    ///
    /// Where not even the peer is known the answer is a 500: strangers must not share one counter,
    /// nor go uncounted.
    ///
    /// [`ClientAddressLayer`]: crate::address::ClientAddressLayer
    #[must_use]
    pub fn by_address(mut self) -> Self {
        self.by = By::Address;
        self
    }

    /// Counts by user, whatever their sessions and addresses. Its name is `user` unless told.
    ///
    /// Who may pass without signing in is not counted here: count them by address. Where nobody has
    /// looked at the credentials yet the answer is a 500: put this layer inside of
    /// [`authenticate`](crate::GoatExt::authenticate), or of the [offline](crate::offline) one.
    #[must_use]
    pub fn by_user(mut self) -> Self {
        self.by = By::User;
        self
    }

    /// Counts by a text that is read from the request. Its name is `key` unless told.
    ///
    /// `None` means that the request does not count here, and passes. So a key that a client can
    /// leave out is a limit that it can leave out: have another limit for those, or answer a key
    /// that they share. What has several spellings must be brought to one.
    ///
    /// ```
    /// use goat_core::Quota;
    /// use goat_core::testing::TestGoat;
    /// use goat_tower::GoatExt;
    /// use http::request::Parts;
    ///
    /// let limit = TestGoat::new().goat.limit(Quota::per_second(10)).named("tenant").by_key(
    ///     |request: &Parts| Some(request.uri.host().unwrap_or_default().to_lowercase().into()),
    /// );
    /// ```
    #[must_use]
    pub fn by_key(
        mut self,
        key: impl Fn(&Parts) -> Option<Cow<'_, str>> + Send + Sync + 'static,
    ) -> Self {
        self.by = By::Key(Arc::new(key));
        self
    }

    /// The limit's name, as the headers show it, and as it is counted under unless
    /// [`counted_as`](Self::counted_as) says otherwise.
    #[must_use]
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Counts under another name than the headers show: for limits that clients know by one name,
    /// and that are to count apart.
    #[must_use]
    pub fn counted_as(mut self, counter: impl Into<Cow<'static, str>>) -> Self {
        self.counter = Some(counter.into());
        self
    }

    /// How its denials look, in place of [`ProblemDetails`]. The headers of limits are added to
    /// whatever it makes.
    #[must_use]
    pub fn render_with(mut self, renderer: impl RenderDenial) -> Self {
        self.renderer = Arc::new(renderer);
        self
    }

    fn name(&self) -> Cow<'static, str> {
        self.name.clone().unwrap_or(Cow::Borrowed(match self.by {
            By::Address => "address",
            By::User => "user",
            By::Key(_) => "key",
        }))
    }

    /// Whom the request counts against; `None` if it does not count here.
    fn key(&self, counter: &str, request: &Parts) -> Result<Option<LimitKey>, Error> {
        match &self.by {
            By::Address => match ClientAddress::of(&request.extensions) {
                Some(client) => Ok(Some(LimitKey::address(counter, client.ip()))),
                None => Err(misplaced(
                    "a limit counts by address and nobody knows the peer: put a PeerAddress into \
                     the extensions of each request; with axum, serve the router with \
                     .into_make_service_with_connect_info::<SocketAddr>()",
                )),
            },
            By::User => match request.extensions.get::<Principal>() {
                Some(principal) => Ok(Some(LimitKey::user(counter, principal.user()))),
                None if request.extensions.get::<Anonymous>().is_some() => Ok(None),
                None => match Seen::of(&request.extensions) {
                    Some(seen) => Ok(seen.user().map(|user| LimitKey::user(counter, user))),
                    None => Err(misplaced(
                        "a limit counts by user and nobody has looked for one: put it inside of \
                         goat.authenticate(), or of verifier.authenticate()",
                    )),
                },
            },
            By::Key(key) => Ok(key(request).map(|text| LimitKey::text(counter, &text))),
        }
    }
}

impl fmt::Debug for LimitLayer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quota = format_args!("{}", self.quota);
        let mut debug = formatter.debug_struct("LimitLayer");
        debug.field("name", &self.name()).field("quota", &quota).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = Guarded<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded::new(inner, self.clone())
    }
}

impl LimitLayer {
    /// Charges the request; `None` if it does not count here.
    pub(crate) fn charge(&self, request: &Parts) -> Result<Option<Charging>, Error> {
        let name = self.name();
        let counter = self.counter.as_deref().unwrap_or(&name);
        let key = self.key(counter, request)?;
        Ok(key.map(|key| self.limits.charge(name, key, self.quota)))
    }

    fn refuse(&self, error: Error) -> Refusal<'_> {
        Refusal::new(Denial::new(error), self.renderer.as_ref())
    }
}

impl Guard for LimitLayer {
    type Asking = Charging;

    fn check(
        &self,
        request: &mut Parts,
        after: &mut After,
    ) -> Result<Check<Charging>, Refusal<'_>> {
        match self.charge(request).map_err(|error| self.refuse(error))? {
            None => Ok(Check::Pass),
            Some(charging) => match charging.ready() {
                Ok(charge) => self.decide(request, after, Ok(charge)),
                Err(charging) => Ok(Check::Ask(charging)),
            },
        }
    }

    fn decide(
        &self,
        request: &mut Parts,
        after: &mut After,
        answer: Result<Charge, Error>,
    ) -> Result<Check<Charging>, Refusal<'_>> {
        let charge = answer.map_err(|error| self.refuse(error))?;
        after.collect(request, self.limits.time()).record(charge.clone());
        if charge.refuses() {
            return Err(self.refuse(Error::rate_limited(vec![charge])));
        }
        Ok(Check::Pass)
    }
}
