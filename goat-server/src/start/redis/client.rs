//! The client of Redis.

use std::time::Duration;

use async_trait::async_trait;
use goat_core::Secret;
use goat_core::store::redis::{RedisDatabase, RedisOptions};

use super::{Redis, RedisStatus, RedisStores};
use crate::failure::{Failure, deepest};
use crate::start::settings::StorageSettings;

/// The eviction policy that preserves sessions and limits when memory is full.
const NO_EVICTION: &str = "noeviction";

#[derive(Debug)]
pub(super) struct Client(RedisDatabase);

impl Client {
    pub(super) fn open(settings: &StorageSettings, urls: &Secret<String>) -> Result<Self, Failure> {
        let database = RedisDatabase::open(&options(settings, urls))
            .map_err(|error| Failure::from(error).after("REDIS_URL"))?;
        Ok(Self(database))
    }
}

#[async_trait]
impl Redis for Client {
    async fn probe(&self) -> Result<RedisStatus, Failure> {
        let server = self.0.server().await.map_err(|error| {
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

    fn stores(&self, prefix: &str, staleness: Duration) -> RedisStores {
        let database = self.0.prefixed(prefix);
        RedisStores {
            sessions: database.sessions(),
            limits: database.limits(),
            invalidations: database.invalidations(staleness),
            shared_cache: database.shared_cache(),
        }
    }
}

/// Returns the options of Redis. Its timeout is slightly shorter than that of a store call, so that
/// the error names the operation that timed out.
pub(in crate::start) fn options(settings: &StorageSettings, urls: &Secret<String>) -> RedisOptions {
    RedisOptions::new(urls.clone()).timeout(settings.store_timeout * 9 / 10)
}
