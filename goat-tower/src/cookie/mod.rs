//! Cookie authentication for browsers, with CSRF protection: the session's tokens travel in two
//! `HttpOnly` cookies, and an origin check rejects cross-site requests.
//!
//! Browsers attach cookies to a request no matter which site's page caused it. A request that
//! presents a credential in a cookie must therefore also prove its origin:
//!
//! - **Opt-in.** A layer reads cookies only if it is given [`Cookies`]: through
//!   [`AuthenticateLayer::cookies`](crate::AuthenticateLayer::cookies), or, as a rate-limit
//!   key, through [`LimitLayer::by_token_or_cookie`](crate::LimitLayer::by_token_or_cookie). A
//!   bearer token in the `Authorization` header takes precedence and needs no origin check. Without
//!   that header the layer takes the access token from its cookie; verification, errors and caches
//!   are the same for both.
//! - **Checked requests.** Every request with such a cookie whose method is not safe (RFC 9110
//!   §9.2.1: `GET`, `HEAD`, `OPTIONS` and `TRACE` are safe), and every request with an `Upgrade`
//!   header, because browsers open WebSockets to any site and send cookies along. The application
//!   must not change state in a safe method. Middleware that rewrites the method, for example from
//!   `X-HTTP-Method-Override`, belongs outside this layer; otherwise the check sees a `GET`.
//! - **Accepted requests.** `Sec-Fetch-Site: same-origin`, or `none` for navigation by the user.
//!   Any other value, `same-site` included, is accepted only if `Origin` was
//!   [allowed](Cookies::allow_origin). Without `Sec-Fetch-Site` (older browsers, WebSockets in some
//!   newer ones), `Origin` must be allowed or be the request's own: `https` with the request's host
//!   and port. Plain `http` counts as the request's own only on loopback.
//! - **Neither header present.** The request is rejected. Every browser that stores such cookies
//!   sends at least `Origin` with checked requests, and every other client can use the
//!   `Authorization` header.
//! - **Ambiguous headers.** A repeated header, an `Origin` of `null`, and a malformed origin are
//!   rejected.
//! - **Rejection.** The response is a 403 `cross-site-request`, sent before the token is verified,
//!   so it does not reveal whether the token is valid. The layer also rejects where authentication
//!   is [optional](crate::AuthenticateLayer::optional): a forged request is never downgraded to an
//!   anonymous one.
//! - **Duplicates.** Two cookies of one name are a 400, as are two `Authorization` headers, even if
//!   the values agree. Browsers store one cookie per `__Host-` name, so a second one was injected
//!   by a sibling domain.
//!
//! This is the origin verification of OWASP's CSRF prevention cheat sheet; forms need no CSRF
//! token. It does not stop cross-site scripting: a script in a page of the same origin cannot read
//! the tokens, but it can send requests.
//!
//! ```
//! use goat_core::testing::TestGoat;
//! use goat_tower::GoatExt;
//! use goat_tower::cookie::Cookies;
//! use http::{HeaderMap, Request, Response, StatusCode};
//! use http_body_util::Empty;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! const COOKIES: Cookies = Cookies::new();
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let test = TestGoat::new();
//! let alice = test.sign_in("alice", []).await;
//!
//! // The response to a login …
//! let mut response = HeaderMap::new();
//! COOKIES.put(&alice.tokens, &mut response)?;
//! let set = response["set-cookie"].to_str()?;
//! assert!(set.ends_with("; Max-Age=300; Path=/; Secure; HttpOnly; SameSite=Lax"));
//!
//! // … and the cookie that the browser sends from then on.
//! let cookie = set.split(';').next().unwrap();
//! let request = || Request::post("/reports").header("cookie", cookie);
//!
//! let layer = test.goat.authenticate().cookies(COOKIES);
//! let service = layer.layer(service_fn(async |_: Request<()>| {
//!     Ok::<_, std::convert::Infallible>(Response::new(Empty::<&[u8]>::new()))
//! }));
//!
//! let allowed = request().header("sec-fetch-site", "same-origin").body(())?;
//! let allowed = service.clone().oneshot(allowed).await?;
//! assert_eq!(allowed.status(), StatusCode::OK);
//! assert_eq!(allowed.headers()["cache-control"], "no-store");
//!
//! let forged = request().header("sec-fetch-site", "cross-site").body(())?;
//! assert_eq!(service.oneshot(forged).await?.status(), StatusCode::FORBIDDEN);
//! # Ok(())
//! # }
//! ```
//!
//! # Login, refresh and logout
//!
//! With the feature `axum`, `cookie::routes` has all three, for scripts and for HTML forms. Handlers of
//! the application's own need four calls of [`Cookies`]:
//!
//! - [`check`](Cookies::check) before a login, so that another site's page cannot log its visitors
//!   in to a foreign account (login CSRF);
//! - [`put`](Cookies::put) after a login and after a refresh;
//! - [`refresh_token`](Cookies::refresh_token), which checks the origin and reads the token, before
//!   a refresh;
//! - [`clear`](Cookies::clear) after a logout; [`end_session`](Cookies::end_session) is one that also ends a
//!   session whose access token has expired.
//!
//! Mount the login and refresh handlers outside the authenticate layer: browsers send stale access
//! cookies too, and the layer rejects an invalid one with a 401 even where authentication is
//! optional.
//!
//! Without [`renew`](Cookies::renew) a layer never sets or clears a cookie. On a 401 for an expired
//! access token the client refreshes. Only a 401 from the refresh ends the session; clear both
//! cookies there. A 503 does not end the session.
//!
//! ```
//! # #[cfg(feature = "axum")] {
//! use axum::extract::State;
//! use axum::http::{StatusCode, request::Parts};
//! use axum::response::{IntoResponse, Response};
//! use goat_core::Goat;
//! use goat_tower::{Origin, Problem, cookie::Cookies};
//!
//! const COOKIES: Cookies = Cookies::new();
//!
//! async fn refresh(
//!     State(goat): State<Goat>,
//!     origin: Origin,
//!     request: Parts,
//! ) -> Result<Response, Problem> {
//!     let token = COOKIES.refresh_token(&request)?;
//!     match goat.refresh(&token, &origin).await.map_err(Problem::from) {
//!         Ok(next) => {
//!             let mut response = StatusCode::NO_CONTENT.into_response();
//!             COOKIES.put(&next.tokens, response.headers_mut())?;
//!             Ok(response)
//!         }
//!         Err(over) if over.status() == StatusCode::UNAUTHORIZED => {
//!             let mut response = IntoResponse::into_response(over);
//!             COOKIES.clear(response.headers_mut());
//!             Ok(response)
//!         }
//!         Err(problem) => Err(problem),
//!     }
//! }
//! # let _ = axum::Router::new().route("/refresh", axum::routing::post(refresh));
//! # }
//! ```
//!
//! # Renewal
//!
//! A browser that follows a link cannot refresh first. With [`Cookies::renew`] the layer of a
//! [`Goat`](goat_core::Goat) refreshes within the request:
//!
//! - **Which requests.** The access cookie is missing or expired, the refresh cookie is present, and
//!   the request is a navigation (`Sec-Fetch-Mode: navigate` with a safe method and without an
//!   upgrade), or comes from an accepted origin as defined above, with any method. Other requests are
//!   treated as without `renew`; an unsafe one of another origin is a 403.
//! - **Success.** The request is served, and the response sets both cookies, unless the application
//!   sets a cookie of the same name itself, as a logout does.
//! - **Failure.** A refresh token that is no longer valid is a 401 that clears both cookies, also
//!   where authentication is optional: the next request is anonymous. A 503 clears neither.
//! - **Concurrency.** Parallel requests with one refresh token share one rotation
//!   ([`Goat::renew`](goat_core::Goat::renew)); on several nodes, and for requests that a browser sent
//!   before it received the new cookies, the grace period applies, so it must not be zero.
//! - **`SameSite`.** The refresh cookie gets the attribute of the access cookie. With
//!   [`SameSite::Lax`] a link in a mail works after the access token has expired. That is safe: other
//!   sites can cause nothing but a navigation with a safe method, whose response they cannot read; for
//!   every other use the refresh token is accepted only after the origin check.
//!
//! # Deployment
//!
//! - **Serve over https.** Browsers store `__Host-` cookies only from secure origins. Exceptions on
//!   loopback: Chromium accepts `http://localhost`, `http://127.0.0.1` and `http://[::1]`, Firefox
//!   accepts `http://localhost`; Safari requires https there too.
//! - **Cookies are per host, not per port.** During development, all servers on `localhost` share
//!   them. Pages of other ports have another origin and are rejected.
//! - **Behind a proxy** that rewrites `Host`, [allow](Cookies::allow_origin) the origin that
//!   browsers see. `X-Forwarded-Host` and `Forwarded` are not read. The log shows the compared
//!   values at level `debug` (feature `tracing`).
//! - **Pages of another origin**, such as `https://app.example.org` calling
//!   `https://api.example.org`, must be allowed as well. To read responses they also need CORS with
//!   credentials, which goat does not provide. Cookies are only sent within one site,
//!   regardless of the allowed origins (see [`SameSite`]).
//! - A page with `Referrer-Policy: no-referrer` sends `Origin: null` with forms. Browsers that send
//!   `Sec-Fetch-Site` are unaffected; for older ones use `Referrer-Policy: same-origin`.
//!
//! # Caches
//!
//! Every response to a request that presents the access token's cookie (with `renew`, either cookie)
//! carries `Cache-Control: no-store`, so no cache stores personal content. `Vary` is unchanged: a cacheable page that
//! anonymous clients also receive must set `Vary: Cookie` itself if signed-in users see another
//! version.

