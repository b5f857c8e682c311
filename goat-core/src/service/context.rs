//! Service context: the collaborators that all services share, and the steps that several flows have
//! in common.

use std::net::IpAddr;
use std::sync::Arc;

use crate::access::Role;
use crate::clock::Time;
use crate::error::{ErrorKind, Result, Violation};
use crate::event::{Event, EventActor, EventKind, Observer};
use crate::id::{SessionId, UserId};
use crate::password::{HashBulkhead, NewPassword, TriedPassword, Verification};
use crate::secret::Secret;
use crate::session::SessionEpoch;
use crate::settings::Settings;
use crate::store::{Stores, UserChange, UserSnapshot, UserWrite, UserWriteOutcome};
use crate::token::Tokens;
use crate::user::{Account, Email, Status, User};

use super::{CredentialLimits, Policy, Readiness, RoleTableCache, SessionValidator};

/// The collaborators of the services.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) stores: Stores,
    pub(crate) settings: Settings,
    pub(crate) policy: Policy,
    pub(crate) role_table: Arc<RoleTableCache>,
    pub(crate) validator: Arc<SessionValidator>,
    pub(crate) tokens: Tokens,
    pub(crate) hasher: HashBulkhead,
    pub(crate) credential_limits: CredentialLimits,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) readiness: Readiness,
    pub(crate) time: Time,
}

/// A rule over a user's own account.
pub(super) type Decide<'a> =
    &'a (dyn Fn(&UserSnapshot) -> Result<UserChange, ErrorKind> + Send + Sync);

/// Returns the account after a write, and the account before it if the write changed it.
pub(super) fn changed(outcome: UserWriteOutcome) -> Result<(Option<Account>, Account)> {
    match outcome {
        UserWriteOutcome::Refused(kind) => Err(kind.into()),
        UserWriteOutcome::EmailTaken => Err(ErrorKind::EmailTaken.into()),
        UserWriteOutcome::Unchanged(account) => Ok((None, account)),
        UserWriteOutcome::Changed { before, after } => Ok((before, after)),
        UserWriteOutcome::Deleted(_) => Err(ErrorKind::NotFound.into()),
    }
}

impl Context {
    /// Emits an event about a user.
    pub(super) fn emit(&self, kind: EventKind, actor: EventActor, user: UserId) {
        self.observer.observe(&Event::new(kind, self.time.now(), actor).on(user));
    }

    /// Emits an event for each limit that refused an attempt.
    pub(super) fn note_limits<T>(
        &self,
        acquired: Result<T>,
        actor: &EventActor,
        address: Option<IpAddr>,
    ) -> Result<T> {
        if let Err(error) = &acquired {
            for limited in error.decisions().iter().filter(|decision| decision.is_limited()) {
                let kind = EventKind::Limited(limited.limit.clone().into_owned());
                let event = Event::new(kind, self.time.now(), actor.clone());
                self.observer.observe(&event.with_address(address));
            }
        }
        acquired
    }

    /// Verifies a password against the account's hash, or against a dummy hash without an account.
    /// Costs one verification either way. A stored hash that cannot be verified is logged; to the
    /// client it looks like a wrong password.
    pub(super) async fn verify_password(
        &self,
        tried: &TriedPassword,
        account: Option<&Account>,
    ) -> Result<Verification> {
        let stored = account.map(|account| account.password_hash.expose().as_str());
        let (verified, unreadable) = self.hasher.verify_stored(tried, stored).await?;
        if let (Some(error), Some(account)) = (unreadable, account) {
            tracing::warn!(%error, user = %account.user.id, "stored password hash cannot be verified");
        }
        Ok(verified)
    }

    /// Checks a new password against the policy; adds the violations of `field` otherwise.
    pub(super) fn check_password(
        &self,
        field: &'static str,
        password: &Secret<String>,
        email: Option<&Email>,
        violations: &mut Vec<Violation>,
    ) -> Option<NewPassword> {
        let policy = &self.settings.passwords;
        match NewPassword::parse(password.expose(), policy, email.map(Email::canonical)) {
            Ok(password) => Some(password),
            Err(faults) => {
                violations.extend(
                    faults.into_iter().map(|fault| Violation::new(field, fault.to_string())),
                );
                None
            }
        }
    }

    /// Returns an account to be created.
    pub(super) fn new_account(
        &self,
        email: Email,
        password_hash: Secret<String>,
        role: Role,
        status: Status,
    ) -> Account {
        let now = self.time.now();
        let user = User {
            id: UserId::generate(now),
            email,
            role,
            status,
            created_at: now,
            updated_at: now,
            last_login_at: None,
        };
        let epoch = SessionEpoch::default();
        Account { user, password_hash, epoch, replacement: None, revision: 0 }
    }

    /// Writes a user, and invalidates what the caches have of it. `actor` is `None` for the system and
    /// for changes by the user itself.
    pub(super) async fn write_user(
        &self,
        actor: Option<UserId>,
        target: UserId,
        decide: Decide<'_>,
    ) -> Result<UserWriteOutcome> {
        let top_role = self.policy.roles().top();
        let outcome =
            self.stores.users.write(UserWrite { actor, target, top_role, decide }).await?;
        // ATOMIC: before the caller responds. A write without a change may repeat an earlier one that
        // got no response, so it counts too.
        match &outcome {
            UserWriteOutcome::Refused(_)
            | UserWriteOutcome::EmailTaken
            | UserWriteOutcome::Changed { before: None, .. } => {}
            UserWriteOutcome::Changed { .. }
            | UserWriteOutcome::Unchanged(_)
            | UserWriteOutcome::Deleted(_) => self.validator.user_changed(target).await,
        }
        Ok(outcome)
    }

    /// Removes the sessions that a raised epoch has ended; returns how many were live.
    ///
    /// The sessions are invalid already, so a failure to remove them is only logged; they are purged
    /// once they expire.
    pub(super) async fn end_sessions(
        &self,
        user: UserId,
        before: SessionEpoch,
        kept: Option<SessionId>,
        actor: EventActor,
    ) -> u64 {
        let revoked = self.stores.sessions.revoke_all(user, before, self.time.now(), kept).await;
        let count = revoked.unwrap_or_else(|error| {
            tracing::warn!(%error, %user, "ended sessions not removed from the store; they are invalid nevertheless");
            0
        });
        self.emit(EventKind::SessionsRevoked(count), actor, user);
        count
    }

    /// Completes the deletion of a user.
    pub(super) async fn deleted(&self, outcome: UserWriteOutcome, actor: EventActor) -> Result<()> {
        let account = match outcome {
            UserWriteOutcome::Deleted(account) => account,
            other => return changed(other).map(drop),
        };
        let id = account.user.id;
        self.end_sessions(id, account.epoch, None, actor.clone()).await;
        self.emit(EventKind::UserDeleted, actor, id);
        Ok(())
    }
}
