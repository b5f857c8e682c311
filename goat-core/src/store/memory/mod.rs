//! In-memory storage, for tests, demos, and services that load their users at every start.
//!
//! Each store is a plain structure behind one lock, which is never held across an await, so that every
//! call is a transaction.

mod challenges;
mod keys;
mod limits;
mod roles;
mod sessions;
mod users;

pub use challenges::MemoryChallenges;
pub use limits::MemoryLimits;
pub use roles::MemoryRoles;
pub use sessions::MemorySessions;
pub use users::MemoryDirectory;
