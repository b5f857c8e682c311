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
use crate::id::{SessionId, UserId};
use crate::proof::{Assurance, ProofTimes};
use crate::session::{Session, SessionEpoch};
use crate::user::{Account, Revisions, User, UserState};

use super::Standing;

/// A live session of an active user, as of at most the cache's staleness, and never from before the
/// access token was issued. Cheap to clone.
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
    session: SessionId,
    rights: Arc<Rights>,
    /// The role table that the rights are from.
    table: Arc<RoleTable>,
    /// The user's session epoch at login, or at the last replacement of the session's tokens.
    session_epoch: u64,
    /// The user's present session epoch.
    epoch: SessionEpoch,
    /// The session's expiry.
    expires_at: Timestamp,
    /// The times of the session's proofs.
    proven: ProofTimes,
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
        Self(Arc::new(Inner {
            issuer,
            user,
            revisions,
            session: session.id,
            rights,
            table,
            session_epoch,
            epoch,
            expires_at: session.expires_at(),
            proven: session.proof_times(),
        }))
    }

    /// Returns the session epoch, as of the last replacement of the session's tokens.
    pub(super) fn session_epoch(&self) -> u64 {
        self.0.session_epoch
    }

    /// Returns the principal for a token of a session epoch, which is not from before the last
    /// replacement of the session's tokens.
    pub(super) fn of_token(self, epoch: u64) -> Result<Self, ErrorKind> {
        if epoch < self.0.session_epoch { Err(ErrorKind::SessionRevoked) } else { Ok(self) }
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

    /// Returns the session.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.0.session
    }

    /// Returns the time of the session's last proof: of the login, or of the step-up that began the session.
    #[must_use]
    pub fn authenticated_at(&self) -> Timestamp {
        self.0.proven.authenticated_at
    }

    /// Returns the assurance of the session.
    #[must_use]
    pub fn assurance(&self) -> Assurance {
        self.0.proven.assurance()
    }

    /// Whether the session's last proof is at most `within` old at `now`. In a session with a proof of
    /// several factors only such proofs count.
    ///
    /// It does not ask whether the user has a factor; [`Goat::require_recent`](crate::Goat::require_recent)
    /// does.
    #[must_use]
    pub fn is_recent(&self, within: Duration, now: Timestamp) -> bool {
        self.0.proven.are_recent(within, now)
    }

    /// Returns the user's role.
    #[must_use]
    pub fn role(&self) -> &Role {
        &self.0.user.role
    }

    /// Returns the permissions of the role, in alphabetical order.
    #[must_use]
    pub fn permissions(&self) -> &[Permission] {
        self.0.table.permissions(self.role())
    }

    /// Whether the role has a permission.
    #[must_use]
    pub fn may(&self, permission: &Permission) -> bool {
        self.0.rights.allow(permission)
    }

    /// Returns the rights of the role.
    pub(super) fn rights(&self) -> &Rights {
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

    pub(crate) fn expires_at(&self) -> Timestamp {
        self.0.expires_at
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Principal")
            .field("user", &self.user())
            .field("session", &self.0.session)
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
                table: Arc::clone(principal.table()),
            },
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

/// The user and session of an actor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ActorFacts {
    pub(crate) user: UserId,
    pub(super) session: SessionId,
    pub(super) session_epoch: u64,
}

impl ActorFacts {
    pub(crate) fn of(principal: &Principal) -> Self {
        Self {
            user: principal.user(),
            session: principal.session(),
            session_epoch: principal.0.session_epoch,
        }
    }

    /// Whether the session is live for its user's present account.
    pub(super) fn is_live(&self, account: &Account) -> bool {
        account.has_live_session(self.session, self.session_epoch)
    }
}
