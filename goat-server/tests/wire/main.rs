//! The real program attacked over real sockets: what is shown here holds for whoever can reach the
//! port, and not only for who speaks through a well-behaved client.

mod harness;
#[path = "../process/mod.rs"]
mod process;

mod crowds;
mod folders;
mod forgeries;
mod framing;
mod records;
mod targets;
