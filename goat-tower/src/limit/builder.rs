//! Methods of `LimitLayer` that choose the key.

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderName;
use http::request::Parts;

use super::LimitLayer;
use super::key::Part;
use crate::cookie::Cookies;

/// The key: several of these make one key. See [above](Self#keys).
impl LimitLayer {
    /// Counts by client address. This is the default. The default name is `address`.
    ///
    /// An IPv6 address counts as its /64, which providers assign to one customer at least; and its /48,
    /// which they assign at most, counts too, at sixteen times the quota. A request that either rejects
    /// counts for neither. The headers show the one with the least remaining. This applies to each key
    /// with an address in it, such as `.by_address().by_path_template()`.
    ///
    /// The address is that of [`ClientAddressLayer`], or else of the
    /// [peer](crate::address::PeerAddress::of). Behind a proxy the peer is the proxy, and all its clients
    /// would share one counter: there, add [`ClientAddressLayer`] outside of this layer and configure the
    /// trusted proxies.
    ///
    /// If the peer is unknown the response is a 500: clients must neither share one counter nor remain
    /// uncounted.
    ///
    /// [`ClientAddressLayer`]: crate::address::ClientAddressLayer
    #[must_use]
    pub fn by_address(self) -> Self {
        self.by(Part::Address)
    }

    /// Counts by user, across sessions and addresses. The default name is `user`.
    ///
    /// Anonymous requests are not counted: limit these by address. If no layer has authenticated the request
    /// the response is a 500: put this layer inside of [`authenticate`](crate::GoatExt::authenticate).
    #[must_use]
    pub fn by_user(self) -> Self {
        self.by(Part::User)
    }

    /// Counts by session: each login of a user separately, across token refreshes. An API key counts like a
    /// session of its own. The default name is `session`.
    ///
    /// A new login has another session; [`by_user`](Self::by_user) bounds a user, and treats anonymous
    /// requests and a missing layer in the same way.
    ///
    /// Use it for the routes by which users defend their account, such as logout and the revocation of
    /// sessions, in place of a limit by user: a thief with one access token exhausts a limit by user for
    /// all sessions of its owner, who can otherwise sign in again and act from the new session.
    #[must_use]
    pub fn by_session(self) -> Self {
        self.by(Part::Session)
    }

    /// Counts by API key. The default name is `key`.
    ///
    /// Requests of sessions and anonymous ones are not counted. The owner of keys can create more of them:
    /// [`by_user`](Self::by_user) bounds all credentials of a user together. If no layer has authenticated
    /// the request the response is a 500.
    ///
    /// ```
    /// use goat_core::Quota;
    /// use goat_core::testing::TestGoat;
    /// use goat_tower::GoatExt;
    ///
    /// let goat = TestGoat::new().goat;
    /// let limit = goat.limit(Quota::per_second(10)).by_key();
    /// assert_eq!(limit.to_string(), r#"limit "key": 10 per second, counted by API key"#);
    /// ```
    #[must_use]
    pub fn by_key(self) -> Self {
        self.by(Part::ApiKey)
    }

    /// Counts by access token or API key, before it is verified. The default name is `token`.
    ///
    /// This is a cheap defence against floods with one token from many addresses: outside of
    /// [`authenticate`](crate::GoatExt::authenticate), it rejects before a signature is checked. Only a hash
    /// of the token is kept.
    ///
    /// - Each made-up token has a counter of its own, and a request without a token is not counted: bound
    ///   both by a limit by address outside of this one. A valid token has one spelling, and so one counter.
    /// - Each counter takes [space](Self::by_header) until its window has passed.
    /// - Malformed tokens and repeated `Authorization` headers share one counter; authentication rejects
    ///   them.
    #[must_use]
    pub fn by_token(self) -> Self {
        self.by(Part::Token(None))
    }

