//! Route guards: rate limits, authentication and permission in front of each handler.
//!
//! - The address limit runs first, also before 404 and 405.
//! - Then path, method, authentication, user limit (or that of session control or of `verify`) and
//!   permission, in this order. Only then does a handler read path, query and body. Public routes too
//!   reject a request with two `Authorization` headers.
//! - If limits are kept in Redis, both limits of a protected route are acquired at the same time; if
//!   both reject a request, the response is that of the address limit.
//! - A quota that is off has no layer. Each other quota has one layer, however many routes use it,
//!   so the log mentions it once.

use std::collections::BTreeMap;
use std::future::ready;

use axum::body::Body;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use goat_core::{Error, ErrorKind, Permission, Principal, Quota};
use goat_tower::address::{self, ClientAddressLayer};
use goat_tower::{
    AuthenticateWithLimitsLayer, BearerError, Denial, GoatExt as _, LimitLayer, Problem,
    Requirement, bearer,
};
use http::request::Parts;
use http::{HeaderValue, Method, Response};
use tower::Layer as _;

use super::{Accepts, Endpoint, PublicLimit, Rule, forward};
use crate::api::AppState;
use crate::api::stack::problems;
use crate::api::stack::routes::{Path, Route};
use crate::observe::logging::{RecordContextLayer, RequestContext};
use crate::start::settings::{ForwardedHeader, HttpSettings};

/// Finds the client's address.
pub(super) fn client_address(http: &HttpSettings) -> ClientAddressLayer {
    let header = match http.forwarded_header {
        ForwardedHeader::XForwardedFor => address::ForwardedHeader::XForwardedFor,
        ForwardedHeader::Forwarded => address::ForwardedHeader::Forwarded,
    };
    ClientAddressLayer::new().trust(http.proxies()).header(header)
}

/// As [`client_address`], with one warning about a proxy that is not configured as trusted, for all
/// services of the layer.
pub(super) fn client_address_with_warning(http: &HttpSettings) -> ClientAddressLayer {
    client_address(http).on_untrusted(|peer| {
        tracing::warn!(
            %peer,
            "forwarding header from an untrusted peer ignored; if the peer is your proxy, add it to \
             GOAT_TRUSTED_PROXIES"
        );
    })
}

/// Returns the route of unmatched paths: 404, under the public limit.
pub(super) fn unmatched(limits: &mut Limits<'_>) -> Route {
    let route = Route::new(|_| Box::pin(problems::not_found()));
    match limits.of(&PUBLIC) {
        Some(limit) => Route::guarded(limit.layer(route)),
        None => route,
    }
}

/// Returns the routes of one path: each of its methods behind its guards, and 405 for the others. An endpoint
/// exists where its feature is switched on. A path without one is not found, also where it could be that of an
/// id.
pub(super) fn path(
    template: &'static str,
    endpoints: &[Endpoint],
    limits: &mut Limits<'_>,
) -> Path {
    let exists = |endpoint: &&Endpoint| endpoint.exists(&limits.state.goat);
    let endpoints: Vec<_> = endpoints.iter().filter(exists).cloned().collect();
    if endpoints.is_empty() {
        return Path::new(template, Vec::new(), unmatched(limits));
    }
    let allow = allow(&endpoints);
    let response = move || problems::method_not_allowed(allow.clone());
    let wrong_method = Route::new(move |_| Box::pin(ready(response())));
    let wrong_method = match limits.of_wrong_method(&endpoints) {
        Some(limit) => Route::guarded(limit.layer(wrong_method)),
        None => wrong_method,
    };
    let guarded = |endpoint: &Endpoint| (endpoint.method().clone(), guard(endpoint, limits));
    let methods = endpoints.iter().map(guarded).collect();
    Path::new(template, methods, wrong_method)
}

