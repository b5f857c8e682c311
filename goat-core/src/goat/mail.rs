//! Letters: sign-up, recovery, changes of addresses, invitations and sign-in by the answer to a letter.

#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::secret::Secret;
use crate::service::{ChallengeSent, MailAnswer, Recovered, SignedIn, UndoEmail};
use crate::session::Origin;
use crate::user::Email;

use super::Goat;

/// With a [courier](crate::courier). Each request counts against the limit of letters to one address
/// ([`Settings::mail_quota`](crate::Settings::mail_quota)), and is [`ErrorKind::RateLimited`] beyond it,
/// [`ErrorKind::NotFound`] without a courier, and [`ErrorKind::Unavailable`] if the queue of letters is full or
/// a store is unavailable. A route for it also needs a limit by the client's address, such as
/// `goat.limit(…).by_address()` of goat-tower.
///
/// Each answer works once. A wrong, used or expired one is [`ErrorKind::InvalidChallenge`]; a typed code has five
/// attempts, and too many on one account are [`ErrorKind::RateLimited`].
impl Goat {
    /// Whether letters can be sent.
    #[must_use]
    pub fn has_courier(&self) -> bool {
        self.inner.context.mail.is_some()
    }

    /// Asks for the letter that confirms a sign-up, where sign-up is
    /// [confirmed](crate::Signup::Confirmed). The result is the same for an address that has an account:
    /// its owner is told by the letter.
    ///
    /// ```
    /// use goat_core::auth::MailAnswer;
    /// use goat_core::testing::TestGoat;
    /// use goat_core::{Email, Settings, Signup, Stores};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let settings = Settings { signup: Signup::Confirmed, ..Settings::default() };
    /// let test = TestGoat::build(Stores::memory(), |builder| builder.settings(settings).test_letters());
    /// let (goat, origin) = (&test.goat, Default::default());
    ///
    /// let sent = goat.request_sign_up(Email::parse("ann@example.org")?, &origin).await?;
    /// let letter = goat.testing().letters().next_to("ann@example.org").await;
    /// let code = letter.message.secret().and_then(|secret| secret.code.clone()).expect("a code");
    /// let answer = MailAnswer::code(sent.challenge, code.text().clone());
    /// let password = "a long walk on a short pier".into();
    /// let signed_in = goat.confirm_sign_up(&answer, &password, &origin).await?;
    /// assert!(signed_in.user.email_verified_at.is_some());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SignupClosed`] in the other modes of sign-up, [`ErrorKind::Invalid`] for the address of a
    /// service account; those above.
    pub async fn request_sign_up(&self, email: Email, origin: &Origin) -> Result<ChallengeSent> {
        self.inner.context.request_sign_up(email, origin).await
    }

    /// Creates the account of an answered sign-up, with a password, and signs it in.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SignupClosed`], [`ErrorKind::Invalid`] for a password against the policy,
    /// [`ErrorKind::EmailTaken`] for an address that was taken meanwhile; those above.
    pub async fn confirm_sign_up(
        &self,
        answer: &MailAnswer,
        password: &Secret<String>,
        origin: &Origin,
    ) -> Result<SignedIn> {
        self.inner.context.confirm_sign_up(answer, password, origin).await
    }

    /// Asks for the letter that recovers the account of an address. The result is the same for an address
    /// without an account, which receives no letter.
    ///
    /// # Errors
    ///
    /// Those above.
    pub async fn request_recovery(&self, email: Email, origin: &Origin) -> Result<ChallengeSent> {
        self.inner.context.request_recovery(email, origin).await
    }

    /// Sets a new password by the answer to a letter. It ends every session of the user and opens none; the
    /// address counts as verified. A user with a second factor and no password shows a recovery code too.
    ///
    /// The first recovery of an address that was never verified also revokes the API keys of the account, which
    /// a stranger may have made.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a password against the policy and for a missing recovery code; those above.
    pub async fn confirm_recovery(
        &self,
        answer: &MailAnswer,
        new_password: &Secret<String>,
        recovery_code: Option<Secret<String>>,
        origin: &Origin,
    ) -> Result<Recovered> {
        self.inner.context.confirm_recovery(answer, new_password, recovery_code, origin).await
    }

    /// Changes the address of an account by the answer of the new mailbox; see
    /// [`Users::change_email`](crate::Users::change_email).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::EmailTaken`] for an address that was taken meanwhile; those above.
    pub async fn confirm_email_change(&self, answer: &MailAnswer, origin: &Origin) -> Result<()> {
        self.inner.context.confirm_email_change(answer, origin).await
    }

    /// Gives an account back to its old address, for seven days after a change, also after a recovery or a
    /// second change. Every session ends, the password is removed, and so are the API keys that are newer than
    /// the change; a letter to the old address recovers the account. Where a second factor is older than the
    /// change, it answers too.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a missing answer of the second factor, [`ErrorKind::EmailTaken`] if another
    /// user has the old address now; those above.
    pub async fn undo_email_change(&self, undo: UndoEmail, origin: &Origin) -> Result<()> {
        self.inner.context.undo_email_change(undo, origin).await
    }

    /// Activates an invited user by the token of the letter, with a password, and signs the user in; see
    /// [`Users::invite`](crate::Users::invite).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a password against the policy; those above.
    pub async fn accept_invitation(
        &self,
        token: Secret<String>,
        password: &Secret<String>,
        origin: &Origin,
    ) -> Result<SignedIn> {
        self.inner.context.accept_invitation(token, password, origin).await
    }

    /// Asks for the letter that signs in, where
    /// [`Settings::email_sign_in`](crate::Settings::email_sign_in) is on. The result is the same for an
    /// address without an account, and one that was never verified: they receive no letter.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if it is off; those above.
    pub async fn request_sign_in(&self, email: Email, origin: &Origin) -> Result<ChallengeSent> {
        self.inner.context.request_sign_in(email, origin).await
    }

    /// Signs in by the answer to a letter.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if it is off; those of [`Goat::open_session`]; those above.
    pub async fn sign_in_by_letter(&self, answer: &MailAnswer, origin: Origin) -> Result<SignedIn> {
        self.inner.context.sign_in_by_letter(answer, origin).await
    }
}
