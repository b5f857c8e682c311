//! What a node watches about the others on its database while it serves: whether they sign with keys
//! that it does not know. Each of two such nodes refuses what the other gives out, which looks like
//! sessions that end at random.

use std::collections::HashSet;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::failure::Failure;
use crate::serve::Lifecycle;
use crate::start::{NOTE_EVERY, Wired};

/// The ids of unknown keys that were told of.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    told: HashSet<String>,
}

impl Strangers {
    /// Notes with which key this node signs, and tells of each unknown one of others once.
    pub(super) async fn look(&mut self, wired: &Wired) -> Result<(), Failure> {
        for key in wired.register_signing_key().await? {
            if self.told.insert(key.clone()) {
                tracing::warn!(
                    key,
                    "another node on this database signs tokens with an unknown key; set the same \
                     GOAT_JWT_PRIVATE_KEY or GOAT_JWT_SECRET on all nodes"
                );
            }
        }
        Ok(())
    }

    /// Goes on doing so until the server drains.
    pub(super) async fn watch(mut self, wired: &Wired, lifecycle: &Lifecycle) {
        let mut ticks = interval_at(Instant::now() + NOTE_EVERY, NOTE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let rounds = async {
            loop {
                ticks.tick().await;
                if let Err(failure) = self.look(wired).await {
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
