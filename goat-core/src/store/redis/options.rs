//! Redis connection options.
//!
//! Invariant: `Debug` shows no address and no password, since the URL may contain both.

use std::fmt;
use std::time::Duration;

use crate::secret::Secret;

/// Redis connection options: URLs, key prefix, timeout and certificate authority.
///
/// Takes one URL, or several of one deployment separated by commas: nodes of a cluster, sentinels, or
/// a master and its replicas. The topology is detected. Further addresses may be just `host:port` and
/// inherit scheme and credentials from the first.
///
/// - `redis://[user:password@]host[:port][/database]`, `rediss:` for TLS, `unix:` for a socket.
/// - `?master=NAME` names the master if the sentinels monitor several.
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
    /// Creates options from one URL, or several separated by commas.
    pub fn new(urls: impl Into<Secret<String>>) -> Self {
        Self {
            urls: urls.into(),
            prefix: "goat".to_owned(),
            timeout: Duration::from_secs(2),
            authority: None,
            uses_caller_clock: false,
        }
    }

    /// Sets the prefix of all keys and channels, `goat` by default. Systems that share one Redis need
    /// different prefixes.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// Sets the timeout of a call, including the time to connect: two seconds by default, at least a
    /// millisecond.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: timeout.max(Duration::from_millis(1)), ..self }
    }

    /// Accepts certificates of these authorities (PEM) only, in place of the platform's. PEM without a
    /// certificate is an error when the database is opened.
    #[must_use]
    pub fn authority(self, pem: impl Into<Vec<u8>>) -> Self {
        Self { authority: Some(pem.into()), ..self }
    }

    /// Uses the caller's clock in place of the server's, so that a test can advance it. For tests only:
    /// nodes with different clocks would disagree.
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
