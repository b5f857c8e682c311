//! Service context: the collaborators that all services share, and the steps that several flows have
//! in common.

use std::net::IpAddr;
use std::sync::Arc;

use crate::access::Role;
use crate::clock::Time;
use crate::error::{Error, ErrorKind, Result, Violation};
use crate::event::{Event, EventActor, EventKind, Observer};
use crate::factor::AnswerVerifier;
use crate::id::{KeyId, SessionId, UserId};
use crate::password::{
    BreachedPasswords, HashBulkhead, NewPassword, PasswordFault, TriedPassword, Verification,
};
use crate::secret::Secret;
use crate::session::SessionEpoch;
use crate::settings::Settings;
use crate::store::{
    StoreTransaction, Stores, UserChange, UserSnapshot, UserWrite, UserWriteOutcome,
};
use crate::token::Tokens;
use crate::user::{Account, Attributes, Email, Status, User};

use super::{
    ActorFacts, ClaimSource, CredentialLimits, Mail, Policy, Readiness, Renewals, RoleTableCache,
    SessionValidator,
};

/// The collaborators of the services.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) stores: Stores,
    pub(crate) settings: Settings,
    pub(crate) policy: Policy,
    pub(crate) role_table: Arc<RoleTableCache>,
    pub(crate) validator: Arc<SessionValidator>,
    pub(crate) tokens: Tokens,
    pub(crate) claims: Option<ClaimSource>,
    pub(crate) hasher: HashBulkhead,
    pub(crate) breached: Option<Arc<dyn BreachedPasswords>>,
    pub(crate) answers: Arc<dyn AnswerVerifier>,
    pub(crate) mail: Option<Mail>,
    pub(crate) credential_limits: CredentialLimits,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) readiness: Readiness,
    pub(crate) renewals: Renewals,
    pub(crate) time: Time,
}

/// A rule over a user's own account.
pub(super) type Decide<'a> =
    &'a (dyn Fn(&UserSnapshot) -> Result<UserChange, ErrorKind> + Send + Sync);

/// The user and the API key by which a write acts. None of the system, and of a change by a user's own
/// session.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Acting {
    user: Option<UserId>,
    key: Option<KeyId>,
}

impl Acting {
    pub(super) fn of(facts: Option<&ActorFacts>) -> Self {
        Self { user: facts.map(ActorFacts::user), key: facts.and_then(ActorFacts::key) }
    }

    /// Of a change by the user itself.
    pub(super) fn itself(facts: &ActorFacts) -> Self {
        Self { user: None, key: facts.key() }
    }
}

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

/// Returns the account that a write deleted.
pub(super) fn deleted(outcome: UserWriteOutcome) -> Result<Account> {
    match outcome {
        UserWriteOutcome::Deleted(account) => Ok(account),
        other => Err(changed(other).err().unwrap_or_else(|| ErrorKind::Internal.into())),
    }
}

impl Context {
    /// Emits an event about a user.
    pub(super) fn emit(&self, kind: EventKind, actor: EventActor, user: &User) {
        self.observer.observe(&Event::new(kind, self.time.now(), actor).about(user));
    }

    /// Emits the event of a changed e-mail address.
    pub(super) fn emit_email_changed(&self, actor: EventActor, before: Email, after: &User) {
        self.observer.observe(&self.email_changed(actor, before, after));
    }

    /// Returns the event of a changed e-mail address.
    pub(super) fn email_changed(&self, actor: EventActor, before: Email, after: &User) -> Event {
        let mut event = Event::new(EventKind::EmailChanged, self.time.now(), actor).about(after);
        event.previous_email = Some(before);
        event
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
        if let (Some(error), Some(account)) = (unreadable, account)
            && account.has_password()
        {
            tracing::warn!(%error, user = %account.user.id, "stored password hash cannot be verified");
        }
        Ok(verified)
    }

    /// Checks a new password against the policy, and then against the list of breached passwords, if there
    /// is one; adds the violations of `field` otherwise.
    ///
    /// Fails if the list cannot be read: then no password is set (ASVS 5.0, 6.2.12).
    pub(super) async fn check_password(
        &self,
        field: &'static str,
        password: &Secret<String>,
        email: Option<&Email>,
        violations: &mut Vec<Violation>,
    ) -> Result<Option<NewPassword>> {
        let parsed = self.parse_password(field, password, email, violations);
        if let (Some(password), Some(list)) = (&parsed, &self.breached)
            && list.contains(&password.sha1()).await?
        {
            violations.push(Violation::new(field, PasswordFault::Breached));
            return Ok(None);
        }
        Ok(parsed)
    }

