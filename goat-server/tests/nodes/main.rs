//! The program on PostgreSQL and Redis: commands, starts and migrations, and several nodes of one
//! system: invalidation, races, and rolling restarts.

#[path = "../support/mod.rs"]
mod support;

mod commands;
mod deploy;
mod forged_cache;
mod guide;
mod idle_redis;
mod lost_invalidations;
mod migrations;
mod propagation;
mod races;
mod redis_rights;
mod restarts;
mod stale_reads;
mod starts;
mod topologies;
