//! Invalidations: what one node tells the others after a change, so that they forget what they remember.
//!
//! [`LocalInvalidations`] serves one process. [`Broadcast`] serves many nodes over whatever [`Transport`]
//! carries short texts to all of them; it knows when it does not hear, and its listeners then trust
//! nothing that they remember.

mod broadcast;
mod lease;
mod local;
mod message;
mod transport;

pub use broadcast::Broadcast;
pub(crate) use lease::Lease;
pub use local::LocalInvalidations;
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
pub enum Invalidation {
    /// This session has ended.
    Session(UserId, SessionId),
    /// This user's state, or all of their sessions.
    User(UserId),
    /// What roles may do.
    Roles,
    /// Anything at all: somebody said what this node does not understand.
    Everything,
}

/// Whoever wants to hear invalidations.
///
/// A listener that is told nothing of hearing may trust that it hears; one that was told that it is
/// deaf must not use what it remembers until it hears.
pub trait Listener: Send + Sync {
    /// Something changed somewhere. Called for a node's own invalidations too.
    fn on_invalidation(&self, invalidation: Invalidation);

    /// From now on invalidations may be lost.
    fn on_disconnected(&self) {}

    /// Invalidations arrive, and can be relied on for so long from now, unless this is called again or
    /// [`Listener::on_disconnected`] is. If the time of an earlier call was over, or the listener was deaf,
    /// invalidations may have been lost in between: it must forget all that it remembers before it uses
    /// any of it.
    fn on_connected(&self, lease: Duration) {
        let _ = lease;
    }
}

/// The port that carries invalidations.
///
/// An invalidation may be lost: what listeners remember is bounded in age for that case. An implementer
/// guarantees that an invalidation is delivered to the listeners of its own process before
/// [`Invalidations::publish`] returns, also where it fails, and holds listeners weakly. One that can tell
/// when invalidations are lost tells its listeners so, and begins with it: before [`Invalidations::subscribe`]
/// returns, a listener has been told that it is deaf so far.
#[async_trait]
pub trait Invalidations: fmt::Debug + Send + Sync {
    /// Tells everyone.
    async fn publish(&self, invalidation: Invalidation) -> Result<(), StoreError>;

    /// Begins to listen, until the listener is dropped.
    fn subscribe(&self, listener: Weak<dyn Listener>);

    /// What it has done.
    fn counts(&self) -> InvalidationStats {
        InvalidationStats::default()
    }
}

/// What was told and heard since a node's start. Heartbeats are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InvalidationStats {
    /// Invalidations that were handed on to the other nodes.
    pub sent: u64,
    /// Invalidations that could not be.
    pub failed: u64,
    /// Invalidations of other nodes that arrived.
    pub received: u64,
    /// How often this node stopped hearing.
    pub disconnects: u64,
}
