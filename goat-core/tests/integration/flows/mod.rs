//! Behaviour of a whole goat, the same on every backend.

mod attributes;
pub(crate) mod captured_log;
mod challenges;
mod claims;
mod defence;
mod events;
#[cfg(feature = "foreign-hashes")]
mod foreign_hashes;
mod key_authentication;
mod keys;
mod keys_admin;
mod login;
mod mail;
mod mixed_stores;
mod permissions;
mod policy;
mod proofs;
mod races;
mod renewal;
mod replaced_tokens;
mod rotation;
mod second_factor;
mod self_service;
mod service_accounts;
mod step_up;
mod stored_roles;
pub(crate) mod support;
mod token_endpoints;
mod unreadable_hashes;
