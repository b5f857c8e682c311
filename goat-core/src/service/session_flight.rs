//! Reads that are under way: whoever misses what is being read already waits for that read.
//!
//! Invariants:
//! - nobody joins a read that began before an eviction that they must see, or so long ago that its
//!   answer would be stale to them;
//! - a read goes on when whoever began it hangs up, and ends for all who wait at once, also where it
//!   fails: failures do not queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tracing::Instrument as _;

use crate::access::Principal;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{SessionId, UserId};

use super::cache::FillToken;

type Key = (UserId, SessionId);
type Outcome = Result<Principal, Arc<Error>>;

/// The reads under way, one for each session.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<UnderWay>);

#[derive(Debug, Default)]
struct UnderWay {
    flights: HashMap<Key, Flight>,
    begun: u64,
}

#[derive(Debug)]
struct Flight {
    number: u64,
    fill_token: FillToken,
    outcome: watch::Receiver<Option<Outcome>>,
}

/// Takes a read off the list when it is over, however it ends.
struct Landing {
    flights: Arc<Flights>,
    key: Key,
    number: u64,
}

impl Flights {
    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outcome of a read: of the one that is under way if it can serve, else of `read`.
    pub(crate) async fn join<R>(
        self: &Arc<Self>,
        key: Key,
        fill_token: FillToken,
        read: impl FnOnce() -> R,
    ) -> Result<Principal>
    where
        R: Future<Output = Result<Principal>> + Send + 'static,
    {
        let mut outcome = self.board(key, fill_token, read);
        match outcome.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Ok(principal))) => Ok(principal.clone()),
            Ok(Some(Err(error))) => Err(Error::shared(error)),
            // The read panicked, or the runtime is shutting down.
            _ => Err(Error::new(ErrorKind::Internal, "a read was given up")),
        }
    }

    fn board<R>(
        self: &Arc<Self>,
        key: Key,
        fill_token: FillToken,
        read: impl FnOnce() -> R,
    ) -> watch::Receiver<Option<Outcome>>
    where
        R: Future<Output = Result<Principal>> + Send + 'static,
    {
        let mut under_way = self.lock();
        if let Some(flight) = under_way.flights.get(&key)
            && flight.fill_token.serves(&fill_token)
        {
            return flight.outcome.clone();
        }
        under_way.begun += 1;
        let number = under_way.begun;
        let (teller, outcome) = watch::channel(None);
        // In place of one that cannot serve any more; those who wait for that still hear of it.
        under_way.flights.insert(key, Flight { number, fill_token, outcome: outcome.clone() });
        let landing = Landing { flights: Arc::clone(self), key, number };
        let read = read();
        let work = async move {
            let result = read.await;
            // ATOMIC: off the list first, so that nobody joins what is over.
            drop(landing);
            teller.send_replace(Some(result.map_err(Arc::new)));
        };
        tokio::spawn(work.in_current_span());
        outcome
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut under_way = self.flights.lock();
        let is_own = |flight: &Flight| flight.number == self.number;
        if under_way.flights.get(&self.key).is_some_and(is_own) {
            under_way.flights.remove(&self.key);
        }
    }
}
