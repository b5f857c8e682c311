//! What is said where a layer is missing or stands in the wrong place.
//!
//! Invariant: what the log shows of a request was written by the application, or cannot forge a line and
//! does not look like a secret: its method, and the template of its path or the plain words of it.

use goat_core::Error;
#[cfg(feature = "tracing")]
use goat_core::ErrorKind;
use http::request::Parts;

#[cfg(feature = "tracing")]
use crate::request::path_template::PathTemplate;

/// How long a word of a path is shown; what is longer may be a secret.
#[cfg(feature = "tracing")]
const LONGEST_WORD: usize = 40;
/// The same for its parts between `.`, `-` and `_`.
#[cfg(feature = "tracing")]
const LONGEST_PART: usize = 20;
/// How many words of a path are shown.
#[cfg(feature = "tracing")]
const MOST_WORDS: usize = 16;

/// A defect of the application's wiring: 500 for the client, who cannot mend it, and for the log
/// what to mend, once it is [told](tell) on which request.
pub(crate) fn layer_order_error(advice: &'static str) -> Error {
    Error::configuration(advice)
}

/// Tells the log of a defect of wiring, if the error is one. Without the feature `tracing` the advice
/// is in the response's extensions only, in its [`Denial`](crate::Denial).
pub(crate) fn log_layer_order(error: &Error, request: &Parts) {
    #[cfg(feature = "tracing")]
    if error.kind() == ErrorKind::Configuration {
        // A method may be any word of any length.
        let method = format_args!("{:.16}", request.method.as_str());
        tracing::error!(method, path = path(request), "{error}");
    }
    #[cfg(not(feature = "tracing"))]
    let _ = (error, request);
}

/// Where it was asked: the template of the route where the router has said which it is.
#[cfg(feature = "tracing")]
fn path(request: &Parts) -> String {
    if let Some(template) = PathTemplate::of(&request.extensions) {
        return template.to_owned();
    }
    let mut words = request.uri.path().split('/').skip(1);
    let mut path = String::new();
    for word in words.by_ref().take(MOST_WORDS) {
        path.extend(["/", if is_plain(word) { word } else { "*" }]);
    }
    if words.next().is_some() {
        path.push_str("/..");
    }
    path
}

/// Whether a word of a path is a name, such as `users`, `v1` or `goat.v1.Users`, and neither an id nor
/// a secret: those have digits, or else capitals as often as not, or no end.
#[cfg(feature = "tracing")]
fn is_plain(word: &str) -> bool {
    let is_short = |part: &str| {
        part.len() <= 3
            && !part.starts_with(|first: char| first.is_ascii_digit())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let is_name = |part: &str| {
        let capitals = part.bytes().filter(u8::is_ascii_uppercase).count();
        part.len() <= LONGEST_PART
            && part.bytes().all(|byte| byte.is_ascii_alphabetic())
            && 3 * capitals <= part.len() + 2
    };
    word.len() <= LONGEST_WORD
        && word.split('.').all(|part| is_short(part) || part.split(['-', '_']).all(is_name))
}

#[cfg(all(test, feature = "tracing"))]
mod tests {
    use super::*;

    fn shown(path_and_query: &str) -> String {
        let request = http::Request::builder().uri(path_and_query).body(()).expect("a request");
        path(&request.into_parts().0)
    }

    /// L1, L2
    #[test]
    fn of_a_path_its_plain_words_are_shown_and_no_id_secret_query_or_control_character() {
        for (sent, expected) in [
            ("/", "/"),
            ("/users/me?token=abc", "/users/me"),
            ("/v1/users/01JFZ0Q4X0/sessions", "/v1/users/*/sessions"),
            ("/goat.v1.Users/Find", "/goat.v1.Users/Find"),
            ("/reset/0f9a", "/reset/*"),
            ("/reset/123456", "/reset/*"),
            // Random texts that happen to have no digit: one in forty of 128 bits in base64url.
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
            assert_eq!(shown(sent), expected, "{sent}");
        }
        // C1 control characters, which the `http` crate lets pass as UTF-8.
        if let Ok(uri) = "/a\u{9b}31m".parse::<http::Uri>() {
            assert_eq!(shown(&uri.to_string()), "/*");
        }
        assert_eq!(shown(&"/a".repeat(20)), format!("{}/..", "/a".repeat(16)));
    }
}
