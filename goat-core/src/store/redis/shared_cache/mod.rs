//! Shared cache in Redis: one hash per key with revision, read time and value.
//!
//! Invariants:
//! - each call is one script on one key, by the server's clock;
//! - a key expires after the longest TTL that any call gave it;
//! - a replica that is promoted may have missed the last invalidation, and its clock may differ: then
//!   a stale entry is served for at most the staleness plus that difference.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use redis::Value;

use super::RedisContext;
use super::client::{Retry, Script};
use super::failure::Failure;
use crate::error::StoreError;
use crate::store::shared_cache::{
    CacheEntry, CacheKey, Lookup, ServerTime, SharedCache, operation,
};

macro_rules! script {
    ($file:literal) => {
        LazyLock::new(|| {
            let parts = [include_str!("../clock.lua"), include_str!("known.lua")];
            Script::new([parts[0], parts[1], include_str!($file)].concat())
        })
    };
}

static GET: LazyLock<Script> = script!("get.lua");
static PUT: LazyLock<Script> = script!("put.lua");
static INVALIDATE_BELOW: LazyLock<Script> = script!("invalidate_below.lua");

/// The shared cache in Redis.
#[derive(Clone, Debug)]
pub(super) struct RedisSharedCache {
    context: RedisContext,
}

impl RedisSharedCache {
    pub(super) fn new(context: RedisContext) -> Self {
        Self { context }
    }

    /// Returns the Redis key; a user's state is in the slot of their sessions.
    fn key(&self, key: CacheKey) -> String {
        let prefix = &self.context.prefix;
        match key {
            CacheKey::User(user) => format!("{prefix}:{{{user}}}:u"),
            CacheKey::Roles => format!("{prefix}:{{roles}}:r"),
        }
    }

    /// Runs a script. All of them are idempotent.
    async fn run(
        &self,
        operation: &'static str,
        script: &Script,
        key: CacheKey,
        arguments: &[&[u8]],
    ) -> Result<Value, StoreError> {
        let key = self.key(key);
        self.context.client.script(operation, script, key.as_bytes(), arguments, Retry::Yes).await
    }
}

/// Formats a TTL as whole milliseconds, rounded down.
fn milliseconds(ttl: Duration) -> String {
    ttl.as_millis().to_string()
}

fn server_time(value: &Value) -> Option<ServerTime> {
    let &Value::Int(milliseconds) = value else { return None };
    u64::try_from(milliseconds).ok().map(ServerTime)
}

/// Parses an entry; none if a field is missing or malformed.
fn entry(fields: [Value; 3]) -> Option<CacheEntry> {
    let [revision, read_at, value] = fields.map(|field| match field {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        _ => None,
    });
    Some(CacheEntry {
        revision: revision?.parse().ok()?,
        read_at: ServerTime(read_at?.parse().ok()?),
        value: value?,
    })
}

#[async_trait]
impl SharedCache for RedisSharedCache {
    /// The number of the Redis database, and the key in it.
    fn name(&self, key: CacheKey) -> String {
        format!("{}/{}", self.context.client.database(), self.key(key))
    }

    async fn get(&self, key: CacheKey) -> Result<Lookup, StoreError> {
        let reply = self.run(operation::GET, &GET, key, &[]).await?;
        let unreadable = || {
            Failure::malformed("malformed reply of the shared cache").in_operation(operation::GET)
        };
        let Value::Array(reply) = reply else { return Err(unreadable()) };
        let Ok([now, fields @ ..]) = <[Value; 4]>::try_from(reply) else {
            return Err(unreadable());
        };
        let now = server_time(&now).ok_or_else(unreadable)?;
        Ok(Lookup { entry: entry(fields), now })
    }

    async fn put(
        &self,
        key: CacheKey,
        entry: &CacheEntry,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let CacheEntry { revision, read_at, value } = entry;
        let (revision, read_at, ttl) =
            (revision.to_string(), read_at.0.to_string(), milliseconds(ttl));
        let arguments = [revision.as_bytes(), read_at.as_bytes(), ttl.as_bytes(), value.as_bytes()];
        Ok(self.run(operation::PUT, &PUT, key, &arguments).await? == Value::Int(1))
    }

    async fn invalidate_below(
        &self,
        key: CacheKey,
        revision: u64,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let (revision, ttl) = (revision.to_string(), milliseconds(ttl));
        let arguments = [revision.as_bytes(), ttl.as_bytes()];
        self.run(operation::INVALIDATE_BELOW, &INVALIDATE_BELOW, key, &arguments).await?;
        Ok(())
    }
}
