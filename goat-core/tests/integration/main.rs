//! Integration tests: whole goats on every backend, the stores, caches and invalidations. Those with
//! real engines start private servers.

#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod application;
mod conformance;
mod default_replace;
mod delegating_stores;
mod flows;
mod invalidations;
#[cfg(target_os = "linux")]
mod million_keys;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
mod shared_cache;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod upgrade;