mod end_session;
mod error;
mod origin;
mod read;
mod return_to;
#[cfg(feature = "axum")]
mod routes;
#[cfg(test)]
mod tests;
mod write;

use goat_core::auth::TokenPair;
use goat_core::{Error, Secret};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};

pub use error::CookieError;
pub use origin::InvalidOrigin;
use origin::PageOrigin;
#[cfg(feature = "testing")]
pub(crate) use origin::SEC_FETCH_SITE;
pub use return_to::ReturnTo;
#[cfg(feature = "axum")]
pub use routes::routes;
pub(crate) use write::append_missing;

/// Configuration of the session cookies; see [the module](self) for the rules. A plain value.
///
/// ```
/// use goat_tower::cookie::{Cookies, SameSite};
///
/// const PLAIN: Cookies = Cookies::new();
///
/// let cookies = Cookies::new()
///     .names("__Host-shop", "__Host-shop-refresh")
///     .same_site(SameSite::Strict)
///     .allow_origin("https://www.example.org")?;
/// # Ok::<_, goat_tower::cookie::InvalidOrigin>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookies {
    access: &'static str,
    refresh: &'static str,
    same_site: SameSite,
    renew: bool,
    allowed: Vec<PageOrigin<'static>>,
}

/// When browsers send the access token's cookie with requests caused by another site's page. The
/// refresh token's cookie is `Strict`, since only the application's own pages refresh; with
/// [`renew`](Cookies::renew) it is like the access token's.
///
/// There is no `None`: a cookie sent with every cross-site request enables cross-site leaks
/// (XS-Leaks), and some browsers block it as a third-party cookie anyway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SameSite {
    /// Only on top-level navigation, such as a followed link. The default: a user following a
    /// link from a mail is signed in, and safe methods must change nothing anyway.
    #[default]
    Lax,
    /// Never: a user following a link is anonymous until a page of the application sends a
    /// request. For applications whose pages are static and fetch their data.
    Strict,
}

