//! Selection of a request's credentials, for every layer that reads them.

use http::request::Parts;

use crate::cookie::Cookies;
use crate::request::bearer::bearer;
use crate::response::denial::Denial;

/// The place of an access token in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The `Authorization` header, where an API key may be too.
    Header,
    /// The cookie.
    Cookie,
}

/// Returns the unverified access token of a request, and its place: the `Authorization` header, or else the
/// cookie, which is subject to the CSRF check.
pub(crate) fn access_token<'a>(
    request: &'a Parts,
    cookies: Option<&Cookies>,
) -> Result<Option<(&'a str, Place)>, Denial> {
    match (bearer(&request.headers)?, cookies) {
        (None, Some(cookies)) => {
            Ok(cookies.access_token(request)?.map(|token| (token, Place::Cookie)))
        }
        (token, _) => Ok(token.map(|token| (token, Place::Header))),
    }
}
