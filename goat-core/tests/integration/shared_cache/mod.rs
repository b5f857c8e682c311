//! Shared cache between nodes: bounded staleness, and no effect of its failures. With an in-memory
//! cache on a manual clock, and with real engines.

mod cold_start;
mod conformance;
#[cfg(feature = "redis")]
mod engines;
mod entries;
#[cfg(feature = "sqlite")]
mod external_writes;
#[cfg(feature = "redis")]
mod forgeries;
mod outages;
mod port;
mod single_flight;
mod support;
mod writes;
