//! The program on PostgreSQL and Redis, as several nodes of it are run: started, refused, asked,
//! robbed of an engine, and ended.

#[path = "../process/mod.rs"]
mod process;

mod commands;
mod deploy;
mod migrations;
mod nodes;
mod outages;
mod readme;
mod starts;
mod support;
