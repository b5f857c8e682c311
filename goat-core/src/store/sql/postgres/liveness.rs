//! Liveness test of idle connections: the server, a pooler or a middlebox between may have ended one.
//!
//! A test costs a round trip, so that a connection is tested only if it was idle for a while, or if
//! another one was lost while it was idle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::Connection as _;
use tokio::time;

use crate::clock::{Clock as _, SystemClock};

use super::dialect::DriverConnection;

/// The idle time from which a connection is tested before its use.
const IDLE: Duration = Duration::from_secs(1);

/// Decides which idle connections are tested. Clones share their state.
#[derive(Clone, Debug)]
pub(super) struct Liveness {
    clock: Arc<SystemClock>,
    /// When a connection was last found lost, in microseconds; 0 for never.
    lost_at: Arc<AtomicU64>,
    /// The timeout of a test: a middlebox that has forgotten a connection drops its packets silently.
    timeout: Duration,
}

impl Liveness {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { clock: Arc::new(SystemClock::start()), lost_at: Arc::default(), timeout }
    }

    /// Notes that a connection was lost.
    pub(super) fn connection_lost(&self) {
        self.lost_at.fetch_max(self.now().max(1), Ordering::Relaxed);
    }

    /// Tests an idle connection if it may be lost. An error closes it.
    pub(super) async fn check(
        &self,
        connection: &mut DriverConnection,
        idle_for: Duration,
    ) -> Result<bool, sqlx::Error> {
        if !self.may_be_lost(idle_for) {
            return Ok(true);
        }
        match time::timeout(self.timeout, connection.ping()).await {
            Ok(pong) => pong.map(|()| true),
            Err(_) => Err(sqlx::Error::Protocol("no reply to a ping".to_owned())),
        }
    }

    fn may_be_lost(&self, idle_for: Duration) -> bool {
        let lost_at = self.lost_at.load(Ordering::Relaxed);
        idle_for >= IDLE || (lost_at > 0 && self.now().saturating_sub(micros(idle_for)) <= lost_at)
    }

    fn now(&self) -> u64 {
        micros(self.clock.elapsed())
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
