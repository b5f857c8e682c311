//! Letters that are kept in memory, for tests.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Courier, Letter, Permit, QueueFull};

/// A courier that keeps the letters. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Letters(Arc<State>);

#[derive(Debug, Default)]
struct State {
    sent: Mutex<Vec<Letter>>,
    is_full: Mutex<bool>,
    arrived: tokio::sync::Notify,
}

impl Letters {
    /// Returns the letters that were sent, in their order, and forgets them.
    #[must_use]
    pub fn take(&self) -> Vec<Letter> {
        std::mem::take(&mut self.0.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until a letter to an address is sent, and returns the first one, without it and those before it.
    pub async fn next_to(&self, to: &str) -> Letter {
        loop {
            let arrived = self.0.arrived.notified();
            let mut arrived = std::pin::pin!(arrived);
            // Before the look, so that no letter arrives unseen between the two.
            arrived.as_mut().enable();
            if let Some(letter) = self.first_to(to) {
                return letter;
            }
            arrived.await;
        }
    }

    /// Makes the queue full, or gives it room again.
    pub fn set_full(&self, is_full: bool) {
        *self.0.is_full.lock().unwrap_or_else(PoisonError::into_inner) = is_full;
    }

    fn first_to(&self, to: &str) -> Option<Letter> {
        let mut sent = self.0.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let place = sent.iter().position(|letter| letter.to.as_str() == to)?;
        sent.drain(..=place).next_back()
    }
}

impl Courier for Letters {
    fn reserve(&self) -> Result<Permit, QueueFull> {
        if *self.0.is_full.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(QueueFull);
        }
        let state = Arc::clone(&self.0);
        Ok(Permit::new(move |letter| {
            state.sent.lock().unwrap_or_else(PoisonError::into_inner).push(letter);
            state.arrived.notify_waiters();
        }))
    }
}
