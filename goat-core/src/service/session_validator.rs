//! SessionValidator: whether a session is alive and what its user may do, from the cache or the stores.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::access::{Principal, RoleTableCache};
use crate::aged::Aged;
use crate::clock::Time;
use crate::error::{Error, ErrorKind, Result, StoreError};
use crate::id::{SessionId, UserId};
use crate::invalidation::{Invalidation, InvalidationStats, Invalidations, Listener};
use crate::user::{Status, UserState, UserStore};

use super::cache::{CacheStats, FillToken};
use super::flight::Flights;
use super::{Session, SessionCache, SessionEpoch, SessionStore};

/// The number of the next goat of this process.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Judges sessions, and tells everyone when a judgement no longer holds.
#[derive(Debug)]
pub(crate) struct SessionValidator {
    /// Which goat of this process it judges for.
    number: u64,
    cache: SessionCache,
    flights: Arc<Flights>,
    sessions: Arc<dyn SessionStore>,
    users: Arc<dyn UserStore>,
    access: Arc<RoleTableCache>,
    invalidations: Arc<dyn Invalidations>,
    time: Time,
    /// The store of sessions was found to keep other users than the ones that count, and said so.
    met_others: AtomicBool,
}

/// From where the user's state may come.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// From the store itself.
    Store,
    /// From whoever remembers it, if the fill_token accepts its age.
    Cached(FillToken),
}

fn is_alive(session: &Session, owner: &UserState) -> bool {
    owner.status == Status::Active && owner.epoch.covers(session.id, session.epoch)
}

impl SessionValidator {
    pub(crate) fn new(
        cache: SessionCache,
        sessions: Arc<dyn SessionStore>,
        users: Arc<dyn UserStore>,
        access: Arc<RoleTableCache>,
        invalidations: Arc<dyn Invalidations>,
        time: Time,
    ) -> Arc<Self> {
        let listening = Arc::clone(&invalidations);
        let flights = Arc::default();
        let met_others = AtomicBool::new(false);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let validator = Self {
            number,
            cache,
            flights,
            sessions,
            users,
            access,
            invalidations,
            time,
            met_others,
        };
        let validator = Arc::new(validator);
        let listener: Weak<dyn Listener> = Arc::downgrade(&(Arc::clone(&validator) as _));
        listening.subscribe(listener);
        validator
    }

    /// Whether it was judged here who that is.
    pub(crate) fn issued(&self, principal: &Principal) -> bool {
        principal.issuer() == self.number
    }

    /// The verdict that is remembered, if it still holds.
    pub(crate) fn cached(&self, user: UserId, session: SessionId) -> Option<Principal> {
        let principal = self.cache.get(user, session, self.time.elapsed())?;
        (self.time.now() < principal.expires_at()).then_some(principal)
    }

    /// The verdict by the stores, remembered for the next one who asks. Whoever asks for the same
    /// meanwhile gets the same answer. Where nothing that is remembered may be trusted, nothing that
    /// was begun for others is either.
    pub(crate) async fn read(
        self: &Arc<Self>,
        user: UserId,
        session: SessionId,
    ) -> Result<Principal> {
        let elapsed = self.time.elapsed();
        if !self.cache.is_trusted(elapsed) {
            return self.read_fresh(user, session).await;
        }
        let fill_token = self.cache.begin(user, elapsed);
        let read = || {
            let validator = Arc::clone(self);
            async move {
                // One may have landed between the miss and here.
                match validator.remembered(user, session) {
                    Some(principal) => Ok(principal),
                    None => {
                        validator.fill(fill_token, user, session, Source::Cached(fill_token)).await
                    }
                }
            }
        };
        self.flights.join((user, session), fill_token, read).await
    }

    fn remembered(&self, user: UserId, session: SessionId) -> Option<Principal> {
        let principal = self.cache.get_again(user, session, self.time.elapsed())?;
        (self.time.now() < principal.expires_at()).then_some(principal)
    }

    /// The verdict by a read of the stores themselves that begins now.
    pub(crate) async fn read_fresh(&self, user: UserId, session: SessionId) -> Result<Principal> {
        let fill_token = self.cache.begin(user, self.time.elapsed());
        self.fill(fill_token, user, session, Source::Store).await
    }

    async fn fill(
        &self,
        fill_token: FillToken,
        user: UserId,
        session: SessionId,
        source: Source,
    ) -> Result<Principal> {
        let (principal, age) = self.validate(user, session, source).await?;
        self.cache.insert(fill_token, &principal, age, self.time.elapsed());
        Ok(principal)
    }

    /// The verdict, and how old the oldest of what it comes from was when its read began.
    async fn validate(
        &self,
        user: UserId,
        session: SessionId,
        source: Source,
    ) -> Result<(Principal, Duration)> {
        let gone = || Error::from(ErrorKind::SessionRevoked);
        let (found, owner) =
            self.session_and_owner(user, session, source).await?.ok_or_else(gone)?;
        if found.user != user || found.is_expired(self.time.now()) {
            return Err(gone());
        }
        let Aged { value: state, age } = match owner {
            Aged { value: Some(state), age } if is_alive(&found, &state) => {
                Aged { value: state, age }
            }
            Aged { age: Duration::ZERO, .. } => return Err(gone()),
            // Nobody is refused by what is merely remembered.
            _ => {
                let state = self.users.state(user).await?;
                Aged::now(state.filter(|state| is_alive(&found, state)).ok_or_else(gone)?)
            }
        };
        let (table, changed) = self.access.table(state.roles_revision).await?;
        if changed {
            self.cache.clear();
        }
        let rights = table.rights(&state.role);
        self.access.warn_unknown_role(&state.role);
        let expires_at = found.expires_at();
        let (number, session_epoch) = (self.number, found.epoch);
        Ok((
            Principal::new(number, user, session, state.role, rights, session_epoch, expires_at),
            age,
        ))
    }

