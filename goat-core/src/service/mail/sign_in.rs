//! Sign-in by e-mail: a letter is the first proof of a user with a verified address.
//!
//! It creates no user, and is never a second factor (NIST SP 800-63B-4 §3.1.3.1).

use std::sync::Arc;
use std::time::Duration;

use crate::challenge::Purpose;
use crate::courier::Message;
use crate::error::{Error, ErrorKind, Result};
use crate::event::EventActor;
use crate::id::UserId;
use crate::proof::{Method, Proof};
use crate::session::Origin;
use crate::user::{Email, UserKind};

use super::super::open_session::{SignIn, Subject};
use super::super::pending_sign_in::LoginLimits;
use super::super::{Context, SignedIn};
use super::answer::{MailAnswer, Proven};
use super::request::{AddressHeld, ByAddress, ChallengeSent};

/// How long a letter signs in (NIST SP 800-63B-4 §3.1.3.2).
const TTL: Duration = Duration::from_secs(600);

impl Context {
    /// Asks for a letter that signs in.
    pub(crate) async fn request_sign_in(
        self: &Arc<Self>,
        email: Email,
        origin: &Origin,
    ) -> Result<ChallengeSent> {
        self.check_email_sign_in()?;
        let request = ByAddress { purpose: Purpose::EmailSignIn, email, ttl: TTL };
        self.request_by_address(request, origin, |_, account, secret| async move {
            let account = account.filter(|account| {
                account.user.email_verified_at.is_some() && account.user.kind() == UserKind::Person
            });
            Ok(account.map(|_| Message::SignInCode(secret)))
        })
        .await
    }

    /// Signs in by the answer to a letter. A failure is an event.
    pub(crate) async fn sign_in_by_letter(
        self: &Arc<Self>,
        answer: &MailAnswer,
        origin: Origin,
    ) -> Result<SignedIn> {
        self.check_email_sign_in()?;
        let (mut known, address) = (None, origin.address);
        let signed_in = self.sign_in_answered(answer, origin, &mut known).await;
        signed_in.inspect_err(|error| {
            // A refusal by the limits is an event of its own.
            if error.kind() != ErrorKind::RateLimited {
                let (by, actor) = (Method::EmailCode.into(), EventActor::Anonymous);
                let subject = Subject { user: known, by, address, actor };
                self.note_failed_sign_in(error.kind(), subject);
            }
        })
    }

    /// Sets `known` to the user of the challenge, for the event.
    async fn sign_in_answered(
        self: &Arc<Self>,
        answer: &MailAnswer,
        origin: Origin,
        known: &mut Option<UserId>,
    ) -> Result<SignedIn> {
        let found = self.find_answered(answer, Purpose::EmailSignIn).await?;
        *known = found.challenge.user;
        let email = Self::held::<AddressHeld>(&found.challenge)?.email()?;
        let proven = self.compare(found, &email, &origin).await?;
        let user = proven.0.user.ok_or(ErrorKind::InvalidChallenge)?;
        let account = self.stores.users.by_id(user).await?;
        let is_proven = |user: &crate::user::User| {
            user.email_verified_at.is_some() && user.email.canonical() == email.canonical()
        };
        let account = account.filter(|account| is_proven(&account.user));
        let account = account.ok_or(ErrorKind::InvalidChallenge)?;
        self.take(&proven).await?;
        let Proven(challenge) = proven;
        let proof = Proof::by_email(user, challenge.epoch, self.time.now());
        let limits = LoginLimits::Account;
        let sign_in = SignIn::new(account, proof, origin, limits);
        self.open_session_of(sign_in).await.map_err(|error| match error.kind() {
            // The epoch rose since the letter.
            ErrorKind::InvalidCredentials => ErrorKind::InvalidChallenge.into(),
            _ => error,
        })
    }

    fn check_email_sign_in(&self) -> Result<()> {
        if self.settings.email_sign_in {
            return Ok(());
        }
        let off = "Sign-in by e-mail is switched off.";
        Err(Error::from(ErrorKind::NotFound).with_client_message(off))
    }
}
