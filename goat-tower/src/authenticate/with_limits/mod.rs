//! Admission: two limits and authentication, asked together where the stores are elsewhere.
//!
//! Invariants: it answers what the three layers answer when they are stacked, in the same order of
//! precedence and with the same headers; only when something is asked differs. What the first limit
//! can say at once is heard before anything else is looked at.

mod pending;

use std::fmt;

use goat_core::limit::Charging;
use http::request::Parts;
use tower_layer::Layer;

use crate::authenticate::AuthenticateLayer;
use crate::guard::{Check, Guard, Guarded, Rejection, ResponseHeaders};
use crate::limit::LimitLayer;

use pending::{Operation, Outcome, Outcomes, Pending};

/// A limit, authentication and another limit as one layer: what
/// [`AuthenticateLayer::limited`] makes.
///
/// Stacked, the three wait for each other, and each that asks a store elsewhere costs a round trip.
/// This one asks as much at once as can be:
///
/// | the request shows | asked together | asked after that | round trips |
/// |---|---|---|---|
/// | a token whose session the cache knows | both limits | | 1 |
/// | a good token, not in the cache | the first limit, the session | the second limit | 2 |
/// | no token, or one that does not do | the first limit | | 1 |
///
/// Limits that are kept in memory cost none. A [fresh](crate::RequireLayer::fresh) requirement further
/// in costs one of its own, since it may rely on nothing that was read before.
///
/// - The answer is that of the stack: what the first limit says comes before all else, then 400, 401
///   or 503 by authentication, then what the second limit says. Each denial looks as its own layer
///   was told to [render](LimitLayer::render_with) it.
/// - The first limit is charged whatever the token; the second only if somebody is let in, or nobody
///   where that is [optional](AuthenticateLayer::optional).
/// - What the first limit can say without waiting (kept in memory, or by a store that remembers whom
///   it has refused) is heard first: who is refused by it costs nothing more, not even the look at a
///   signature.
/// - Where it must be waited for and then refuses, the answer is given without waiting for the rest.
///   The second limit may have been charged then, for a request that is not served. Where the first
///   counts addresses and the second users, that is the quota of the very user who sent it, and where
///   a store remembers its refusals it is one for each time that it has to be asked again.
/// - Each of the two is charged or not when a request is dropped while it waits, and nothing else is
///   left behind.
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
/// let admit = test.goat.authenticate().limited(
///     test.goat.limit(Quota::per_minute(300)).by_address(),
///     test.goat.limit(Quota::per_minute(60)).by_user(),
/// );
/// let service = admit.layer(service_fn(async |_: Request<()>| {
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
/// let refused = request().header("authorization", "Bearer nonsense").body(())?;
/// let refused = service.oneshot(refused).await?;
/// assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
/// assert_eq!(refused.headers()["ratelimit"], r#""address";r=298;t=60"#);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AuthenticateWithLimitsLayer {
    authenticate: AuthenticateLayer,
    before: Option<LimitLayer>,
    after: Option<LimitLayer>,
}

impl AuthenticateWithLimitsLayer {
    pub(crate) fn new(
        authenticate: AuthenticateLayer,
        before: Option<LimitLayer>,
        after: Option<LimitLayer>,
    ) -> Self {
        Self { authenticate, before, after }
    }

    /// Looks at a request while the first limit is asked. Nothing is shown of it yet, since that limit
    /// may refuse.
    fn look(&self, request: &mut Parts, first: Charging) -> Pending {
        let pending = Pending::first(first);
        match self.authenticate.identify(request) {
            Err(denial) => pending.knowing(Outcome::Rejected(denial)),
            Ok(Check::Wait(identity)) => pending.and(Operation::Identity(identity)),
            Ok(Check::Allow) => match &self.after {
                None => pending,
                Some(limit) => match limit.charge(request) {
                    Ok(None) => pending,
                    Ok(Some(charging)) => pending.and(Operation::Charge(charging)),
                    Err(error) => pending.knowing(Outcome::Charge(Err(error))),
                },
            },
        }
    }

    /// Goes on once it is known who it is, and shown: the second limit.
    fn check_after(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
    ) -> Result<Check<Pending>, Rejection<'_>> {
        let Some(limit) = &self.after else { return Ok(Check::Allow) };
        Ok(match limit.check(request, headers)? {
            Check::Allow => Check::Allow,
            Check::Wait(charging) => Check::Wait(Pending::only(Operation::Charge(charging))),
        })
    }
}

impl fmt::Debug for AuthenticateWithLimitsLayer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("AuthenticateWithLimitsLayer");
        debug.field("before", &self.before).field("authenticate", &self.authenticate);
        debug.field("after", &self.after).finish()
    }
}

impl<S> Layer<S> for AuthenticateWithLimitsLayer {
    type Service = Guarded<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        for limit in self.before.iter().chain(&self.after) {
            limit.announce();
        }
        Guarded::new(inner, self.clone())
    }
}

impl Guard for AuthenticateWithLimitsLayer {
    type Pending = Pending;

    fn check(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
    ) -> Result<Check<Pending>, Rejection<'_>> {
        if let Some(limit) = &self.before
            && let Check::Wait(charging) = limit.check(request, headers)?
        {
            return Ok(Check::Wait(self.look(request, charging)));
        }
        match self.authenticate.check(request, headers)? {
            Check::Allow => self.check_after(request, headers),
            Check::Wait(identity) => Ok(Check::Wait(Pending::only(Operation::Identity(identity)))),
        }
    }

    fn decide(
        &self,
        request: &mut Parts,
        headers: &mut ResponseHeaders,
        Outcomes { first, rest }: Outcomes,
    ) -> Result<Check<Pending>, Rejection<'_>> {
        if let (Some(limit), Some(charge)) = (&self.before, first) {
            limit.decide(request, headers, charge)?;
        }
        self.authenticate.forbid_caching(request, headers);
        match rest {
            Outcome::None => Ok(Check::Allow),
            Outcome::Rejected(denial) => Err(self.authenticate.reject(denial)),
            Outcome::Identity(identity) => {
                self.authenticate.decide(request, headers, identity)?;
                self.check_after(request, headers)
            }
            Outcome::Charge(charge) => {
                if let Some(limit) = &self.after {
                    limit.decide(request, headers, charge)?;
                }
                Ok(Check::Allow)
            }
        }
    }
}