impl SameSite {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Lax => "Lax",
            Self::Strict => "Strict",
        }
    }
}

impl Cookies {
    /// Returns the defaults: cookies `__Host-goat-access` and `__Host-goat-refresh`, for pages of
    /// the same origin.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            access: "__Host-goat-access",
            refresh: "__Host-goat-refresh",
            same_site: SameSite::Lax,
            renew: false,
            allowed: Vec::new(),
        }
    }

    /// Sets the names of the access token's and the refresh token's cookie, for example for two
    /// applications on one host.
    ///
    /// Both begin with `__Host-` (RFC 6265bis §4.1.3.2): a browser accepts such a cookie only over
    /// a secure connection, from the host itself, and for all of its paths. A sibling domain cannot
    /// set it.
    ///
    /// # Panics
    ///
    /// If the names are equal, or one is not `__Host-` followed by letters, digits, `-`, `_` or
    /// `.`.
    #[must_use]
    pub fn names(mut self, access: &'static str, refresh: &'static str) -> Self {
        for name in [access, refresh] {
            let rest = name.strip_prefix("__Host-").unwrap_or_default();
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            assert!(
                !rest.is_empty() && rest.bytes().all(plain),
                "a cookie's name must be `__Host-` followed by letters, digits, `-`, `_` or `.`: {name:?}"
            );
        }
        assert!(access != refresh, "the two cookies must have different names: {access:?}");
        (self.access, self.refresh) = (access, refresh);
        self
    }

    /// Sets when browsers send the access token's cookie with requests caused by another site's
    /// page; the default is [`SameSite::Lax`].
    #[must_use]
    pub const fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Makes the [`AuthenticateLayer`](crate::AuthenticateLayer) of a [`Goat`](goat_core::Goat) renew
    /// the session within a request whose access token has expired; see [the
    /// module](self#renewal). A layer of an offline `Verifier` cannot renew.
    ///
    /// ```
    /// use std::time::Duration;
    /// use goat_core::testing::TestGoat;
    /// use goat_tower::GoatExt;
    /// use goat_tower::cookie::Cookies;
    /// use http::{Request, Response, StatusCode};
    /// use http_body_util::Empty;
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// const COOKIES: Cookies = Cookies::new().renew();
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test = TestGoat::new();
    /// let alice = test.sign_in("alice", []).await;
    /// let layer = test.goat.authenticate().cookies(COOKIES);
    /// let service = layer.layer(service_fn(async |_: Request<()>| {
    ///     Ok::<_, std::convert::Infallible>(Response::new(Empty::<&[u8]>::new()))
    /// }));
    ///
    /// // A link in a mail, an hour later: the browser has dropped the expired access cookie.
    /// test.clock.advance(Duration::from_secs(3600));
    /// let refresh = alice.tokens.refresh_token.expose();
    /// let link = Request::get("/reports")
    ///     .header("cookie", format!("__Host-goat-refresh={refresh}"))
    ///     .header("sec-fetch-site", "cross-site")
    ///     .header("sec-fetch-mode", "navigate");
    /// let response = service.oneshot(link.body(())?).await?;
    /// assert_eq!(response.status(), StatusCode::OK);
    /// assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub const fn renew(mut self) -> Self {
        self.renew = true;
        self
    }

    /// Allows one more origin to use the cookies: another host or port of the same site, or the
    /// application's own origin where a proxy rewrites `Host`. Pages of an allowed origin can act
    /// with all of the user's rights.
    ///
    /// # Errors
    ///
    /// If the text is not an origin as browsers serialize it: `https://host`, with a port if it is
    /// not 443. `http` is accepted only on loopback.
    pub fn allow_origin(mut self, origin: &str) -> Result<Self, InvalidOrigin> {
        self.allowed.push(PageOrigin::parse_allowed(origin)?);
        Ok(self)
    }

    /// Adds the tokens of a login or refresh to the response's headers: two `Set-Cookie` headers,
    /// each with its token's TTL, and `Cache-Control: no-store`.
    ///
    /// The TTL is counted from the creation of the pair, by goat's clock; send the response at
    /// once.
    ///
    /// # Errors
    ///
    /// If a token with its name exceeds the 4096 bytes that browsers store. This happens with
    /// hundreds of permissions in the access token (`access_token_permissions`); the error text
    /// says so, for the log. No header is added then.
    pub fn put(&self, tokens: &TokenPair, headers: &mut HeaderMap) -> Result<(), Error> {
        write::append(self.of(tokens)?, headers);
        Ok(())
    }

    /// Returns the cookies of a token pair.
    pub(crate) fn of(&self, tokens: &TokenPair) -> Result<[HeaderValue; 2], Error> {
        let now = tokens.access_token_expires_at - tokens.expires_in;
        let access = write::token(
            self.access,
            self.same_site,
            tokens.access_token.expose(),
            tokens.access_token_expires_at.since(now),
        )?;
        let refresh = write::token(
            self.refresh,
            self.refresh_same_site(),
            tokens.refresh_token.expose(),
            tokens.refresh_token_expires_at.since(now),
        )?;
        Ok([access, refresh])
    }

    const fn refresh_same_site(&self) -> SameSite {
        if self.renew { self.same_site } else { SameSite::Strict }
    }

    /// Expires both cookies: after a logout, and after a refresh that failed with 401.
    ///
    /// ```
    /// use goat_tower::cookie::Cookies;
    /// use http::HeaderMap;
    ///
    /// let mut headers = HeaderMap::new();
    /// Cookies::new().clear(&mut headers);
    /// assert_eq!(headers.get_all("set-cookie").iter().count(), 2);
    /// assert!(headers["set-cookie"].to_str()?.starts_with("__Host-goat-access=; Max-Age=0;"));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn clear(&self, headers: &mut HeaderMap) {
        write::append(self.expired(), headers);
    }

    /// Returns the cookies that expire both.
    pub(crate) fn expired(&self) -> [HeaderValue; 2] {
        [(self.access, self.same_site), (self.refresh, self.refresh_same_site())]
            .map(|(name, same_site)| write::expired(name, same_site))
    }

    /// Returns the request's refresh token, for the handler that rotates it. The origin is checked
    /// first, for every method, because reading the token means using it.
    ///
    /// # Errors
    ///
    /// [`CookieError`], which converts into the [`Problem`](crate::Problem) or
    /// [`Denial`](crate::Denial) to respond with.
    pub fn refresh_token(&self, request: &Parts) -> Result<Secret<String>, CookieError> {
        self.check_origin(request)?;
        let found = read::find(&request.headers, self.refresh).ok_or(CookieError::Missing)?;
        Ok(found.token()?.into())
    }

    /// Returns the request's access token after the origin check, for code that authenticates
    /// without the layer; `None` if the cookie is missing.
    ///
    /// # Errors
    ///
    /// [`CookieError`], never [`CookieError::Missing`].
    pub fn access_token<'a>(&self, request: &'a Parts) -> Result<Option<&'a str>, CookieError> {
        let Some(found) = read::find(&request.headers, self.access) else { return Ok(None) };
        self.check(request)?;
        found.token().map(Some)
    }

    /// Verifies the request's origin, for handlers outside the layer that set cookies, such as
    /// login. Without this check another site's page could log its visitors in to the attacker's
    /// account and read the data that they enter there.
    ///
    /// Requests with a safe method and without an upgrade pass.
    ///
    /// ```
    /// use goat_tower::cookie::{CookieError, Cookies};
    /// use http::Request;
    ///
    /// let from = |site| Request::post("/login").header("sec-fetch-site", site).body(());
    /// let (own, _) = from("same-origin")?.into_parts();
    /// let (other, _) = from("cross-site")?.into_parts();
    /// assert_eq!(Cookies::new().check(&own), Ok(()));
    /// assert_eq!(Cookies::new().check(&other), Err(CookieError::CrossSite));
    /// # Ok::<_, http::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`CookieError::CrossSite`].
    pub fn check(&self, request: &Parts) -> Result<(), CookieError> {
        if origin::is_harmless(request) { Ok(()) } else { self.check_origin(request) }
    }

    #[cfg(feature = "testing")]
    pub(crate) const fn access_name(&self) -> &'static str {
        self.access
    }

    /// Returns the refresh token of a request for which the layer may renew the session.
    ///
    /// # Errors
    ///
    /// [`CookieError::CrossSite`], or [`CookieError::Repeated`].
    pub(crate) fn renewal_token(
        &self,
        request: &Parts,
    ) -> Result<Option<Secret<String>>, CookieError> {
        let found = if self.renew { read::find(&request.headers, self.refresh) } else { None };
        let Some(found) = found else { return Ok(None) };
        self.check(request)?;
        if !origin::is_navigation(request) && !origin::is_accepted(request, &self.allowed) {
            return Ok(None);
        }
        match found.token() {
            Err(CookieError::Repeated) => Err(CookieError::Repeated),
            // An empty token is as invalid as this one; its renewal fails, which clears the cookie.
            token => Ok(Some(token.unwrap_or_default().into())),
        }
    }

    /// Returns whether a request presents a cookie that the layer reads, valid or not: the access token's,
    /// or with [`renew`](Self::renew) either. The response to such a request is not for shared caches.
    ///
    /// ```
    /// use goat_tower::cookie::Cookies;
    /// use http::{HeaderMap, HeaderValue};
    ///
    /// let mut headers = HeaderMap::new();
    /// headers.insert("cookie", HeaderValue::from_static("theme=dark; __Host-goat-access=a.b.c"));
    /// assert!(Cookies::new().are_present(&headers));
    /// assert!(!Cookies::new().names("__Host-a", "__Host-b").are_present(&headers));
    /// ```
    #[must_use]
    pub fn are_present(&self, headers: &HeaderMap) -> bool {
        read::find(headers, self.access).is_some()
            || self.renew && read::find(headers, self.refresh).is_some()
    }

    fn check_origin(&self, request: &Parts) -> Result<(), CookieError> {
        match origin::is_accepted(request, &self.allowed) {
            true => Ok(()),
            false => {
                #[cfg(feature = "tracing")]
                origin::log_rejection(request);
                Err(CookieError::CrossSite)
            }
        }
    }
}

impl Default for Cookies {
    fn default() -> Self {
        Self::new()
    }
}
