//! What a test puts into a request: whose it is, and where it comes from.

use std::net::{IpAddr, SocketAddr};

use goat_core::testing::TestUser;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use http::request::Builder;

use crate::address::PeerAddress;

mod sealed {
    pub trait Sealed {}
    impl Sealed for http::request::Builder {}
}

/// Requests of somebody, from somewhere. Implemented for the request builder of `http`, and for
/// nothing else.
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
    /// As this user: the `Authorization` header with the user's access token, in place of one that
    /// stood there.
    #[must_use]
    fn signed_in(self, user: &TestUser) -> Self;

    /// From this address, with or without a port: the [`PeerAddress`], as whoever accepts connections
    /// leaves it, and with the feature `axum` also axum's `ConnectInfo`.
    ///
    /// # Panics
    ///
    /// If the text is no address.
    #[must_use]
    #[track_caller]
    fn coming_from(self, address: &str) -> Self;
}

impl RequestBuilderExt for Builder {
    fn signed_in(mut self, user: &TestUser) -> Self {
        // What a builder that has failed already is given is lost, whichever way it is given.
        if let (Some(headers), Ok(mut value)) =
            (self.headers_mut(), HeaderValue::try_from(user.bearer()))
        {
            // Left out where a test prints its request.
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        self
    }

    fn coming_from(self, address: &str) -> Self {
        let parsed = address.parse::<SocketAddr>();
        // Any port will do: goat looks at none.
        let parsed = parsed.or_else(|_| address.parse::<IpAddr>().map(|ip| (ip, 49152).into()));
        let Ok(peer) = parsed else {
            panic!("{address:?} is no IP address, with or without a port")
        };
        let builder = self.extension(PeerAddress(peer));
        #[cfg(feature = "axum")]
        let builder = builder.extension(axum::extract::ConnectInfo(peer));
        builder
    }
}