/// Puts an endpoint behind its guards, from the inside out.
fn guard(endpoint: &Endpoint, limits: &mut Limits<'_>) -> Route {
    let rule = endpoint.rule();
    let handler = endpoint.handler(limits.state);
    let limit = limits.of(rule);
    let accepts = endpoint.accepts();
    if !rule.is_protected() {
        let route = one_authorization(handler);
        return match limit {
            Some(limit) => Route::guarded(limit.layer(route)),
            None => route,
        };
    }
    let admission = limits.admission(rule, limit);
    // Records the user for the log, whether or not the permission check succeeds.
    let record = RecordContextLayer;
    match rule {
        Rule::Permission(permission) | Rule::Lookup(permission) | Rule::Scrape(permission) => {
            let required = limits.state.goat.require(permission.clone()).render_with(problem);
            // An endpoint that changes data re-reads the principal from the stores; its handler takes a
            // `FreshPrincipal`.
            let needs_recent = endpoint.needs_recent() || limits.state.http.step_up_admin;
            let needs_recent = endpoint.changes() && needs_recent;
            let by_session = match (endpoint.changes(), needs_recent) {
                (false, _) => required.clone(),
                (true, false) => required.clone().fresh(),
                (true, true) => required.clone().recent(),
            };
            if accepts == Accepts::Any && !needs_recent {
                return Route::guarded(admission.layer(record.layer(by_session.layer(handler))));
            }
            let by_key = match accepts {
                Accepts::Session => Route::guarded(required.layer(session_required())),
                Accepts::NamingKeys => {
                    let by_key = Route::guarded(required.clone().fresh().layer(handler.clone()));
                    Route::guarded(required.layer(by_naming_key(permission.clone(), by_key)))
                }
                // A key passes by its scopes, where a session needs a recent proof.
                Accepts::Any => Route::guarded(required.fresh().layer(handler.clone())),
            };
            let by_session = Route::guarded(by_session.layer(handler));
            let route = by_credential(by_session, by_key);
            Route::guarded(admission.layer(record.layer(route)))
        }
        Rule::Verify => {
            let guarded = Route::guarded(admission.layer(record.layer(handler)));
            forward::verification(guarded, limits.state)
        }
        _ if accepts == Accepts::Any => Route::guarded(admission.layer(record.layer(handler))),
        _ => {
            let by_session = if endpoint.needs_recent() {
                let required = limits.state.goat.require(Requirement::signed_in()).recent();
                Route::guarded(required.render_with(problem).layer(handler))
            } else {
                handler
            };
            let route = by_credential(by_session, session_required());
            Route::guarded(admission.layer(record.layer(route)))
        }
    }
}

/// Returns a route that responds by one of two, for sessions and for API keys.
fn by_credential(by_session: Route, by_key: Route) -> Route {
    Route::new(move |request| {
        let principal = request.extensions().get::<Principal>();
        let has_session = principal.is_some_and(|principal| principal.session().is_some());
        if has_session { by_session.respond(request) } else { by_key.respond(request) }
    })
}

/// Returns a route that responds to API keys that name a permission, and rejects the others.
fn by_naming_key(permission: Permission, route: Route) -> Route {
    let rejected = session_required();
    Route::new(move |request| {
        let principal = request.extensions().get::<Principal>();
        let is_named = principal.is_some_and(|principal| principal.names(&permission));
        if is_named { route.respond(request) } else { rejected.respond(request) }
    })
}

/// Returns the route of API keys where only a session is accepted (K2).
fn session_required() -> Route {
    Route::new(|request| {
        let (request, _) = request.into_parts();
        let problem = Problem::from(Error::from(ErrorKind::SessionRequired));
        Box::pin(ready(problem.for_request(&request).into_response().map(Body::from)))
    })
}

/// The limit layers, each created once.
pub(super) struct Limits<'a> {
    state: &'a AppState,
    /// By client address, keyed by counter name, or by `verify` for the one that excepts proxies.
    by_address: BTreeMap<&'static str, LimitLayer>,
    by_user: Option<LimitLayer>,
    session_control: Option<LimitLayer>,
    verify: Option<LimitLayer>,
}

impl<'a> Limits<'a> {
    pub(super) fn new(state: &'a AppState) -> Self {
        let limit = |quota: Option<Quota>, by: fn(LimitLayer) -> LimitLayer, name| {
            let limit = quota.map(|quota| by(state.goat.limit(quota)).named(name));
            limit.map(|limit| limit.render_with(problem_with_user))
        };
        let limits = &state.limits;
        Self {
            state,
            by_address: BTreeMap::new(),
            by_user: limit(limits.user, LimitLayer::by_user, "user"),
            session_control: limit(
                limits.session_control,
                LimitLayer::by_session,
                "session-control",
            ),
            verify: limit(limits.verify, LimitLayer::by_user, "verify"),
        }
    }

