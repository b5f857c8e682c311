//! Storage in Redis or Valkey: sessions, limits, what nodes remember together, and notices.
//!
//! One server, what sentinels watch, or a cluster; nothing newer than Redis 6.0 is needed. All keys
//! of one user, and all of one limit's key, share a hash tag, so that every script touches one slot.
//! Scripts go by the server's clock, so that nodes whose clocks differ agree.

mod client;
mod failure;
mod limits;
mod notices;
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
use crate::session::SessionStore;
use crate::store::shared_cache::SharedCache;

/// A Redis, and the stores that it keeps. Clones share the connections.
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

/// What every store in Redis needs.
#[derive(Clone, Debug)]
struct RedisContext {
    client: Client,
    prefix: Arc<str>,
    uses_caller_clock: bool,
}

impl RedisDatabase {
    /// Reads the options. Connects to nothing: that happens when something is first asked for.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) if a URL is none, or
    /// the authority is.
    pub fn open(options: &RedisOptions) -> Result<Self> {
        let client = Client::new(options)?;
        let prefix = Arc::from(options.prefix.as_str());
        Ok(Self {
            context: RedisContext { client, prefix, uses_caller_clock: options.uses_caller_clock },
        })
    }

    /// The same Redis and connections, with another beginning of all keys and channels.
    #[must_use]
    pub fn prefixed(&self, prefix: &str) -> Self {
        Self { context: RedisContext { prefix: Arc::from(prefix), ..self.context.clone() } }
    }

    /// Sessions, one hash a user. They last as long as this Redis keeps them.
    #[must_use]
    pub fn sessions(&self) -> Arc<dyn SessionStore> {
        Arc::new(RedisSessions::new(self.context.clone()))
    }

    /// Limits, which all nodes count together: an exact log a key and quota.
    ///
    /// This process remembers who is refused until when, so that a flood of refused calls costs
    /// Redis nothing. All callers of one such store must therefore read the same stopwatch.
    #[must_use]
    pub fn limits(&self) -> Arc<dyn LimitStore> {
        Arc::new(RedisLimits::new(self.context.clone()))
    }

    /// What nodes remember together of users and roles; for [`Stores::cached`](crate::Stores::cached).
    #[must_use]
    pub fn shared_cache(&self) -> Arc<dyn SharedCache> {
        Arc::new(RedisSharedCache::new(self.context.clone()))
    }

    /// Whether Redis answers and serves.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.context.ping("redis.ping").await
    }
}

impl RedisContext {
    /// Asks for a key, since a cluster that is down and a server that is loading still answer to
    /// `PING`.
    async fn ping(&self, operation: &'static str) -> Result<(), StoreError> {
        let key = format!("{}:ping", self.prefix);
        let mut command = redis::cmd("GET");
        command.arg(&key);
        self.client.command(operation, key.as_bytes(), &command, Retry::Yes).await?;
        Ok(())
    }
}
