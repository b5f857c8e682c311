//! Readiness check: single-flight, with an outcome that is kept for a short time, so that any number
//! of probes costs the stores a few calls a second.
//!
//! Invariants:
//! - at most one check runs at a time. It runs on a task of its own, so that probes that are cancelled
//!   neither repeat nor prolong it;
//! - a check ends within [`CHECK_TIMEOUT`], and its outcome is at most [`KEPT`] old when it is used.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use crate::detached::run_to_completion;
use crate::error::{Error, ErrorKind, Result, StoreError};
use crate::single_flight::SingleFlight;
use crate::store::users::operation;

use super::Context;

/// How long an outcome is kept.
const KEPT: Duration = Duration::from_millis(250);

/// The timeout of a check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

type Outcome = std::result::Result<(), Arc<StoreError>>;

/// The latest check.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    checks: SingleFlight<(), Outcome, Infallible>,
    latest: Mutex<Option<(Duration, Outcome)>>,
}

impl Readiness {
    /// Returns the latest outcome if it ended at most [`KEPT`] before `now`.
    fn recent(&self, now: Duration) -> Option<Outcome> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let (ended, outcome) = latest.as_ref()?;
        (now.saturating_sub(*ended) <= KEPT).then(|| outcome.clone())
    }

    /// Keeps an outcome, and logs a change.
    fn keep(&self, now: Duration, outcome: &Outcome) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let before = latest.replace((now, outcome.clone()));
        drop(latest);
        let was_ready = before.is_none_or(|(_, outcome)| outcome.is_ok());
        match outcome {
            Err(error) if was_ready => tracing::warn!(%error, "not ready: a store is unavailable"),
            Ok(()) if !was_ready => tracing::info!("ready again: all stores respond"),
            _ => {}
        }
    }
}

impl Context {
    /// Checks that the stores respond, or returns the outcome of a check that runs or ended recently.
    pub(crate) async fn ping(self: &Arc<Self>) -> Result<()> {
        let outcome = match self.readiness.recent(self.time.elapsed()) {
            Some(outcome) => outcome,
            None => run_to_completion(Arc::clone(self).join_check()).await,
        };
        outcome.map_err(|error| {
            Error::from(ErrorKind::Unavailable).with_source(StoreError::shared(&error))
        })
    }

    /// Checks the stores, or waits for the check that runs.
    async fn join_check(self: Arc<Self>) -> Outcome {
        let check = || async {
            // A check that was running at the call has ended.
            if let Some(outcome) = self.readiness.recent(self.time.elapsed()) {
                return Ok(outcome);
            }
            let outcome = self.check_stores().await.map_err(Arc::new);
            self.readiness.keep(self.time.elapsed(), &outcome);
            Ok(outcome)
        };
        self.readiness.checks.run((), check).await.unwrap_or_else(|never| match *never {})
    }

    async fn check_stores(&self) -> std::result::Result<(), StoreError> {
        let pings = async {
            self.stores.users.ping().await?;
            self.stores.sessions.ping().await
        };
        let timed_out =
            |_| Err(StoreError::unavailable(operation::PING).with_source("no response in time"));
        timeout(CHECK_TIMEOUT, pings).await.unwrap_or_else(timed_out)
    }
}