    /// Authentication between the address limit and the limit of the user or session, as one layer:
    /// with limits and sessions in Redis, a request with a cached session waits for one round trip.
    fn admission(
        &self,
        rule: &Rule,
        by_address: Option<LimitLayer>,
    ) -> AuthenticateWithLimitsLayer {
        let mut authenticate = self.state.goat.authenticate().render_with(problem);
        // Without renewal: a client whose access token has expired refreshes.
        if let Some(cookies) = &self.state.http.session_cookies {
            authenticate = authenticate.cookies(cookies.clone());
        }
        let after = match rule {
            Rule::SessionControl => &self.session_control,
            Rule::Verify => &self.verify,
            Rule::Scrape(_) => &None,
            _ => &self.by_user,
        };
        authenticate.limited(by_address, after.clone())
    }

    /// Returns the address limit of a rule. All password endpoints appear as `auth` in the headers,
    /// but each has a counter of its own.
    fn of(&mut self, rule: &Rule) -> Option<LimitLayer> {
        let limits = &self.state.limits;
        let (quota, name, counter) = match rule {
            Rule::Public(PublicLimit::Unlimited) | Rule::Scrape(_) => return None,
            Rule::Public(PublicLimit::Auth(bucket)) => (limits.auth, "auth", *bucket),
            Rule::Public(PublicLimit::Public) => (limits.public, "public", "public"),
            Rule::RefreshToken => (limits.refresh, "refresh", "refresh"),
            Rule::Authenticated
            | Rule::SessionControl
            | Rule::Verify
            | Rule::Permission(_)
            | Rule::Lookup(_) => (limits.address, "address", "address"),
        };
        let quota = quota?;
        let proxies = self.state.http.proxies();
        let is_excepted = *rule == Rule::Verify && !proxies.is_empty();
        // Another layer with the same counters.
        let key = if is_excepted { "verify" } else { counter };
        let limit = self.by_address.entry(key).or_insert_with(|| {
            let limit = self.state.goat.limit(quota).by_address();
            let limit = limit.named(name).counted_as(counter).render_with(problem);
            if is_excepted { limit.except_from(proxies) } else { limit }
        });
        Some(limit.clone())
    }

    /// Returns the limit of a path's 405: that of its rule, except that wrong methods do not count
    /// as sign-in attempts.
    fn of_wrong_method(&mut self, endpoints: &[Endpoint]) -> Option<LimitLayer> {
        match endpoints.first().map(Endpoint::rule)? {
            Rule::Public(PublicLimit::Auth(_)) | Rule::RefreshToken => self.of(&PUBLIC),
            rule => self.of(rule),
        }
    }
}

/// Rejects two `Authorization` headers on public routes, as authentication does on the others: two
/// readers of such a request could see two different users (J8).
fn one_authorization(handler: Route) -> Route {
    Route::new(move |request| match bearer(request.headers()) {
        Err(error @ BearerError::Repeated) => Box::pin(ready(Denial::from(error).into_response())),
        _ => handler.respond(request),
    })
}

const PUBLIC: Rule = Rule::Public(PublicLimit::Public);

/// Renders a rejection as a problem document, for any protocol of the request.
fn problem(denial: &Denial, request: &Parts) -> Response<Bytes> {
    denial.problem().clone().for_request(request).into_response()
}

/// As [`problem`], after authentication but without an inner layer that records the user: records
/// it for the log.
fn problem_with_user(denial: &Denial, request: &Parts) -> Response<Bytes> {
    if let Some(context) = request.extensions.get::<RequestContext>() {
        context.record(&request.extensions);
    }
    problem(denial, request)
}

/// Returns the value of `Allow` for a path.
fn allow(endpoints: &[Endpoint]) -> HeaderValue {
    let mut methods: Vec<_> = endpoints.iter().map(|endpoint| endpoint.method().as_str()).collect();
    if methods.contains(&Method::GET.as_str()) {
        methods.push(Method::HEAD.as_str());
    }
    methods.sort_unstable();
    HeaderValue::try_from(methods.join(", ")).unwrap_or(HeaderValue::from_static(""))
}
