//! What stands before each handler: limits, authentication, permission.
//!
//! - The limit by address comes first of all, also before 404 and 405: who asks too much is told
//!   nothing else.
//! - Then the path, the method, who asks, the limit by user, and the permission. Only then does a
//!   handler look at path, query and body. Also where anyone may ask, nobody asks as two at once.
//! - Where limits are kept elsewhere, both of a protected route are asked at the same time, and an
//!   address that is refused is told nothing else all the same.
//! - A quota that is off has no layer at all, and one that is on has one, however many routes it is put
//!   around: so the log says each of them once.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response as Answer};
use axum::routing::MethodRouter;
use bytes::Bytes;
use goat_tower::address::{self, ClientAddressLayer, TrustedProxies};
use goat_tower::{
    AuthenticateWithLimitsLayer, BearerError, Denial, GoatExt as _, LimitLayer, bearer,
};
use http::request::Parts;
use http::{HeaderValue, Method, Response};

use super::{Endpoint, PublicLimit, Rule};
use crate::api::AppState;
use crate::api::stack::problems;
use crate::observe::logging::{RecordContextLayer, RequestContext};
use crate::start::settings::{ForwardedHeader, HttpSettings};

/// Finds the client's address, and warns once of a proxy that nobody has configured.
pub(super) fn client_address(http: &HttpSettings) -> ClientAddressLayer {
    let ranges = http.trusted_proxies.iter().map(ToString::to_string);
    // The settings have refused what does not parse; were it otherwise, nobody would be trusted.
    let proxies = TrustedProxies::parse(ranges).unwrap_or_default();
    let header = match http.forwarded_header {
        ForwardedHeader::XForwardedFor => address::ForwardedHeader::XForwardedFor,
        ForwardedHeader::Forwarded => address::ForwardedHeader::Forwarded,
    };
    ClientAddressLayer::new().trust(proxies).header(header).on_untrusted(|peer| {
        tracing::warn!(
            %peer,
            "forwarding header from an untrusted peer ignored; if the peer is your proxy, add it to \
             GOAT_TRUSTED_PROXIES"
        );
    })
}

/// What answers where no path matches: 404, counted by the public limit.
pub(super) fn nowhere(limits: &mut Limits<'_>) -> Router<AppState> {
    let router = Router::new().fallback(problems::not_found);
    match limits.of(&PUBLIC) {
        Some(limit) => router.layer(limit),
        None => router,
    }
}

/// All methods of one path, each behind its guards, and 405 for the others.
pub(super) fn path(endpoints: Vec<Endpoint>, limits: &mut Limits<'_>) -> MethodRouter<AppState> {
    let allow = allow(&endpoints);
    let limit = limits.of_wrong_method(&endpoints);
    let mut wrong_method =
        MethodRouter::new().fallback(move || async { problems::method_not_allowed(allow) });
    if let Some(limit) = limit {
        wrong_method = wrong_method.layer(limit);
    }
    endpoints.into_iter().fold(wrong_method, |path, endpoint| path.merge(guard(endpoint, limits)))
}

/// One endpoint behind its guards. What is added later stands further out.
fn guard(endpoint: Endpoint, limits: &mut Limits<'_>) -> MethodRouter<AppState> {
    let rule = endpoint.rule().clone();
    let changes = !endpoint.method().is_safe();
    let mut guarded = endpoint.into_handler();
    if let Rule::Permission(permission) = &rule {
        let required = limits.state.goat.require(permission.clone()).render_with(problem);
        // A change re-reads its caller from the store: its handler takes a `FreshPrincipal`.
        let required = if changes { required.fresh() } else { required };
        guarded = guarded.route_layer(required);
    }
    let limit = limits.of(&rule);
    if rule.is_protected() {
        // Who it is has become known here: the log is to name them, whatever the permission says.
        guarded.route_layer(RecordContextLayer).route_layer(limits.admission(limit))
    } else {
        let guarded = guarded.route_layer(from_fn(one_authorization));
        match limit {
            Some(limit) => guarded.route_layer(limit),
            None => guarded,
        }
    }
}

