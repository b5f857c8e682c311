//! Principals and actors: proofs of authentication, in ascending strength.
//!
//! Invariant: every type has private fields and one constructor, so that a value proves that the check
//! took place.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::access::{Permission, Rights, Role, RoleTable};
use crate::clock::Timestamp;
use crate::error::ErrorKind;
use crate::event::EventActor;
use crate::id::{Credential, KeyId, SessionId, UserId};
use crate::key::{KeyHash, Scopes, StoredKey};
use crate::proof::{Assurance, ProofTimes};
use crate::session::{Session, SessionEpoch};
use crate::user::{Account, Revisions, Status, User, UserState};

use super::Standing;

/// A live session or API key of an active user, as of at most the cache's staleness, and never from before
/// the access token was issued. Cheap to clone.
///
/// The rights of an API key are those of its owner's role, intersected with its scopes.
///
/// Created only by [`Goat::authenticate_token`](crate::Goat::authenticate_token). The axum extractor is
/// goat-tower's `Principal`, which wraps this type.
#[derive(Clone)]
pub struct Principal(Arc<Inner>);

struct Inner {
    /// The number of the goat that issued this principal.
    issuer: u64,
    user: User,
    /// The revisions of the user and, where the user's store keeps both, of the role table.
    revisions: Revisions,
    rights: Arc<Rights>,
    /// The role table that the rights are from.
    table: Arc<RoleTable>,
    /// The user's present session epoch.
    epoch: SessionEpoch,
    /// The expiry of the credential, if it has one.
    expires_at: Option<Timestamp>,
    presented: Presented,
}

/// The presented credential, with the facts that only its kind has.
enum Presented {
    Session(SessionFacts),
    /// On the heap, so that the many principals of sessions stay small.
    Key(Box<KeyFacts>),
}

struct SessionFacts {
    id: SessionId,
    /// The user's session epoch at login, or at the last replacement of the session's tokens.
    epoch: u64,
    /// The times of the session's proofs.
    proven: ProofTimes,
}

struct KeyFacts {
    id: KeyId,
    hash: KeyHash,
    scopes: Scopes,
    created_at: Timestamp,
    /// The permissions of the rights; `None` for those of the role.
    permissions: Option<Box<[Permission]>>,
    /// Whether the user's store keeps the key too, so that a write of it sees a revocation.
    is_with_owner: bool,
}

impl Principal {
    /// Returns the principal of a session. `session_epoch` is that of its tokens, which may be later than
    /// the stored one.
    pub(crate) fn new(
        issuer: u64,
        state: UserState,
        session: &Session,
        table: Arc<RoleTable>,
        session_epoch: u64,
    ) -> Self {
        let roles = state.roles_revision.map_or(0, |_| table.revision);
        let revisions = Revisions { user: state.revision, roles };
        let epoch = state.epoch;
        let user = state.user;
        let rights = table.rights(&user.role);
        let presented = Presented::Session(SessionFacts {
            id: session.id,
            epoch: session_epoch,
            proven: session.proof_times(),
        });
        let expires_at = Some(session.expires_at());
        Self(Arc::new(Inner {
            issuer,
            user,
            revisions,
            rights,
            table,
            epoch,
            expires_at,
            presented,
        }))
    }

    /// Returns the principal of an API key. `is_with_owner` tells that one store keeps the key and its
    /// owner.
    pub(super) fn of_key(
        issuer: u64,
        state: UserState,
        stored: StoredKey,
        table: Arc<RoleTable>,
        is_with_owner: bool,
    ) -> Self {
        let revisions = state.revisions();
        let UserState { user, epoch, .. } = state;
        let StoredKey { key, hash } = stored;
        let rights = key.scopes.rights(&user.role, &table);
        let permissions = key.scopes.permissions(&user.role, &table);
        let (id, created_at) = (key.id, key.created_at);
        let presented =
            KeyFacts { id, hash, scopes: key.scopes, created_at, permissions, is_with_owner };
        let presented = Presented::Key(Box::new(presented));
        let expires_at = key.expires_at;
        Self(Arc::new(Inner {
            issuer,
            user,
            revisions,
            rights,
            table,
            epoch,
            expires_at,
            presented,
        }))
    }

    fn session_facts(&self) -> Option<&SessionFacts> {
        match &self.0.presented {
            Presented::Session(session) => Some(session),
            Presented::Key(_) => None,
        }
    }

