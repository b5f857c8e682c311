//! Notices: what one node tells the others after a change, so that they forget what they remember.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;

use crate::error::StoreError;
use crate::id::{SessionId, UserId};

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// This session has ended.
    Session(UserId, SessionId),
    /// This user's state, or all of their sessions.
    User(UserId),
    /// What roles may do.
    Roles,
}

/// Whoever wants to hear notices.
pub trait Listener: Send + Sync {
    /// Something changed somewhere. Called for a node's own notices too.
    fn heard(&self, notice: Notice);
}

/// The port that carries notices.
///
/// A notice may be lost: what listeners remember is bounded in age for that case. An implementer
/// guarantees that a notice is delivered to the listeners of its own process before
/// [`Notices::publish`] returns, and holds listeners weakly.
#[async_trait]
pub trait Notices: fmt::Debug + Send + Sync {
    /// Tells everyone.
    async fn publish(&self, notice: Notice) -> Result<(), StoreError>;

    /// Begins to listen, until the listener is dropped.
    fn subscribe(&self, listener: Weak<dyn Listener>);
}

/// Notices within one process: every handle built on the same stores hears them.
#[derive(Clone, Default)]
pub struct LocalNotices {
    listeners: Arc<Mutex<Vec<Weak<dyn Listener>>>>,
}

impl fmt::Debug for LocalNotices {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LocalNotices")
    }
}

#[async_trait]
impl Notices for LocalNotices {
    async fn publish(&self, notice: Notice) -> Result<(), StoreError> {
        let listeners = {
            let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
            listeners.retain(|listener| listener.strong_count() > 0);
            listeners.iter().filter_map(Weak::upgrade).collect::<Vec<_>>()
        };
        for listener in listeners {
            listener.heard(notice);
        }
        Ok(())
    }

    fn subscribe(&self, listener: Weak<dyn Listener>) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
    }
}
