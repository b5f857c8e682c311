//! Rate limits: quotas, the keys they count by, and the service that acquires from them.
//!
//! A [`Quota`] is the number of requests per window, a [`LimitKey`] identifies one counter, and
//! [`Limits`] acquires requests from it.
//!
//! By default a limit is an exact sliding-window log: never more than the quota in any window,
//! wherever the window begins. A fixed window would admit up to twice the quota around its edge.
//!
//! A quota with a [burst](Quota::burst) uses GCRA, the generic cell rate algorithm, instead:
//! capacity for one request returns every `window / limit`, up to the burst. GCRA is exact too,
//! with a different bound: never more than `burst + t * limit / window` in any time `t`, which in
//! one window is up to the burst above the limit. In return, capacity comes back evenly and the
//! memory per key does not depend on the limit. [`Quota`] compares the two:
//!
//! ```
//! use goat_core::Quota;
//!
//! // A hard bound: at most five password attempts in any minute.
//! const ATTEMPTS: Quota = Quota::per_minute(5);
//! // A smooth load: fifty per second, at most twenty of them at once.
//! const SEARCHES: Quota = Quota::per_second(50).burst(20);
//! ```
//!
//! A limit by address counts an IPv6 address twice, since a client can have many of them: by its
//! /64, and by its /48 at [sixteen times](Limits::acquire_by_address) the quota.
//!
//! A caller may be able to choose the spelling of a key. Normalize values with several spellings,
//! such as e-mail addresses, or each spelling gets a quota of its own.

mod address;
mod gcra;
mod key;
mod service;
mod store;

pub use address::canonical_address;
pub(crate) use gcra::Gcra;
pub use key::LimitKey;
pub use service::{Limits, PendingDecision, WithDecisions};
pub(crate) use store::operation;
pub use store::{LimitLoad, LimitStore, PendingReply, StoreAcquire, StoreDecision, StoreReply};

pub use crate::quota::Decision;
pub(crate) use crate::quota::Quota;
