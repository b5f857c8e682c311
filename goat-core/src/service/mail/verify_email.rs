//! Verification: the user of a session proves that the address of the account is the user's own.
//!
//! Only a session of that user answers. Otherwise a click of the mailbox's owner would verify the account that
//! a stranger made with the address.

use std::sync::Arc;

use crate::challenge::{Purpose, Subject};
use crate::courier::{Letter, Message};
use crate::detached::run_to_completion;
use crate::error::{ErrorKind, Result};
use crate::event::{EventActor, EventKind};
use crate::session::Origin;
use crate::store::{UserChange, UserSnapshot};
use crate::user::User;

use super::super::context::{Acting, changed};
use super::super::{Principal, Users};
use super::answer::MailAnswer;
use super::request::{AddressHeld, ChallengeSent, LIVE, NewChallenge, owner_of};

impl Users {
    /// Asks for a letter that verifies the principal's own address; returns `None` if it is verified already.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SessionRequired`] for an API key, [`ErrorKind::SessionRevoked`],
    /// [`ErrorKind::RateLimited`] for too many letters to the address, [`ErrorKind::NotFound`] without a
    /// courier; [`ErrorKind::Unavailable`] if the queue of letters is full or a store is unavailable.
    pub async fn request_verification(
        &self,
        principal: &Principal,
        origin: &Origin,
    ) -> Result<Option<ChallengeSent>> {
        principal.require_session()?;
        let context = &self.context;
        let permit = context.mail()?.reserve()?;
        let account = context.own_account(principal).await?;
        if account.user.email_verified_at.is_some() {
            return Ok(None);
        }
        let (id, email) = (account.user.id, &account.user.email);
        context.acquire_letter(email, &EventActor::User(id), origin.address).await?;
        let ttl = context.settings.confirm_ttl;
        let (purpose, held) = (Purpose::VerifyEmail, AddressHeld::of(email));
        let new = context.new_challenge(purpose, owner_of(&account), ttl, &held)?;
        context.stores.challenges.put(&new.challenge, &Subject::user(id), LIVE).await?;
        let NewChallenge { challenge, secret } = new;
        let message = Message::VerifyEmail(secret);
        permit.send(Letter::new(email.clone(), origin.languages.clone(), message));
        Ok(Some(ChallengeSent::of(&challenge)))
    }

    /// Verifies the principal's own address by the answer to the letter.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SessionRequired`] for an API key, [`ErrorKind::InvalidChallenge`] for a wrong answer, one
    /// to a letter of another user, and one from before a change of the address or the end of all sessions;
    /// [`ErrorKind::RateLimited`] for too many typed codes, [`ErrorKind::SessionRevoked`]; or if a store is
    /// unavailable.
    pub async fn verify_email(
        &self,
        principal: &Principal,
        answer: &MailAnswer,
        origin: &Origin,
    ) -> Result<User> {
        principal.require_session()?;
        let context = Arc::clone(&self.context);
        let id = principal.user();
        let found = context.find_answered(answer, Purpose::VerifyEmail).await?;
        // Before an attempt is used: a stranger's session takes none from the owner.
        if found.challenge.user != Some(id) {
            return Err(ErrorKind::InvalidChallenge.into());
        }
        let email = super::super::Context::held::<AddressHeld>(&found.challenge)?.email()?;
        context.own_account(principal).await?;
        let proven = context.compare(found, &email, origin).await?;
        run_to_completion(async move {
            context.take(&proven).await?;
            let now = context.time.now();
            let rule = |snapshot: &UserSnapshot| {
                let mut account = proven.account(snapshot, &email)?;
                account.user.email_verified_at.get_or_insert(now);
                Ok(UserChange::Put(account))
            };
            let outcome = context.write_user(Acting::default(), id, None, &rule).await?;
            let (_, after) = changed(outcome)?;
            context.emit(EventKind::EmailVerified, EventActor::User(id), &after.user);
            Ok(after.user)
        })
        .await
    }
}