    /// Counts by access token, from a [cookie](crate::cookie) too: with the same argument as
    /// [`AuthenticateLayer::cookies`](crate::AuthenticateLayer::cookies). A cookie in a cross-site request
    /// counts as a malformed token.
    ///
    /// ```
    /// use goat_core::Quota;
    /// use goat_core::testing::TestGoat;
    /// use goat_tower::GoatExt;
    /// use goat_tower::cookie::Cookies;
    ///
    /// const COOKIES: Cookies = Cookies::new();
    ///
    /// let goat = TestGoat::new().goat;
    /// let limit = goat.limit(Quota::per_minute(60)).by_token_or_cookie(COOKIES);
    /// let authenticate = goat.authenticate().cookies(COOKIES);
    /// ```
    #[must_use]
    pub fn by_token_or_cookie(self, cookies: Cookies) -> Self {
        self.by(Part::Token(Some(cookies)))
    }

    /// Counts by the value of a header, such as an API key. The default name is that of the header.
    ///
    /// - A request without the header is not counted, and a client that varies the value has a counter for
    ///   each. So this bounds a client only if the application rejects missing and unknown values; a
    ///   limit by address bounds the attempts.
    /// - Counters of made-up values take space in the store until their window has passed, and all limits of
    ///   a store share its space: a dozen values a second fill the million counters of
    ///   [`MemoryLimits`](goat_core::store::memory::MemoryLimits) within a window of a day, and then all
    ///   new keys of any limit, logins included, share a counter. So in addition to the limit by
    ///   address, choose a short window, or a separate store by [`LimitLayer::new`].
    /// - Requests that repeat the header share one counter: it is unknown which value the application reads,
    ///   and an extra line must not evade the limit. For a header that may come in several lines, such as
    ///   `Cookie`, use [`by_custom_key`](Self::by_custom_key).
    /// - Values are compared bytewise. If several spellings are one value for the application, such as upper
    ///   and lower case, normalize them in [`by_custom_key`](Self::by_custom_key).
    ///
    /// ```
    /// use goat_core::Quota;
    /// use goat_core::testing::TestGoat;
    /// use goat_tower::GoatExt;
    /// use http::HeaderName;
    ///
    /// let api_key = HeaderName::from_static("x-api-key");
    /// let limit = TestGoat::new().goat.limit(Quota::per_second(10)).by_header(api_key);
    /// ```
    #[must_use]
    pub fn by_header(self, name: HeaderName) -> Self {
        self.by(Part::Header(name))
    }

