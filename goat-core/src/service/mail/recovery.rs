//! Recovery: a letter sets a new password in place of a forgotten one.
//!
//! Invariants:
//! - it opens no session, and ends every one; the next sign-in needs its second factor;
//! - it ends every other challenge of the user but those that undo a change of address;
//! - the first proof of an address leaves no earlier way in: keys that were added before it are revoked.

use std::sync::Arc;

use crate::challenge::{Purpose, Subject};
use crate::clock::Timestamp;
use crate::courier::{Letter, Message, OneTimeSecret};
use crate::detached::run_to_completion;
use crate::error::{Error, ErrorKind, Result, Violation};
use crate::event::{Event, EventActor, EventKind};
use crate::factor::Answer;
use crate::id::UserId;
use crate::language::Languages;
use crate::proof::Method;
use crate::secret::Secret;
use crate::session::Origin;
use crate::store::{UserChange, UserSnapshot};
use crate::user::{Account, Email, Status, User, UserKind};

use super::super::context::{Acting, changed};
use super::super::{Actor, Context};
use super::answer::{MailAnswer, Proven};
use super::request::{AddressHeld, ByAddress, ChallengeSent, NewChallenge, owner_of};

/// The result of a recovery.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Recovered {
    /// The user.
    pub user: User,
    /// A device token for the next login, so that strangers that exhaust the limit of the account do not lock
    /// out its owner. It grants nothing.
    pub device_token: Secret<String>,
}

/// A recovery with its answered letter and the hash of its new password.
struct Recovery {
    proven: Proven,
    account: Account,
    email: Email,
    hash: Secret<String>,
}

impl Context {
    /// Asks for a letter that recovers an account.
    pub(crate) async fn request_recovery(
        self: &Arc<Self>,
        email: Email,
        origin: &Origin,
    ) -> Result<ChallengeSent> {
        let ttl = self.settings.recovery_ttl;
        let request = ByAddress { purpose: Purpose::ResetPassword, email, ttl };
        let sent =
            self.request_by_address(request, origin, |context, account, secret| async move {
                match account {
                    Some(account) => context.recovery_letter(&account, secret, false).await,
                    None => Ok(None),
                }
            });
        let sent = sent.await?;
        let event =
            Event::new(EventKind::RecoveryRequested, self.time.now(), EventActor::Anonymous);
        self.observer.observe(&event.with_address(origin.address));
        Ok(sent)
    }

    /// Starts the recovery of a user, as an administrator asks for it. The letter alone has the secret.
    pub(crate) async fn start_recovery(
        self: &Arc<Self>,
        actor: &Actor,
        account: &Account,
        origin: &Origin,
    ) -> Result<()> {
        let permit = self.mail()?.reserve()?;
        let email = &account.user.email;
        self.acquire_letter(email, &actor.event_actor(), origin.address).await?;
        let secret = self.store_recovery(account, false).await?;
        if let Some(message) = self.recovery_letter(account, secret, false).await? {
            permit.send(Letter::new(email.clone(), Languages::default(), message));
        }
        self.emit(EventKind::RecoveryRequested, actor.event_actor(), &account.user);
        Ok(())
    }

    /// Stores a challenge of a recovery.
    pub(super) async fn store_recovery(
        &self,
        account: &Account,
        has_shown_factor: bool,
    ) -> Result<OneTimeSecret> {
        let email = &account.user.email;
        let held = AddressHeld { has_shown_factor, ..AddressHeld::of(email) };
        let ttl = self.settings.recovery_ttl;
        let new = self.new_challenge(Purpose::ResetPassword, owner_of(account), ttl, &held)?;
        let NewChallenge { challenge, secret } = new;
        let subject = Subject::address(email.as_str());
        self.stores.challenges.put(&challenge, &subject, super::request::LIVE).await?;
        Ok(secret)
    }

    /// Chooses the letter of a recovery: none for a service account.
    pub(super) async fn recovery_letter(
        &self,
        account: &Account,
        secret: OneTimeSecret,
        has_shown_factor: bool,
    ) -> Result<Option<Message>> {
        match (account.user.kind(), account.user.status) {
            (UserKind::Service, _) => Ok(None),
            (UserKind::Person, Status::Inactive | Status::Suspended) => {
                Ok(Some(Message::NothingToReset))
            }
            (UserKind::Person, Status::Active) => {
                let needs_recovery_code =
                    !has_shown_factor && self.needs_recovery_code(account).await?;
                Ok(Some(Message::ResetPassword { secret, needs_recovery_code }))
            }
        }
    }

    /// Whether a recovery shows a recovery code: a user without a password has no other first proof that
    /// the mailbox does not give.
    async fn needs_recovery_code(&self, account: &Account) -> Result<bool> {
        Ok(!account.has_password() && self.has_factor(account.user.id).await?)
    }

