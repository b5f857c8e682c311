//! What an application may ask about sessions.

use std::sync::Arc;

use crate::access::{Actor, ActorFacts, Principal, RoleTableCache, permissions};
use crate::clock::Time;
use crate::detached::run_to_completion;
use crate::error::{ErrorKind, Result};
use crate::event::{Event, EventActor, EventKind, Observer};
use crate::id::{SessionId, UserId};
use crate::invalidation::InvalidationStats;
use crate::page::{Page, PageRequest};
use crate::user::{
    Account, Status, UserChange, UserSnapshot, UserStore, UserWrite, UserWriteOutcome,
};

use super::{CacheStats, Revoked, Session, SessionEpoch, SessionStore, SessionValidator};

/// The sessions of users: seen, and ended.
#[derive(Clone, Debug)]
pub struct Sessions {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    sessions: Arc<dyn SessionStore>,
    users: Arc<dyn UserStore>,
    access: Arc<RoleTableCache>,
    validator: Arc<SessionValidator>,
    observer: Arc<dyn Observer>,
    time: Time,
}

impl Sessions {
    pub(crate) fn new(
        sessions: Arc<dyn SessionStore>,
        users: Arc<dyn UserStore>,
        access: Arc<RoleTableCache>,
        validator: Arc<SessionValidator>,
        observer: Arc<dyn Observer>,
        time: Time,
    ) -> Self {
        Self { inner: Arc::new(Inner { sessions, users, access, validator, observer, time }) }
    }

    /// A page of one's own sessions that are alive, the newest first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SessionRevoked`] if the user is gone; or if a store does not answer.
    pub async fn list(&self, principal: &Principal, page: PageRequest) -> Result<Page<Session>> {
        let epoch = self.inner.epoch_of(principal.user()).await?;
        let now = self.inner.time.now();
        Ok(self.inner.sessions.list(principal.user(), epoch, now, page).await?)
    }

    /// A page of another user's sessions that are alive, the newest first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:read`, [`ErrorKind::NotFound`],
    /// [`ErrorKind::Outranked`]; or if a store does not answer.
    pub async fn list_of(
        &self,
        principal: &Principal,
        user: UserId,
        page: PageRequest,
    ) -> Result<Page<Session>> {
        if !principal.may(&permissions::USER_READ) {
            return Err(ErrorKind::Forbidden.into());
        }
        let account = self.inner.users.by_id(user).await?.ok_or(ErrorKind::NotFound)?;
        if user != principal.user() {
            let policy = self.inner.access.policy();
            let rank = policy.roles().rank(principal.role());
            if !policy.outranks(rank, &account.user.role) {
                return Err(ErrorKind::Outranked.into());
            }
        }
        let now = self.inner.time.now();
        Ok(self.inner.sessions.list(user, account.epoch, now, page).await?)
    }

    /// Ends some of one's own sessions, all that are named or none. Their tokens are refused when
    /// this returns. A session that is named twice is ended once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if one of them is unknown or someone else's, and then nothing is
    /// ended; or if a store does not answer.
    pub async fn revoke(&self, principal: &Principal, sessions: &[SessionId]) -> Result<u64> {
        let mut sessions = sessions.to_vec();
        sessions.sort_unstable();
        sessions.dedup();
        if sessions.is_empty() {
            return Ok(0);
        }
        let principal = principal.clone();
        let inner = Arc::clone(&self.inner);
        run_to_completion(async move {
            let user = principal.user();
            let epoch = inner.epoch_of(user).await?;
            let now = inner.time.now();
            match inner.sessions.revoke(user, epoch, now, &sessions).await? {
                Revoked::Missing => Err(ErrorKind::NotFound.into()),
                Revoked::All(count) => {
                    inner.validator.sessions_ended(user, &sessions).await;
                    let kind = EventKind::SessionsRevoked(count);
                    inner.observe(&Event::new(kind, now, EventActor::User(user)).on(user));
                    Ok(count)
                }
            }
        })
        .await
    }

