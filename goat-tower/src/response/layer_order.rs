//! Configuration errors: a layer that is missing or in the wrong place.
//!
//! Invariant: the log shows of a request only its method and its path template, or else the plain words of its
//! path: nothing that could forge a log line or that looks like a secret.

use goat_core::Error;
#[cfg(feature = "tracing")]
use goat_core::ErrorKind;
use http::request::Parts;

#[cfg(feature = "tracing")]
use crate::request::path_template::PathTemplate;

/// The maximum length of a path segment in the log; a longer one may be a secret.
#[cfg(feature = "tracing")]
const MAX_SEGMENT: usize = 40;
/// The same for its parts between `.`, `-` and `_`.
#[cfg(feature = "tracing")]
const MAX_PART: usize = 20;
/// The maximum number of path segments in the log.
#[cfg(feature = "tracing")]
const MAX_SEGMENTS: usize = 16;

/// Returns the error of a missing or misplaced layer: a 500 for the client, and advice for the log; see
/// [`log_layer_order`].
pub(crate) fn layer_order_error(advice: &'static str) -> Error {
    Error::configuration(advice)
}

/// Logs a configuration error, with the method and path of the request. Without the feature `tracing`, the
/// advice is only in the [`Denial`](crate::Denial) of the response.
pub(crate) fn log_layer_order(error: &Error, request: &Parts) {
    #[cfg(feature = "tracing")]
    if error.kind() == ErrorKind::Configuration {
        // A client can send a method of any length.
        let method = format_args!("{:.16}", request.method.as_str());
        tracing::error!(method, path = path(request), "{error}");
    }
    #[cfg(not(feature = "tracing"))]
    let _ = (error, request);
}

/// Returns the path template of the request, or else the plain words of its path.
#[cfg(feature = "tracing")]
fn path(request: &Parts) -> String {
    if let Some(template) = PathTemplate::of(&request.extensions) {
        return template.to_owned();
    }
    let mut segments = request.uri.path().split('/').skip(1);
    let mut path = String::new();
    for segment in segments.by_ref().take(MAX_SEGMENTS) {
        path.extend(["/", if is_plain(segment) { segment } else { "*" }]);
    }
    if segments.next().is_some() {
        path.push_str("/..");
    }
    path
}

/// Whether a path segment is a name, such as `users`, `v1` or `goat.v1.Users`, and neither an id nor a
/// secret, which have digits, many capitals, or a great length.
#[cfg(feature = "tracing")]
fn is_plain(segment: &str) -> bool {
    let is_short = |part: &str| {
        part.len() <= 3
            && !part.starts_with(|first: char| first.is_ascii_digit())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let is_name = |part: &str| {
        let capitals = part.bytes().filter(u8::is_ascii_uppercase).count();
        part.len() <= MAX_PART
            && part.bytes().all(|byte| byte.is_ascii_alphabetic())
            && 3 * capitals <= part.len() + 2
    };
    segment.len() <= MAX_SEGMENT
        && segment.split('.').all(|part| is_short(part) || part.split(['-', '_']).all(is_name))
}

#[cfg(all(test, feature = "tracing"))]
mod tests {
    use super::*;

    fn logged(path_and_query: &str) -> String {
        let request = http::Request::builder().uri(path_and_query).body(()).expect("a request");
        path(&request.into_parts().0)
    }

    /// L1, L2
    #[test]
    fn logged_path_has_no_id_secret_query_or_control_character() {
        for (sent, expected) in [
            ("/", "/"),
            ("/users/me?token=abc", "/users/me"),
            ("/v1/users/01JFZ0Q4X0/sessions", "/v1/users/*/sessions"),
            ("/goat.v1.Users/Find", "/goat.v1.Users/Find"),
            ("/reset/0f9a", "/reset/*"),
            ("/reset/123456", "/reset/*"),
            // Random strings without a digit: one in forty of 128 bits in base64url.
            ("/reset/kXvQmPzRtLwYbNcHsJdFgA", "/reset/*"),
            ("/reset/kXv-mPzRtL_YbNcHsJdFgA", "/reset/*"),
            ("/totp/JBSWYDPEHPKXPJXL", "/totp/*"),
            ("/invite/x4k-p9z-q7w", "/invite/*"),
            ("/reset/mzxwqpbrtsaelkcjdhvgfyuo", "/reset/*"),
            ("/accounts.v1.OAuthClients/ListByOwner", "/accounts.v1.OAuthClients/ListByOwner"),
            ("/password-reset-requests/send_again", "/password-reset-requests/send_again"),
            ("/a%0Ab/c%1B", "/*/*"),
            ("/reset/abcdefghijklmnopqrstuvwxyzabcdefghijklmno", "/reset/*"),
        ] {
            assert_eq!(logged(sent), expected, "{sent}");
        }
        // Control characters from U+0080 to U+009F, which the crate `http` accepts as UTF-8.
        if let Ok(uri) = "/a\u{9b}31m".parse::<http::Uri>() {
            assert_eq!(logged(&uri.to_string()), "/*");
        }
        assert_eq!(logged(&"/a".repeat(20)), format!("{}/..", "/a".repeat(16)));
    }
}
