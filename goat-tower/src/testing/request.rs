//! Extension trait for authenticated test requests.

use std::net::{IpAddr, SocketAddr};

use goat_core::testing::{TestKey, TestUser};
use http::header::{AUTHORIZATION, COOKIE};
use http::request::Builder;
use http::{HeaderName, HeaderValue};

use crate::address::PeerAddress;
use crate::cookie::{Cookies, SEC_FETCH_SITE};

mod sealed {
    pub trait Sealed {}
    impl Sealed for http::request::Builder {}
}

/// Extends `http`'s request builder with credentials and a client address. Sealed.
///
/// ```
/// use goat_core::testing::TestGoat;
/// use goat_tower::address::ClientAddress;
/// use goat_tower::testing::RequestBuilderExt;
/// use http::Request;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> http::Result<()> {
/// let alice = TestGoat::new().sign_in("alice", []).await;
/// let request = Request::get("/reports").signed_in(&alice).coming_from("192.0.2.7").body(())?;
/// assert_eq!(request.headers()["authorization"], alice.bearer());
/// let client = ClientAddress::of(request.extensions()).expect("an address");
/// assert_eq!(client.to_string(), "192.0.2.7");
/// # Ok(())
/// # }
/// ```
pub trait RequestBuilderExt: sealed::Sealed + Sized {
    /// Sets the `Authorization` header to the user's access token, replacing an existing one.
    #[must_use]
    fn signed_in(self, user: &TestUser) -> Self;

    /// Sets the `Authorization` header to an API key, replacing an existing one.
    ///
    /// ```
    /// use goat_core::testing::TestGoat;
    /// use goat_tower::testing::RequestBuilderExt;
    /// use http::Request;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> http::Result<()> {
    /// let test = TestGoat::new();
    /// let key = test.service("backup", []).await;
    /// let request = Request::get("/reports").with_key(&key).body(())?;
    /// assert_eq!(request.headers()["authorization"], key.bearer());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    fn with_key(self, key: &TestKey) -> Self;

    /// Authenticates as a browser does from a page of the application: with the user's access-token
    /// cookie and `Sec-Fetch-Site`.
    ///
    /// ```
    /// use goat_core::testing::TestGoat;
    /// use goat_tower::GoatExt;
    /// use goat_tower::cookie::Cookies;
    /// use goat_tower::testing::{RequestBuilderExt, assert_allowed, assert_denied};
    /// use http::{Request, Response};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// const COOKIES: Cookies = Cookies::new();
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test = TestGoat::new();
    /// let alice = test.sign_in("alice", []).await;
    /// let layer = test.goat.authenticate().cookies(COOKIES);
    /// let service = layer.layer(service_fn(async |_: Request<()>| {
    ///     Ok::<_, std::convert::Infallible>(Response::new(()))
    /// }));
    ///
    /// let request = || Request::post("/reports").signed_in_by_cookie(&alice, &COOKIES);
    /// assert_allowed(&service.clone().oneshot(request().body(())?).await?);
    ///
    /// let mut foreign = request().body(())?;
    /// foreign.headers_mut().insert("sec-fetch-site", "cross-site".parse()?);
    /// assert_denied(&service.oneshot(foreign).await?, "cross-site-request");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    fn signed_in_by_cookie(self, user: &TestUser, cookies: &Cookies) -> Self;

    /// Sets the client's address, with or without a port: the [`PeerAddress`] as a server inserts
    /// it, and with the feature `axum` also axum's `ConnectInfo`.
    ///
    /// # Panics
    ///
    /// If the text is not an address.
    #[must_use]
    #[track_caller]
    fn coming_from(self, address: &str) -> Self;
}

impl RequestBuilderExt for Builder {
    fn signed_in(self, user: &TestUser) -> Self {
        with_secret(self, AUTHORIZATION, user.bearer())
    }

    fn with_key(self, key: &TestKey) -> Self {
        with_secret(self, AUTHORIZATION, key.bearer())
    }

    fn signed_in_by_cookie(self, user: &TestUser, cookies: &Cookies) -> Self {
        let cookie = format!("{}={}", cookies.access_name(), user.access_token());
        with_secret(self, COOKIE, cookie).header(SEC_FETCH_SITE, "same-origin")
    }

    fn coming_from(self, address: &str) -> Self {
        let parsed = address.parse::<SocketAddr>();
        // The port is irrelevant; goat does not read it.
        let parsed = parsed.or_else(|_| address.parse::<IpAddr>().map(|ip| (ip, 49152).into()));
        let Ok(peer) = parsed else {
            panic!("{address:?} is not an IP address, with or without a port")
        };
        let builder = self.extension(PeerAddress(peer));
        #[cfg(feature = "axum")]
        let builder = builder.extension(axum::extract::ConnectInfo(peer));
        builder
    }
}

/// Sets a header, replacing an existing one.
fn with_secret(mut builder: Builder, name: HeaderName, value: String) -> Builder {
    // A builder that has already failed ignores further headers either way.
    if let (Some(headers), Ok(mut value)) = (builder.headers_mut(), HeaderValue::try_from(value)) {
        // Omitted when a test prints its request.
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    builder
}
