//! Cookies for browsers, where an application asks for them: the tokens of a session in two cookies
//! that no script can read, and a check that keeps other sites' pages from using them.
//!
//! A browser adds its cookies to a request by itself, whoever's page made it. So each request that
//! shows a credential in a cookie has to show where it comes from as well:
//!
//! - No layer reads a cookie unless it is given [`Cookies`]: by
//!   [`AuthenticateLayer::cookies`](crate::AuthenticateLayer::cookies), by
//!   [the same](crate::offline::AuthenticateLayer::cookies) over a verifier, or, to count by, by
//!   [`LimitLayer::by_token_or_cookie`](crate::LimitLayer::by_token_or_cookie). With them, a bearer token
//!   in the `Authorization` header is still what counts, and needs no check; where there is none, the
//!   access token is taken from its cookie. From there on there is one way for both: the same errors,
//!   the same caches.
//! - **What is checked**: every request with such a cookie whose method is not safe (RFC 9110 §9.2.1:
//!   `GET`, `HEAD`, `OPTIONS` and `TRACE` are), and every one with an `Upgrade` header, since browsers
//!   open WebSockets to any site and send cookies along. A safe method must not change anything: that
//!   is the application's part. What makes another method of a request, by `X-HTTP-Method-Override` say,
//!   stands outside of this, or the check sees a `GET`.
//! - **What is accepted**: `Sec-Fetch-Site: same-origin`, or `none` for what the user does with the
//!   browser itself. Anything else there, `same-site` too, only if `Origin` is one of those that were
//!   [allowed](Cookies::allow_origin). Where there is no `Sec-Fetch-Site` (older browsers, WebSockets
//!   of some newer ones), `Origin` has to be allowed, or to be the request's own: `https`, and the host
//!   and port that the request is for. Plain `http` is the request's own on the loopback only.
//! - **Where neither is there, it is refused.** Every browser that keeps such cookies sends at least
//!   `Origin` with what is checked, and every other client has the `Authorization` header.
//! - A header of these that is there twice, an `Origin` of `null`, and one that is not an origin as
//!   browsers write it are refused.
//! - **What is refused** is a 403 `cross-site-request` before the token is looked at: it tells nobody
//!   whether it would have done. It is one where signing in is
//!   [optional](crate::AuthenticateLayer::optional) too, and does not pass for a stranger's request:
//!   who shows a cookie is somebody, and somebody else made them show it.
//! - Two cookies of one name are a 400, as two `Authorization` headers are, even if they agree.
//!   Browsers keep one cookie of a `__Host-` name; of two, one was planted by a neighbour.
//!
//! This is the check of origins that OWASP's cheat sheet on cross-site request forgery describes,
//! without a token in every form. Cross-site scripting it does not stop: a script that runs in a page of
//! the same origin cannot read the tokens, but it can make requests.
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
//! // What the sign-in answers…
//! let mut answer = HeaderMap::new();
//! COOKIES.put(&alice.tokens, &mut answer)?;
//! let set = answer["set-cookie"].to_str()?;
//! assert!(set.ends_with("; Max-Age=300; Path=/; Secure; HttpOnly; SameSite=Lax"));
//!
//! // …and what the browser sends from then on.
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
//! # Sign-in, refresh, sign-out
//!
//! They are the application's own handlers, with four calls of [`Cookies`]: [`check`](Cookies::check)
//! before a sign-in, so that no other site's page signs its visitors in as somebody else;
//! [`put`](Cookies::put) after it; [`refresh_token`](Cookies::refresh_token), which checks and reads,
//! before a refresh, and `put` again; [`clear`](Cookies::clear) after a sign-out. The first three stand
//! outside of the layer: a browser shows its cookie whether it does or not, and one that does not do is
//! a 401 there, even where signing in is optional.
//!
//! A layer never sets or clears a cookie. A 401 for an access token that has run out says: refresh. Only
//! where that is a 401 too, the session is over; there, clear both. A 503 is none of that.
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
//! # Where it runs
//!
//! - **Serve it over https.** Browsers keep `__Host-` cookies from nowhere else, but for the loopback:
//!   Chromium takes them on `http://localhost`, `http://127.0.0.1` and `http://[::1]`, Firefox on
//!   `http://localhost`; Safari wants https there too.
//! - **Cookies know hosts, not ports.** All that listens on `localhost` shares them while one develops.
//!   Other ports' pages are of another origin, and are refused.
//! - **Behind a proxy** that gives the request another `Host`, [allow](Cookies::allow_origin) the origin
//!   that browsers see. What a proxy says in `X-Forwarded-Host` or `Forwarded` is not believed. At level
//!   `debug` the log says what was compared (feature `tracing`).
//! - **Pages of another origin** that may call, such as `https://app.example.org` where this is
//!   `https://api.example.org`, have to be allowed too. To read the answers they need CORS with
//!   credentials besides, which is not goat's. The cookies go along within one site only, whatever is
//!   allowed (see [`SameSite`]).
//! - A page with `Referrer-Policy: no-referrer` sends `Origin: null` in forms. That does where there is
//!   `Sec-Fetch-Site`; for older browsers choose `same-origin`.
//!
//! # Caches
//!
//! Every answer to a request that shows the access token's cookie is `Cache-Control: no-store`, so
//! what was made for one person is kept by no cache. `Vary` is left alone: a page that strangers get and
//! caches may keep has to say `Vary: Cookie` itself if who is signed in sees another.

