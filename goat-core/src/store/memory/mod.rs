//! Storage in the memory of this process: for tests, for trying things out, and for services whose
//! users come from elsewhere at every start.
//!
//! Each store is a plain structure behind one lock, held for as long as a call computes and never
//! across an await, so that every call is a transaction.

mod limits;
mod roles;
mod sessions;
mod users;

pub use limits::MemoryLimits;
pub use roles::MemoryRoles;
pub use sessions::MemorySessions;
pub use users::MemoryDirectory;