    /// Both in one turn: where the store of sessions does not keep users, the two are asked at the
    /// same time.
    async fn session_and_owner(
        &self,
        user: UserId,
        session: SessionId,
        source: Source,
    ) -> Result<Option<(Session, Aged<Option<UserState>>)>> {
        if self.sessions.keeps_users() {
            let Some(view) = self.sessions.find(user, session).await? else { return Ok(None) };
            let owner = match view.owner {
                Some(state) => Some(state),
                None => self.state_elsewhere(user).await?,
            };
            return Ok(Some((view.session, Aged::now(owner))));
        }
        let (view, owner) =
            tokio::try_join!(self.sessions.find(user, session), self.owner(user, source))?;
        Ok(view.map(|view| (view.session, owner)))
    }

    /// The state of a user whom the store of sessions should know and does not. Nobody who was not
    /// there comes back, so that whoever is found now is kept elsewhere.
    async fn state_elsewhere(&self, user: UserId) -> Result<Option<UserState>, StoreError> {
        let state = self.users.state(user).await?;
        if state.is_some() && !self.met_others.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the store of sessions looks for users where they are not kept, which costs a read each time; where users are kept elsewhere, it is sessions_without_users"
            );
        }
        Ok(state)
    }

    /// Whether there is such a user now.
    pub(crate) async fn knows(&self, user: UserId) -> Result<bool, StoreError> {
        Ok(self.users.state(user).await?.is_some())
    }

    async fn owner(
        &self,
        user: UserId,
        source: Source,
    ) -> Result<Aged<Option<UserState>>, StoreError> {
        if let Source::Cached(fill_token) = source {
            let recent = self.users.cached_state(user).await?;
            if fill_token.accepts(recent.age) {
                return Ok(recent);
            }
        }
        Ok(Aged::now(self.users.state(user).await?))
    }

    /// After a session has ended: forgotten here, and told to the others.
    pub(crate) async fn session_ended(&self, user: UserId, session: SessionId) {
        self.cache.evict_session(user, session);
        self.tell(Invalidation::Session(user, session)).await;
    }

    /// After several sessions of a user have ended at once: all are forgotten here before anybody is
    /// told, and the others are told once, so that the time this takes does not grow with the number.
    pub(crate) async fn sessions_ended(&self, user: UserId, sessions: &[SessionId]) {
        for session in sessions {
            self.cache.evict_session(user, *session);
        }
        match *sessions {
            [] => {}
            [session] => self.tell(Invalidation::Session(user, session)).await,
            _ => self.tell(Invalidation::User(user)).await,
        }
    }

    /// Forgets a session here, at once.
    pub(crate) fn forget(&self, user: UserId, session: SessionId) {
        self.cache.evict_session(user, session);
    }

    /// After a user's state has changed or all sessions have ended.
    pub(crate) async fn user_changed(&self, user: UserId) {
        self.cache.evict_user(user, self.time.elapsed());
        self.tell(Invalidation::User(user)).await;
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
        self.tell(Invalidation::Roles).await;
    }

    /// An invalidation that cannot be sent does not turn the success before it into an error: the age of
    /// what others remember is bounded.
    async fn tell(&self, invalidation: Invalidation) {
        if let Err(error) = self.invalidations.publish(invalidation).await {
            tracing::warn!(%error, "an invalidation was not sent; other nodes see the change when what they remember is stale");
        }
    }

    pub(crate) fn counts(&self) -> CacheStats {
        self.cache.counts()
    }

    pub(crate) fn invalidation_stats(&self) -> InvalidationStats {
        self.invalidations.counts()
    }

    /// Whether invalidations of other nodes arrive.
    pub(crate) fn hears(&self) -> bool {
        self.access.lease().holds(self.time.elapsed())
    }
}

impl Listener for SessionValidator {
    fn on_invalidation(&self, invalidation: Invalidation) {
        match invalidation {
            Invalidation::Session(user, session) => self.cache.evict_session(user, session),
            Invalidation::User(user) => self.cache.evict_user(user, self.time.elapsed()),
            Invalidation::Roles => {
                self.access.mark_stale();
                self.cache.clear();
            }
            Invalidation::Everything => {
                self.access.mark_stale();
                self.cache.evict_everyone(self.time.elapsed());
            }
        }
    }

    fn on_disconnected(&self) {
        self.access.lease().end();
    }

    fn on_connected(&self, lease: Duration) {
        let elapsed = self.time.elapsed();
        if !self.access.lease().holds(elapsed) {
            // ATOMIC: forgotten first and trusted after, so that nothing is used from the time when
            // invalidations were lost.
            self.access.mark_stale();
            self.cache.clear();
        }
        self.access.lease().renew(elapsed.saturating_add(lease));
    }
}