mod error;
mod origin;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::time::Duration;

use goat_core::auth::TokenPair;
use goat_core::{Error, Secret};
use http::HeaderMap;
use http::request::Parts;

pub use error::CookieError;
pub use origin::InvalidOrigin;
use origin::PageOrigin;
#[cfg(feature = "testing")]
pub(crate) use origin::SEC_FETCH_SITE;

/// How a session's tokens travel in cookies; see [the module](self) for the rules. A plain value.
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
    allowed: Vec<PageOrigin<'static>>,
}

/// When the cookie of the access token goes along with requests that another site's page causes. The
/// one of the refresh token never does: only an application's own pages refresh.
///
/// There is no `None`: a cookie that goes along with everything lets other sites measure what a page
/// holds for its visitor, and some browsers keep it from them anyway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SameSite {
    /// When a link is followed, and with nothing else. The default: who comes by a link in a mail is
    /// signed in, and what a link can do must be harmless anyway.
    #[default]
    Lax,
    /// Never: who comes by a link is a stranger until a page of the application calls. For
    /// applications whose pages are the same for all and fetch what they show.
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
    /// Two cookies, `__Host-goat-access` and `__Host-goat-refresh`, for pages of the same origin.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            access: "__Host-goat-access",
            refresh: "__Host-goat-refresh",
            same_site: SameSite::Lax,
            allowed: Vec::new(),
        }
    }

    /// Other names, for two applications on one host say: of the access token's cookie, and of the
    /// refresh token's.
    ///
    /// Both begin with `__Host-` (RFC 6265bis §4.1.3.2): a browser takes a cookie of such a name over
    /// a secure connection only, from the host itself, and for the whole of it. No neighbour under the
    /// same domain can put one of its own there.
    ///
    /// # Panics
    ///
    /// If they are the same, or one is not `__Host-` and then letters, digits, `-`, `_` or `.`.
    #[must_use]
    pub fn names(mut self, access: &'static str, refresh: &'static str) -> Self {
        for name in [access, refresh] {
            let rest = name.strip_prefix("__Host-").unwrap_or_default();
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            assert!(
                !rest.is_empty() && rest.bytes().all(plain),
                "the name of a cookie must be `__Host-` and then letters, digits, `-`, `_` or `.`: {name:?}"
            );
        }
        assert!(access != refresh, "two cookies need two names: {access:?}");
        (self.access, self.refresh) = (access, refresh);
        self
    }

    /// When the cookie of the access token goes along with what another site's page causes;
    /// [`SameSite::Lax`] unless told.
    #[must_use]
    pub const fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Lets the pages of one more origin use the cookies: one under another host or port of the same
    /// site, or the application's own where a proxy gives requests another `Host`. What is allowed can
    /// do whatever the user can.
    ///
    /// # Errors
    ///
    /// What is not an origin as browsers write it, `https://host` with a port if it is not 443; `http`
    /// does on the loopback only.
    pub fn allow_origin(mut self, origin: &str) -> Result<Self, InvalidOrigin> {
        self.allowed.push(PageOrigin::parse_allowed(origin)?);
        Ok(self)
    }

    /// Puts the tokens of a sign-in or a refresh into the headers of its answer: two `Set-Cookie`, each
    /// for as long as its token is good, and `Cache-Control: no-store`.
    ///
    /// What is left of a token's life is counted from when the pair was made, by goat's clock; give it
    /// away at once.
    ///
    /// # Errors
    ///
    /// A token that browsers would drop, since it and its name have over 4096 bytes: that is one with
    /// hundreds of permissions in it (`access_token_permissions`), and the error's text says so, for the
    /// log. Nothing is put then.
    pub fn put(&self, tokens: &TokenPair, headers: &mut HeaderMap) -> Result<(), Error> {
        let now = tokens.access_token_expires_at - tokens.expires_in;
        let access = write::token(
            self.access,
            self.same_site,
            tokens.access_token.expose(),
            tokens.access_token_expires_at.since(now),
        )?;
        let refresh = write::token(
            self.refresh,
            SameSite::Strict,
            tokens.refresh_token.expose(),
            tokens.refresh_token_expires_at.since(now),
        )?;
        write::append([access, refresh], headers);
        Ok(())
    }

    /// Takes both cookies away: after a sign-out, and after a refresh that is a 401.
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
        let cookies = [(self.access, self.same_site), (self.refresh, SameSite::Strict)];
        let cleared =
            cookies.map(|(name, same_site)| write::cookie(name, same_site, "", Duration::ZERO));
        write::append(cleared.into_iter().flatten(), headers);
    }

    /// The refresh token of a request, for the handler that exchanges it. The origin is checked first,
    /// whatever the method is: to read it is to use it.
    ///
    /// # Errors
    ///
    /// [`CookieError`], which becomes the [`Problem`](crate::Problem) or [`Denial`](crate::Denial)
    /// that answers it.
    pub fn refresh_token(&self, request: &Parts) -> Result<Secret<String>, CookieError> {
        self.check_origin(request)?;
        let found = read::find(&request.headers, self.refresh).ok_or(CookieError::Missing)?;
        Ok(found.token()?.into())
    }

    /// The access token of a request, with the check that goes with it, for who authenticates without
    /// the layer; `None` if there is no such cookie.
    ///
    /// # Errors
    ///
    /// [`CookieError`], never [`CookieError::Missing`].
    pub fn access_token<'a>(&self, request: &'a Parts) -> Result<Option<&'a str>, CookieError> {
        let Some(found) = read::find(&request.headers, self.access) else { return Ok(None) };
        self.check(request)?;
        found.token().map(Some)
    }

    /// Whether a request comes from where it may: for a handler that no layer guards and that sets the
    /// cookies, as a sign-in does. Without this another site's page could sign its visitors in to an
    /// account of its own, and read what they leave there.
    ///
    /// What is safe by its method and no upgrade passes.
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

    /// Whether a request shows the cookie of the access token, whatever is in it.
    pub(crate) fn are_shown(&self, headers: &HeaderMap) -> bool {
        read::find(headers, self.access).is_some()
    }

    fn check_origin(&self, request: &Parts) -> Result<(), CookieError> {
        match origin::is_accepted(request, &self.allowed) {
            true => Ok(()),
            false => {
                #[cfg(feature = "tracing")]
                origin::tell_refused(request);
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
