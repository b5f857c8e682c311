//! Forward authentication: the request that a reverse proxy asks about, from the proxy's headers.
//!
//! Invariant: only a trusted proxy describes the forwarded request. Headers of any other peer, repeated
//! ones, and ones that contradict each other count as absent, and an absent method counts as unsafe.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use goat_tower::Problem;
use goat_tower::address::{PeerAddress, TrustedProxies};
use goat_tower::cookie::ReturnTo;
use http::header::LOCATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::pages;
use super::stack::routes::Route;
use crate::api::AppState;

/// The original method, as Traefik and Caddy send it, and as the recipes for nginx and Envoy do.
const METHODS: [HeaderName; 2] =
    [HeaderName::from_static("x-forwarded-method"), HeaderName::from_static("x-original-method")];

const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Returns the route of token verification: the origin check of a cookie sees the method of the forwarded
/// request, and a navigation without a session is redirected if the query asks for it.
pub(super) fn verification(guarded: Route, state: &AppState) -> Route {
    let http = &state.http;
    let rules = Arc::new(Rules {
        proxies: http.proxies(),
        login_url: http.forward.login_url.clone().or_else(|| pages::login_path(state)),
        pages: http.forward.return_to(),
    });
    Route::new(move |mut request| {
        let method = rules.original_method(&request);
        let login = rules.login(&request, &method);
        *request.method_mut() = method;
        let response = guarded.respond(request);
        match login {
            None => response,
            Some(login) => Box::pin(async move { redirected(response.await, login) }),
        }
    })
}

/// Replaces a 401, also in its headers, which concern programs. One that asks for a recent proof stays: the
/// page would send a signed-in user back at once.
fn redirected(response: Response, login: HeaderValue) -> Response {
    let problem = response.extensions().get::<Problem>();
    let asks_for_proof = problem.is_some_and(|problem| problem.code() == "step-up-required");
    if response.status() != StatusCode::UNAUTHORIZED || asks_for_proof {
        return response;
    }
    (StatusCode::SEE_OTHER, [(LOCATION, login)]).into_response()
}

struct Rules {
    proxies: TrustedProxies,
    login_url: Option<String>,
    pages: ReturnTo,
}

impl Rules {
    /// Returns the method of the forwarded request. An unknown one is unsafe, as `POST` is.
    fn original_method(&self, request: &Request) -> Method {
        let peer = PeerAddress::of(request.extensions());
        let is_proxy = peer.is_some_and(|peer| self.proxies.contains(peer.0.ip()));
        let method = is_proxy.then(|| original_method(request.headers())).flatten();
        method.unwrap_or(Method::POST)
    }

    /// Returns the sign-in page for a navigation that asks to be sent there. Its method is known, so the
    /// peer is a trusted proxy.
    fn login(&self, request: &Request, method: &Method) -> Option<HeaderValue> {
        let asks = |query: &str| query.split('&').any(|pair| pair == "redirect=true");
        let headers = request.headers();
        let is_navigation =
            method.is_safe() && single(headers, &SEC_FETCH_MODE) == Some("navigate");
        if !is_navigation || !request.uri().query().is_some_and(asks) {
            return None;
        }
        let mut login = self.login_url.clone()?;
        if let Some(target) = self.return_to(headers) {
            let begins = if login.contains('?') { '&' } else { '?' };
            let _ = write!(login, "{begins}return_to={}", PercentEncoded(&target));
        }
        HeaderValue::try_from(login).ok()
    }

    /// Returns the URL of the forwarded request, if its origin is one of the applications.
    fn return_to(&self, headers: &HeaderMap) -> Option<String> {
        let [proto, host, uri] = [PROTO, HOST, URI].map(|name| single(headers, &name));
        let target = format!("{}://{}{}", proto?, host?, uri?);
        self.pages.accepts(&target).then_some(target)
    }
}

fn original_method(headers: &HeaderMap) -> Option<Method> {
    let mut values = METHODS.into_iter().flat_map(|name| headers.get_all(name));
    let method = values.next()?;
    let agree = values.all(|other| other == method);
    agree.then(|| Method::from_bytes(method.as_bytes()).ok())?
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// A text as the value of a query parameter.
struct PercentEncoded<'a>(&'a str);

impl std::fmt::Display for PercentEncoded<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.bytes().try_for_each(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                formatter.write_char(char::from(byte))
            }
            _ => write!(formatter, "%{byte:02X}"),
        })
    }
}
