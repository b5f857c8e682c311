//! The program as an operator runs it: commands, first start, refused starts, shutdown, crashes, and
//! the files to deploy it with.

#[path = "../support/mod.rs"]
mod support;

mod admin_password;
mod adopted_hashes;
mod at_rest;
mod backup;
mod blocked_log;
mod browser;
mod check;
mod commands;
mod deploy;
mod file_access;
mod first_start;
mod full_disk;
mod keys;
mod kill;
mod limits;
mod log_lines;
mod mail;
mod metrics;
mod own_process;
mod panics;
mod readme;
mod refused_starts;
mod reverse_proxies;
mod roles;
mod shutdown;
mod signals;
mod users;