    /// Sets the new password of an answered recovery.
    pub(crate) async fn confirm_recovery(
        self: &Arc<Self>,
        answer: &MailAnswer,
        new_password: &Secret<String>,
        recovery_code: Option<Secret<String>>,
        origin: &Origin,
    ) -> Result<Recovered> {
        let found = self.find_answered(answer, Purpose::ResetPassword).await?;
        let held: AddressHeld = Self::held(&found.challenge)?;
        let email = held.email()?;
        let password = self.new_password("new_password", new_password, &email).await?;
        let proven = self.compare(found, &email, origin).await?;
        let user = proven.0.user.ok_or(ErrorKind::InvalidChallenge)?;
        let account = self.stores.users.by_id(user).await?;
        let account = account.ok_or(ErrorKind::InvalidChallenge)?;
        let hash = Secret::new(self.hasher.hash(password).await?);
        if !held.has_shown_factor && self.needs_recovery_code(&account).await? {
            self.show_recovery_code(&proven, user, recovery_code).await?;
        }
        let recovery = Recovery { proven, account, email, hash };
        let (context, origin) = (Arc::clone(self), origin.clone());
        // The sessions end, also if the client disconnects after the write.
        run_to_completion(async move { context.recover(recovery, &origin).await }).await
    }

    async fn show_recovery_code(
        &self,
        proven: &Proven,
        user: UserId,
        recovery_code: Option<Secret<String>>,
    ) -> Result<()> {
        let Some(code) = recovery_code else {
            let missing = Violation::new(
                "recovery_code",
                "is required: the account has a second factor and no password",
            );
            return Err(Error::invalid(vec![missing]));
        };
        // TIMING: before the code is verified, so that the attempts bound parallel guesses too.
        self.attempt_more(proven).await?;
        match self.verify_answer(user, &Answer::RecoveryCode(code)).await? {
            Some(Method::RecoveryCode) => Ok(()),
            _ => Err(ErrorKind::InvalidChallenge.into()),
        }
    }

    async fn recover(&self, recovery: Recovery, origin: &Origin) -> Result<Recovered> {
        let Recovery { proven, account, email, hash } = recovery;
        let (id, now) = (account.user.id, self.time.now());
        let device_token = self.sign_device(id, now)?;
        self.take(&proven).await?;
        let is_first_proof = account.user.email_verified_at.is_none();
        if is_first_proof {
            // Before the write: a failure recovers nothing, rather than leave a key.
            self.revoke_unproven(&account.user).await?;
        }
        let rule = |snapshot: &UserSnapshot| {
            let mut account = proven.account(snapshot, &email)?;
            if account.user.status != Status::Active {
                return Err(ErrorKind::InvalidChallenge);
            }
            account.password_hash = hash.clone();
            account.epoch = account.epoch.next(None);
            account.user.email_verified_at.get_or_insert(now);
            account.user.updated_at = now;
            Ok(UserChange::Put(account))
        };
        let outcome = self.write_user(Acting::default(), id, None, &rule).await?;
        let (before, after) = changed(outcome)?;
        let epoch = before.map_or(account.epoch, |before| before.epoch);
        let user = after.user;
        let actor = EventActor::User(id);
        self.end_sessions(&user, epoch, None, actor.clone()).await;
        if is_first_proof && let Err(error) = self.revoke_unproven(&user).await {
            tracing::warn!(%error, user = %id, "a key that was created during the recovery may remain");
        }
        self.end_challenges(id).await;
        self.credential_limits.reset_attempts(user.email.canonical()).await;
        let event = Event::new(EventKind::PasswordRecovered, now, actor).about(&user);
        self.observer.observe(&event.with_address(origin.address));
        self.notify_password_changed(&user, &origin.languages, now).await;
        Ok(Recovered { user, device_token })
    }

    /// Revokes the keys of a user with an address that is proven for the first time: a stranger that signed up
    /// with the address may have made them.
    async fn revoke_unproven(&self, user: &User) -> Result<()> {
        let count = self.stores.keys.revoke_all(Some(user.id)).await?;
        if count > 0 {
            self.validator.user_changed(user.id).await;
            self.emit(EventKind::KeysRevoked(count), EventActor::User(user.id), user);
        }
        Ok(())
    }

    /// Removes the challenges of a user but those that undo a change of address.
    async fn end_challenges(&self, user: UserId) {
        // All of them, also those by the clock of a node that is ahead.
        let kept = Some((Purpose::UndoEmail, Timestamp::from_millis(i64::MAX)));
        if let Err(error) = self.stores.challenges.remove_all(user, kept).await {
            tracing::warn!(%error, %user, "challenges from before a new password not removed; its epoch ends them");
        }
    }

    /// Tells the owner of a new password, with the factors and keys that it leaves.
    pub(crate) async fn notify_password_changed(
        &self,
        user: &User,
        languages: &Languages,
        at: Timestamp,
    ) {
        if self.mail.is_none() {
            return;
        }
        let factors = self.stores.factors.of(user.id).await.unwrap_or_default();
        let in_force = factors.factors.iter().filter(|factor| factor.confirmed_at.is_some());
        let factors = in_force.map(|factor| factor.kind).collect();
        let keys = self.count_keys(user.id).await.unwrap_or_default();
        self.notify(user, languages, Message::PasswordChanged { at, factors, keys }).await;
    }
}

impl Proven {
    /// Returns the account of the challenge as the transaction reads it, if its address and epoch are those
    /// of the letter.
    pub(super) fn account(
        &self,
        snapshot: &UserSnapshot,
        email: &Email,
    ) -> Result<Account, ErrorKind> {
        let account = snapshot.target.clone().ok_or(ErrorKind::InvalidChallenge)?;
        let is_same = account.user.email.canonical() == email.canonical()
            && account.epoch.number == self.0.epoch;
        if is_same { Ok(account) } else { Err(ErrorKind::InvalidChallenge) }
    }
}
