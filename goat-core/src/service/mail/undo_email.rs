//! Undo of a changed address: the old mailbox takes the account back.
//!
//! Invariants:
//! - it is not bound to the session epoch, so that neither a recovery nor a second change ends it; a used one
//!   ends only younger ones;
//! - it restores the address, ends every session, and removes the password and the keys that are newer than the
//!   change; a recovery follows;
//! - where a factor is older than the change, the old mailbox alone takes no account.

use std::sync::Arc;

use crate::challenge::{Purpose, Subject};
use crate::clock::Timestamp;
use crate::courier::Letter;
use crate::detached::run_to_completion;
use crate::error::{Error, ErrorKind, Result, Violation};
use crate::event::{EventActor, EventKind};
use crate::factor::Answer;
use crate::id::UserId;
use crate::page::{PAGE_MAXIMUM, PageRequest};
use crate::secret::Secret;
use crate::session::Origin;
use crate::store::{UserChange, UserSnapshot};
use crate::user::{Account, Email, Status, User};

use super::super::Context;
use super::super::context::{Acting, changed};
use super::answer::{MailAnswer, Proven};
use super::change_email::{ChangeHeld, LIVE_UNDOS};

/// The answer of the old mailbox, with the answer of a second factor where one is older than the change.
#[derive(Clone, Debug)]
pub struct UndoEmail {
    /// The token of the link.
    pub token: Secret<String>,
    /// The answer of a second factor.
    pub factor: Option<Answer>,
}

impl Context {
    /// Gives the account of a changed address back to the old one.
    pub(crate) async fn undo_email_change(
        self: &Arc<Self>,
        undo: UndoEmail,
        origin: &Origin,
    ) -> Result<()> {
        let answer = MailAnswer::link(undo.token);
        let found = self.find_answered(&answer, Purpose::UndoEmail).await?;
        let old = Self::held::<ChangeHeld>(&found.challenge)?.old_email()?;
        let proven = self.compare(found, &old, origin).await?;
        let user = proven.0.user.ok_or(ErrorKind::InvalidChallenge)?;
        let account = self.stores.users.by_id(user).await?;
        let account = account.ok_or(ErrorKind::InvalidChallenge)?;
        // A suspension stops it; the letter works again after it.
        if account.user.status != Status::Active {
            return Err(ErrorKind::InvalidChallenge.into());
        }
        // Before a factor's code is used up; the transaction decides.
        let other = self.stores.users.by_email(old.canonical()).await?;
        if other.is_some_and(|other| other.user.id != user) {
            return Err(ErrorKind::EmailTaken.into());
        }
        let has_shown_factor = self.show_older_factor(user, proven.0.made_at, undo.factor).await?;
        let (context, origin) = (Arc::clone(self), origin.clone());
        // The sessions end, also if the client disconnects after the write.
        run_to_completion(async move {
            context.restore_email(proven, account, old, has_shown_factor, &origin).await
        })
        .await
    }

    /// Checks that no owner may still take an address back: until then it counts as taken for a sign-up that
    /// does not prove the mailbox.
    pub(crate) async fn check_not_undoable(&self, email: &Email) -> Result<()> {
        if self.mail.is_none() {
            return Ok(());
        }
        let (subject, now) = (Subject::address(email.as_str()), self.time.now());
        if self.stores.challenges.is_pending(Purpose::UndoEmail, &subject, now).await? {
            return Err(ErrorKind::EmailTaken.into());
        }
        Ok(())
    }

    /// Verifies a second factor where one is older than the change; returns whether it did.
    async fn show_older_factor(
        &self,
        user: UserId,
        change: Timestamp,
        answer: Option<Answer>,
    ) -> Result<bool> {
        let factors = self.stores.factors.of(user).await?;
        let is_older = |at: Option<Timestamp>| at.is_some_and(|at| at < change);
        if !factors.factors.iter().any(|factor| is_older(factor.confirmed_at)) {
            return Ok(false);
        }
        let Some(answer) = answer else {
            let rule = "is required, or recovery_code: the account has a second factor";
            return Err(Error::invalid(vec![Violation::new("authenticator_code", rule)]));
        };
        let method = self.verify_answer(user, &answer).await?;
        method.map(|_| true).ok_or_else(|| ErrorKind::InvalidChallenge.into())
    }

