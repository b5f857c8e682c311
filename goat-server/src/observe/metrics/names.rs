//! The few names that stand for what clients make up.

use http::Method;

/// The route of every path that no route matches.
pub const UNMATCHED: &str = "unmatched";

/// The name of a method that RFC 9110 or RFC 5789 (PATCH) defines; `other` for all else, since a
/// client may write any token there.
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
