//! Port selection for the engines.
//!
//! Ports are below the ephemeral range. An engine that is down leaves its port free, and a client
//! that keeps connecting to an ephemeral port can be given that port as its own and so connect to
//! itself.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

const RANGE: Range<u16> = 10_240..22_000;

/// Distance of a cluster node's bus port from its client port.
const BUS: u16 = 10_000;

/// How often an engine's start is retried because its port was taken.
pub(crate) const TRIES: usize = 20;

/// Returns a free port. If another process takes it first, the engine's start fails and is retried.
pub(crate) fn free() -> u16 {
    pick(is_free)
}

/// Like [`free`], with the port of the cluster bus free too.
pub(crate) fn free_with_bus() -> u16 {
    pick(|port| is_free(port) && is_free(port + BUS))
}

/// Whether the log of an exited engine reports that its port was taken.
pub(crate) fn was_taken(log: &str) -> bool {
    log.contains("Address already in use")
}

fn pick(good: impl Fn(u16) -> bool) -> u16 {
    let random = RandomState::new();
    (0..10_000_u32)
        .map(|turn| {
            let width = u64::from(RANGE.end - RANGE.start);
            RANGE.start + u16::try_from(random.hash_one(turn) % width).expect("it is in the range")
        })
        .find(|port| good(*port))
        .expect("the machine has a free port")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
