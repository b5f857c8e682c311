//! What carries the texts of a [`Broadcast`](super::Broadcast) from node to node.

use std::fmt;

use async_trait::async_trait;

use crate::error::StoreError;

/// Carries short texts to every node that listens, the sender included.
///
/// An implementer guarantees that texts which one node sends one after another arrive in that order.
/// It may lose texts, as long as each [`Subscription`] that may have lost one ends, or the node's own
/// texts do not come back either.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync {
    /// Sends a text to all, through the same primary as everybody. Calls may overlap.
    async fn send(&self, text: &str) -> Result<(), StoreError>;

    /// Begins to listen, over a connection of its own. What is sent after this has returned arrives.
    async fn listen(&self) -> Result<Box<dyn Subscription>, StoreError>;

    /// What to look at where nothing comes back though nothing fails, for the log.
    fn advice(&self) -> &'static str {
        "check what lies between this node and the server that carries invalidations"
    }
}

/// What arrives, from when it was begun until it is dropped.
#[async_trait]
pub trait Subscription: Send {
    /// The next text. A call that is dropped has lost none.
    ///
    /// # Errors
    ///
    /// If the subscription is over, or a text may have been lost. It is not asked again then.
    async fn next(&mut self) -> Result<String, StoreError>;
}
