//! Change of an address: it takes effect once the new mailbox answered.
//!
//! Invariants:
//! - the letter to the new address does not name the old one;
//! - the old address is told of the change, and takes it back for seven days if it was verified.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::challenge::{Challenge, Purpose, Subject};
use crate::clock::Timestamp;
use crate::courier::{Letter, Message};
use crate::detached::run_to_completion;
use crate::error::{Error, ErrorKind, Result};
use crate::event::EventActor;
use crate::language::Languages;
use crate::session::Origin;
use crate::store::{UserChange, UserSnapshot};
use crate::user::{Account, Email, User};

use super::super::Context;
use super::super::context::{Acting, changed};
use super::answer::{MailAnswer, Proven};
use super::request::{ChallengeSent, NewChallenge, owner_of};

/// How long the old address takes a change back (NIST SP 800-63B-4 §4.6).
const UNDO_TTL: Duration = Duration::from_secs(7 * 86_400);

/// How many changes of a user can be answered.
const LIVE: u32 = 1;

/// How many ways back of an address can be answered: all of them. Otherwise a change that does not take effect
/// would end the way back from an earlier one.
pub(super) const LIVE_UNDOS: u32 = u32::MAX;

/// The payload of a change, and of the way back from it.
#[derive(Serialize, Deserialize)]
pub(super) struct ChangeHeld {
    old: String,
    new: String,
}

impl ChangeHeld {
    pub(super) fn old_email(&self) -> Result<Email> {
        Email::parse(&self.old).map_err(Error::defect)
    }

    fn new_email(&self) -> Result<Email> {
        Email::parse(&self.new).map_err(Error::defect)
    }
}

impl Context {
    /// Sends the letter that confirms a new address of an account. The request was confirmed before.
    ///
    /// TIMING: one read and one write for every new address, taken or not.
    pub(crate) async fn request_email_change(
        self: &Arc<Self>,
        account: &Account,
        email: &Email,
        origin: &Origin,
    ) -> Result<ChallengeSent> {
        let permit = self.mail()?.reserve()?;
        let actor = EventActor::User(account.user.id);
        self.acquire_letter(email, &actor, origin.address).await?;
        let other = self.stores.users.by_email(email.canonical()).await?;
        let old = account.user.email.as_str().to_owned();
        let held = ChangeHeld { old, new: email.as_str().to_owned() };
        let ttl = self.settings.confirm_ttl;
        let new = self.new_challenge(Purpose::ChangeEmail, owner_of(account), ttl, &held)?;
        let NewChallenge { challenge, secret } = new;
        self.stores.challenges.put(&challenge, &Subject::user(account.user.id), LIVE).await?;
        let (to, message) = match other {
            None => (email.clone(), Message::ConfirmNewEmail(secret)),
            Some(other) => (other.user.email, Message::AccountExists),
        };
        permit.send(Letter::new(to, origin.languages.clone(), message));
        Ok(ChallengeSent::of(&challenge))
    }

    /// Changes the address of an account by the answer of the new mailbox.
    pub(crate) async fn confirm_email_change(
        self: &Arc<Self>,
        answer: &MailAnswer,
        origin: &Origin,
    ) -> Result<()> {
        let found = self.find_answered(answer, Purpose::ChangeEmail).await?;
        let held: ChangeHeld = Self::held(&found.challenge)?;
        let new = held.new_email()?;
        let proven = self.compare(found, &new, origin).await?;
        let user = proven.0.user.ok_or(ErrorKind::InvalidChallenge)?;
        let account = self.stores.users.by_id(user).await?;
        let account = account.ok_or(ErrorKind::InvalidChallenge)?;
        let (context, origin) = (Arc::clone(self), origin.clone());
        // The old address is told, also if the client disconnects after the write.
        run_to_completion(
            async move { context.change_proven(proven, account, held, &origin).await },
        )
        .await
    }

    async fn change_proven(
        &self,
        proven: Proven,
        account: Account,
        held: ChangeHeld,
        origin: &Origin,
    ) -> Result<()> {
        let (old, new) = (held.old_email()?, held.new_email()?);
        // Before anything is used up: without room for the letter, the old address could not take the
        // change back.
        let permit = self.mail()?.reserve_notice()?;
        self.take(&proven).await?;
        let id = account.user.id;
        // By one clock: the way back from an earlier change is older, whichever node made it.
        let now = self.time.now().max(account.user.updated_at + Duration::from_millis(1));
        let undo = match account.user.email_verified_at {
            Some(_) => {
                let owner = owner_of(&account);
                let mut undo = self.new_challenge(Purpose::UndoEmail, owner, UNDO_TTL, &held)?;
                undo.challenge.made_at = now;
                Some(undo)
            }
            None => None,
        };
        if let Some(undo) = &undo {
            // Before the write, so that no change is without its way back.
            let subject = Subject::address(old.as_str());
            self.stores.challenges.put(&undo.challenge, &subject, LIVE_UNDOS).await?;
        }
        let rule = |snapshot: &UserSnapshot| {
            let mut account = proven.account(snapshot, &old)?;
            account.user.set_email(new.clone());
            account.user.email_verified_at = Some(now);
            account.user.updated_at = now;
            Ok(UserChange::Put(account))
        };
        let written = self.write_user(Acting::default(), id, None, &rule).await;
        let (_, after) = match written.and_then(changed) {
            Ok(accounts) => accounts,
            Err(error) => {
                if let Some(undo) = &undo {
                    self.forget_undo(&undo.challenge).await;
                }
                return Err(error);
            }
        };
        let mut event = self.email_changed(EventActor::User(id), old.clone(), &after.user);
        event.address = origin.address;
        self.observer.observe(&event);
        let undo = undo.map(|undo| undo.secret);
        let message = Message::EmailChanged { undo, at: now };
        permit.send(Letter::new(old, origin.languages.clone(), message));
        Ok(())
    }

    /// Completes a change of an address by an administrator: ends every letter of the user, the ways back from
    /// earlier changes among them, which a thief may have, and tells the old address.
    pub(crate) async fn note_rescue(&self, before: &User, at: Timestamp) {
        if self.mail.is_none() {
            return;
        }
        if let Err(error) = self.stores.challenges.remove_all(before.id, None).await {
            tracing::error!(%error, user = %before.id, "letters from before a change of the address by an administrator are not ended");
        }
        self.notify(before, &Languages::default(), Message::EmailChanged { undo: None, at }).await;
    }

    /// Removes the way back from a change that did not take effect. Its secret was sent to no one, so a
    /// failure is only logged.
    async fn forget_undo(&self, undo: &Challenge) {
        if let Err(error) = self.stores.challenges.take(undo.id).await {
            tracing::warn!(%error, "the undo of a change that failed is not removed; it expires");
        }
    }
}
