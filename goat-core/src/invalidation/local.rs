//! Invalidation channel within one process.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;

use super::{Invalidation, Invalidations, Listener};
use crate::error::StoreError;

/// An invalidation channel within one process. Reaches every goat that is built on the same stores; never
/// disconnected.
#[derive(Clone, Default)]
pub struct LocalInvalidations {
    listeners: Arc<Mutex<Vec<Weak<dyn Listener>>>>,
}

impl LocalInvalidations {
    /// Calls each live listener, without holding the lock.
    pub(super) fn each(&self, call: impl Fn(&dyn Listener)) {
        let listeners = {
            let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
            listeners.retain(|listener| listener.strong_count() > 0);
            listeners.iter().filter_map(Weak::upgrade).collect::<Vec<_>>()
        };
        for listener in listeners {
            call(listener.as_ref());
        }
    }

    pub(super) fn add(&self, listener: Weak<dyn Listener>) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
    }
}

impl fmt::Debug for LocalInvalidations {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LocalInvalidations")
    }
}

#[async_trait]
impl Invalidations for LocalInvalidations {
    async fn publish(&self, invalidation: Invalidation) -> Result<(), StoreError> {
        self.each(|listener| listener.on_invalidation(invalidation));
        Ok(())
    }

    fn subscribe(&self, listener: Weak<dyn Listener>) {
        self.add(listener);
    }
}