    fn key_facts(&self) -> Option<&KeyFacts> {
        match &self.0.presented {
            Presented::Session(_) => None,
            Presented::Key(key) => Some(key),
        }
    }

    /// Returns the principal for a token of a session epoch, which is not from before the last
    /// replacement of the session's tokens.
    pub(super) fn of_token(self, epoch: u64) -> Result<Self, ErrorKind> {
        let is_earlier = self.session_facts().is_none_or(|session| epoch < session.epoch);
        if is_earlier { Err(ErrorKind::SessionRevoked) } else { Ok(self) }
    }

    /// Returns the principal as it was read again: not from before a replacement of the session's tokens
    /// that this principal knows of.
    pub(super) fn reread(&self, read: Self) -> Result<Self, ErrorKind> {
        match self.session_facts() {
            Some(session) => read.of_token(session.epoch),
            None => Ok(read),
        }
    }

    /// Whether the principal is that of a key with this hash of its secret.
    pub(super) fn has_hash(&self, hash: &KeyHash) -> bool {
        self.key_facts().is_some_and(|key| key.hash.is_same_as(hash))
    }

    /// Returns the expiry of the session or the API key, if it has one.
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        self.0.expires_at
    }

    /// Returns the time at which an API key was created.
    pub(super) fn key_created_at(&self) -> Option<Timestamp> {
        self.key_facts().map(|key| key.created_at)
    }

    /// Returns the hash of the secret of an API key.
    pub(super) fn hash(&self) -> Option<&KeyHash> {
        self.key_facts().map(|key| &key.hash)
    }

    /// Returns the user.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.0.user.id
    }

    /// Returns the user's profile. Like the principal it is as of at most the cache's staleness, and not
    /// from before a change that this goat has completed.
    #[must_use]
    pub fn profile(&self) -> &User {
        &self.0.user
    }

    /// Returns the credential: a session or an API key.
    #[must_use]
    pub fn credential(&self) -> Credential {
        match &self.0.presented {
            Presented::Session(session) => Credential::Session(session.id),
            Presented::Key(key) => Credential::Key(key.id),
        }
    }

    /// Returns the role, if the credential has all of its rights: a session, or an API key with the scopes of
    /// its role.
    #[must_use]
    pub fn whole_role(&self) -> Option<&Role> {
        let is_whole = self.scopes().is_none_or(|scopes| *scopes == Scopes::Role);
        is_whole.then(|| self.role())
    }

    /// Returns the scopes of an API key; `None` of a session.
    #[must_use]
    pub fn scopes(&self) -> Option<&Scopes> {
        self.key_facts().map(|key| &key.scopes)
    }

    /// Returns the session; `None` of an API key.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        self.session_facts().map(|session| session.id)
    }

    /// Returns the session of an operation that an API key may not perform (K2).
    pub(super) fn require_session(&self) -> Result<SessionId, ErrorKind> {
        self.session().ok_or(ErrorKind::SessionRequired)
    }

    /// Returns the time of the session's last proof: of the login, or of the step-up that began the session.
    /// `None` of an API key.
    #[must_use]
    pub fn authenticated_at(&self) -> Option<Timestamp> {
        self.session_facts().map(|session| session.proven.authenticated_at)
    }

    /// Returns the assurance of the session; `None` of an API key.
    #[must_use]
    pub fn assurance(&self) -> Option<Assurance> {
        self.session_facts().map(|session| session.proven.assurance())
    }

    /// Whether the session's last proof is at most `within` old at `now`. In a session with a proof of
    /// several factors only such proofs count. An API key is never recent.
    ///
    /// It does not ask whether the user has a factor; [`Goat::require_recent`](crate::Goat::require_recent)
    /// does.
    #[must_use]
    pub fn is_recent(&self, within: Duration, now: Timestamp) -> bool {
        self.session_facts().is_some_and(|session| session.proven.are_recent(within, now))
    }

    /// Returns the user's role.
    #[must_use]
    pub fn role(&self) -> &Role {
        &self.0.user.role
    }

    /// Returns the permissions, in alphabetical order: those of the role, and of an API key those that its
    /// scopes allow too.
    #[must_use]
    pub fn permissions(&self) -> &[Permission] {
        let own = self.key_facts().and_then(|key| key.permissions.as_deref());
        own.unwrap_or_else(|| self.0.table.permissions(self.role()))
    }

    /// Whether the role has a permission, and of an API key the scopes too.
    #[must_use]
    pub fn may(&self, permission: &Permission) -> bool {
        self.0.rights.allow(permission)
    }

    /// Whether the credential names a permission: a session does, and an API key if its scopes list this very
    /// permission, where neither a wildcard nor all rights of the role suffice. A right of its own is
    /// [`may`](Self::may).
    #[must_use]
    pub fn names(&self, permission: &Permission) -> bool {
        self.key_facts().is_none_or(|key| key.scopes.name(permission))
    }

    /// Returns the rights: those of the role, and of an API key what its scopes leave of them.
    pub(super) fn rights(&self) -> &Arc<Rights> {
        &self.0.rights
    }

    pub(super) fn require(&self, permission: &Permission) -> Result<(), ErrorKind> {
        if self.may(permission) { Ok(()) } else { Err(ErrorKind::Forbidden) }
    }

    /// Returns the role table that the principal's rights are from.
    pub(super) fn table(&self) -> &Arc<RoleTable> {
        &self.0.table
    }

    /// Returns the revisions that the principal is from.
    pub(crate) fn revisions(&self) -> Revisions {
        self.0.revisions
    }

    /// Returns the user's session epoch, as of the principal.
    pub(super) fn epoch(&self) -> SessionEpoch {
        self.0.epoch
    }

    pub(crate) fn issuer(&self) -> u64 {
        self.0.issuer
    }

    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        self.0.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Principal")
            .field("user", &self.user())
            .field("credential", &self.credential())
            .field("role", &self.role().as_str())
            .finish_non_exhaustive()
    }
}

