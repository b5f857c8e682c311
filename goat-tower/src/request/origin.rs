//! Request origin: client address, user agent and languages.

use std::ops::Deref;

use goat_core::{Languages, session};
use http::header::{ACCEPT_LANGUAGE, USER_AGENT};
use http::request::Parts;

use crate::address::ClientAddress;

/// The origin of a request: the client's address, its `User-Agent` and its `Accept-Language`. A login stores
/// the first two with the session, and letters are written in one of the languages.
///
/// With the feature `axum` it is an extractor, which never fails: unknown parts are left out.
///
/// ```
/// use goat_core::Goat;
/// use goat_core::auth::{Login, TokenPair};
/// use goat_tower::Origin;
///
/// async fn sign_in(
///     goat: &Goat,
///     request: &http::request::Parts,
///     email: String,
///     password: String,
/// ) -> goat_core::Result<TokenPair> {
///     let origin = Origin::of(request).into();
///     let (email, password) = (email.into(), password.into());
///     let login = Login { email, password, device_token: None, origin };
///     Ok(goat.login(login).await?.value.tokens)
/// }
///
/// # use goat_core::testing::TestGoat;
/// # use goat_core::{Email, ErrorKind, PageRequest, auth::SignUp};
/// # use goat_tower::address::PeerAddress;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let goat = TestGoat::new().goat;
/// # let (email, password) = ("ann@example.org".to_owned(), "a long walk on a short pier".to_owned());
/// # let account = (Email::parse(&email)?, password.as_str().into(), Default::default());
/// # let (account, secret, origin) = account;
/// # goat.sign_up(SignUp { email: account, password: Some(secret), origin }).await?;
/// let request = http::Request::post("/login")
///     .header("user-agent", "a telephone")
///     .extension(PeerAddress(([192, 0, 2, 7], 4711).into()));
/// let (request, ()) = request.body(())?.into_parts();
///
/// let tokens = sign_in(&goat, &request, email.clone(), password).await?;
/// let me = goat.authenticate_token(tokens.access_token.expose()).await?;
/// let session = goat.sessions().list(&me, PageRequest::default()).await?.items.remove(0);
/// assert_eq!(session.device, "a telephone");
/// assert_eq!(session.address.expect("known").to_string(), "192.0.2.7");
///
/// let rejected = sign_in(&goat, &request, email, "a guess".to_owned()).await;
/// assert_eq!(rejected.expect_err("no").kind(), ErrorKind::InvalidCredentials);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Origin(session::Origin);

impl Origin {
    /// Returns the origin of a request, as far as it is known; see [`ClientAddress::of`].
    #[must_use]
    pub fn of(request: &Parts) -> Self {
        let device = request.headers.get(USER_AGENT);
        let languages = request.headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        Self(session::Origin {
            address: ClientAddress::of(&request.extensions).map(ClientAddress::ip),
            device: device.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
            languages: languages.map(Languages::parse).unwrap_or_default(),
        })
    }
}

impl Deref for Origin {
    type Target = session::Origin;

    fn deref(&self) -> &session::Origin {
        &self.0
    }
}

impl From<Origin> for session::Origin {
    fn from(origin: Origin) -> Self {
        origin.0
    }
}
