//! Invitation: an actor creates a user without a password, and a letter gives the user the way in.
//!
//! Wrong answers end the invitation, never the user; a new letter ends the older one.

use std::sync::Arc;

use crate::access::{Role, permissions};
use crate::challenge::{Purpose, Subject};
use crate::courier::{Letter, Message, Permit};
use crate::detached::run_to_completion;
use crate::error::{Error, ErrorKind, Result};
use crate::event::EventKind;
use crate::id::UserId;
use crate::proof::Proof;
use crate::secret::Secret;
use crate::session::Origin;
use crate::store::{UserChange, UserSnapshot};
use crate::user::{Account, Email, NewUser, Status, User, UserKind};

use super::super::context::{Acting, changed};
use super::super::open_session::SignIn;
use super::super::pending_sign_in::LoginLimits;
use super::super::{Actor, Context, SignedIn, Standing, Users};
use super::answer::MailAnswer;
use super::request::{AddressHeld, owner_of};

/// How many invitations of a user can be answered.
const LIVE: u32 = 1;

impl Users {
    /// Invites a user: creates it without a password and inactive, and sends the letter by which the user
    /// chooses a password and becomes active.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:write`, [`ErrorKind::Invalid`] for the address of a service
    /// account and for a role that is not configured, [`ErrorKind::RoleNotAssignable`],
    /// [`ErrorKind::EmailTaken`], [`ErrorKind::RateLimited`] for too many letters to the address,
    /// [`ErrorKind::NotFound`] without a courier; [`ErrorKind::Unavailable`] if the queue of letters is full
    /// or a store is unavailable.
    pub async fn invite(
        &self,
        actor: Actor,
        email: Email,
        role: Role,
        origin: &Origin,
    ) -> Result<User> {
        let context = Arc::clone(&self.context);
        actor.check(&permissions::USER_WRITE)?;
        let permit = context.mail()?.reserve()?;
        let new = NewUser { email, password: None, role, status: Status::Inactive };
        let account = context.created(&actor, new).await?;
        context.acquire_letter(&account.user.email, &actor.event_actor(), origin.address).await?;
        let origin = origin.clone();
        run_to_completion(async move {
            let user = context.create(None, &actor, &account).await?;
            context.emit(EventKind::UserCreated, actor.event_actor(), &user);
            // The user exists; a failure here is answered by another letter.
            context.send_invitation(&account, permit, &origin).await?;
            context.emit(EventKind::UserInvited, actor.event_actor(), &user);
            Ok(user)
        })
        .await
    }

    /// Sends the letter of an invitation again; the older letter no longer works.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:write`, [`ErrorKind::NotFound`], also without a courier;
    /// [`ErrorKind::Outranked`], [`ErrorKind::InvalidTransition`] once the user is active or has a password,
    /// [`ErrorKind::RateLimited`] for too many letters to the address; [`ErrorKind::Unavailable`] if the
    /// queue of letters is full or a store is unavailable.
    pub async fn invite_again(&self, actor: Actor, id: UserId, origin: &Origin) -> Result<()> {
        let context = Arc::clone(&self.context);
        actor.check(&permissions::USER_WRITE)?;
        let permit = context.mail()?.reserve()?;
        let account = context.to_be_mailed(&actor, id, &permissions::USER_WRITE).await?;
        if !is_invited(&account) {
            let accepted = "The user has accepted the invitation, or was not invited.";
            return Err(Error::from(ErrorKind::InvalidTransition).with_client_message(accepted));
        }
        context.acquire_letter(&account.user.email, &actor.event_actor(), origin.address).await?;
        context.send_invitation(&account, permit, origin).await?;
        context.emit(EventKind::UserInvited, actor.event_actor(), &account.user);
        Ok(())
    }

