//! Courier: the port by which letters leave for their readers.
//!
//! goat decides on the letter, its reader and its values; the courier renders and delivers it. goat-server
//! sends by SMTP.

#[cfg(any(test, feature = "testing"))]
pub(crate) mod kept;
mod letter;

use std::fmt;

pub use letter::{Letter, Message, OneTimeSecret};

/// The port to the delivery of letters.
///
/// It accepts a letter on the request's task and does not wait for a mail server: it must be fast and must not
/// block.
///
/// ```
/// use goat_core::courier::{Courier, Letter, Permit, QueueFull};
/// use tokio::sync::mpsc::Sender;
///
/// /// Letters wait here for a task of the application, which sends them.
/// #[derive(Debug)]
/// struct Outbox(Sender<Letter>);
///
/// impl Courier for Outbox {
///     fn reserve(&self) -> Result<Permit, QueueFull> {
///         let place = self.0.clone().try_reserve_owned().map_err(|_| QueueFull)?;
///         Ok(Permit::new(move |letter| {
///             place.send(letter);
///         }))
///     }
/// }
/// # let _ = Outbox;
/// ```
pub trait Courier: fmt::Debug + Send + Sync {
    /// Reserves a place for one letter that a request causes. This comes before any user is looked up, so that
    /// a full queue rejects all requests alike.
    ///
    /// # Errors
    ///
    /// The queue is full.
    fn reserve(&self) -> Result<Permit, QueueFull>;

    /// Reserves a place for a notice to the owner of an account, of a change that took effect. A courier
    /// keeps places for notices, so that requests of strangers do not suppress them.
    ///
    /// # Errors
    ///
    /// The queue is full; the notice is lost, and the log says so.
    fn reserve_notice(&self) -> Result<Permit, QueueFull> {
        self.reserve()
    }
}

/// A reserved place for one letter. Dropping it releases the place.
#[must_use = "a place is released when it is dropped"]
pub struct Permit(Box<dyn FnOnce(Letter) + Send>);

impl Permit {
    /// Wraps the function that puts the letter into the place. It must not fail, and must not block.
    pub fn new(send: impl FnOnce(Letter) + Send + 'static) -> Self {
        Self(Box::new(send))
    }

    /// Sends a letter in the place.
    pub fn send(self, letter: Letter) {
        (self.0)(letter);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Permit")
    }
}

/// Error: no more letters can wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull;

impl fmt::Display for QueueFull {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the queue of letters is full")
    }
}

impl std::error::Error for QueueFull {}
