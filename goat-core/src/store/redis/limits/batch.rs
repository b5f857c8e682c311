//! Batches of checks: concurrent calls of a node share one script call, where one server has all keys.
//!
//! A batch is sent by a task of its own, once the tasks that are ready to run have had their turn; it does
//! not wait for more. Both limits of a request are in one batch, and under load those of other requests,
//! which share the round trip and most of its cost.
//!
//! Invariants:
//! - the checks of a batch are decided one after another, as by calls of their own;
//! - a batch is bounded;
//! - a caller that is dropped cancels no other; if the runtime of the task ends, its callers fail.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::yield_now;

use super::ACQUIRE;
use super::check::{self, Check, Decisions, redis_key};
use crate::error::StoreError;
use crate::limit::operation;
use crate::store::redis::RedisContext;
use crate::store::redis::client::Retry;
use crate::store::redis::failure::Failure;

/// The most checks of a batch: they block the server for less than a millisecond, and the numbers of their
/// keys fit into seven bits.
const MOST: usize = 60;
/// How long a key's TTL exceeds its window. Both are measured by the server's clock.
const TTL_MARGIN: Duration = Duration::from_millis(2);
/// The same for tests, which advance the clock of the limits but not the server's.
const TTL_MARGIN_OF_TESTS: Duration = Duration::from_secs(3600);

/// A check, and the way back to its caller.
type Waiting = (Check, oneshot::Sender<Result<Decisions, StoreError>>);

/// Collects the checks of concurrent calls.
#[derive(Debug)]
pub(super) struct Batches {
    context: RedisContext,
    waiting: Mutex<Vec<Waiting>>,
}

impl Batches {
    pub(super) fn new(context: RedisContext) -> Arc<Self> {
        Arc::new(Self { context, waiting: Mutex::default() })
    }

    /// Decides a check, together with those of concurrent callers.
    pub(super) async fn decide(self: &Arc<Self>, check: Check) -> Result<Decisions, StoreError> {
        let (reply, replied) = oneshot::channel();
        let is_first = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push((check, reply));
            waiting.len() == 1
        };
        if is_first {
            tokio::spawn(Sending(Some(Arc::clone(self))).run());
        }
        replied.await.unwrap_or_else(|_| {
            let text = "the runtime that called Redis has ended";
            Err(StoreError::unavailable(operation::ACQUIRE).with_source(text))
        })
    }

    fn take(&self) -> Vec<Waiting> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends checks in as few calls as possible.
    async fn send_all(self: Arc<Self>, mut waiting: Vec<Waiting>) {
        waiting.retain(|(_, reply)| !reply.is_closed());
        let mut calls = match self.context.client.has_one_server(operation::ACQUIRE).await {
            Ok(true) => self.batches(waiting),
            Ok(false) => waiting.into_iter().map(|one| vec![one]).collect(),
            Err(error) => return respond(waiting, Err(error)),
        };
        // Concurrently; the last one in this task.
        let last = calls.pop();
        for call in calls {
            tokio::spawn(Arc::clone(&self).send(call));
        }
        if let Some(call) = last {
            self.send(call).await;
        }
    }

    /// Divides checks into batches. Those of tests have their own time, which a batch has in common.
    fn batches(&self, waiting: Vec<Waiting>) -> Vec<Vec<Waiting>> {
        let mut batches: Vec<Vec<Waiting>> = Vec::new();
        for one in waiting {
            let fits = |batch: &&mut Vec<Waiting>| {
                let is_in_time = !self.context.uses_caller_clock
                    || batch.iter().all(|(check, _)| check.elapsed == one.0.elapsed);
                batch.len() < MOST && is_in_time
            };
            match batches.last_mut().filter(fits) {
                Some(batch) => batch.push(one),
                None => batches.push(vec![one]),
            }
        }
        batches
    }

    /// Sends a batch, and responds to its callers.
    async fn send(self: Arc<Self>, batch: Vec<Waiting>) {
        let decided = self.call(&batch).await;
        respond(batch, decided);
    }

    async fn call(&self, batch: &[Waiting]) -> Result<Vec<Decisions>, StoreError> {
        let checks = || batch.iter().map(|(check, _)| *check);
        let (counters, encoded) = check::encode(checks());
        let (time, margin) = match batch.first() {
            Some((check, _)) if self.context.uses_caller_clock => {
                (check.elapsed.as_micros().to_string(), TTL_MARGIN_OF_TESTS)
            }
            _ => (String::new(), TTL_MARGIN),
        };
        let margin = margin.as_millis().to_string();
        let prefix = &self.context.prefix;
        let keys: Vec<_> = counters.into_iter().map(|one| redis_key(prefix, one)).collect();
        let keys: Vec<_> = keys.iter().map(Vec::as_slice).collect();
        let mut arguments = vec![time.as_bytes(), margin.as_bytes()];
        arguments.extend(encoded.iter().map(Vec::as_slice));
        let client = &self.context.client;
        // After a lost connection the call may count twice, which only errs towards limiting.
        let reply =
            client.script_on(operation::ACQUIRE, &ACQUIRE, &keys, &arguments, Retry::Yes).await?;
        check::decode(checks(), &reply).ok_or_else(|| {
            Failure::malformed("a limit's reply cannot be read").in_operation(operation::ACQUIRE)
        })
    }
}

/// Responds to the callers of a batch; a failure is that of each.
fn respond(batch: Vec<Waiting>, decided: Result<Vec<Decisions>, StoreError>) {
    match decided {
        Ok(decided) => {
            for ((_, reply), decisions) in batch.into_iter().zip(decided) {
                let _dropped = reply.send(Ok(decisions));
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for (_, reply) in batch {
                let _dropped = reply.send(Err(StoreError::shared(&error)));
            }
        }
    }
}

/// The task that sends the checks that wait.
struct Sending(Option<Arc<Batches>>);

impl Sending {
    async fn run(mut self) {
        yield_now().await;
        if let Some(batches) = self.0.take() {
            let waiting = batches.take();
            batches.send_all(waiting).await;
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        // The runtime ends before the checks were taken: dropped, they fail.
        if let Some(batches) = self.0.take() {
            drop(batches.take());
        }
    }
}