    async fn restore_email(
        self: &Arc<Self>,
        proven: Proven,
        account: Account,
        old: Email,
        has_shown_factor: bool,
        origin: &Origin,
    ) -> Result<()> {
        // Before anything is used up: the account has no password after it, and the letter is the way in.
        let permit = self.mail()?.reserve_notice()?;
        self.take(&proven).await?;
        let id = account.user.id;
        let (before, after) = match self.write_restored(&proven, &account, &old).await {
            Ok(accounts) => accounts,
            Err(error) => {
                self.put_back(&proven, &old).await;
                return Err(error);
            }
        };
        let change = proven.0.made_at;
        let actor = EventActor::User(id);
        if let Some(before) = before {
            let ended = before.epoch;
            self.end_sessions(&after.user, ended, None, actor.clone()).await;
            let mut event = self.email_changed(actor.clone(), before.user.email, &after.user);
            (event.kind, event.address) = (EventKind::EmailChangeUndone, origin.address);
            self.observer.observe(&event);
        }
        let kept = Some((Purpose::UndoEmail, change));
        if let Err(error) = self.stores.challenges.remove_all(id, kept).await {
            tracing::warn!(%error, user = %id, "challenges from before the undo of a changed address not removed");
        }
        if let Err(error) = self.revoke_newer_keys(&after.user, change).await {
            tracing::warn!(%error, user = %id, "a key that was created during the undo may remain");
        }
        let secret = self.store_recovery(&after, has_shown_factor).await?;
        if let Some(message) = self.recovery_letter(&after, secret, has_shown_factor).await? {
            permit.send(Letter::new(old, origin.languages.clone(), message));
        }
        Ok(())
    }

    /// Revokes the newer keys and restores the account, unless another change overtook this one.
    async fn write_restored(
        &self,
        proven: &Proven,
        read: &Account,
        old: &Email,
    ) -> Result<(Option<Account>, Account)> {
        let (id, now) = (read.user.id, self.time.now());
        // Before the write: a failure restores nothing, rather than leave a key.
        self.revoke_newer_keys(&read.user, proven.0.made_at).await?;
        let rule = |snapshot: &UserSnapshot| {
            let mut account = snapshot.target.clone().ok_or(ErrorKind::InvalidChallenge)?;
            // Of two that are used at once, the later one sees the other's work and is tried again.
            let is_same = account.user.email.canonical() == read.user.email.canonical()
                && account.epoch.number == read.epoch.number
                && account.user.status == Status::Active;
            if !is_same {
                return Err(ErrorKind::Unavailable);
            }
            account.user.set_email(old.clone());
            account.user.email_verified_at = Some(now);
            account.password_hash = Secret::new(Account::NO_PASSWORD.to_owned());
            account.epoch = account.epoch.next(None);
            account.user.updated_at = now.max(account.user.updated_at);
            Ok(UserChange::Put(account))
        };
        changed(self.write_user(Acting::default(), id, None, &rule).await?)
    }

    /// Puts back an undo that was taken and changed nothing: unlike other letters, it cannot be asked for
    /// again.
    async fn put_back(&self, Proven(challenge): &Proven, old: &Email) {
        let subject = Subject::address(old.as_str());
        let put = self.stores.challenges.put(challenge, &subject, LIVE_UNDOS).await;
        if let Err(error) = put {
            tracing::error!(%error, user = ?challenge.user, "the undo of a changed address is lost");
        }
    }

    /// Revokes the keys of a user that are newer than a change of the address.
    async fn revoke_newer_keys(&self, user: &User, change: Timestamp) -> Result<()> {
        let mut newer = Vec::new();
        for number in 1.. {
            let request = PageRequest::new(number, PAGE_MAXIMUM).unwrap_or_default();
            let page = self.stores.keys.list(user.id, request).await?;
            let is_last = page.items.len() < PAGE_MAXIMUM as usize;
            newer.extend(page.items.into_iter().filter(|key| key.created_at >= change));
            if is_last {
                break;
            }
        }
        for key in newer {
            self.stores.keys.revoke(user.id, key.id).await?;
            self.validator.key_revoked(user.id, key.id).await;
        }
        Ok(())
    }
}
