//! The configured Redis.

use goat_core::Secret;
use goat_core::store::redis::{RedisDatabase, RedisOptions};

use crate::failure::{Failure, deepest};
use crate::start::settings::StorageSettings;

/// The eviction policy that preserves sessions and limits when memory is full.
const NO_EVICTION: &str = "noeviction";

/// A Redis client that connects on first use.
#[derive(Clone, Debug)]
pub(super) struct Redis {
    pub(super) database: RedisDatabase,
}

/// The status of a reachable Redis.
pub(super) struct RedisStatus {
    /// Its version and kind, for the operator.
    pub(super) shown: String,
    /// A problem of its configuration that does not prevent its use.
    pub(super) warning: Option<String>,
}

impl Redis {
    pub(super) fn open(settings: &StorageSettings, urls: &Secret<String>) -> Result<Self, Failure> {
        let options = redis_options(settings, urls);
        let database = RedisDatabase::open(&options)
            .map_err(|error| Failure::from(error).after("REDIS_URL"))?;
        Ok(Self { database })
    }

    /// Checks that Redis is usable. The client has its own timeout.
    pub(super) async fn probe(&self) -> Result<RedisStatus, Failure> {
        let server = self.database.server().await.map_err(|error| {
            if error.is_unavailable() {
                let cause = deepest(&error);
                return Failure::unavailable(format!("REDIS_URL: Redis is unavailable: {cause}"));
            }
            Failure::from(error).after("REDIS_URL")
        })?;
        let kind = if server.is_cluster { " (cluster)" } else { "" };
        let evicts = server.eviction.as_deref().filter(|policy| *policy != NO_EVICTION);
        let warning = evicts.map(|policy| {
            format!(
                "REDIS_URL: Redis runs with maxmemory-policy {policy} and may evict sessions and \
                 rate limits when its memory is full; set it to {NO_EVICTION}"
            )
        });
        Ok(RedisStatus { shown: format!("{}{kind}", server.version), warning })
    }
}

/// Checks that the configured Redis is usable, if there is one; returns its description for the
/// operator, and a warning about its configuration.
pub(crate) async fn probe_redis(
    settings: &StorageSettings,
) -> Result<Option<(String, Option<String>)>, Failure> {
    let Some(urls) = &settings.redis else { return Ok(None) };
    let RedisStatus { shown, warning } = Redis::open(settings, urls)?.probe().await?;
    Ok(Some((shown, warning)))
}

/// Returns the options of Redis. Its timeout is slightly shorter than that of a store call, so that
/// the error names the operation that timed out.
pub(super) fn redis_options(settings: &StorageSettings, urls: &Secret<String>) -> RedisOptions {
    RedisOptions::new(urls.clone()).timeout(settings.store_timeout * 9 / 10)
}
