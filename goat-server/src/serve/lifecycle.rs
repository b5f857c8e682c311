//! Lifecycle of the server process: starting, ready, draining. Readiness reports it, and every
//! listener watches it.
//!
//! Invariant: it only moves forward. A draining server never becomes ready again.

use tokio::sync::watch;

/// A stage of the lifecycle, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Not yet ready; must receive no requests.
    Starting,
    /// Serving.
    Ready,
    /// Shutting down: must receive no new requests, finishes those in flight.
    Draining,
}

/// A handle on the server's [`Stage`]. Clones share it.
///
/// ```
/// use goat_server::serve::{Lifecycle, Stage};
///
/// let lifecycle = Lifecycle::new();
/// assert_eq!(lifecycle.stage(), Stage::Starting);
/// lifecycle.ready();
/// assert!(lifecycle.is_ready());
/// lifecycle.drain();
/// lifecycle.ready();
/// assert_eq!(lifecycle.stage(), Stage::Draining);
/// ```
#[derive(Clone, Debug)]
pub struct Lifecycle {
    stage: watch::Sender<Stage>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

impl Lifecycle {
    /// Creates the lifecycle of a starting server.
    #[must_use]
    pub fn new() -> Self {
        Self { stage: watch::Sender::new(Stage::Starting) }
    }

    /// Marks the server as ready. Does nothing if it is draining.
    pub fn ready(&self) {
        self.advance(Stage::Ready);
    }

    /// Starts draining: every listener shuts down gracefully, and readiness fails from now on.
    pub fn drain(&self) {
        self.advance(Stage::Draining);
    }

    /// Returns the current stage.
    #[must_use]
    pub fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// Whether the server is ready, as load balancers ask.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.stage() == Stage::Ready
    }

    /// Resolves when draining has begun.
    pub async fn draining(&self) {
        // `self` holds the sender, so the wait cannot fail.
        let _ = self.stage.subscribe().wait_for(|stage| *stage == Stage::Draining).await;
    }

    fn advance(&self, to: Stage) {
        self.stage.send_if_modified(|stage| {
            let forward = *stage < to;
            if forward {
                *stage = to;
            }
            forward
        });
    }
}
