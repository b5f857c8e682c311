//! One connection, on which many calls are under way at once.
//!
//! Invariant: a connection whose peer has gone silent is noticed, also where every caller went away
//! before its time was over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, Value};
use tokio::time::Instant;

use super::super::failure::{Failure, FailureKind};
use super::endpoint::Endpoint;

/// How many calls may wait to be written.
const QUEUE: usize = 1024;

/// A connection. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    driver: MultiplexedConnection,
    begun: Instant,
    /// When the call was sent that waits longest since the last answer, in milliseconds from
    /// `begun` and one more; 0 if nothing was sent since.
    unanswered: Arc<AtomicU64>,
    /// When [`Connection::is_due`] last said so, in milliseconds from `begun` and one more.
    checked: Arc<AtomicU64>,
}

impl Connection {
    /// Connects and signs in.
    pub(super) async fn open(endpoint: &Endpoint, timeout: Duration) -> Result<Self, Failure> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE);
        let client = endpoint.client()?;
        let opening = Self::opened(&client, &config);
        let driver = tokio::time::timeout(timeout, opening).await.map_err(|_| late())??;
        let (unanswered, checked) = (Arc::default(), Arc::new(AtomicU64::new(1)));
        Ok(Self { driver, begun: Instant::now(), unanswered, checked })
    }

    async fn opened(
        client: &Client,
        config: &AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, Failure> {
        Ok(client.get_multiplexed_async_connection_with_config(config).await?)
    }

    /// Sends a command and waits for its answer until the deadline. `asking`: to a node that is
    /// just being given the key's slot.
    pub(super) async fn send(
        &self,
        command: &Cmd,
        asking: bool,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let mut driver = self.driver.clone();
        let now = self.milliseconds();
        let _ = self.unanswered.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        let answer = if asking {
            let mut pipeline = redis::pipe();
            pipeline.cmd("ASKING").ignore().add_command(command.clone());
            let sending = driver.send_packed_commands(&pipeline, 0, 2);
            let answers = tokio::time::timeout_at(deadline, sending).await;
            answers.map(|answers| {
                answers.and_then(|mut answers| answers.pop().unwrap_or(Value::Nil).extract_error())
            })
        } else {
            let sending = driver.send_packed_command(command);
            tokio::time::timeout_at(deadline, sending).await
        };
        let answer = answer.map_err(|_| late())?;
        self.unanswered.store(0, Ordering::Relaxed);
        Ok(answer.and_then(Value::extract_error)?)
    }

    /// Whether something was sent so long ago and nothing at all was answered since.
    pub(super) fn is_silent_for(&self, time: Duration) -> bool {
        let unanswered = self.unanswered.load(Ordering::Relaxed);
        unanswered != 0 && {
            Duration::from_millis(self.milliseconds().saturating_sub(unanswered)) >= time
        }
    }

    /// Whether something that is to be done every so often is due. Says so to one caller.
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

fn late() -> Failure {
    Failure::new(FailureKind::TimedOut, "no answer in time")
}