    /// Ends all of one's own sessions, or all but the one that asks. Also a sign-in that is under
    /// way ends up dead. Answers how many were alive.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SessionRevoked`] if the session has ended meanwhile; or if a store does not
    /// answer.
    pub async fn revoke_all(&self, principal: &Principal, others: OtherSessions) -> Result<u64> {
        let kept = match others {
            OtherSessions::KeepCurrent => Some(principal.session()),
            OtherSessions::EndCurrentToo => None,
        };
        let facts = ActorFacts::of(principal);
        let user = principal.user();
        let inner = Arc::clone(&self.inner);
        run_to_completion(async move {
            let decide = |snapshot: &UserSnapshot| {
                let account = snapshot.target.as_ref().ok_or(ErrorKind::SessionRevoked)?;
                let alive =
                    account.user.status == Status::Active && facts.is_alive_in(account.epoch);
                if alive { Ok(next_epoch(account, kept)) } else { Err(ErrorKind::SessionRevoked) }
            };
            inner.end_all(None, user, kept, EventActor::User(user), &decide).await
        })
        .await
    }

    /// Ends all sessions of another user. Answers how many were alive.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:update`, [`ErrorKind::NotFound`],
    /// [`ErrorKind::Outranked`]; or if a store does not answer.
    pub async fn revoke_all_of(&self, actor: Actor, user: UserId) -> Result<u64> {
        actor.check(&permissions::USER_UPDATE)?;
        let inner = Arc::clone(&self.inner);
        run_to_completion(async move {
            let facts = actor.facts();
            let (table, _) = inner.access.table(None).await?;
            let decide = |snapshot: &UserSnapshot| {
                let policy = inner.access.policy();
                let needs = permissions::USER_UPDATE;
                let standing =
                    policy.admit(facts.as_ref(), snapshot.actor.as_ref(), &needs, &table)?;
                let account = snapshot.target.as_ref().ok_or(ErrorKind::NotFound)?;
                policy.check_target(standing, &account.user)?;
                Ok(next_epoch(account, None))
            };
            let acting = facts.as_ref().map(|facts| facts.user);
            inner.end_all(acting, user, None, actor.event_actor(), &decide).await
        })
        .await
    }

    /// Removes some of the sessions whose time is over, at most `most`. A running goat does this by
    /// itself as users sign in; a job may do it more often.
    ///
    /// # Errors
    ///
    /// If the store does not answer.
    pub async fn purge(&self, most: u32) -> Result<u64> {
        Ok(self.inner.sessions.purge(self.inner.time.now(), most).await?)
    }

    /// What the cache of validator has done.
    #[must_use]
    pub fn cache_stats(&self) -> CacheStats {
        self.inner.validator.counts()
    }

    /// What was told to other nodes and heard from them.
    #[must_use]
    pub fn invalidation_stats(&self) -> InvalidationStats {
        self.inner.validator.invalidation_stats()
    }

    /// Whether this node hears the others now. Where it does not, it uses no cache and asks the
    /// stores each time. A goat whose invalidations stay in the process always does.
    #[must_use]
    pub fn invalidations_connected(&self) -> bool {
        self.inner.validator.hears()
    }
}

/// What becomes of the session that asks when all are ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherSessions {
    /// It goes on.
    KeepCurrent,
    /// It ends too.
    EndCurrentToo,
}

fn next_epoch(account: &Account, kept: Option<SessionId>) -> UserChange {
    let mut account = account.clone();
    account.epoch = account.epoch.next(kept);
    UserChange::Put(account)
}

impl Inner {
    fn observe(&self, event: &Event) {
        self.observer.observe(event);
    }

    async fn epoch_of(&self, user: UserId) -> Result<SessionEpoch> {
        let state = self.users.state(user).await?.ok_or(ErrorKind::SessionRevoked)?;
        Ok(state.epoch)
    }

    async fn end_all(
        &self,
        actor: Option<UserId>,
        user: UserId,
        kept: Option<SessionId>,
        by: EventActor,
        decide: &(dyn Fn(&UserSnapshot) -> Result<UserChange, ErrorKind> + Send + Sync),
    ) -> Result<u64> {
        let top_role = self.access.policy().roles().top();
        let write = UserWrite { actor, target: user, top_role, decide };
        let before = match self.users.write(write).await? {
            UserWriteOutcome::Refused(kind) => return Err(kind.into()),
            UserWriteOutcome::Changed { before: Some(before), .. } => before,
            _ => return Err(ErrorKind::NotFound.into()),
        };
        let count = self.validator.all_ended(user, before.epoch, kept).await;
        let kind = EventKind::SessionsRevoked(count);
        self.observe(&Event::new(kind, self.time.now(), by).on(user));
        Ok(count)
    }
}
