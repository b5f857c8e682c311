//! From settings to a goat: where state is kept, what signs, what hashes, and by which rules.
//!
//! The order matters, and is this: the database and its schema, then the stored passwords, then the
//! pepper. Only who has looked at the passwords can tell a first start, which makes a pepper, from
//! one whose pepper was lost, which must not.

use std::num::NonZeroUsize;
use std::sync::Arc;

use goat_core::event::Observer;
use goat_core::password::{GateLimits, PasswordPolicy};
use goat_core::store::shared_cache::SharedCacheStats;
use goat_core::token::{TokenKeys, TokenSettings};
use goat_core::user::UserStore;
use goat_core::{Clock, Goat, Quota, SystemClock};

use crate::failure::Failure;

use super::settings::{Settings, Signup};
use super::{
    BuiltStores, Connectivity, DataDir, Hashing, KeySource, Storage, check_hashes, password_hasher,
    stored_hashes, token_keys,
};

/// How many times as often as a client's address may try, an account may be tried from anywhere:
/// few enough to guess nothing, and enough that shutting somebody out takes many addresses.
const ACCOUNT_FACTOR: u32 = 10;

/// A goat and what it stands on.
#[derive(Debug)]
pub struct Started {
    /// The goat. Its schema is current, and the stored passwords can be verified.
    pub goat: Goat,
    /// Where it keeps its state.
    pub storage: Storage,
    /// What answered there.
    pub connectivity: Connectivity,
    /// Where generated secrets are.
    pub data: DataDir,
    /// What hashes its passwords.
    pub hashing: Hashing,
    /// What signs its tokens, and where that comes from.
    pub keys: (TokenKeys, KeySource),
    /// What it remembers together with other nodes, where it does.
    pub shared: Option<SharedCacheStats>,
    users: Arc<dyn UserStore>,
}

/// Builds a goat from settings: opens what it stands on, makes the secrets that are to be generated
/// and are not there yet, and checks that what is stored fits all of it.
///
/// # Errors
///
/// If the database or Redis cannot be used, the schema is not the one of this version and may not
/// be migrated now, or a key or pepper is missing or wrong.
pub async fn build(settings: &Settings, observer: Arc<dyn Observer>) -> Result<Started, Failure> {
    let data = DataDir::new(&settings.storage.data_dir);
    let storage = Storage::open(&settings.storage, &data).await?;
    let connectivity = storage.check_connectivity().await?;
    storage.ensure_schema(settings.storage.migrate_on_start).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let BuiltStores { stores, shared } = storage.stores(settings, &observer, &clock).await?;
    // ATOMIC: hashes before the pepper; see above. A pepper is on the disk before anything is hashed
    // with it, so of two starts at once the later one finds the pepper of what it has seen.
    let hashes = stored_hashes(stores.users.as_ref()).await?;
    let hashing = password_hasher(&settings.passwords, &data, &hashes)?;
    let keys = token_keys(&settings.tokens.keys, &data)?;
    let users = Arc::clone(&stores.users);
    let goat = Goat::builder(stores, keys.0.clone())
        .tokens(token_settings(settings)?)
        .settings(rules(settings)?)
        .hasher(Arc::clone(&hashing.hasher) as _)
        .hashing(gate_limits(settings))
        .clock(clock)
        .observer(observer)
        .build()?;
    goat.prepare().await?;
    Ok(Started { goat, storage, connectivity, data, hashing, keys, shared, users })
}

impl Started {
    /// Checks what only shows once there is an administrator, and once other nodes have begun:
    /// whether all have the same pepper. Of several nodes that begin at once on an empty database,
    /// each with a pepper that it made for itself, one finds here that it is not the one that
    /// counts.
    ///
    /// # Errors
    ///
    /// If a stored password needs another pepper, or the database does not answer.
    pub async fn check_pepper(&self) -> Result<(), Failure> {
        let hashes = stored_hashes(self.users.as_ref()).await?;
        check_hashes(&self.hashing.hasher, self.hashing.pepper, &self.data, &hashes).map(drop)
    }

    /// Notes with which key this node signs; answers the ids of keys that other nodes sign with and
    /// that this one does not know.
    ///
    /// # Errors
    ///
    /// As [`Storage::register_signing_key`].
    pub async fn register_signing_key(&self) -> Result<Vec<String>, Failure> {
        let (keys, source) = &self.keys;
        self.storage.register_signing_key(keys, *source).await
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
