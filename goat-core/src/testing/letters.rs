//! Letters for tests: a goat that keeps them, and one sample of each message.

use std::sync::Arc;
use std::time::Duration;

use crate::builder::Builder;
use crate::challenge::{ChallengeSecret, LinkToken, ServerKeys, TypedCode};
use crate::clock::Timestamp;
use crate::courier::kept::Letters;
use crate::courier::{Letter, Message, OneTimeSecret};
use crate::factor::FactorKind;
use crate::id::ChallengeId;
use crate::language::Languages;
use crate::user::Email;

/// For tests (feature `testing`).
impl Builder {
    /// Keeps letters in memory, where [`Testing::letters`](super::Testing::letters) reads them, and generates
    /// server keys.
    pub fn test_letters(mut self) -> Self {
        let letters = Letters::default();
        self.letters = Some(letters.clone());
        self.courier(Arc::new(letters)).server_keys(ServerKeys::generate())
    }
}

/// Returns one letter of each message, for tests of a courier. `text` stands in for each text that comes from
/// a client.
#[must_use]
pub fn sample_letters(to: &Email, languages: &Languages, text: &str) -> Vec<Letter> {
    let at = Timestamp::from_millis(1_767_225_600_000);
    let secret = |code: bool| {
        let link = LinkToken::new(ChallengeId::generate(at), &ChallengeSecret::generate());
        let code = code.then(TypedCode::generate);
        OneTimeSecret::new(link, code, at + Duration::from_secs(86_400))
    };
    let address = Some([192, 0, 2, 7].into());
    let reset =
        |needs_recovery_code| Message::ResetPassword { secret: secret(true), needs_recovery_code };
    let messages = [
        Message::ConfirmSignUp(secret(true)),
        Message::AccountExists,
        Message::VerifyEmail(secret(true)),
        reset(false),
        reset(true),
        Message::NothingToReset,
        Message::ConfirmNewEmail(secret(true)),
        Message::EmailChanged { undo: None, at },
        Message::EmailChanged { undo: Some(secret(false)), at },
        Message::PasswordChanged { at, factors: vec![], keys: 0 },
        Message::PasswordChanged { at, factors: vec![FactorKind::Totp], keys: 2 },
        Message::KeyCreated { name: text.to_owned(), at },
        Message::SecondFactorFailed { at, address },
        Message::NewDevice { at, device: text.to_owned(), address },
        Message::SignInCode(secret(true)),
        Message::Invitation(secret(false)),
    ];
    let letter = |message| Letter::new(to.clone(), languages.clone(), message);
    messages.map(letter).into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn samples_are_of_every_message() {
        let to = Email::parse("ann@example.org").expect("an address");
        let samples = sample_letters(&to, &Languages::default(), "a text");
        let names: BTreeSet<_> = samples.iter().map(|letter| letter.message.name()).collect();
        assert_eq!(names, BTreeSet::from(Message::NAMES));
    }
}
