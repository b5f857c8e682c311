//! The form of the OAuth endpoints about a token: its parameter `token`. Other parameters are ignored (RFC 6749
//! §3.1), such as `token_type_hint` and the credentials of a client.

use axum::extract::{FromRequest, Request};
use goat_core::{Secret, Violation};

use super::body::{check, collect};
use super::findings::Violations;
use super::query::{decode, pairs};
use super::rejection::Rejection;

/// The media type of a form.
const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

/// Extracts the token from a form body.
#[derive(Clone, Debug)]
pub(crate) struct TokenForm(pub(crate) Secret<String>);

impl<S: Send + Sync> FromRequest<S> for TokenForm {
    type Rejection = Rejection;

    async fn from_request(request: Request, _: &S) -> Result<Self, Rejection> {
        let (head, body) = request.into_parts();
        let declared =
            check(&head.headers, &[MEDIA_TYPE]).map_err(|rejection| match rejection {
                Rejection::MediaType => Rejection::FormMediaType,
                other => other,
            })?;
        let bytes = collect(body, declared).await?;
        match token(bytes.expose()) {
            Ok(token) => Ok(Self(token)),
            Err(message) => {
                Err(Rejection::Invalid(Violations::from(Violation::new("token", message))))
            }
        }
    }
}

/// Returns the token. A parameter without a value counts as absent (RFC 6749 §3.1).
fn token(form: &[u8]) -> Result<Secret<String>, &'static str> {
    const UNREADABLE: &str = "must be percent-encoded text in UTF-8";
    let form = std::str::from_utf8(form).map_err(|_| UNREADABLE)?;
    let pairs = pairs(Some(form)).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let is_token = |name: &str| decode(name).as_deref() == Some("token");
    let mut values = pairs.filter(|(name, _)| is_token(name)).map(|(_, value)| value);
    let value = values.next().unwrap_or_default();
    if values.next().is_some() {
        return Err("must not be repeated");
    }
    if value.is_empty() {
        return Err("is required");
    }
    // A plus is a space in a form.
    let text = decode(&value.replace('+', " ")).ok_or(UNREADABLE)?;
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_read_and_other_parameters_are_ignored() {
        for (form, expected) in [
            ("token=abc", Ok("abc")),
            ("token_type_hint=access_token&token=a.b-c_d", Ok("a.b-c_d")),
            ("%74oken=%61b&&client_id=x&client_id=y&%zz=1&=2", Ok("ab")),
            ("token=a+b", Ok("a b")),
            ("token=a=b", Ok("a=b")),
            ("", Err("is required")),
            ("token", Err("is required")),
            ("token=", Err("is required")),
            ("Token=abc", Err("is required")),
            ("token=a&token=a", Err("must not be repeated")),
            ("token=&token=a", Err("must not be repeated")),
            ("token=%zz", Err("must be percent-encoded text in UTF-8")),
            ("token=%ff", Err("must be percent-encoded text in UTF-8")),
        ] {
            let found = token(form.as_bytes());
            let found = found.as_ref().map(|token| token.expose().as_str());
            assert_eq!(found, expected.as_ref().map(|text| *text), "{form}");
        }
        assert!(token(b"token=\xff").is_err());
    }
}
