//! Key mismatch watch: warns if other nodes on the same database sign with keys that this node does
//! not know. Such nodes reject each other's tokens, which looks like sessions that end at random.

use std::collections::HashSet;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::failure::Failure;
use crate::serve::Lifecycle;
use crate::start::{REGISTER_KEY_INTERVAL, Started};

/// The unknown keys that were already reported.
#[derive(Debug, Default)]
pub(super) struct KeyMismatchWatch {
    reported: HashSet<String>,
}

impl KeyMismatchWatch {
    /// Registers this node's signing key, and reports each unknown key of another node once.
    pub(super) async fn check(&mut self, started: &Started) -> Result<(), Failure> {
        for key in started.register_signing_key().await? {
            if self.reported.insert(key.clone()) {
                tracing::warn!(
                    key,
                    "another node on this database signs tokens with an unknown key; set the same \
                     GOAT_JWT_PRIVATE_KEY or GOAT_JWT_SECRET on all nodes"
                );
            }
        }
        Ok(())
    }

    /// Checks periodically until the server drains.
    pub(super) async fn watch(mut self, started: &Started, lifecycle: &Lifecycle) {
        let mut ticks = interval_at(Instant::now() + REGISTER_KEY_INTERVAL, REGISTER_KEY_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let rounds = async {
            loop {
                ticks.tick().await;
                if let Err(failure) = self.check(started).await {
                    tracing::warn!(%failure, "failed to register the signing key");
                }
            }
        };
        tokio::select! {
            biased;
            () = lifecycle.draining() => {}
            () = rounds => {}
        }
    }
}
