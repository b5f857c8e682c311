//! Startup: settings, stores, keys and the data directory, up to a running
//! [`Goat`](goat_core::Goat).
//!
//! A first start generates the missing parts: the data directory, the secrets in it, and the first
//! administrator. Invariants: nothing that exists is overwritten; a secret is on the disk before
//! anything depends on it; any number of concurrent starts end up with the same secrets and one
//! administrator.

mod admin_password;
mod administrator;
mod breached;
mod breached_list;
mod build;
mod data_dir;
mod database;
mod database_lock;
mod file_access;
mod first_administrator;
mod keys;
mod redis;
mod roles_file;
pub mod settings;
mod storage;
pub(crate) mod text;

pub(crate) use admin_password::{AdminPasswordFile, COMPARE_INTERVAL};
pub(crate) use administrator::{Administrator, NO_ADMIN_PASSWORD, ensure_administrator};
pub use breached::BreachedFile;
pub use build::{Started, build};
pub(crate) use build::{UsesPasswords, breached_file, build_existing, rules, token_settings};
pub use data_dir::{DataDir, SecretFile, StoredSecret};
pub use database::SchemaState;
pub use database_lock::DatabaseLock;
pub(crate) use file_access::check_file_access;
pub use first_administrator::{FirstAdministrator, FirstAdministratorError, first_administrator};
pub use keys::{Hashing, KeySource, password_hasher, server_keys, token_keys};
pub(crate) use keys::{
    check_hashes, cost, existing_hasher, hasher, refuse_without_pepper, secret_bytes,
    stored_hashes, stored_token_key,
};
pub(crate) use redis::probe_redis;
pub(crate) use roles_file::{apply_roles, compare_roles};
pub(crate) use storage::REGISTER_KEY_INTERVAL;
#[cfg(feature = "sqlite")]
pub(crate) use storage::no_database;
pub use storage::{AdoptForeign, Connectivity, Storage};

use goat_core::Secret;

/// Returns bytes from the operating system's random number generator.
pub(crate) fn random_bytes(count: usize) -> Secret<Vec<u8>> {
    let mut bytes = vec![0; count];
    #[expect(clippy::expect_used, reason = "without randomness nothing here may go on")]
    getrandom::fill(&mut bytes).expect("the operating system has no randomness to give");
    Secret::new(bytes)
}
