//! Transport port: carries the messages of a [`Broadcast`](super::Broadcast) between nodes.

use std::fmt;

use async_trait::async_trait;

use crate::error::StoreError;

/// Carries short texts to every subscribed node, the sender included.
///
/// An implementer guarantees that the texts of one node arrive in the order in which they were sent. It
/// may lose texts, as long as every [`Subscription`] that may have lost one ends, or the node's own
/// texts do not return either.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync {
    /// Sends a text to all nodes, through the same primary as every other node. Calls may overlap.
    async fn send(&self, text: &str) -> Result<(), StoreError>;

    /// Subscribes over a separate connection. Texts that are sent after this returns arrive.
    async fn listen(&self) -> Result<Box<dyn Subscription>, StoreError>;

    /// Returns the advice for the log if heartbeats do not return although no call fails.
    fn advice(&self) -> &'static str {
        "check the network path to the server that carries invalidations"
    }
}

/// The received texts, from the start of the subscription until it is dropped.
#[async_trait]
pub trait Subscription: Send {
    /// Returns the next text. Cancel safe: a dropped call loses no text.
    ///
    /// # Errors
    ///
    /// If the subscription has ended, or a text may have been lost. It is not polled again then.
    async fn next(&mut self) -> Result<String, StoreError>;
}
