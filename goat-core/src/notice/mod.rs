//! Notices: what one node tells the others after a change, so that they forget what they remember.
//!
//! [`LocalNotices`] serves one process. [`Broadcast`] serves many nodes over whatever [`Transport`]
//! carries short texts to all of them; it knows when it does not hear, and its listeners then trust
//! nothing that they remember.

mod broadcast;
mod lease;
mod local;
mod message;
mod transport;

pub use broadcast::Broadcast;
pub(crate) use lease::Lease;
pub use local::LocalNotices;
pub use transport::{Subscription, Transport};

use std::fmt;
use std::sync::Weak;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::StoreError;
use crate::id::{SessionId, UserId};

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// This session has ended.
    Session(UserId, SessionId),
    /// This user's state, or all of their sessions.
    User(UserId),
    /// What roles may do.
    Roles,
    /// Anything at all: somebody said what this node does not understand.
    Everything,
}

/// Whoever wants to hear notices.
///
/// A listener that is told nothing of hearing may trust that it hears; one that was told that it is
/// deaf must not use what it remembers until it hears.
pub trait Listener: Send + Sync {
    /// Something changed somewhere. Called for a node's own notices too.
    fn heard(&self, notice: Notice);

    /// From now on notices may be lost.
    fn deaf(&self) {}

    /// Notices arrive, and can be relied on for so long from now, unless this is called again or
    /// [`Listener::deaf`] is. If the time of an earlier call was over, or the listener was deaf,
    /// notices may have been lost in between: it must forget all that it remembers before it uses
    /// any of it.
    fn hears(&self, lease: Duration) {
        let _ = lease;
    }
}

/// The port that carries notices.
///
/// A notice may be lost: what listeners remember is bounded in age for that case. An implementer
/// guarantees that a notice is delivered to the listeners of its own process before
/// [`Notices::publish`] returns, also where it fails, and holds listeners weakly. One that can tell
/// when notices are lost tells its listeners so, and begins with it: before [`Notices::subscribe`]
/// returns, a listener has been told that it is deaf so far.
#[async_trait]
pub trait Notices: fmt::Debug + Send + Sync {
    /// Tells everyone.
    async fn publish(&self, notice: Notice) -> Result<(), StoreError>;

    /// Begins to listen, until the listener is dropped.
    fn subscribe(&self, listener: Weak<dyn Listener>);

    /// What it has done.
    fn counts(&self) -> NoticeCounts {
        NoticeCounts::default()
    }
}

/// What was told and heard since a node's start. Heartbeats are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoticeCounts {
    /// Notices that were handed on to the other nodes.
    pub sent: u64,
    /// Notices that could not be.
    pub unsent: u64,
    /// Notices of other nodes that arrived.
    pub heard: u64,
    /// How often this node stopped hearing.
    pub deafened: u64,
}
