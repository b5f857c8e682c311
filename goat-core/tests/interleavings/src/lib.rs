//! goat-core's session cache, lease and single-flight, compiled with the locks and atomics of loom, and
//! scenarios of a few threads for [`loom::model()`], which runs every interleaving of them.

// Compiled for tests, the included files would bring their unit tests, which don't run under loom.
#![cfg(not(test))]
#![expect(dead_code, reason = "the included files have more methods than the scenarios use")]

pub mod cache;
pub mod flights;

#[path = "../../../src/invalidation/lease.rs"]
mod lease;
#[path = "../../../src/service/session_cache.rs"]
mod session_cache;
#[path = "../../../src/single_flight.rs"]
mod single_flight;

/// The paths that the included files use.
mod sync {
    pub(crate) use loom::sync::{Arc, Mutex, MutexGuard, atomic};
    pub(crate) use std::sync::PoisonError;
}
mod id {
    pub(crate) use goat_core::{Credential, SessionId, UserId};
}
mod user {
    pub(crate) use goat_core::user::Revisions;
}
mod session {
    pub(crate) use goat_core::session::CacheStats;
}
mod invalidation {
    pub(crate) use crate::lease::Lease;
}

/// Stands in for a principal: the cache uses only its ids and revisions.
#[derive(Clone, Debug)]
struct Principal {
    user: id::UserId,
    credential: id::Credential,
    revisions: user::Revisions,
}

impl Principal {
    fn user(&self) -> id::UserId {
        self.user
    }

    fn credential(&self) -> id::Credential {
        self.credential
    }

    fn revisions(&self) -> user::Revisions {
        self.revisions
    }
}
