//! Verdicts: whether a session is alive and what its user may do, from the cache or the stores.

use std::sync::{Arc, Weak};

use crate::access::{Access, Principal};
use crate::clock::Time;
use crate::error::{ErrorKind, Result};
use crate::id::{SessionId, UserId};
use crate::notice::{Listener, Notice, Notices};
use crate::user::{Status, UserState, UserStore};

use super::cache::CacheCounts;
use super::{Session, SessionEpoch, SessionStore, VerdictCache};

/// Judges sessions, and tells everyone when a judgement no longer holds.
#[derive(Debug)]
pub(crate) struct Verdicts {
    cache: VerdictCache,
    sessions: Arc<dyn SessionStore>,
    users: Arc<dyn UserStore>,
    access: Arc<Access>,
    notices: Arc<dyn Notices>,
    time: Time,
}

impl Verdicts {
    pub(crate) fn new(
        cache: VerdictCache,
        sessions: Arc<dyn SessionStore>,
        users: Arc<dyn UserStore>,
        access: Arc<Access>,
        notices: Arc<dyn Notices>,
        time: Time,
    ) -> Arc<Self> {
        let listening = Arc::clone(&notices);
        let verdicts = Arc::new(Self { cache, sessions, users, access, notices, time });
        let listener: Weak<dyn Listener> = Arc::downgrade(&(Arc::clone(&verdicts) as _));
        listening.subscribe(listener);
        verdicts
    }

    /// The verdict that is remembered, if it still holds.
    pub(crate) fn cached(&self, user: UserId, session: SessionId) -> Option<Principal> {
        let principal = self.cache.get(user, session, self.time.elapsed())?;
        (self.time.now() < principal.expires_at()).then_some(principal)
    }

    /// The verdict by the stores, remembered for the next one who asks.
    pub(crate) async fn read(&self, user: UserId, session: SessionId) -> Result<Principal> {
        let ticket = self.cache.begin(user, self.time.elapsed());
        let principal = self.judge(user, session).await?;
        self.cache.insert(ticket, &principal, self.time.elapsed());
        Ok(principal)
    }

    async fn judge(&self, user: UserId, session: SessionId) -> Result<Principal> {
        let gone = || ErrorKind::SessionRevoked.into();
        let (found, state) = self.session_and_owner(user, session).await?.ok_or_else(gone)?;
        if found.user != user || found.is_expired(self.time.now()) {
            return Err(gone());
        }
        if state.status != Status::Active || !state.epoch.covers(session, found.epoch) {
            return Err(gone());
        }
        let (table, changed) = self.access.table(state.roles_revision).await?;
        if changed {
            self.cache.clear();
        }
        let rights = table.rights(&state.role);
        self.access.note_role(&state.role);
        Ok(Principal::new(user, session, state.role, rights, found.epoch, found.expires_at()))
    }

    /// Both in one turn: where the store of sessions does not keep users, the two are asked at the
    /// same time.
    async fn session_and_owner(
        &self,
        user: UserId,
        session: SessionId,
    ) -> Result<Option<(Session, UserState)>> {
        if self.sessions.keeps_users() {
            let Some(view) = self.sessions.find(user, session).await? else { return Ok(None) };
            let state = match view.owner {
                Some(state) => Some(state),
                None => self.users.state(user).await?,
            };
            return Ok(state.map(|state| (view.session, state)));
        }
        let (view, state) =
            tokio::try_join!(self.sessions.find(user, session), self.users.state(user))?;
        Ok(view.map(|view| view.session).zip(state))
    }

    /// After a session has ended: forgotten here, and told to the others.
    pub(crate) async fn session_ended(&self, user: UserId, session: SessionId) {
        self.cache.evict_session(user, session);
        self.tell(Notice::Session(user, session)).await;
    }

    /// Forgets a session here, at once.
    pub(crate) fn forget(&self, user: UserId, session: SessionId) {
        self.cache.evict_session(user, session);
    }

    /// After a user's state has changed or all sessions have ended.
    pub(crate) async fn user_changed(&self, user: UserId) {
        self.cache.evict_user(user);
        self.tell(Notice::User(user)).await;
    }

    /// After the epoch has risen, from what it was `before`: everyone forgets, and the sessions are
    /// removed. They are dead already, so what cannot be removed now fails nobody; it is purged when
    /// its time is over. Answers how many were alive, as far as they could be counted.
    pub(crate) async fn all_ended(
        &self,
        user: UserId,
        before: SessionEpoch,
        kept: Option<SessionId>,
    ) -> u64 {
        self.user_changed(user).await;
        match self.sessions.revoke_all(user, before, self.time.now(), kept).await {
            Ok(count) => count,
            Err(error) => {
                tracing::warn!(%error, %user, "ended sessions could not be removed; they are dead all the same");
                0
            }
        }
    }

    /// After what roles may do has changed.
    pub(crate) async fn roles_changed(&self) {
        self.cache.clear();
        self.tell(Notice::Roles).await;
    }

    /// A notice that cannot be sent does not turn the success before it into an error: the age of
    /// what others remember is bounded.
    async fn tell(&self, notice: Notice) {
        if let Err(error) = self.notices.publish(notice).await {
            tracing::warn!(%error, "a notice was not sent; other nodes see the change when what they remember is stale");
        }
    }

    pub(crate) fn counts(&self) -> CacheCounts {
        self.cache.counts()
    }
}

impl Listener for Verdicts {
    fn heard(&self, notice: Notice) {
        match notice {
            Notice::Session(user, session) => self.cache.evict_session(user, session),
            Notice::User(user) => self.cache.evict_user(user),
            Notice::Roles => {
                self.access.doubt();
                self.cache.clear();
            }
        }
    }
}
