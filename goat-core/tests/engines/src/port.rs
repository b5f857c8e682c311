//! Ports for the engines.
//!
//! They lie below those that a system gives to clients. An engine that is down leaves its port free,
//! and a client that keeps trying to connect to a port of the clients' range can be given that same
//! port as its own and so meet itself.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

const RANGE: Range<u16> = 10_240..22_000;

/// How far the port of a Redis Cluster's own talk lies from the clients'.
const BUS: u16 = 10_000;

/// How often an engine is started again because another took its port first.
pub(crate) const TRIES: usize = 20;

/// A port at which nothing listens now. Another process may be faster: then the engine's start
/// fails and is tried again with another.
pub(crate) fn free() -> u16 {
    pick(is_free)
}

/// The same, with the port of the cluster's bus free too.
pub(crate) fn free_with_bus() -> u16 {
    pick(|port| is_free(port) && is_free(port + BUS))
}

/// Whether the log of an engine that ended says that it was late.
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