    /// Starts the recovery of a user: sends the letter by which the user sets a new password. The actor does
    /// not learn its secret.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:update`, [`ErrorKind::SessionRequired`] for an API key,
    /// [`ErrorKind::NotFound`], also without a courier; [`ErrorKind::Outranked`],
    /// [`ErrorKind::InvalidTransition`] for a service account, [`ErrorKind::RateLimited`] for too many letters
    /// to the address; [`ErrorKind::Unavailable`] if the queue of letters is full or a store is unavailable.
    pub async fn start_recovery(&self, actor: Actor, id: UserId, origin: &Origin) -> Result<()> {
        let context = Arc::clone(&self.context);
        actor.check(&permissions::USER_UPDATE)?;
        actor.require_session()?;
        context.mail()?;
        let account = context.to_be_mailed(&actor, id, &permissions::USER_UPDATE).await?;
        context.start_recovery(&actor, &account, origin).await
    }
}

/// Whether the account waits for the answer to an invitation.
fn is_invited(account: &Account) -> bool {
    account.user.status == Status::Inactive && !account.has_password()
}

impl Context {
    async fn send_invitation(
        &self,
        account: &Account,
        permit: Permit,
        origin: &Origin,
    ) -> Result<()> {
        let (user, ttl) = (&account.user, self.settings.invite_ttl);
        let held = AddressHeld::of(&user.email);
        let new = self.new_challenge(Purpose::Invitation, owner_of(account), ttl, &held)?;
        self.stores.challenges.put(&new.challenge, &Subject::user(user.id), LIVE).await?;
        let message = Message::Invitation(new.secret);
        permit.send(Letter::new(user.email.clone(), origin.languages.clone(), message));
        Ok(())
    }

    /// Reads a user to whom an actor has a letter sent.
    async fn to_be_mailed(
        &self,
        actor: &Actor,
        id: UserId,
        needs: &crate::access::Permission,
    ) -> Result<Account> {
        let rule = |standing: &Standing, snapshot: &UserSnapshot| {
            let account = self.target(standing, snapshot)?;
            if account.user.kind() == UserKind::Service {
                return Err(ErrorKind::InvalidTransition);
            }
            Ok(UserChange::Nothing)
        };
        let (_, account) = changed(self.write_as(actor, id, needs, None, &rule).await?)?;
        Ok(account)
    }

    /// Activates an invited user by the answer to the letter, with a password, and signs the user in.
    pub(crate) async fn accept_invitation(
        self: &Arc<Self>,
        token: Secret<String>,
        password: &Secret<String>,
        origin: &Origin,
    ) -> Result<SignedIn> {
        let found = self.find_answered(&MailAnswer::link(token), Purpose::Invitation).await?;
        let email = Self::held::<AddressHeld>(&found.challenge)?.email()?;
        let password = self.new_password("password", password, &email).await?;
        let proven = self.compare(found, &email, origin).await?;
        let id = proven.0.user.ok_or(ErrorKind::InvalidChallenge)?;
        let hash = self.initial_hash(Some(password)).await?;
        let (context, origin) = (Arc::clone(self), origin.clone());
        run_to_completion(async move {
            context.take(&proven).await?;
            let now = context.time.now();
            let rule = |snapshot: &UserSnapshot| {
                let mut account = proven.account(snapshot, &email)?;
                if !is_invited(&account) {
                    return Err(ErrorKind::InvalidChallenge);
                }
                account.password_hash = hash.clone();
                account.user.status = Status::Active;
                account.user.email_verified_at = Some(now);
                account.user.updated_at = now;
                Ok(UserChange::Put(account))
            };
            let outcome = context.write_user(Acting::default(), id, None, &rule).await?;
            let (_, account) = changed(outcome)?;
            let actor = crate::event::EventActor::User(id);
            context.emit(EventKind::InvitationAccepted, actor, &account.user);
            let proof = Proof::by_email(id, account.epoch.number, context.time.now());
            let limits = LoginLimits::Account;
            let sign_in = SignIn::new(account, proof, origin, limits);
            context.open_session_of(sign_in).await
        })
        .await
    }
}
