//! Session validation: whether a session is live, and its principal, from the cache or the stores. API keys
//! are validated alike, over the same cache.

mod keys;
mod known_keys;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::access::RoleTable;
use crate::clock::Time;
use crate::error::{Error, ErrorKind, Result, StoreError};
use crate::id::{Credential, KeyId, SessionId, UserId};
use crate::invalidation::{Invalidation, InvalidationStats, Lease, Listener};
use crate::session::{CacheStats, Session, SessionEpoch, TokenReplacement};
use crate::single_flight::SingleFlight;
use crate::store::{Aged, Stores};
use crate::user::{Revisions, UserState};

use super::{FillToken, Principal, RoleTableCache, SessionCache};
use keys::KeyReadKey;
pub(super) use keys::invalid_key;
use known_keys::KnownKeys;

/// How often the state of a user is read again because its role was deleted since.
const MAX_DELETED_ROLES: usize = 3;

/// The number of the next goat in this process.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Validates sessions, and publishes the invalidations that make earlier validations stale.
///
/// All evictions from the caches of this process, too, are caused by the invalidations that it
/// publishes and receives.
#[derive(Debug)]
pub(crate) struct SessionValidator {
    /// Distinguishes the principals of several goats in one process.
    issuer: u64,
    cache: SessionCache,
    reads: SingleFlight<ReadKey, Principal, Error>,
    key_reads: SingleFlight<KeyReadKey, Principal, Error>,
    known_keys: KnownKeys,
    stores: Stores,
    role_table: Arc<RoleTableCache>,
    /// The highest role table revision of a principal that was issued; zero before the first one.
    roles_revision: AtomicU64,
    lease: Arc<Lease>,
    time: Time,
    /// Whether the log shows already that the session store looks up users where they are not kept.
    misplaced_users: AtomicBool,
}

/// Concurrent reads of one session for tokens of the same revisions are shared within one window of fill
/// tokens, so that a request after an eviction does not wait for a read from before it.
type ReadKey = (UserId, SessionId, Revisions, (u64, u128));

/// The source of the user's state.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// The store itself.
    Store,
    /// A cached state of an age that the fill token accepts, and not of earlier revisions than the
    /// token's; otherwise the store.
    Cached(FillToken, Revisions),
}

impl SessionValidator {
    pub(crate) fn new(
        cache: SessionCache,
        stores: Stores,
        role_table: Arc<RoleTableCache>,
        lease: Arc<Lease>,
        time: Time,
    ) -> Arc<Self> {
        let validator = Arc::new(Self {
            issuer: NEXT.fetch_add(1, Ordering::Relaxed),
            known_keys: KnownKeys::new(cache.most()),
            cache,
            reads: SingleFlight::default(),
            key_reads: SingleFlight::default(),
            stores,
            role_table,
            roles_revision: AtomicU64::new(0),
            lease,
            time,
            misplaced_users: AtomicBool::new(false),
        });
        let listener: Weak<dyn Listener> = Arc::downgrade(&(Arc::clone(&validator) as _));
        validator.stores.invalidations.subscribe(listener);
        validator
    }

    /// Whether this validator issued a principal.
    pub(crate) fn issued(&self, principal: &Principal) -> bool {
        principal.issuer() == self.issuer
    }

    /// Returns the cached principal of a session, if it is valid for a token of these revisions.
    pub(super) fn cached(
        &self,
        user: UserId,
        session: SessionId,
        revisions: Revisions,
    ) -> Option<Principal> {
        let credential = Credential::Session(session);
        self.unexpired(self.cache.get(user, credential, revisions, self.time.elapsed()))
    }

    /// Returns the cached session epoch of a principal's user, as current as the validation of a request
    /// that begins now.
    pub(super) fn cached_epoch(&self, principal: &Principal) -> Option<SessionEpoch> {
        let (user, credential) = (principal.user(), principal.credential());
        let elapsed = self.time.elapsed();
        let cached = self.cache.get_uncounted(user, credential, principal.revisions(), elapsed);
        self.unexpired(cached).map(|principal| principal.epoch())
    }

    fn unexpired(&self, principal: Option<Principal>) -> Option<Principal> {
        principal.filter(|principal| !principal.is_expired(self.time.now()))
    }

