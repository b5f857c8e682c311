//! Links of letters: `<GOAT_LINK_URL>#<purpose>=<token>`.
//!
//! The purpose and the token follow the `#`, so that neither a server nor a `Referer` header sees them (M2);
//! the page behind the link reads them there and sends the token by POST. Nothing of a request is part of a link
//! (M5).

use goat_core::Secret;
use goat_core::courier::Message;

/// Returns the purpose of a message's link, by which the page behind it chooses its form and route:
///
/// | purpose | message | the token goes to |
/// |---|---|---|
/// | `sign-up` | `confirm-sign-up` | POST /api/v1/auth/signup/confirm, with a password |
/// | `verify-email` | `verify-email` | POST /api/v1/auth/verify-email/confirm, in a session of the user |
/// | `recover` | `reset-password` | POST /api/v1/auth/recover/confirm, with the new password |
/// | `change-email` | `confirm-new-email` | POST /api/v1/auth/change-email/confirm |
/// | `undo-email` | `email-changed` | POST /api/v1/auth/change-email/undo |
/// | `invite` | `invitation` | POST /api/v1/auth/invite/confirm, with a password |
/// | `sign-in` | `sign-in-code` | POST /api/v1/auth/code/confirm |
///
/// `None` for a message without a link.
pub(crate) fn purpose(message: &Message) -> Option<&'static str> {
    match message {
        Message::ConfirmSignUp(_) => Some("sign-up"),
        Message::VerifyEmail(_) => Some("verify-email"),
        Message::ResetPassword { .. } => Some("recover"),
        Message::ConfirmNewEmail(_) => Some("change-email"),
        Message::EmailChanged { undo: Some(_), .. } => Some("undo-email"),
        Message::Invitation(_) => Some("invite"),
        Message::SignInCode(_) => Some("sign-in"),
        _ => None,
    }
}

/// Returns the link of a message, if it has one, to the page at `link_url`: for a courier of an application that
/// mounts the [API](crate::Api), whose `/api/link` answers every such link.
///
/// ```
/// use goat_core::courier::Message;
/// use goat_core::testing::sample_letters;
/// use goat_core::{Email, Languages};
/// use goat_server::mail::link_for;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let page = "https://app.example.org/auth/api/link";
/// for letter in sample_letters(&Email::parse("ann@example.org")?, &Languages::default(), "") {
///     let link = link_for(&letter.message, page);
///     if let Message::ResetPassword { .. } = letter.message {
///         let link = link.expect("a link");
///         assert!(link.expose().starts_with("https://app.example.org/auth/api/link#recover="));
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn link_for(message: &Message, link_url: &str) -> Option<Secret<String>> {
    let (purpose, secret) = (purpose(message)?, message.secret()?);
    let token = secret.link.text();
    let token = token.expose();
    // With its whole capacity, so that no copy is left behind by an allocation that grows.
    let mut link = String::with_capacity(link_url.len() + purpose.len() + token.len() + 2);
    link.extend([link_url, "#", purpose, "=", token]);
    Some(Secret::new(link))
}
