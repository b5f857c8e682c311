//! Authentication between two limits as one layer, with concurrent store operations.
//!
//! Invariants: its responses are those of the three layers stacked, with the same precedence and the
//! same headers; only the timing of the store operations differs. A first limit that decides without
//! waiting decides before anything else is read or verified.

mod pending;

use std::fmt;

use goat_core::Goat;
use goat_core::limit::PendingDecision;
use http::request::Parts;
use tower_layer::Layer;

use super::{AuthenticateLayer, Source, Waiting};
use crate::guard::{Check, Guard, Guarded, Rejection, ResponseHeaders};
use crate::limit::LimitLayer;

use pending::{Operation, Outcome, Outcomes, Pending};

/// A limit, authentication and another limit as one layer, made by [`AuthenticateLayer::limited`].
///
/// Stacked layers wait for each other, and each one that reads a remote store costs a round trip. This
/// layer runs the operations concurrently where it can:
///
/// | the request has | concurrently | then | round trips |
/// |---|---|---|---|
/// | a token of a cached session | both limits | | 1 |
/// | a valid token of another session | first limit, session | second limit | 2 |
/// | no token, or an invalid one | first limit | | 1 |
///
/// A [renewal](crate::cookie::Cookies::renew) begins after the first limit. Limits kept in memory cost no
/// round trip. A [fresh](crate::RequireLayer::fresh) requirement further in
/// costs one more, since it must not rely on an earlier read.
///
/// - Responses are those of the stack: the first limit takes precedence, then 400, 401 or 503 by
///   authentication, then the second limit. Each rejection is rendered by the
///   [renderer](LimitLayer::render_with) of its own layer.
/// - The first limit counts every request; the second only authenticated ones.
/// - A first limit that decides without waiting (kept in memory, or by a store that caches its rejections)
///   decides first: a request that it rejects costs nothing more, not even a signature check.
/// - If the first limit has to be awaited and rejects, the response does not wait for the other operation.
///   The second limit may then have counted a request that is not served. If the first counts by address
///   and the second by user, that uses up the sending user's own quota. A store that caches its
///   rejections bounds this to one request per read of the store.
/// - A request that is dropped while it waits may have been counted by either limit, and leaves nothing
///   else behind.
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
/// let test = TestGoat::new();
/// let alice = test.sign_in("alice", []).await;
///
/// let layer = test.goat.authenticate().limited(
///     test.goat.limit(Quota::per_minute(300)).by_address(),
///     test.goat.limit(Quota::per_minute(60)).by_user(),
/// );
/// let service = layer.layer(service_fn(async |_: Request<()>| {
///     Ok::<_, std::convert::Infallible>(Response::new(Empty::<&[u8]>::new()))
/// }));
///
/// let peer = PeerAddress(([192, 0, 2, 7], 4711).into());
/// let request = || Request::builder().extension(peer);
///
/// let allowed = request().header("authorization", alice.bearer()).body(())?;
/// let allowed = service.clone().oneshot(allowed).await?;
/// assert_eq!(allowed.status(), StatusCode::OK);
/// assert_eq!(allowed.headers()["ratelimit"], r#""address";r=299;t=60, "user";r=59;t=60"#);
///
/// let rejected = request().header("authorization", "Bearer nonsense").body(())?;
/// let rejected = service.oneshot(rejected).await?;
/// assert_eq!(rejected.status(), StatusCode::UNAUTHORIZED);
/// assert_eq!(rejected.headers()["ratelimit"], r#""address";r=298;t=60"#);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AuthenticateWithLimitsLayer<S = Goat> {
    authenticate: AuthenticateLayer<S>,
    before: Option<LimitLayer>,
    after: Option<LimitLayer>,
}

impl<S: Source> AuthenticateWithLimitsLayer<S> {
    pub(crate) fn new(
        authenticate: AuthenticateLayer<S>,
        before: Option<LimitLayer>,
        after: Option<LimitLayer>,
    ) -> Self {
        Self { authenticate, before, after }
    }

    /// Starts the other operations while the first limit is pending. Nothing of them shows in the
    /// response yet, since the first limit may reject.
    fn start(&self, request: &mut Parts, first: PendingDecision) -> Pending<S> {
        let pending = Pending::first(first);
        match self.authenticate.identify(request) {
            Err(denial) => pending.and_then(Outcome::Rejected(denial)),
            // A renewal is a write: it begins once the first limit allows the request.
            Ok(Check::Wait(renewal @ Waiting::Renew(_))) => {
                pending.and_then(Outcome::Renewable(renewal))
            }
            Ok(Check::Wait(identity)) => pending.and(Operation::Authenticate(identity)),
            Ok(Check::Allow) => match &self.after {
                None => pending,
                Some(limit) => match limit.acquire(request) {
                    Ok(None) => pending,
                    Ok(Some(pending_decision)) => {
                        pending.and(Operation::SecondLimit(pending_decision))
                    }
                    Err(error) => pending.and_then(Outcome::SecondLimit(Err(error))),
                },
            },
        }
    }

    /// Checks the second limit, once the request is authenticated.
    fn check_after(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
    ) -> Result<Check<Pending<S>>, Rejection<'_>> {
        let Some(limit) = &self.after else { return Ok(Check::Allow) };
        Ok(match limit.check(request, headers)? {
            Check::Allow => Check::Allow,
            Check::Wait(pending_decision) => {
                Check::Wait(Pending::only(Operation::SecondLimit(pending_decision)))
            }
        })
    }
}

impl<S> fmt::Debug for AuthenticateWithLimitsLayer<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("AuthenticateWithLimitsLayer");
        debug.field("before", &self.before).field("authenticate", &self.authenticate);
        debug.field("after", &self.after).finish()
    }
}

impl<T, S: Source> Layer<T> for AuthenticateWithLimitsLayer<S> {
    type Service = Guarded<T, Self>;

    fn layer(&self, inner: T) -> Self::Service {
        for limit in self.before.iter().chain(&self.after) {
            limit.announce();
        }
        Guarded::new(inner, self.clone())
    }
}

impl<S: Source> Guard for AuthenticateWithLimitsLayer<S> {
    type Pending = Pending<S>;

    fn check(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
    ) -> Result<Check<Pending<S>>, Rejection<'_>> {
        if let Some(limit) = &self.before
            && let Check::Wait(pending_decision) = limit.check(request, headers)?
        {
            return Ok(Check::Wait(self.start(request, pending_decision)));
        }
        match self.authenticate.check(request, headers)? {
            Check::Allow => self.check_after(request, headers),
            Check::Wait(identity) => {
                Ok(Check::Wait(Pending::only(Operation::Authenticate(identity))))
            }
        }
    }

    fn decide(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
        Outcomes { first, rest }: Outcomes<S>,
    ) -> Result<Check<Pending<S>>, Rejection<'_>> {
        if let (Some(limit), Some(decision)) = (&self.before, first) {
            limit.decide(request, headers, decision)?;
        }
        self.authenticate.forbid_caching(request, headers);
        match rest {
            Outcome::None => Ok(Check::Allow),
            Outcome::Rejected(denial) => Err(self.authenticate.reject(denial)),
            Outcome::Renewable(renewal) => {
                Ok(Check::Wait(Pending::only(Operation::Authenticate(renewal))))
            }
            Outcome::Authenticated(outcome) => {
                self.authenticate.decide(request, headers, outcome)?;
                self.check_after(request, headers)
            }
            Outcome::SecondLimit(decision) => {
                if let Some(limit) = &self.after {
                    limit.decide(request, headers, decision)?;
                }
                Ok(Check::Allow)
            }
        }
    }
}