    /// Checks a new password against the policy alone, which is a part of [`Context::check_password`].
    pub(super) fn parse_password(
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
                violations.extend(faults.into_iter().map(|fault| Violation::new(field, fault)));
                None
            }
        }
    }

    /// Checks a new password against the policy, alone.
    pub(super) async fn new_password(
        &self,
        field: &'static str,
        password: &Secret<String>,
        email: &Email,
    ) -> Result<NewPassword> {
        let mut violations = Vec::new();
        let checked = self.check_password(field, password, Some(email), &mut violations).await?;
        checked.ok_or_else(|| Error::invalid(violations))
    }

    /// Returns the stored hash of a new user, with or without a password.
    pub(super) async fn initial_hash(
        &self,
        password: Option<NewPassword>,
    ) -> Result<Secret<String>> {
        match password {
            Some(password) => Ok(Secret::new(self.hasher.hash(password).await?)),
            None => Ok(Secret::new(Account::NO_PASSWORD.to_owned())),
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
            email_verified_at: None,
            role,
            status,
            created_at: now,
            updated_at: now,
            last_login_at: None,
            attributes: Attributes::default(),
        };
        let epoch = SessionEpoch::default();
        Account { user, password_hash, epoch, replacement: None, revision: 0 }
    }

    /// Checks that an administrator remains after a change of a user.
    pub(super) fn check_administrators(
        &self,
        before: &User,
        after: Option<&User>,
        snapshot: &UserSnapshot,
    ) -> Result<(), ErrorKind> {
        let table = self.role_table.known();
        Policy::check_administrators(table.top(), before, after, snapshot.others_administer)
    }

    /// Writes a user, and invalidates what the caches have of it. `assigns` is the role that the write gives
    /// to the user.
    pub(super) async fn write_user(
        &self,
        acting: Acting,
        target: UserId,
        assigns: Option<&Role>,
        decide: Decide<'_>,
    ) -> Result<UserWriteOutcome> {
        self.write_user_within(None, acting, target, assigns, decide).await
    }

    /// Like [`Context::write_user`]. Within a transaction of the application, the caller invalidates after
    /// the commit.
    pub(super) async fn write_user_within(
        &self,
        within: Option<&mut StoreTransaction<'_>>,
        acting: Acting,
        target: UserId,
        assigns: Option<&Role>,
        decide: Decide<'_>,
    ) -> Result<UserWriteOutcome> {
        let top_role = &self.role_table.top().await?;
        let assigns = assigns.and_then(|role| self.policy.assigned(role));
        let Acting { user: actor, key } = acting;
        let write = UserWrite { actor, key, target, top_role, assigns, decide };
        if let Some(transaction) = within {
            return Ok(self.stores.users.write_in(transaction, write).await?);
        }
        let outcome = self.stores.users.write(write).await?;
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

    /// Invalidates what the caches have of a user that was written without the port, or within a
    /// transaction of the application.
    pub(super) async fn invalidate_user(&self, id: UserId) {
        // ATOMIC: the shared cache first, so that evicted entries are not refilled from it.
        if let Err(error) = self.stores.users.invalidate(id).await {
            tracing::warn!(%error, "cached state of a user not invalidated; the change may take effect late");
        }
        self.validator.user_changed(id).await;
    }

    /// Removes the sessions that a raised epoch has ended; returns how many were live.
    ///
    /// The sessions are invalid already, so a failure to remove them is only logged; they are purged
    /// once they expire.
    pub(super) async fn end_sessions(
        &self,
        user: &User,
        before: SessionEpoch,
        kept: Option<SessionId>,
        actor: EventActor,
    ) -> u64 {
        let now = self.time.now();
        let revoked = self.stores.sessions.revoke_all(user.id, before, now, kept).await;
        let count = revoked.unwrap_or_else(|error| {
            tracing::warn!(%error, user = %user.id, "ended sessions not removed from the store; they are invalid nevertheless");
            0
        });
        self.emit(EventKind::SessionsRevoked(count), actor, user);
        count
    }

    /// Removes the challenges of a deleted user that another store than that of the users keeps, or that a
    /// concurrent request added. None of them opens anything, so a failure is only logged.
    async fn remove_challenges(&self, user: UserId) {
        if let Err(error) = self.stores.challenges.remove_all(user, None).await {
            tracing::warn!(%error, %user, "challenges of a deleted user not removed; they expire");
        }
    }

    /// Removes at most `most` expired challenges; returns how many.
    pub(crate) async fn purge_challenges(&self, most: u32) -> Result<u64> {
        Ok(self.stores.challenges.purge(self.time.now(), most).await?)
    }

    /// Completes the deletion of a user: ends the sessions, deletes challenges and keys, and emits the event.
    pub(super) async fn deleted(&self, account: &Account, actor: EventActor) {
        self.end_sessions(&account.user, account.epoch, None, actor.clone()).await;
        self.remove_challenges(account.user.id).await;
        self.delete_keys(account.user.id).await;
        self.emit(EventKind::UserDeleted, actor, &account.user);
    }
}

/// Explains the rejection of a change that would let a service account sign in.
pub(super) fn explain_service(error: Error) -> Error {
    match error.kind() {
        ErrorKind::InvalidTransition => error.with_client_message(
            "A service account cannot sign in: it has no password and no sessions, and it keeps its address.",
        ),
        _ => error,
    }
}

/// Returns the violation of an address that no person may have.
pub(super) fn check_person(email: &Email) -> Vec<Violation> {
    let refused = email.clone().of_person().err();
    refused.map(|refused| Violation::new("email", refused.message())).into_iter().collect()
}
