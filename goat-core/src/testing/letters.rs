//! Letters for tests: a courier that keeps them, and one sample of each message.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::builder::Builder;
use crate::challenge::{ChallengeSecret, LinkToken, ServerKeys, TypedCode};
use crate::clock::Timestamp;
use crate::courier::{Courier, Letter, Message, OneTimeSecret, Permit, QueueFull};
use crate::factor::FactorKind;
use crate::id::ChallengeId;
use crate::language::Languages;
use crate::user::Email;

/// A courier that keeps the letters. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Letters(Arc<State>);

#[derive(Debug, Default)]
struct State {
    sent: Mutex<Vec<Letter>>,
    is_full: Mutex<bool>,
    arrived: tokio::sync::Notify,
}

impl Letters {
    /// Returns the letters that were sent, in their order, and forgets them.
    #[must_use]
    pub fn take(&self) -> Vec<Letter> {
        std::mem::take(&mut self.0.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until a letter to an address is sent, and returns the first one, without it and those before it.
    pub async fn next_to(&self, to: &str) -> Letter {
        loop {
            let arrived = self.0.arrived.notified();
            let mut arrived = std::pin::pin!(arrived);
            // Before the look, so that no letter arrives unseen between the two.
            arrived.as_mut().enable();
            if let Some(letter) = self.first_to(to) {
                return letter;
            }
            arrived.await;
        }
    }

    /// Makes the queue full, or gives it room again.
    pub fn set_full(&self, is_full: bool) {
        *self.0.is_full.lock().unwrap_or_else(PoisonError::into_inner) = is_full;
    }

    fn first_to(&self, to: &str) -> Option<Letter> {
        let mut sent = self.0.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let place = sent.iter().position(|letter| letter.to.as_str() == to)?;
        sent.drain(..=place).next_back()
    }
}

impl Courier for Letters {
    fn reserve(&self) -> Result<Permit, QueueFull> {
        if *self.0.is_full.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(QueueFull);
        }
        let state = Arc::clone(&self.0);
        Ok(Permit::new(move |letter| {
            state.sent.lock().unwrap_or_else(PoisonError::into_inner).push(letter);
            state.arrived.notify_waiters();
        }))
    }
}

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