    /// Counts by route, across parameter values and methods: `/users/{id}` is one. The default name is
    /// `path`. Alone it bounds all clients together; after [`by_user`](Self::by_user) or
    /// [`by_address`](Self::by_address), each client on each route.
    ///
    /// The router determines the template, outside of this layer:
    ///
    /// - axum's router does (feature `axum`), for `.layer(…)` and `.route_layer(…)` of a `Router`, also
    ///   nested. A layer around the whole router, or around `nest_service(…)`, runs before it and finds
    ///   none;
    /// - other routers put a [`PathTemplate`](crate::PathTemplate) into the request's extensions;
    /// - paths without parameters, as in gRPC, are listed in [`by_path_among`](Self::by_path_among).
    ///
    /// Requests without a template share one counter, like one more route: random paths create no counters,
    /// and an unknown path stays a 404. The path itself is never a key.
    ///
    /// ```
    /// use goat_core::Quota;
    /// use goat_core::testing::TestGoat;
    /// use goat_tower::address::PeerAddress;
    /// use goat_tower::{GoatExt, PathTemplate};
    /// use http::{Request, Response, StatusCode};
    /// use http_body_util::Empty;
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let limit = TestGoat::new().goat.limit(Quota::per_minute(1)).by_address().by_path_template();
    /// let service = limit.layer(service_fn(async |_: Request<()>| {
    ///     Ok::<_, std::convert::Infallible>(Response::new(Empty::<&[u8]>::new()))
    /// }));
    /// let request = |path: &str, template| {
    ///     let peer = PeerAddress(([192, 0, 2, 7], 4711).into());
    ///     Request::get(path).extension(peer).extension(PathTemplate::new(template)).body(())
    /// };
    ///
    /// let allowed = service.clone().oneshot(request("/users/7", "/users/{id}")?).await?;
    /// assert_eq!(allowed.status(), StatusCode::OK);
    /// assert_eq!(allowed.headers()["ratelimit"], r#""address-path";r=0;t=60"#);
    /// let elsewhere = service.clone().oneshot(request("/reports", "/reports")?).await?;
    /// assert_eq!(elsewhere.status(), StatusCode::OK);
    ///
    /// let rejected = service.oneshot(request("/users/8", "/users/{id}")?).await?;
    /// assert_eq!(rejected.status(), StatusCode::TOO_MANY_REQUESTS);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn by_path_template(self) -> Self {
        self.by(Part::Path(Arc::default()))
    }

    /// Counts by route, as [`by_path_template`](Self::by_path_template) does, and treats these paths as
    /// templates: the methods of a gRPC service, or the paths of a service without a router. All other
    /// paths without a template share one counter, so that made-up method names gain nothing.
    ///
    /// ```
    /// use goat_core::Quota;
    /// use goat_core::testing::TestGoat;
    /// use goat_tower::GoatExt;
    ///
    /// let goat = TestGoat::new().goat;
    /// let methods = ["/greet.Greeter/SayHello", "/greet.Greeter/SayGoodbye"];
    /// let limit = goat.limit(Quota::per_minute(60)).by_user().by_path_among(methods);
    /// ```
    #[must_use]
    pub fn by_path_among<P>(self, paths: impl IntoIterator<Item = P>) -> Self
    where
        P: Into<Cow<'static, str>>,
    {
        self.by(Part::Path(paths.into_iter().map(Into::into).collect()))
    }

    /// Counts by a string computed from the request, such as a tenant. The default name is `custom`.
    ///
    /// `None` means that the request does not count, and passes, unless the key has other parts. So if a
    /// client can omit the key it can evade the limit: add another limit, or return a shared key for such
    /// requests. Normalize values with several spellings.
    ///
    /// ```
    /// use std::borrow::Cow;
    ///
    /// use goat_core::Quota;
    /// use goat_core::testing::TestGoat;
    /// use goat_tower::GoatExt;
    /// use http::Request;
    /// use http::request::Parts;
    ///
    /// /// The tenant of acme.example.org is `acme`. HTTP/2 has the name in the URI, HTTP/1 in `Host`.
    /// fn tenant(request: &Parts) -> Option<Cow<'_, str>> {
    ///     let header = || request.headers.get("host").and_then(|host| host.to_str().ok());
    ///     let name = request.uri.host().or_else(header).unwrap_or_default();
    ///     let (tenant, _) = name.split_once('.').unwrap_or_default();
    ///     // Unknown names share one counter, so that made-up names gain nothing.
    ///     let known = ["acme", "umbrella"].iter().find(|known| known.eq_ignore_ascii_case(tenant));
    ///     Some(Cow::Borrowed(known.copied().unwrap_or_default()))
    /// }
    ///
    /// let limit = TestGoat::new().goat.limit(Quota::per_second(10)).named("tenant").by_custom_key(tenant);
    ///
    /// let of = |uri: &str, host| {
    ///     let request = Request::get(uri).header("host", host).body(()).expect("a request");
    ///     tenant(&request.into_parts().0).map(Cow::into_owned)
    /// };
    /// assert_eq!(of("/reports", "ACME.example.org").as_deref(), Some("acme"));
    /// assert_eq!(of("https://umbrella.example.org/", "").as_deref(), Some("umbrella"));
    /// assert_eq!(of("/reports", "random-1.example.org"), of("/reports", "random-2.example.org"));
    /// ```
    #[must_use]
    pub fn by_custom_key(
        self,
        key: impl Fn(&Parts) -> Option<Cow<'_, str>> + Send + Sync + 'static,
    ) -> Self {
        self.by(Part::Custom(Arc::new(key)))
    }

    fn by(mut self, part: Part) -> Self {
        self.by.and(part);
        self.changed()
    }
}
