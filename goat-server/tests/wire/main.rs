//! The program attacked over sockets: properties that hold for any client that reaches the port, not
//! only for a well-behaved one.

#[path = "../support/mod.rs"]
mod support;

mod data_folder;
mod forgeries;
mod framing;
mod harness;
mod load;
mod log_and_metrics;
mod open_files;
mod targets;
mod worst_case;
