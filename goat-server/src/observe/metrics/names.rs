//! Label values in place of names that clients choose.

use http::Method;

/// The route of every unmatched path.
pub const UNMATCHED: &str = "unmatched";

/// Returns the name of a method that RFC 9110 or RFC 5789 (PATCH) defines, `other` for any other
/// token.
#[must_use]
pub fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "other",
    }
}