    /// Validates a session by the stores, for a token of these revisions, and caches the result.
    /// Concurrent calls for one session share one read, unless caching is disabled.
    pub(super) async fn read(
        &self,
        user: UserId,
        session: SessionId,
        revisions: Revisions,
    ) -> Result<Principal> {
        let elapsed = self.time.elapsed();
        if !self.cache.is_enabled(elapsed) {
            return self.read_fresh(user, session).await;
        }
        let key = (user, session, revisions, self.cache.begin(user, elapsed).window());
        let read = || async {
            // An earlier read may have filled the cache since the miss.
            let elapsed = self.time.elapsed();
            let credential = Credential::Session(session);
            match self.unexpired(self.cache.get_uncounted(user, credential, revisions, elapsed)) {
                Some(principal) => Ok(principal),
                None => {
                    let fill_token = self.cache.begin(user, elapsed);
                    let source = Source::Cached(fill_token, revisions);
                    self.fill(fill_token, user, session, source).await
                }
            }
        };
        self.reads.run(key, read).await.map_err(|error| Error::shared(&error))
    }

    /// Validates a session by a read of the stores themselves that begins now.
    pub(super) async fn read_fresh(&self, user: UserId, session: SessionId) -> Result<Principal> {
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

    /// Returns the principal, and the age of its oldest input at the start of the read.
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
        let is_live = |state: &UserState| state.has_live_session(found.id, found.epoch);
        let Aged { value: state, mut age } = match owner {
            Aged { value: Some(state), age } if is_live(&state) => Aged { value: state, age },
            Aged { age: Duration::ZERO, .. } => return Err(gone()),
            // A cached state alone never rejects a session.
            _ => {
                let state = self.stores.users.state(user).await?;
                Aged::now(state.filter(is_live).ok_or_else(gone)?)
            }
        };
        let issued = match source {
            Source::Cached(_, token) => Some(token.roles),
            Source::Store => None,
        };
        let with_table = self.with_table(state, issued, &is_live).await?;
        let (state, table, is_read_again) = with_table.ok_or_else(gone)?;
        if is_read_again {
            age = Duration::ZERO;
        }
        let replacement = self.lacked_replacement(&found, state.epoch).await?;
        let epoch = replacement.map_or(found.epoch, |replacement| replacement.epoch);
        Ok((Principal::new(self.issuer, state, &found, table, epoch), age))
    }

    /// Returns a user's state with the role table that decides on its rights, of the revision of the state
    /// and of a token's at least, and whether the state was read again; `None` if it is not live then.
    async fn with_table(
        &self,
        mut state: UserState,
        issued: Option<u64>,
        is_live: &(dyn Fn(&UserState) -> bool + Send + Sync),
    ) -> Result<Option<(UserState, Arc<RoleTable>, bool)>> {
        let required = state.roles_revision.map(|revision| revision.max(issued.unwrap_or(0)));
        let mut table = self.role_table.table(required).await?;
        let mut is_read_again = false;
        for _ in 0..MAX_DELETED_ROLES {
            if !self.may_be_deleted(&state, &table) {
                break;
            }
            // A10: a role is deleted only once no user has it, so the user has another one by now.
            let read = self.stores.users.state(state.user.id).await?;
            let Some(read) = read.filter(|state| is_live(state)) else { return Ok(None) };
            (state, is_read_again) = (read, true);
            table = self.role_table.table(state.roles_revision).await?;
        }
        let newest = self.roles_revision.fetch_max(table.revision, Ordering::SeqCst);
        if newest != 0 && newest != table.revision {
            // ATOMIC: evicts principals with the rights of an older table and voids the fill tokens of
            // reads that may hold one, this read included.
            self.cache.clear();
        }
        self.role_table.warn_unknown_role(&state.user.role, &table);
        Ok(Some((state, table, is_read_again)))
    }

    /// Whether the user's role may have been deleted since the state was read: the table lacks it, and is
    /// from another revision.
    fn may_be_deleted(&self, state: &UserState, table: &RoleTable) -> bool {
        self.role_table.is_stored()
            && !table.contains(&state.user.role)
            && state.roles_revision != Some(table.revision)
    }

    /// Returns the replacement of a session's tokens that its store lacks, if there is one: the write
    /// after the commit is on its way or failed, or the store lost it.
    pub(super) async fn lacked_replacement(
        &self,
        session: &Session,
        epoch: SessionEpoch,
    ) -> Result<Option<TokenReplacement>, StoreError> {
        if !session.may_lack_replacement(epoch) {
            return Ok(None);
        }
        let account = self.stores.users.by_id(session.user).await?;
        let replacement = account.and_then(|account| account.replacement);
        Ok(replacement.filter(|replacement| {
            replacement.session == session.id && session.epoch < replacement.epoch
        }))
    }

