//! What an application may let a limit count by.

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderName;
use http::request::Parts;

use super::LimitLayer;
use super::key::Part;
use crate::cookie::Cookies;

/// What is counted by: several of these make one key. See [above](Self#what-it-counts-by).
impl LimitLayer {
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
    pub fn by_address(self) -> Self {
        self.by(Part::Address)
    }

    /// Counts by user, whatever their sessions and addresses. Its name is `user` unless told.
    ///
    /// Who may pass without signing in is not counted here: count them by address. Where nobody has
    /// looked at the credentials yet the answer is a 500: put this layer inside of
    /// [`authenticate`](crate::GoatExt::authenticate).
    #[must_use]
    pub fn by_user(self) -> Self {
        self.by(Part::User)
    }

    /// Counts by session: each sign-in of a user by itself, whatever tokens it is refreshed to. Its name
    /// is `session` unless told.
    ///
    /// Who signs in again has another session, so what bounds a user is [`by_user`](Self::by_user).
    /// Strangers, and what was put in the wrong place, are treated as there.
    #[must_use]
    pub fn by_session(self) -> Self {
        self.by(Part::Session)
    }

    /// Counts by token, as it was shown and before anybody has verified it. Its name is `token` unless
    /// told.
    ///
    /// The cheap stage against a flood with one token, from however many addresses: outside of
    /// [`authenticate`](crate::GoatExt::authenticate), it refuses before a signature is looked at. Only
    /// a hash of the token is kept.
    ///
    /// - A client that makes tokens up has a counter for each of them, and one that shows none is not
    ///   counted: bound both by a limit by address outside of this one. What goat lets in has one
    ///   spelling, so a good token has one counter.
    /// - Each counter takes [room](Self::by_header) until its window has passed.
    /// - What is no token, and two `Authorization` headers, share one counter. Nobody is let in by them.
    #[must_use]
    pub fn by_token(self) -> Self {
        self.by(Part::Token(None))
    }

    /// The same where tokens are taken from [cookies](crate::cookie) too: give it what
    /// [`authenticate`](crate::AuthenticateLayer::cookies) has. A cookie in a request from another site
    /// counts as what is no token.
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

    /// Counts by the value of a header, an API key's say. Its name is the header's unless told.
    ///
    /// - Who does not send it is not counted, and who sends another value each time has a counter each
    ///   time. So this bounds a client only where the application refuses a value that is missing or
    ///   that it has not given out; and until it has, a limit by address bounds the attempts.
    /// - Counters of values that were made up take room in the store until their window has passed, and
    ///   all limits of a store share its room: a dozen values a second fill the million counters of
    ///   [`MemoryLimits`](goat_core::store::memory::MemoryLimits) in a day if that is the window, and
    ///   whoever is new to any limit then shares a counter with all others who are, sign-ins too. So
    ///   beside that limit by address, choose a short window, or a store of its own by
    ///   [`LimitLayer::new`].
    /// - Requests that send it twice share one counter, whatever the values: which of them the
    ///   application reads is not known here, and one line more must not be a way out of the count. A
    ///   header that may come in several lines, such as `Cookie`, is a matter for
    ///   [`by_key`](Self::by_key).
    /// - Values count byte by byte, also what is not ASCII. What the application reads as one value
    ///   in several spellings, upper and lower case say, is brought to one by [`by_key`](Self::by_key) too.
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

    /// Counts by route, whatever stands in its parameters and whatever the method: `/users/{id}` is one.
    /// Its name is `path` unless told. Alone it bounds all clients together; after
    /// [`by_user`](Self::by_user) or [`by_address`](Self::by_address), each of them on each route.
    ///
    /// The template is what a router has found before this layer is asked:
    ///
    /// - with axum (feature `axum`) its own, for `.layer(…)` and `.route_layer(…)` of a `Router` alike,
    ///   nested ones too. A layer around the whole router is asked before it, and finds none; so does
    ///   one around `nest_service(…)`;
    /// - elsewhere a [`PathTemplate`](crate::PathTemplate) in the request's extensions;
    /// - where paths have no parameters, as in gRPC, those named to
    ///   [`by_path_among`](Self::by_path_among).
    ///
    /// Requests without a template share one counter, as if they were for one more route: so random
    /// paths make no counters, and a path that is not there stays a 404. The path itself is never
    /// counted by, whatever the request says that it is.
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
    /// let refused = service.oneshot(request("/users/8", "/users/{id}")?).await?;
    /// assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn by_path_template(self) -> Self {
        self.by(Part::Path(Arc::default()))
    }

    /// Counts by route, as [`by_path_template`](Self::by_path_template) does, and takes these paths for
    /// templates as they are: the methods of a gRPC service, or the few paths of a service without a
    /// router. All other paths without a template share one counter, so a client that makes up names
    /// of methods gains nothing.
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

    /// Counts by a text that is read from the request: a tenant, say. Its name is `key` unless told.
    ///
    /// `None` means that the request does not count here, and passes, unless something else is counted
    /// by as well. So a key that a client can leave out is a limit that it can leave out: have another
    /// limit for those, or answer a key that they share. What has several spellings must be brought to
    /// one.
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
    /// /// acme.example.org is acme's. Over HTTP/2 the name stands in the URI, before that in `Host`.
    /// fn tenant(request: &Parts) -> Option<Cow<'_, str>> {
    ///     let header = || request.headers.get("host").and_then(|host| host.to_str().ok());
    ///     let name = request.uri.host().or_else(header).unwrap_or_default();
    ///     let (tenant, _) = name.split_once('.').unwrap_or_default();
    ///     // What a client makes up shares one counter, so that no name brings it another.
    ///     let known = ["acme", "umbrella"].iter().find(|known| known.eq_ignore_ascii_case(tenant));
    ///     Some(Cow::Borrowed(known.copied().unwrap_or_default()))
    /// }
    ///
    /// let limit = TestGoat::new().goat.limit(Quota::per_second(10)).named("tenant").by_key(tenant);
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
    pub fn by_key(
        self,
        key: impl Fn(&Parts) -> Option<Cow<'_, str>> + Send + Sync + 'static,
    ) -> Self {
        self.by(Part::Key(Arc::new(key)))
    }

    fn by(mut self, part: Part) -> Self {
        self.by.and(part);
        self.changed()
    }
}