/// A principal that was re-read from the stores within this request.
///
/// Created only by [`Goat::reauthenticate`](crate::Goat::reauthenticate). Not `Clone`: the service that
/// takes it consumes it, so that it authorizes one operation:
///
/// ```compile_fail,E0382
/// use goat_core::{FreshPrincipal, Goat, Result, UserId};
///
/// async fn remove(goat: Goat, me: FreshPrincipal, one: UserId, other: UserId) -> Result<()> {
///     goat.users().delete(me.into(), one).await?;
///     goat.users().delete(me.into(), other).await // `me` was used
/// }
/// ```
///
/// The axum extractor is goat-tower's `FreshPrincipal`, which wraps this type.
#[derive(Debug)]
pub struct FreshPrincipal(Principal);

impl FreshPrincipal {
    pub(crate) fn new(principal: Principal) -> Self {
        Self(principal)
    }

    /// Returns the principal.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.0
    }
}

/// A fresh principal whose session was proven a short time ago, as [`Settings::recent`] says: changes of the
/// user's own credentials require it.
///
/// Created only by [`Goat::require_recent`](crate::Goat::require_recent), so that a handler without the
/// check does not compile. Not `Clone`.
///
/// [`Settings::recent`]: crate::Settings::recent
#[derive(Debug)]
pub struct RecentPrincipal(FreshPrincipal);

impl RecentPrincipal {
    pub(super) fn new(fresh: FreshPrincipal) -> Self {
        Self(fresh)
    }

    /// Returns the principal.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        self.0.principal()
    }
}

impl From<RecentPrincipal> for FreshPrincipal {
    fn from(recent: RecentPrincipal) -> Self {
        recent.0
    }
}

impl From<RecentPrincipal> for Actor {
    fn from(recent: RecentPrincipal) -> Self {
        recent.0.into()
    }
}

/// The actor that performs a change of users or permissions.
///
/// Created from a [`FreshPrincipal`], or by [`Actor::system`] for the command line and for jobs. A
/// handler that skips the check does not compile.
#[derive(Debug)]
pub struct Actor(Kind);

#[derive(Debug)]
enum Kind {
    User(Principal),
    System(String),
}

impl Actor {
    /// Returns the system as the actor. It has every permission and may act on every user; the rules that
    /// protect the last administrator still apply. Events contain `reason`.
    pub fn system(reason: impl Into<String>) -> Self {
        Self(Kind::System(reason.into()))
    }

    /// Returns the facts that a write's transaction checks again; `None` for the system.
    pub(crate) fn facts(&self) -> Option<ActorFacts> {
        match &self.0 {
            Kind::System(_) => None,
            Kind::User(principal) => Some(ActorFacts::of(principal)),
        }
    }

    /// Checks a permission as of the fresh read, before costly work. The write checks it again.
    pub(crate) fn check(&self, needs: &Permission) -> Result<(), ErrorKind> {
        match &self.0 {
            Kind::User(principal) => principal.require(needs),
            Kind::System(_) => Ok(()),
        }
    }

