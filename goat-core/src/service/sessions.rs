//! Session service: lists and ends sessions.

use std::sync::Arc;

use crate::access::permissions;
use crate::detached::run_to_completion;
use crate::error::{ErrorKind, Result};
use crate::event::{Event, EventActor, EventKind};
use crate::id::{SessionId, UserId};
use crate::invalidation::InvalidationStats;
use crate::page::{Page, PageRequest};
use crate::session::{CacheStats, OtherSessions, Session, SessionEpoch};
use crate::store::{Revoked, UserChange, UserSnapshot, UserWriteOutcome};
use crate::user::Account;

use super::context::{Acting, Decide};
use super::{Actor, ActorFacts, ActorView, Context, Policy, Principal};

/// Lists and ends sessions.
#[derive(Clone, Debug)]
pub struct Sessions {
    pub(super) context: Arc<Context>,
}

impl Sessions {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// Returns a page of the principal's own live sessions, newest first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SessionRequired`] for an API key, [`ErrorKind::SessionRevoked`] if the user was deleted;
    /// or if a store is unavailable.
    pub async fn list(&self, principal: &Principal, page: PageRequest) -> Result<Page<Session>> {
        principal.require_session()?;
        let epoch = match self.context.validator.cached_epoch(principal) {
            Some(epoch) => epoch,
            None => self.context.epoch(principal.user()).await?,
        };
        let now = self.context.time.now();
        Ok(self.context.stores.sessions.list(principal.user(), epoch, now, page).await?)
    }

    /// Returns a page of another user's live sessions, newest first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:read`, [`ErrorKind::SessionRequired`] for an API key,
    /// [`ErrorKind::NotFound`], [`ErrorKind::Outranked`]; or if a store is unavailable.
    pub async fn list_of(
        &self,
        principal: &Principal,
        user: UserId,
        page: PageRequest,
    ) -> Result<Page<Session>> {
        principal.require(&permissions::USER_READ)?;
        principal.require_session()?;
        let context = &self.context;
        let account = context.stores.users.by_id(user).await?.ok_or(ErrorKind::NotFound)?;
        Policy::check_visible(principal, &account.user)?;
        let now = context.time.now();
        Ok(context.stores.sessions.list(user, account.epoch, now, page).await?)
    }

    /// Ends the named sessions of the principal, all or none, and returns their number. Their tokens
    /// are invalid when this returns. A session that is named twice counts once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SessionRequired`] for an API key; [`ErrorKind::NotFound`] if one of them is unknown or
    /// belongs to another user, and then none is ended; or if a store is unavailable.
    pub async fn revoke(&self, principal: &Principal, sessions: &[SessionId]) -> Result<u64> {
        principal.require_session()?;
        let mut sessions = sessions.to_vec();
        sessions.sort_unstable();
        sessions.dedup();
        if sessions.is_empty() {
            return Ok(0);
        }
        let profile = principal.profile().clone();
        let user = profile.id;
        let context = Arc::clone(&self.context);
        run_to_completion(async move {
            let epoch = context.epoch(user).await?;
            let now = context.time.now();
            match context.stores.sessions.revoke(user, epoch, now, &sessions).await? {
                Revoked::Missing => Err(ErrorKind::NotFound.into()),
                Revoked::All(count) => {
                    context.validator.sessions_ended(user, &sessions).await;
                    let kind = EventKind::SessionsRevoked(count);
                    let event = Event::new(kind, now, EventActor::User(user)).about(&profile);
                    context.observer.observe(&event);
                    Ok(count)
                }
            }
        })
        .await
    }

