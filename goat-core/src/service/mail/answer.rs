//! Answers to letters: the token of a link, or a typed code.

use crate::challenge::{Challenge, ChallengeSecret, LinkToken, Purpose, TypedCode};
use crate::error::{ErrorKind, Result};
use crate::event::{Event, EventActor, EventKind};
use crate::id::ChallengeId;
use crate::secret::Secret;
use crate::session::Origin;
use crate::user::Email;

use super::super::Context;

/// The answer to a letter, as the client presents it. One that has not the right form is a wrong one.
///
/// ```
/// use goat_core::auth::MailAnswer;
///
/// # fn answers(challenge: goat_core::ChallengeId) {
/// let clicked = MailAnswer::link("the token behind the # of the link");
/// let typed = MailAnswer::code(challenge, "abcd-ef01");
/// # let _ = (clicked, typed);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MailAnswer(Answer);

#[derive(Clone, Debug)]
enum Answer {
    Link(Secret<String>),
    Code(ChallengeId, Secret<String>),
}

impl MailAnswer {
    /// The token of a link.
    pub fn link(token: impl Into<Secret<String>>) -> Self {
        Self(Answer::Link(token.into()))
    }

    /// A typed code, for the challenge that the request returned.
    pub fn code(challenge: ChallengeId, code: impl Into<Secret<String>>) -> Self {
        Self(Answer::Code(challenge, code.into()))
    }

    fn presented(&self) -> Result<Presented, ErrorKind> {
        let presented = match &self.0 {
            Answer::Link(token) => LinkToken::parse(token.expose()).map(Presented::Link),
            Answer::Code(challenge, code) => {
                TypedCode::parse(code.expose()).map(|code| Presented::Code(*challenge, code))
            }
        };
        presented.ok_or(ErrorKind::InvalidChallenge)
    }
}

/// An answer of the right form.
enum Presented {
    Link(LinkToken),
    Code(ChallengeId, TypedCode),
}

/// A live challenge and an answer that was not compared yet.
pub(super) struct Found {
    pub(super) challenge: Challenge,
    presented: Presented,
}

/// A challenge and its right answer, by the reader of the letter.
pub(super) struct Proven(pub(super) Challenge);

impl Context {
    /// Finds the challenge of an answer. Uses no attempt.
    pub(super) async fn find_answered(
        &self,
        answer: &MailAnswer,
        purpose: Purpose,
    ) -> Result<Found> {
        let presented = answer.presented()?;
        let id = match &presented {
            Presented::Link(token) => token.challenge(),
            Presented::Code(challenge, _) => *challenge,
        };
        let found = self.stores.challenges.find(id, purpose, self.time.now()).await?;
        let challenge = found.ok_or(ErrorKind::InvalidChallenge)?;
        Ok(Found { challenge, presented })
    }

    /// Uses an attempt of the challenge and compares the answer. A typed code counts against the limits of the
    /// account of `email` too, over all its challenges.
    ///
    /// The link of a letter that has a code too uses no attempt and does not count: a stranger that asked for
    /// the letter knows the id of its challenge, and would end it for its reader by wrong answers. Its 256
    /// bits are not guessed.
    pub(super) async fn compare(
        &self,
        found: Found,
        email: &Email,
        origin: &Origin,
    ) -> Result<Proven> {
        let Found { challenge, presented } = found;
        let (id, purpose) = (challenge.id, challenge.purpose);
        if let Presented::Code(..) = presented {
            let acquired = self.credential_limits.acquire_account(email.canonical()).await;
            self.note_limits(acquired, &EventActor::Anonymous, origin.address)?;
        }
        let is_known_to_strangers = challenge.code.is_some();
        let has_attempt = match &presented {
            Presented::Link(_) if is_known_to_strangers => true,
            _ => self.stores.challenges.attempt(id, purpose, self.time.now()).await?,
        };
        // TIMING: both comparisons are in constant time.
        let is_right = match (&presented, &challenge.link, &challenge.code) {
            (Presented::Link(token), Some(stored), _) => {
                ChallengeSecret::matches(token.secret(), stored)
            }
            (Presented::Code(_, code), _, Some(stored)) => {
                self.mail()?.keys.matches(id, purpose, code, stored)
            }
            _ => false,
        };
        if has_attempt && is_right {
            return Ok(Proven(challenge));
        }
        self.note_wrong_answer(&challenge, origin);
        Err(ErrorKind::InvalidChallenge.into())
    }

    /// Uses an attempt of an answered challenge, for a further answer that can be guessed.
    pub(super) async fn attempt_more(&self, Proven(challenge): &Proven) -> Result<()> {
        let (id, purpose) = (challenge.id, challenge.purpose);
        if self.stores.challenges.attempt(id, purpose, self.time.now()).await? {
            return Ok(());
        }
        Err(ErrorKind::InvalidChallenge.into())
    }

    /// Removes an answered challenge; of concurrent right answers, one removes it.
    pub(super) async fn take(&self, Proven(challenge): &Proven) -> Result<()> {
        if self.stores.challenges.take(challenge.id).await? {
            return Ok(());
        }
        Err(ErrorKind::InvalidChallenge.into())
    }

    fn note_wrong_answer(&self, challenge: &Challenge, origin: &Origin) {
        let kind = EventKind::AnswerFailed(challenge.purpose);
        let mut event = Event::new(kind, self.time.now(), EventActor::Anonymous);
        event.user = challenge.user;
        self.observer.observe(&event.with_address(origin.address));
    }
}