    /// Reads a session and its owner, concurrently where the session store does not keep users.
    async fn session_and_owner(
        &self,
        user: UserId,
        session: SessionId,
        source: Source,
    ) -> Result<Option<(Session, Aged<Option<UserState>>)>> {
        let sessions = &self.stores.sessions;
        if sessions.keeps_users() {
            let Some(view) = sessions.find(user, session).await? else { return Ok(None) };
            let owner = match view.owner {
                Some(state) => Some(state),
                None => self.misplaced_state(user).await?,
            };
            return Ok(Some((view.session, Aged::now(owner))));
        }
        let (view, owner) =
            tokio::try_join!(sessions.find(user, session), self.owner(user, source))?;
        Ok(view.map(|view| (view.session, owner)))
    }

    /// Reads the state of a user that the session store should keep and does not. A deleted user never
    /// returns, so a user that exists now is kept in another store.
    async fn misplaced_state(&self, user: UserId) -> Result<Option<UserState>, StoreError> {
        let state = self.stores.users.state(user).await?;
        if state.is_some() && !self.misplaced_users.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the session store looks up users where they are not kept, at the cost of one read per validation; use sessions_without_users where another store keeps the users"
            );
        }
        Ok(state)
    }

    async fn owner(
        &self,
        user: UserId,
        source: Source,
    ) -> Result<Aged<Option<UserState>>, StoreError> {
        if let Source::Cached(fill_token, token) = source {
            let cached = self.stores.users.cached_state(user).await?;
            let revision = cached.value.as_ref().map_or(token.user, |state| state.revision);
            if cached.age.is_zero() || (fill_token.accepts(cached.age) && revision >= token.user) {
                return Ok(cached);
            }
        }
        Ok(Aged::now(self.stores.users.state(user).await?))
    }

    /// Invalidates ended sessions of a user. Several sessions are one invalidation of the user, so that
    /// the cost does not grow with their number.
    pub(super) async fn sessions_ended(&self, user: UserId, sessions: &[SessionId]) {
        match *sessions {
            [] => {}
            [session] => self.publish(Invalidation::Session(user, session)).await,
            _ => self.publish(Invalidation::User(user)).await,
        }
    }

    /// Invalidates a revoked API key. Its id takes the place of a session's, so that an older node
    /// understands the message.
    pub(super) async fn key_revoked(&self, owner: UserId, key: KeyId) {
        let session = SessionId::from_u128(key.as_u128());
        self.publish(Invalidation::Session(owner, session)).await;
    }

    /// Invalidates everything, after the revocation of the API keys of all users.
    pub(super) async fn keys_revoked(&self) {
        self.publish(Invalidation::Everything).await;
    }

    /// Invalidates a user after a change of its state, or the end of all its sessions.
    pub(super) async fn user_changed(&self, user: UserId) {
        self.publish(Invalidation::User(user)).await;
    }

    /// Evicts a user's principals from the cache of this process after a login, which changes the profile.
    /// Other nodes receive no message, since logins are frequent: the tokens of the login carry the
    /// revision below which no node serves them.
    pub(super) fn signed_in(&self, user: UserId) {
        self.cache.evict_principals(user);
    }

    /// Invalidates the role tables before `revision`.
    pub(super) async fn roles_changed(&self, revision: u64) {
        self.publish(Invalidation::Roles { revision }).await;
    }

    /// Publishes an invalidation, which reaches the caches of this process by contract. The change is
    /// committed already, so a failure to reach other nodes is only logged: the staleness bounds how
    /// long they use outdated entries.
    async fn publish(&self, invalidation: Invalidation) {
        if let Err(error) = self.stores.invalidations.publish(invalidation).await {
            tracing::warn!(%error, "invalidation not sent; other nodes see the change once their cached data is stale");
        }
    }

    pub(super) fn cache_stats(&self) -> CacheStats {
        self.cache.stats()
    }

    pub(super) fn invalidation_stats(&self) -> InvalidationStats {
        self.stores.invalidations.stats()
    }

    /// Whether the invalidation channel is connected.
    pub(super) fn is_connected(&self) -> bool {
        self.lease.holds(self.time.elapsed())
    }
}

impl Listener for SessionValidator {
    fn on_invalidation(&self, invalidation: Invalidation) {
        match invalidation {
            Invalidation::Session(user, session) => self.cache.evict_session(user, session),
            Invalidation::User(user) => self.cache.evict_user(user, self.time.elapsed()),
            Invalidation::Roles { revision } => {
                self.role_table.invalidate_below(revision);
                self.cache.clear();
            }
            Invalidation::Everything => {
                self.role_table.mark_stale();
                self.cache.evict_all(self.time.elapsed());
            }
        }
    }

    fn on_disconnected(&self) {
        self.lease.end();
    }

    fn on_connected(&self, lease: Duration) {
        self.cache.connected(self.time.elapsed(), lease, || self.role_table.mark_stale());
    }
}
