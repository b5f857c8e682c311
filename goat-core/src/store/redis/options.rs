//! How to reach Redis.
//!
//! Invariant: no address and no password is ever shown, since both may stand in the URL.

use std::fmt;
use std::time::Duration;

use crate::secret::Secret;

/// Where Redis is, and how long it may take to answer.
///
/// One URL, or several of one system with commas between: nodes of a cluster, sentinels, or a master
/// and its replicas. What they are is found out. A further part may be a mere `host:port`, which
/// then has the scheme and the password of the first.
///
/// - `redis://[user:password@]host[:port][/database]`, `rediss:` for TLS, `unix:` for a socket.
/// - `?master=NAME`: which master to ask sentinels for, where they watch several.
///
/// ```
/// use std::time::Duration;
/// use goat_core::store::redis::RedisOptions;
///
/// let options = RedisOptions::new("rediss://:secret@one:26379,two:26379/?master=sessions")
///     .prefix("shop")
///     .timeout(Duration::from_millis(500));
/// assert!(!format!("{options:?}").contains("secret"));
/// ```
#[derive(Clone)]
pub struct RedisOptions {
    pub(super) urls: Secret<String>,
    pub(super) prefix: String,
    pub(super) timeout: Duration,
    pub(super) authority: Option<Vec<u8>>,
    pub(super) uses_caller_clock: bool,
}

impl RedisOptions {
    /// One URL, or several with commas between.
    pub fn new(urls: impl Into<Secret<String>>) -> Self {
        Self {
            urls: urls.into(),
            prefix: "goat".to_owned(),
            timeout: Duration::from_secs(2),
            authority: None,
            uses_caller_clock: false,
        }
    }

    /// What all keys and channels begin with, `goat` if nothing is said. Systems that share a Redis
    /// need different ones.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// How long a call may take, a connection that must be made first included. Two seconds if
    /// nothing is said, and never under a millisecond.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: timeout.max(Duration::from_millis(1)), ..self }
    }

    /// Trusts the certificates of these authorities (PEM) and no others. The machine's own are
    /// trusted if nothing is said. A text without any is refused when the database is opened.
    #[must_use]
    pub fn authority(self, pem: impl Into<Vec<u8>>) -> Self {
        Self { authority: Some(pem.into()), ..self }
    }

    /// Takes the time that callers name instead of the server's, so that a test may move it. Nodes
    /// whose clocks differ would disagree, so this is for tests alone.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn with_caller_clock(self) -> Self {
        Self { uses_caller_clock: true, ..self }
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RedisOptions")
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
