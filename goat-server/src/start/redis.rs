//! The Redis that the settings name.

use goat_core::Secret;
use goat_core::store::redis::{RedisDatabase, RedisOptions};

use crate::failure::{Failure, deepest};
use crate::start::settings::StorageSettings;

/// What keeps sessions and limits whole when the memory is full.
const KEEPS: &str = "noeviction";

/// A Redis that is connected to when it is first asked.
#[derive(Clone, Debug)]
pub(super) struct Redis {
    pub(super) database: RedisDatabase,
}

/// What answered.
pub(super) struct RedisStatus {
    /// What the operator knows it as.
    pub(super) shown: String,
    /// What is wrong with how it is run, though it can be used.
    pub(super) warning: Option<String>,
}

impl Redis {
    pub(super) fn open(settings: &StorageSettings, urls: &Secret<String>) -> Result<Self, Failure> {
        let options = redis_options(settings, urls);
        let database = RedisDatabase::open(&options)
            .map_err(|error| Failure::from(error).after("REDIS_URL"))?;
        Ok(Self { database })
    }

    /// Asks it whether it is there and can be used. It has its own time-out.
    pub(super) async fn probe(&self) -> Result<RedisStatus, Failure> {
        let server = self.database.server().await.map_err(|error| {
            if error.is_unavailable() {
                let cause = deepest(&error);
                return Failure::new(format!("REDIS_URL: Redis is unavailable: {cause}"));
            }
            Failure::from(error).after("REDIS_URL")
        })?;
        let kind = if server.is_cluster { " (cluster)" } else { "" };
        let evicts = server.eviction.as_deref().filter(|policy| *policy != KEEPS);
        let warning = evicts.map(|policy| {
            format!(
                "REDIS_URL: Redis runs with maxmemory-policy {policy} and may evict sessions and \
                 rate limits when its memory is full; set it to {KEEPS}"
            )
        });
        Ok(RedisStatus { shown: format!("{}{kind}", server.version), warning })
    }
}

/// Asks the Redis of the settings, if there is one, whether it is there and can be used; answers what
/// the operator knows it as, and what is wrong with how it is run.
pub(crate) async fn probe_redis(
    settings: &StorageSettings,
) -> Result<Option<(String, Option<String>)>, Failure> {
    let Some(urls) = &settings.redis else { return Ok(None) };
    let RedisStatus { shown, warning } = Redis::open(settings, urls)?.probe().await?;
    Ok(Some((shown, warning)))
}

/// How Redis is reached. Its own time-out is a little shorter than that of a call, so that what is
/// said is what it was that took so long.
pub(super) fn redis_options(settings: &StorageSettings, urls: &Secret<String>) -> RedisOptions {
    RedisOptions::new(urls.clone()).timeout(settings.store_timeout * 9 / 10)
}
