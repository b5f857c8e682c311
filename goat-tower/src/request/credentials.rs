//! Selection of a request's credentials, for every layer that reads them.

use http::request::Parts;

use crate::cookie::Cookies;
use crate::request::bearer::bearer;
use crate::response::denial::Denial;

/// Returns the unverified access token of a request: of the `Authorization` header, or else of the cookie,
/// which is subject to the CSRF check.
pub(crate) fn access_token<'a>(
    request: &'a Parts,
    cookies: Option<&Cookies>,
) -> Result<Option<&'a str>, Denial> {
    match (bearer(&request.headers)?, cookies) {
        (None, Some(cookies)) => Ok(cookies.access_token(request)?),
        (token, _) => Ok(token),
    }
}
