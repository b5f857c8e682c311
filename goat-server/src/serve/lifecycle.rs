//! Where the process is in its life: what readiness tells and what every listener watches.
//!
//! Invariant: it only moves forward. A server that drains is never ready again.

use tokio::sync::watch;

/// A step of a server's life, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Not all is started yet; not to be sent requests.
    Starting,
    /// At work.
    Ready,
    /// Asked to leave: not to be sent new requests, busy with the last ones.
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
    /// A server that starts.
    #[must_use]
    pub fn new() -> Self {
        Self { stage: watch::Sender::new(Stage::Starting) }
    }

    /// Says that the server is ready. Does nothing if it already drains.
    pub fn ready(&self) {
        self.advance(Stage::Ready);
    }

    /// Asks every listener to drain. Readiness is off from now on.
    pub fn drain(&self) {
        self.advance(Stage::Draining);
    }

    /// Where it is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// Whether it is ready: the question of a load balancer.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.stage() == Stage::Ready
    }

    /// Resolves when draining has begun.
    pub async fn draining(&self) {
        // The sender is in `self`, so the wait cannot fail.
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