    /// Ends all of the principal's sessions, with or without the current one, and returns how many were
    /// live. A concurrent login ends up invalid too.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SessionRequired`] for an API key, [`ErrorKind::SessionRevoked`] if the session has ended
    /// meanwhile; or if a store is unavailable.
    pub async fn revoke_all(&self, principal: &Principal, others: OtherSessions) -> Result<u64> {
        let session = principal.require_session()?;
        let kept = match others {
            OtherSessions::KeepCurrent => Some(session),
            OtherSessions::EndCurrentToo => None,
        };
        let facts = ActorFacts::of(principal);
        let user = principal.user();
        let context = Arc::clone(&self.context);
        run_to_completion(async move {
            let decide = |snapshot: &UserSnapshot| {
                let target = snapshot.target.as_ref();
                let account = target.filter(|account| facts.is_live(account, snapshot.has_key));
                Ok(next_epoch(account.ok_or(ErrorKind::SessionRevoked)?, kept))
            };
            let acting = Acting::default();
            context.end_all(acting, user, kept, EventActor::User(user), &decide).await
        })
        .await
    }

    /// Ends all sessions of another user, and returns how many were live.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:update`, [`ErrorKind::SessionRequired`] for an API key,
    /// [`ErrorKind::NotFound`], [`ErrorKind::Outranked`]; or if a store is unavailable.
    pub async fn revoke_all_of(&self, actor: Actor, user: UserId) -> Result<u64> {
        actor.check(&permissions::USER_UPDATE)?;
        actor.require_session()?;
        let context = Arc::clone(&self.context);
        run_to_completion(async move {
            let facts = actor.facts();
            let table = context.role_table.table(None).await?;
            let decide = |snapshot: &UserSnapshot| {
                let (policy, needs) = (&context.policy, permissions::USER_UPDATE);
                let view = ActorView::from(snapshot);
                let standing = policy.authorize(facts.as_ref(), view, &needs, &table)?;
                let account = snapshot.target.as_ref().ok_or(ErrorKind::NotFound)?;
                Policy::check_target(&standing, &account.user)?;
                Ok(next_epoch(account, None))
            };
            let acting = Acting::of(facts.as_ref());
            context.end_all(acting, user, None, actor.event_actor(), &decide).await
        })
        .await
    }

    /// Removes at most `most` expired sessions and returns their number. Expired sessions are invalid
    /// already; this frees their storage. [`Goat::maintain`](crate::Goat::maintain) calls it regularly.
    ///
    /// # Errors
    ///
    /// If the store is unavailable.
    pub async fn purge(&self, most: u32) -> Result<u64> {
        Ok(self.context.stores.sessions.purge(self.context.time.now(), most).await?)
    }

    /// Returns the statistics of the session cache.
    #[must_use]
    pub fn cache_stats(&self) -> CacheStats {
        self.context.validator.cache_stats()
    }

    /// Returns the statistics of the invalidation channel.
    #[must_use]
    pub fn invalidation_stats(&self) -> InvalidationStats {
        self.context.validator.invalidation_stats()
    }

    /// Whether the invalidation channel is connected. While it is not, this node uses no cache and reads
    /// the stores for each request. Invalidations within one process are always connected.
    #[must_use]
    pub fn invalidations_connected(&self) -> bool {
        self.context.validator.is_connected()
    }
}

fn next_epoch(account: &Account, kept: Option<SessionId>) -> UserChange {
    let mut account = account.clone();
    account.epoch = account.epoch.next(kept);
    UserChange::Put(account)
}

impl Context {
    async fn epoch(&self, user: UserId) -> Result<SessionEpoch> {
        let state = self.stores.users.state(user).await?.ok_or(ErrorKind::SessionRevoked)?;
        Ok(state.epoch)
    }

    async fn end_all(
        &self,
        acting: Acting,
        user: UserId,
        kept: Option<SessionId>,
        actor: EventActor,
        decide: Decide<'_>,
    ) -> Result<u64> {
        let before = match self.write_user(acting, user, None, decide).await? {
            UserWriteOutcome::Refused(kind) => return Err(kind.into()),
            UserWriteOutcome::Changed { before: Some(before), .. } => before,
            _ => return Err(ErrorKind::NotFound.into()),
        };
        Ok(self.end_sessions(&before.user, before.epoch, kept, actor).await)
    }
}
