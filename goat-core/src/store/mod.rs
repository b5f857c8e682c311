//! Storage: the ports to users, roles, sessions and challenges, and the backends that implement them.

mod aged;
pub(crate) mod challenges;
pub(crate) mod factors;
pub(crate) mod keys;
pub mod memory;
mod observed;
#[cfg(feature = "redis")]
pub mod redis;
pub(crate) mod roles;
pub(crate) mod sessions;
pub mod shared_cache;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub mod sql;
pub(crate) mod stores;
mod transaction;
pub(crate) mod users;

pub use aged::Aged;
pub use challenges::{ChallengeStore, NoChallenges};
pub use factors::{FactorStore, NoFactors};
pub use keys::{Created, KeyStore, KeyView, NoKeys};
pub use roles::{RoleChange, RoleSnapshot, RoleStore, RoleWrite, RoleWriteOutcome};
pub use sessions::{Replaced, Revoked, Rotated, Rotation, SessionStore, SessionView};
pub(crate) use stores::Stores;
pub use transaction::StoreTransaction;
pub use users::{
    Rehashed, SAMPLED_HASHES, UserChange, UserSnapshot, UserStore, UserWrite, UserWriteOutcome,
    sampled_hashes,
};
