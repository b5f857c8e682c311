//! Storage in Redis or Valkey: sessions, limits, shared cache and invalidations.
//!
//! Works with a standalone server, Sentinel or Cluster, from Redis 6.0. All keys of one user, and all
//! counters of one limit key, share a hash tag, so that every script touches one slot. Scripts use the
//! server's clock, so that nodes with different clocks agree.

mod client;
mod failure;
mod invalidations;
mod limits;
mod options;
mod server;
mod sessions;
mod shared_cache;

use std::sync::Arc;

pub use options::RedisOptions;
pub use server::RedisServer;

use self::client::{Client, Retry};
use self::limits::RedisLimits;
use self::sessions::RedisSessions;
use self::shared_cache::RedisSharedCache;
use crate::error::{Result, StoreError};
use crate::limit::LimitStore;
use crate::store::SessionStore;
use crate::store::shared_cache::SharedCache;

/// A Redis deployment and its stores. Clones share the connections.
///
/// ```no_run
/// # fn stores() -> goat_core::Result<()> {
/// use goat_core::Stores;
/// use goat_core::store::redis::{RedisDatabase, RedisOptions};
///
/// let redis = RedisDatabase::open(&RedisOptions::new("redis://127.0.0.1:6379"))?;
/// let stores =
///     Stores { sessions: redis.sessions(), limits: redis.limits(), ..Stores::memory() };
/// # let _ = stores;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RedisDatabase {
    context: RedisContext,
}

/// Decodes a stored session, and encodes it again.
#[cfg(feature = "testing")]
pub(crate) fn session_encoded_again(value: &[u8]) -> Option<Vec<u8>> {
    sessions::encoded_again(value)
}

/// The client and settings that all Redis stores share.
#[derive(Clone, Debug)]
struct RedisContext {
    client: Client,
    /// For readiness checks alone, which must not wait behind the calls of requests.
    check: Client,
    prefix: Arc<str>,
    uses_caller_clock: bool,
}

impl RedisDatabase {
    /// Parses the options. The first call connects.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) if a URL or the certificate
    /// authority is malformed.
    pub fn open(options: &RedisOptions) -> Result<Self> {
        let (client, check) = (Client::new(options)?, Client::new(options)?);
        let prefix = Arc::from(options.prefix.as_str());
        let uses_caller_clock = options.uses_caller_clock;
        Ok(Self { context: RedisContext { client, check, prefix, uses_caller_clock } })
    }

    /// Returns the same database and connections with another prefix for all keys and channels.
    #[must_use]
    pub fn prefixed(&self, prefix: &str) -> Self {
        Self { context: RedisContext { prefix: Arc::from(prefix), ..self.context.clone() } }
    }

    /// Returns the session store: one hash per user. Sessions are as durable as this Redis.
    #[must_use]
    pub fn sessions(&self) -> Arc<dyn SessionStore> {
        Arc::new(RedisSessions::new(self.context.clone()))
    }

    /// Returns the limit store, which counts for all nodes: a sliding-window log, or GCRA for quotas
    /// with a burst.
    ///
    /// The store caches in process until when a key is limited, for at most a second, so that a flood of
    /// limited calls does not reach Redis. All callers of one store must therefore read the same monotonic clock.
    #[must_use]
    pub fn limits(&self) -> Arc<dyn LimitStore> {
        Arc::new(RedisLimits::new(self.context.clone()))
    }

    /// Returns the shared cache of user states and role permissions.
    #[must_use]
    pub fn shared_cache(&self) -> Arc<dyn SharedCache> {
        Arc::new(RedisSharedCache::new(self.context.clone()))
    }

    /// Checks that Redis responds and serves keys, over a connection of its own.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.context.ping("redis.ping").await
    }
}

impl RedisContext {
    /// The channel of the invalidations.
    fn channel(&self) -> String {
        format!("{}:invalidations", self.prefix)
    }

    /// Reads a key, since a cluster that is down and a server that is loading still reply to `PING`. After
    /// a success the calls of requests connect without a backoff, so that a ready node serves them.
    async fn ping(&self, operation: &'static str) -> Result<(), StoreError> {
        let key = format!("{}:ping", self.prefix);
        let mut command = redis::cmd("GET");
        command.arg(&key);
        self.check.command(operation, key.as_bytes(), &command, Retry::Yes).await?;
        self.client.end_backoff();
        Ok(())
    }
}
