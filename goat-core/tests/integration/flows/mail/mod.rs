//! Letters: the flows in which the answer to a letter proves control of an address.

mod answers;
mod change_email;
mod invitation;
mod notices;
mod recovery;
mod requests;
mod sign_in;
mod sign_up;
mod verification;

use goat_core::auth::{ChallengeSent, MailAnswer};
use goat_core::courier::{Letter, Message};
use goat_core::session::Origin;
use goat_core::testing::Letters;
use goat_core::{Error, ErrorKind, Result, Secret, Signup};

use crate::flows::support::{Backend, Harness, address, email};

/// A goat with every request for a letter switched on.
pub(crate) fn harness(backend: Backend) -> Harness {
    Harness::with_letters(backend, |settings| {
        settings.signup = Signup::Confirmed;
        settings.email_sign_in = true;
    })
}

pub(crate) fn letters(harness: &Harness) -> Letters {
    harness.goat.testing().letters()
}

/// The next letter to a user, by name.
pub(crate) async fn letter(harness: &Harness, name: &str) -> Message {
    let waited = letters(harness);
    let to = address(name);
    let next = waited.next_to(&to);
    let letter: Letter =
        tokio::time::timeout(std::time::Duration::from_secs(30), next).await.expect("a letter");
    letter.message
}

/// The answer by the link of a letter.
pub(crate) fn link(message: &Message) -> MailAnswer {
    MailAnswer::link(token(message))
}

pub(crate) fn token(message: &Message) -> Secret<String> {
    message.secret().expect("a letter with a secret").link.text()
}

/// The answer by the typed code of a letter.
pub(crate) fn code(sent: ChallengeSent, message: &Message) -> MailAnswer {
    let secret = message.secret().expect("a letter with a secret");
    let code = secret.code.as_ref().expect("a letter with a code");
    MailAnswer::code(sent.challenge, code.text().clone())
}

/// A code that is not the one of the letter.
pub(crate) fn wrong_code(sent: ChallengeSent, message: &Message) -> MailAnswer {
    let secret = message.secret().expect("a letter with a secret");
    let right = secret.code.as_ref().expect("a letter with a code").text().expose();
    let wrong = if right.starts_with('0') { "1" } else { "0" }.to_owned() + &right[1..];
    MailAnswer::code(sent.challenge, wrong)
}

pub(crate) async fn request_recovery(harness: &Harness, name: &str) -> ChallengeSent {
    let requested = harness.goat.request_recovery(email(name), &Origin::default()).await;
    requested.expect("accepted")
}

/// Asks for a recovery, and returns its letter.
pub(crate) async fn recovery(harness: &Harness, name: &str) -> Message {
    request_recovery(harness, name).await;
    // Notices may come first.
    loop {
        let message = letter(harness, name).await;
        if matches!(message, Message::ResetPassword { .. } | Message::NothingToReset) {
            return message;
        }
    }
}

pub(crate) const INVALID: Option<ErrorKind> = Some(ErrorKind::InvalidChallenge);

pub(crate) fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().as_ref().map(Error::kind)
}
