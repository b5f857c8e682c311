//! Notices within one process.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;

use super::{Listener, Notice, Notices};
use crate::error::StoreError;

/// Notices within one process: every handle built on the same stores hears them, always.
#[derive(Clone, Default)]
pub struct LocalNotices {
    listeners: Arc<Mutex<Vec<Weak<dyn Listener>>>>,
}

impl LocalNotices {
    /// Calls every listener that is still there, one after another, without holding the lock.
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

impl fmt::Debug for LocalNotices {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LocalNotices")
    }
}

#[async_trait]
impl Notices for LocalNotices {
    async fn publish(&self, notice: Notice) -> Result<(), StoreError> {
        self.each(|listener| listener.heard(notice));
        Ok(())
    }

    fn subscribe(&self, listener: Weak<dyn Listener>) {
        self.add(listener);
    }
}
