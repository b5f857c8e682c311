//! The configured Redis at startup, behind the cargo feature `redis`.

#[cfg(feature = "redis")]
pub(super) mod client;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use goat_core::invalidation::Invalidations;
use goat_core::limit::LimitStore;
use goat_core::store::SessionStore;
use goat_core::store::shared_cache::SharedCache;

use crate::failure::Failure;
use crate::start::settings::StorageSettings;

/// A Redis client that connects on first use.
#[async_trait]
pub(super) trait Redis: fmt::Debug + Send + Sync {
    /// Checks that Redis is usable. The client has its own timeout.
    async fn probe(&self) -> Result<RedisStatus, Failure>;

    /// Returns its stores, with a prefix of all their keys.
    fn stores(&self, prefix: &str, staleness: Duration) -> RedisStores;
}

/// The status of a reachable Redis.
pub(super) struct RedisStatus {
    /// Its version and kind, for the operator.
    pub(super) shown: String,
    /// A problem of its configuration that does not prevent its use.
    pub(super) warning: Option<String>,
}

/// What Redis keeps.
pub(super) struct RedisStores {
    pub(super) sessions: Arc<dyn SessionStore>,
    pub(super) limits: Arc<dyn LimitStore>,
    pub(super) invalidations: Arc<dyn Invalidations>,
    pub(super) shared_cache: Arc<dyn SharedCache>,
}

/// Creates the client of the settings, if there is one.
pub(super) fn open(settings: &StorageSettings) -> Result<Option<Arc<dyn Redis>>, Failure> {
    match &settings.redis {
        None => Ok(None),
        #[cfg(feature = "redis")]
        Some(urls) => Ok(Some(Arc::new(client::Client::open(settings, urls)?))),
        #[cfg(not(feature = "redis"))]
        Some(_) => {
            let absence = crate::start::settings::Engine::Redis.absence();
            Err(Failure::configuration(format!("REDIS_URL: {absence}")))
        }
    }
}

/// Checks that the configured Redis is usable, if there is one; returns its description for the
/// operator, and a warning about its configuration.
pub(crate) async fn probe_redis(
    settings: &StorageSettings,
) -> Result<Option<(String, Option<String>)>, Failure> {
    let Some(redis) = open(settings)? else { return Ok(None) };
    let RedisStatus { shown, warning } = redis.probe().await?;
    Ok(Some((shown, warning)))
}