    /// Returns the actor's standing as of the fresh read.
    pub(crate) fn standing(&self) -> Standing {
        match &self.0 {
            Kind::System(_) => Standing::System,
            Kind::User(principal) => Standing::User {
                user: principal.user(),
                role: principal.role().clone(),
                rights: Arc::clone(principal.rights()),
                table: Arc::clone(principal.table()),
            },
        }
    }

    /// Checks that the actor is not an API key, for an operation that only a session performs (K2).
    pub(super) fn require_session(&self) -> Result<(), ErrorKind> {
        match &self.0 {
            Kind::User(principal) => principal.require_session().map(drop),
            Kind::System(_) => Ok(()),
        }
    }

    /// Checks that an API key names a permission in its scopes, where all rights of the role do not
    /// suffice.
    pub(super) fn require_named(&self, permission: &Permission) -> Result<(), ErrorKind> {
        match &self.0 {
            Kind::User(principal) if !principal.names(permission) => {
                Err(ErrorKind::SessionRequired)
            }
            _ => Ok(()),
        }
    }

    /// Returns the principal; `None` for the system.
    pub(super) fn principal(&self) -> Option<&Principal> {
        match &self.0 {
            Kind::User(principal) => Some(principal),
            Kind::System(_) => None,
        }
    }

    pub(crate) fn event_actor(&self) -> EventActor {
        match &self.0 {
            Kind::System(reason) => EventActor::System(reason.clone()),
            Kind::User(principal) => EventActor::User(principal.user()),
        }
    }
}

impl From<FreshPrincipal> for Actor {
    fn from(fresh: FreshPrincipal) -> Self {
        Self(Kind::User(fresh.0))
    }
}

/// The actor that changes the credentials of another user: a [`RecentPrincipal`], or the system.
#[derive(Debug)]
pub struct RecentActor(Actor);

impl RecentActor {
    /// Returns the system as the actor: see [`Actor::system`].
    pub fn system(reason: impl Into<String>) -> Self {
        Self(Actor::system(reason))
    }
}

impl From<RecentPrincipal> for RecentActor {
    fn from(recent: RecentPrincipal) -> Self {
        Self(recent.into())
    }
}

impl From<RecentActor> for Actor {
    fn from(recent: RecentActor) -> Self {
        recent.0
    }
}

/// The facts about an actor that a write's transaction checks again.
#[derive(Clone, Debug)]
pub(crate) struct ActorFacts(Principal);

impl ActorFacts {
    pub(crate) fn of(principal: &Principal) -> Self {
        Self(principal.clone())
    }

    pub(crate) fn user(&self) -> UserId {
        self.0.user()
    }

    /// Returns the API key by which the actor acts, where the store of the users keeps it too.
    pub(super) fn key(&self) -> Option<KeyId> {
        self.0.key_facts().filter(|key| key.is_with_owner).map(|key| key.id)
    }

    /// Whether the credential is live for its user's present account. `has_key` is the transaction's
    /// answer for [`Self::key`].
    pub(super) fn is_live(&self, account: &Account, has_key: Option<bool>) -> bool {
        self.lives(account.user.status, has_key, |session, epoch| {
            account.has_live_session(session, epoch)
        })
    }

    /// As [`Self::is_live`], for the state of the user.
    pub(super) fn is_live_in(&self, state: &UserState, has_key: Option<bool>) -> bool {
        self.lives(state.user.status, has_key, |session, epoch| {
            state.has_live_session(session, epoch)
        })
    }

    fn lives(
        &self,
        status: Status,
        has_key: Option<bool>,
        is_live_session: impl Fn(SessionId, u64) -> bool,
    ) -> bool {
        match &self.0.0.presented {
            Presented::Session(session) => is_live_session(session.id, session.epoch),
            // A store that ignores the question does not know of a revocation.
            Presented::Key(key) => {
                status == Status::Active && (!key.is_with_owner || has_key == Some(true))
            }
        }
    }

    /// The error of a credential that is no longer live.
    pub(super) fn ended(&self) -> ErrorKind {
        match self.0.credential() {
            Credential::Session(_) => ErrorKind::SessionRevoked,
            Credential::Key(_) => ErrorKind::InvalidToken,
        }
    }

    /// Returns the rights that the credential has in a role, by this table.
    pub(super) fn rights(&self, role: &Role, table: &RoleTable) -> Arc<Rights> {
        match self.0.key_facts() {
            Some(key) => key.scopes.rights(role, table),
            None => table.rights(role),
        }
    }
}
