//! Transaction of the application, as a store joins it.

use std::any::Any;
use std::fmt;

/// A transaction that the application began, and ends. A store joins it, so that goat's rows and the
/// application's commit together or not at all.
///
/// Made from `&mut sqlx::Transaction` of SQLite or PostgreSQL for goat's own stores, and by
/// [`StoreTransaction::new`] for a [`UserStore`](super::UserStore) with another driver.
pub struct StoreTransaction<'a>(&'a mut (dyn Any + Send));

impl<'a> StoreTransaction<'a> {
    /// Wraps the connection, or the transaction, of a database driver.
    pub fn new<T: Any + Send>(connection: &'a mut T) -> Self {
        Self(connection)
    }

    /// Returns the connection, if it is of this type.
    pub fn connection<T: Any>(&mut self) -> Option<&mut T> {
        self.0.downcast_mut()
    }
}

impl fmt::Debug for StoreTransaction<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("StoreTransaction")
    }
}
