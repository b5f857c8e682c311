//! Invalidation channel: tells every node that cached data has changed.
//!
//! [`LocalInvalidations`] serves one process. [`Broadcast`] serves several nodes over any [`Transport`]
//! that carries short texts to all of them; it detects a lost connection, and its listeners then stop
//! using their caches.

mod broadcast;
mod heartbeats;
mod lease;
mod local;
mod message;
mod transport;

pub use broadcast::Broadcast;
#[cfg(test)]
pub(crate) use heartbeats::Heartbeats;
pub(crate) use lease::Lease;
pub use local::LocalInvalidations;
pub use transport::{Subscription, Transport};

use std::fmt;
use std::sync::Weak;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::StoreError;
use crate::id::{SessionId, UserId};

/// The changed data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invalidation {
    /// This session has ended.
    Session(UserId, SessionId),
    /// This user's state has changed, or all of their sessions have ended.
    User(UserId),
    /// The permissions of roles have changed.
    Roles {
        /// The revision of the role table after the change.
        revision: u64,
    },
    /// Anything may have changed: a message was not understood.
    Everything,
}

/// A listener on the invalidation channel.
///
/// A listener starts out connected. After [`Listener::on_disconnected`] it must not use its cached data
/// until [`Listener::on_connected`].
pub trait Listener: Send + Sync {
    /// Handles an invalidation, also one that its own process published.
    fn on_invalidation(&self, invalidation: Invalidation);

    /// Handles a lost connection: from now on invalidations may be lost.
    fn on_disconnected(&self) {}

    /// Handles a confirmed connection: invalidations arrive reliably until the lease ends, unless this
    /// is called again or [`Listener::on_disconnected`] is. If an earlier lease had ended, or the
    /// listener was disconnected, invalidations may have been lost in between: it must clear its caches
    /// before it uses them.
    fn on_connected(&self, lease: Duration) {
        let _ = lease;
    }
}

/// The port to the invalidation channel.
///
/// Delivery to other nodes may fail; the age limit of cached data bounds the effect. An implementer
/// guarantees that [`Invalidations::publish`] delivers to the listeners of its own process before it
/// returns, even if it fails, and that it holds listeners weakly. An implementation that can detect lost
/// invalidations reports it to its listeners, and starts out disconnected: it calls
/// [`Listener::on_disconnected`] before [`Invalidations::subscribe`] returns.
#[async_trait]
pub trait Invalidations: fmt::Debug + Send + Sync {
    /// Sends an invalidation to every node, this one included.
    async fn publish(&self, invalidation: Invalidation) -> Result<(), StoreError>;

    /// Subscribes a listener until it is dropped.
    fn subscribe(&self, listener: Weak<dyn Listener>);

    /// Returns the statistics of the channel.
    fn stats(&self) -> InvalidationStats {
        InvalidationStats::default()
    }
}

/// Statistics of the invalidation channel since its creation, without heartbeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InvalidationStats {
    /// Invalidations that were sent to the other nodes.
    pub sent: u64,
    /// Invalidations that could not be sent.
    pub failed: u64,
    /// Invalidations that were received from other nodes.
    pub received: u64,
    /// How often the connection was lost.
    pub disconnects: u64,
}

/// Operation names of [`Invalidations`], as errors and metrics report them.
pub(crate) mod operation {
    pub(crate) const PUBLISH: &str = "invalidations.publish";
    pub(crate) const LISTEN: &str = "invalidations.listen";
    pub(crate) const RECEIVE: &str = "invalidations.receive";
}
