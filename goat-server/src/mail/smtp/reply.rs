//! Causes of failed commands, for the log.
//!
//! A reply's text may quote addresses, so that only its codes are named (L1).

use std::error::Error as _;

use lettre::transport::smtp::Error;

/// Returns the cause of an error, without the text of the server.
pub(super) fn cause(error: &Error) -> String {
    if let Some(code) = error.status() {
        let text = error.source().map(ToString::to_string).unwrap_or_default();
        return match enhanced(&text) {
            Some(enhanced) => format!("reply {code} {enhanced}"),
            None => format!("reply {code}"),
        };
    }
    // The error quotes the reply that is none.
    if error.is_response() {
        return "the server closed the connection, or its reply is not SMTP".into();
    }
    error.source().map_or_else(|| "failed".into(), ToString::to_string)
}

/// Returns the enhanced status code with which a reply's text may begin, such as 5.1.1 (RFC 3463).
fn enhanced(text: &str) -> Option<&str> {
    let word = text.split_whitespace().next()?;
    let is_number = |part: &str| {
        (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_code = word.split('.').count() == 3 && word.split('.').all(is_number);
    is_code.then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enhanced_codes_are_digits_alone() {
        for (text, expected) in [
            ("5.1.1 <ann@example.org>: unknown", Some("5.1.1")),
            ("4.7.123 later", Some("4.7.123")),
            ("ann@example.org is unknown", None),
            ("1.2.3.4 is blocked", None),
            ("5.1.1ann", None),
            ("5..1", None),
            ("5.1.1234", None),
            ("", None),
        ] {
            assert_eq!(enhanced(text), expected, "{text}");
        }
    }
}