/// The limits, each made once.
pub(super) struct Limits<'a> {
    state: &'a AppState,
    /// By client address, under what they are counted as.
    by_address: BTreeMap<&'static str, LimitLayer>,
    by_user: Option<LimitLayer>,
}

impl<'a> Limits<'a> {
    pub(super) fn new(state: &'a AppState) -> Self {
        let by_user = state.limits.user.map(|quota| state.goat.limit(quota).by_user());
        let by_user = by_user.map(|limit| limit.render_with(problem_of_somebody));
        Self { state, by_address: BTreeMap::new(), by_user }
    }

    /// Authentication between the limit by address and the limit by user, as one layer: with limits and
    /// sessions elsewhere, a request whose session the cache knows waits for one round trip.
    fn admission(&self, by_address: Option<LimitLayer>) -> AuthenticateWithLimitsLayer {
        let authenticate = self.state.goat.authenticate().render_with(problem);
        authenticate.limited(by_address, self.by_user.clone())
    }

    /// The limit by client address that a rule has. The headers show one name for all that has to do
    /// with passwords, and yet each of those counts apart.
    fn of(&mut self, rule: &Rule) -> Option<LimitLayer> {
        let limits = &self.state.limits;
        let (quota, name, counter) = match rule {
            Rule::Public(PublicLimit::Unlimited) => return None,
            Rule::Public(PublicLimit::Auth(bucket)) => (limits.auth, "auth", *bucket),
            Rule::Public(PublicLimit::Public) => (limits.public, "public", "public"),
            Rule::RefreshToken => (limits.refresh, "refresh", "refresh"),
            Rule::Authenticated | Rule::Permission(_) => (limits.address, "address", "address"),
        };
        let quota = quota?;
        let limit = self.by_address.entry(counter).or_insert_with(|| {
            let limit = self.state.goat.limit(quota).by_address();
            limit.named(name).counted_as(counter).render_with(problem)
        });
        Some(limit.clone())
    }

    /// The limit of a path's 405: that of its rule, except that nobody spends their sign-ins on it.
    fn of_wrong_method(&mut self, endpoints: &[Endpoint]) -> Option<LimitLayer> {
        match endpoints.first().map(Endpoint::rule)? {
            Rule::Public(PublicLimit::Auth(_)) | Rule::RefreshToken => self.of(&PUBLIC),
            rule => self.of(rule),
        }
    }
}

/// Refuses two `Authorization` headers where nobody authenticates, as authentication does elsewhere:
/// two readers of such a request could take it for two people's (J8).
async fn one_authorization(request: Request, next: Next) -> Answer {
    match bearer(request.headers()) {
        Err(error @ BearerError::Repeated) => Denial::from(error).into_response(),
        _ => next.run(request).await,
    }
}

const PUBLIC: Rule = Rule::Public(PublicLimit::Public);

/// How a refusal looks: a problem document, whatever protocol the request claims to speak.
fn problem(denial: &Denial, request: &Parts) -> Response<Bytes> {
    denial.problem().clone().for_request(request).into_response()
}

/// The same where it is known who is refused, and nothing further in gets to see them: the log is to
/// name them too.
fn problem_of_somebody(denial: &Denial, request: &Parts) -> Response<Bytes> {
    if let Some(context) = request.extensions.get::<RequestContext>() {
        context.record(&request.extensions);
    }
    problem(denial, request)
}

/// What `Allow` says of a path.
fn allow(endpoints: &[Endpoint]) -> HeaderValue {
    let mut methods: Vec<_> = endpoints.iter().map(|endpoint| endpoint.method().as_str()).collect();
    if methods.contains(&Method::GET.as_str()) {
        methods.push(Method::HEAD.as_str());
    }
    methods.sort_unstable();
    HeaderValue::try_from(methods.join(", ")).unwrap_or(HeaderValue::from_static(""))
}
