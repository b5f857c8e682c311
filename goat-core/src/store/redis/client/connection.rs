//! Multiplexed connection to one server, with detection of a peer that stopped responding.
//!
//! Invariant: a peer that stopped responding is detected even if every caller was cancelled before
//! its own timeout.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, Value};
use tokio::time::Instant;

use super::super::failure::{Failure, FailureKind};
use super::endpoint::Endpoint;

/// The most calls that wait to be written.
const QUEUE: usize = 1024;

/// A connection. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    driver: MultiplexedConnection,
    begun: Instant,
    /// When the first call after the last reply was sent, in milliseconds from `begun` plus one; 0 if
    /// there is no such call.
    unanswered: Arc<AtomicU64>,
    /// When [`Connection::is_due`] last returned true, in milliseconds from `begun` plus one.
    checked: Arc<AtomicU64>,
}

impl Connection {
    /// Connects and authenticates.
    pub(super) async fn open(endpoint: &Endpoint, timeout: Duration) -> Result<Self, Failure> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE);
        let client = endpoint.client()?;
        let opening = Self::opened(&client, &config);
        let driver = tokio::time::timeout(timeout, opening).await.map_err(|_| timed_out())??;
        let (unanswered, checked) = (Arc::default(), Arc::new(AtomicU64::new(1)));
        Ok(Self { driver, begun: Instant::now(), unanswered, checked })
    }

    async fn opened(
        client: &Client,
        config: &AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, Failure> {
        Ok(client.get_multiplexed_async_connection_with_config(config).await?)
    }

    /// Sends a command and returns the reply, by the deadline. `asking` precedes it with `ASKING`, for
    /// a node that imports the key's slot.
    pub(super) async fn send(
        &self,
        command: &Cmd,
        asking: bool,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let mut driver = self.driver.clone();
        let now = self.milliseconds();
        let _ = self.unanswered.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        let reply = if asking {
            let mut pipeline = redis::pipe();
            pipeline.cmd("ASKING").ignore().add_command(command.clone());
            let sending = driver.send_packed_commands(&pipeline, 0, 2);
            let replies = tokio::time::timeout_at(deadline, sending).await;
            replies.map(|replies| {
                replies.and_then(|mut replies| replies.pop().unwrap_or(Value::Nil).extract_error())
            })
        } else {
            let sending = driver.send_packed_command(command);
            tokio::time::timeout_at(deadline, sending).await
        };
        let reply = reply.map_err(|_| timed_out())?;
        self.unanswered.store(0, Ordering::Relaxed);
        Ok(reply.and_then(Value::extract_error)?)
    }

    /// Whether a call was sent at least this long ago and no reply of any kind has arrived since.
    pub(super) fn is_unresponsive_for(&self, time: Duration) -> bool {
        let unanswered = self.unanswered.load(Ordering::Relaxed);
        unanswered != 0 && {
            Duration::from_millis(self.milliseconds().saturating_sub(unanswered)) >= time
        }
    }

    /// Whether a periodic action is due. Returns true to one caller per period.
    pub(super) fn is_due(&self, every: Duration) -> bool {
        let (now, checked) = (self.milliseconds(), self.checked.load(Ordering::Relaxed));
        Duration::from_millis(now.saturating_sub(checked)) >= every
            && self
                .checked
                .compare_exchange(checked, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    fn milliseconds(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }
}

fn timed_out() -> Failure {
    Failure::new(FailureKind::TimedOut, "no reply in time")
}
