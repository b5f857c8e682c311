//! Carriers: where letters go, and the outcome of one try.

use std::fmt;

use async_trait::async_trait;
use goat_core::Secret;
use lettre::Address;

/// A rendered letter.
pub(super) struct Mail {
    /// The kind of its message, for metrics and the log.
    pub(super) message: &'static str,
    pub(super) from: Address,
    pub(super) to: Address,
    /// The whole message with its header, in ASCII, with CRLF.
    pub(super) content: Vec<u8>,
    /// Its link, which is shown on a developer's terminal.
    pub(super) link: Option<Secret<String>>,
}

/// Without addresses and content.
impl fmt::Debug for Mail {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Mail").field("message", &self.message).finish_non_exhaustive()
    }
}

/// The outcome of one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The carrier accepted the letter.
    Delivered,
    /// It did not, and may accept it later.
    Deferred(Fault),
    /// It rejected the letter for good.
    Rejected(Fault),
    /// It received the whole letter, and its answer is not known. A second try could deliver it twice.
    Unknown(Fault),
}

/// The cause of a failed try, for the log: without an address, a secret or the text of a server, which
/// quotes addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Where it failed, such as an SMTP command.
    pub(super) stage: &'static str,
    pub(super) cause: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.stage, self.cause)
    }
}

/// A way to deliver letters.
#[async_trait]
pub(super) trait Carrier: fmt::Debug + Send + Sync {
    /// Tries to deliver a letter once, in bounded time.
    async fn deliver(&self, mail: &Mail) -> Outcome;

    /// Closes idle connections when it is time. Never returns.
    async fn close_idle(&self) {
        std::future::pending::<()>().await;
    }

    /// Closes all idle connections, in bounded time.
    async fn close(&self) {}
}
