//! From settings to a goat: where state is kept, what signs, what hashes, and by which rules.
//!
//! The order matters, and is this: the database and its schema, then the stored passwords, then the
//! pepper. Only who has looked at the passwords can tell a first start, which makes a pepper, from
//! one whose pepper was lost, which must not.

mod keys;
mod storage;

use std::num::NonZeroUsize;
use std::sync::Arc;

use goat_core::event::Observer;
use goat_core::password::{GateLimits, PasswordPolicy};
use goat_core::token::TokenSettings;
use goat_core::{Clock, Goat, Quota, SystemClock};

use crate::bootstrap::DataDir;
use crate::failure::Failure;
use crate::settings::{Settings, Signup};

pub use keys::{Hashing, KeySource, password_hasher, token_keys};
pub(crate) use keys::{
    check_hashes, hasher, kept_token_key, pepper_bytes, refuse_without_pepper, stored_hashes,
};
pub use storage::{Adoption, Storage};

/// How many times as often as a client's address may try, an account may be tried from anywhere:
/// few enough to guess nothing, and enough that shutting somebody out takes many addresses.
const ACCOUNT_FACTOR: u32 = 10;

/// A goat and what it stands on.
#[derive(Debug)]
pub struct Wired {
    /// The goat. Its schema is current, and the stored passwords can be verified.
    pub goat: Goat,
    /// Where it keeps its state.
    pub storage: Storage,
    /// Where generated secrets are.
    pub data: DataDir,
}

/// Builds a goat from settings: opens what it stands on, makes the secrets that are to be generated
/// and are not there yet, and checks that what is stored fits all of it.
///
/// # Errors
///
/// If the settings ask for what this version cannot do, the database cannot be used, its schema is
/// not the one of this version and may not be migrated now, or a key or pepper is missing or
/// wrong.
pub async fn build(settings: &Settings, observer: Arc<dyn Observer>) -> Result<Wired, Failure> {
    check_supported(settings)?;
    let data = DataDir::new(&settings.storage.data_dir);
    let storage = Storage::open(&settings.storage, &data).await?;
    storage.bring_up_to_date(settings.storage.migrate_on_start).await?;
    let stores = storage.stores(settings.limits.keys);
    // ATOMIC: hashes before the pepper; see above. A pepper is on the disk before anything is hashed
    // with it, so of two starts at once the later one finds the pepper of what it has seen.
    let hashes = stored_hashes(&stores).await?;
    let Hashing { hasher, .. } = password_hasher(&settings.passwords, &data, &hashes)?;
    let (keys, _) = token_keys(&settings.tokens.keys, &data)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let timeout = settings.storage.store_timeout;
    let stores = stores.watched(timeout, Arc::clone(&observer), Arc::clone(&clock));
    let goat = Goat::builder(stores, keys)
        .tokens(token_settings(settings)?)
        .settings(rules(settings)?)
        .hasher(hasher)
        .hashing(gate_limits(settings))
        .clock(clock)
        .observer(observer)
        .build()?;
    goat.prepare().await?;
    Ok(Wired { goat, storage, data })
}

/// Refuses settings that ask for what this version cannot do.
pub(crate) fn check_supported(settings: &Settings) -> Result<(), Failure> {
    match settings.unsupported().as_slice() {
        [] => Ok(()),
        problems => Err(Failure::from(problems)),
    }
}

/// Issuer, audience and leeway of tokens.
pub(crate) fn token_settings(settings: &Settings) -> Result<TokenSettings, Failure> {
    let tokens = &settings.tokens;
    Ok(TokenSettings::new(&tokens.issuer, &tokens.audience, tokens.clock_leeway)?)
}

/// Lifetimes, quotas and policies.
pub(crate) fn rules(settings: &Settings) -> Result<goat_core::Settings, Failure> {
    let passwords = &settings.passwords;
    Ok(goat_core::Settings {
        access_ttl: settings.tokens.access_ttl,
        refresh_ttl: settings.tokens.refresh_ttl,
        session_ttl: settings.tokens.session_ttl,
        refresh_leeway: settings.tokens.refresh_leeway,
        sessions_per_user: settings.sessions.per_user,
        cache_staleness: settings.sessions.cache_staleness,
        access_token_permissions: settings.tokens.access_permissions,
        signup: match settings.accounts.signup {
            Signup::Active => goat_core::Signup::Active,
            Signup::Inactive => goat_core::Signup::Inactive,
            Signup::Closed => goat_core::Signup::Closed,
        },
        account_quota: account_quota(settings),
        passwords: PasswordPolicy::new(passwords.min_length, passwords.max_length)?,
        ..goat_core::Settings::default()
    })
}

/// How often one account may be tried from wherever; none where logins are not limited at all.
pub(crate) fn account_quota(settings: &Settings) -> Option<Quota> {
    let auth = settings.limits.auth?;
    Quota::checked(auth.limit().saturating_mul(ACCOUNT_FACTOR), auth.window())
}

fn gate_limits(settings: &Settings) -> GateLimits {
    GateLimits {
        running: NonZeroUsize::new(settings.passwords.hash_concurrency)
            .unwrap_or(NonZeroUsize::MIN),
        waiting: settings.passwords.hash_queue,
    }
}

#[cfg(test)]
mod tests;
