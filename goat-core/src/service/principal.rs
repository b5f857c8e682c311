//! Who asks: proofs that were made by a check, in rising strength.
//!
//! Invariant: every type here has private fields and one maker, so that holding one means that the
//! check took place.

use std::fmt;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::error::ErrorKind;
use crate::event::EventActor;
use crate::id::{SessionId, UserId};
use crate::session::SessionEpoch;

use super::{Permission, Policy, Rights, Role, Standing};

/// A live session of an active user, as of at most the cache's staleness. Cheap to clone.
///
/// Made only by [`Goat::authenticate_token`](crate::Goat::authenticate_token).
///
/// A handler of axum takes goat-tower's `Principal`, which wraps this one: goat-core knows of no HTTP,
/// so that its own is no extractor.
#[derive(Clone)]
pub struct Principal(Arc<Inner>);

struct Inner {
    /// The number of the goat that found it.
    issuer: u64,
    user: UserId,
    session: SessionId,
    role: Role,
    rights: Arc<Rights>,
    /// The epoch under which the session was session_epoch.
    session_epoch: u64,
    /// When the session ends if nothing more happens.
    expires_at: Timestamp,
}

impl Principal {
    pub(crate) fn new(
        issuer: u64,
        user: UserId,
        session: SessionId,
        role: Role,
        rights: Arc<Rights>,
        session_epoch: u64,
        expires_at: Timestamp,
    ) -> Self {
        Self(Arc::new(Inner { issuer, user, session, role, rights, session_epoch, expires_at }))
    }

    /// Who.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.0.user
    }

    /// In which session.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.0.session
    }

    /// In which role.
    #[must_use]
    pub fn role(&self) -> &Role {
        &self.0.role
    }

    /// Whether the role has a permission.
    #[must_use]
    pub fn may(&self, permission: &Permission) -> bool {
        self.0.rights.allow(permission)
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
            .field("user", &self.0.user)
            .field("session", &self.0.session)
            .field("role", &self.0.role.as_str())
            .finish_non_exhaustive()
    }
}

/// A principal that was read again from the stores within this request.
///
/// Made only by [`Goat::reauthenticate`](crate::Goat::reauthenticate). Not `Clone`: it is consumed by the
/// service that it is given to, so that it proves one act and not a later one:
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
/// A handler of axum takes goat-tower's `FreshPrincipal`, which wraps this one.
#[derive(Debug)]
pub struct FreshPrincipal(Principal);

impl FreshPrincipal {
    pub(crate) fn new(principal: Principal) -> Self {
        Self(principal)
    }

    /// The principal.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.0
    }
}

/// Who is responsible for a change of users, rights or permissions.
///
/// Made from a [`FreshPrincipal`], or by [`Actor::system`] for the command line and for jobs. A
/// handler that skipped the check has nothing to make one from, and does not compile.
#[derive(Debug)]
pub struct Actor(Kind);

#[derive(Debug)]
enum Kind {
    User(Principal),
    System(String),
}

impl Actor {
    /// The system itself, which may do everything but break the system. `reason` goes into the
    /// events.
    pub fn system(reason: impl Into<String>) -> Self {
        Self(Kind::System(reason.into()))
    }

    /// What there is to check about the actor.
    pub(crate) fn facts(&self) -> Option<ActorFacts> {
        match &self.0 {
            Kind::System(_) => None,
            Kind::User(principal) => Some(ActorFacts::of(principal)),
        }
    }

    /// Whether the actor may do this, as of the fresh read: asked before anything costly is done. The
    /// write asks again.
    pub(crate) fn check(&self, needs: &Permission) -> Result<(), ErrorKind> {
        match &self.0 {
            Kind::User(principal) if !principal.may(needs) => Err(ErrorKind::Forbidden),
            Kind::User(_) | Kind::System(_) => Ok(()),
        }
    }

    /// How high the actor stands, as of the fresh read.
    pub(crate) fn standing(&self, policy: &Policy) -> Standing {
        match &self.0 {
            Kind::System(_) => Standing::System,
            Kind::User(principal) => policy.standing(principal.user(), principal.role()),
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

/// Which user acts, in which session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ActorFacts {
    pub(crate) user: UserId,
    session: SessionId,
    session_epoch: u64,
}

impl ActorFacts {
    pub(crate) fn of(principal: &Principal) -> Self {
        Self {
            user: principal.user(),
            session: principal.session(),
            session_epoch: principal.0.session_epoch,
        }
    }

    /// Whether the actor's session is alive in this epoch.
    pub(crate) fn is_alive_in(&self, epoch: SessionEpoch) -> bool {
        epoch.covers(self.session, self.session_epoch)
    }
}
