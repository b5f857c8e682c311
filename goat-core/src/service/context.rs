//! What the services of users and the flows share: what they stand on, how they write, and what
//! follows a write.

use std::net::IpAddr;
use std::sync::Arc;

use crate::access::{Role, RoleTableCache};
use crate::clock::Time;
use crate::error::{ErrorKind, Result, Violation};
use crate::event::{Event, EventActor, EventKind, Observer};
use crate::id::{SessionId, UserId};
use crate::limit::{AccountLimit, Decision};
use crate::password::{HashBulkhead, NewPassword, PasswordPolicy, TriedPassword, Verification};
use crate::secret::Secret;
use crate::session::{SessionEpoch, SessionStore, SessionValidator};
use crate::user::{
    Account, Email, Status, User, UserChange, UserSnapshot, UserStore, UserWrite, UserWriteOutcome,
};

/// What the services of users and the flows that write users stand on.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) users: Arc<dyn UserStore>,
    pub(crate) sessions: Arc<dyn SessionStore>,
    pub(crate) access: Arc<RoleTableCache>,
    pub(crate) validator: Arc<SessionValidator>,
    pub(crate) hashing: HashBulkhead,
    pub(crate) passwords: PasswordPolicy,
    pub(crate) attempts: AccountLimit,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) time: Time,
}

/// What a write left: the account before it, unless nothing changed, and the account now.
pub(super) fn changed(written: UserWriteOutcome) -> Result<(Option<Account>, Account)> {
    match written {
        UserWriteOutcome::Refused(kind) => Err(kind.into()),
        UserWriteOutcome::EmailTaken => Err(ErrorKind::EmailTaken.into()),
        UserWriteOutcome::Unchanged(account) => Ok((None, account)),
        UserWriteOutcome::Changed { before, after } => Ok((before, after)),
        UserWriteOutcome::Deleted(_) => Err(ErrorKind::NotFound.into()),
    }
}

impl Inner {
    pub(crate) fn emit(&self, kind: EventKind, by: EventActor, user: UserId) {
        self.observer.observe(&Event::new(kind, self.time.now(), by).on(user));
    }

    /// Reserves an attempt on an account, whether or not there is such an account. A refusal is an
    /// event.
    pub(crate) async fn reserve(
        &self,
        email: &str,
        by: EventActor,
        address: Option<IpAddr>,
    ) -> Result<Option<Decision>> {
        let reserved = self.attempts.reserve(email).await;
        if let Err(error) = &reserved {
            for refusal in error.decisions().iter().filter(|decision| decision.is_limited()) {
                let kind = EventKind::Limited(refusal.limit.clone().into_owned());
                let event = Event::new(kind, self.time.now(), by.clone());
                self.observer.observe(&event.from_address(address));
            }
        }
        reserved
    }

    /// Verifies what somebody typed against the account's password, or against nobody's. Costs one
    /// verification either way. A stored hash that cannot be verified is for the log: its user has
    /// no password until another is set, and nobody is told so who asks.
    pub(crate) async fn verify(
        &self,
        tried: &TriedPassword,
        account: Option<&Account>,
    ) -> Result<Verification> {
        let stored = account.map(|account| account.password_hash.expose().as_str());
        let (verified, unreadable) = self.hashing.verify_stored(tried, stored).await?;
        if let (Some(error), Some(account)) = (unreadable, account) {
            tracing::warn!(%error, user = %account.user.id, "a user has no password that could be verified");
        }
        Ok(verified)
    }

    /// A new password that follows the policy, or what it must do to.
    pub(crate) fn check_password(
        &self,
        field: &'static str,
        password: &Secret<String>,
        email: Option<&Email>,
        violations: &mut Vec<Violation>,
    ) -> Option<NewPassword> {
        let parsed =
            NewPassword::parse(password.expose(), &self.passwords, email.map(Email::canonical));
        match parsed {
            Ok(password) => Some(password),
            Err(faults) => {
                violations.extend(
                    faults.into_iter().map(|fault| Violation::new(field, fault.to_string())),
                );
                None
            }
        }
    }

    /// An account that does not exist yet.
    pub(crate) fn new_account(
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
        Account { user, password_hash, epoch: SessionEpoch::default(), revision: 0 }
    }

    /// Writes for somebody who acts on themselves.
    pub(crate) async fn write_own(
        &self,
        target: UserId,
        decide: &(dyn Fn(&UserSnapshot) -> Result<UserChange, ErrorKind> + Send + Sync),
    ) -> Result<UserWriteOutcome> {
        let top_role = self.access.policy().roles().top();
        Ok(self.users.write(UserWrite { actor: None, target, top_role, decide }).await?)
    }

    /// After the epoch has risen. Answers how many sessions were alive before.
    pub(super) async fn end_sessions(
        &self,
        user: UserId,
        before: SessionEpoch,
        kept: Option<SessionId>,
        by: EventActor,
    ) -> u64 {
        let count = self.validator.all_ended(user, before, kept).await;
        self.emit(EventKind::SessionsRevoked(count), by, user);
        count
    }

    pub(super) async fn deleted(&self, written: UserWriteOutcome, by: EventActor) -> Result<()> {
        let account = match written {
            UserWriteOutcome::Deleted(account) => account,
            other => return changed(other).map(drop),
        };
        let id = account.user.id;
        self.end_sessions(id, account.epoch, None, by.clone()).await;
        self.emit(EventKind::UserDeleted, by, id);
        Ok(())
    }
}
