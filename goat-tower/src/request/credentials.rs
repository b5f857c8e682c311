//! Which credentials of a request count: the one place where that is decided, for every layer that reads
//! them.

use http::request::Parts;

use crate::cookie::Cookies;
use crate::request::bearer::bearer;
use crate::response::denial::Denial;

/// The access token of a request, as it was shown: the header's, or else the cookie's, whose request must
/// come from where it may.
pub(crate) fn access_token<'a>(
    request: &'a Parts,
    cookies: Option<&Cookies>,
) -> Result<Option<&'a str>, Denial> {
    match (bearer(&request.headers)?, cookies) {
        (None, Some(cookies)) => Ok(cookies.access_token(request)?),
        (token, _) => Ok(token),
    }
}
