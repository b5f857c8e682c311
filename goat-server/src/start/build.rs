//! Builds a [`Goat`] from the settings: stores, keys, password hasher and rules.
//!
//! The order matters: first the permissions of the files, before any is read or changed; then the database
//! and its schema, then the stored password hashes, then the pepper. Only the stored hashes tell a first
//! start, which generates a pepper, from a start with a lost pepper, which must fail.

use std::num::NonZeroUsize;
use std::sync::Arc;

use goat_core::challenge::ServerKeys;
use goat_core::event::Observer;
use goat_core::password::{Argon2id, BulkheadLimits, PasswordPolicy, Peppers};
use goat_core::store::UserStore;
use goat_core::token::{TokenKeys, TokenSettings};
use goat_core::{Builder, Clock, Goat, Secret, SystemClock};

use crate::failure::Failure;
use crate::mail::{MailCourier, Mailbag};

use super::settings::{Settings, Signup};
use super::{
    BreachedFile, Connectivity, DataDir, Hashing, KeySource, Storage, apply_roles,
    check_file_access, check_hashes, cost, existing_hasher, password_hasher, server_keys,
    stored_hashes, token_keys,
};

/// A goat, with the stores and keys that it was built from.
#[derive(Debug)]
pub struct Started {
    /// The goat. Its schema is current, and the stored passwords can be verified.
    pub goat: Goat,
    /// Its database and Redis.
    pub storage: Storage,
    /// Their versions and warnings.
    pub connectivity: Connectivity,
    /// The directory of the generated secrets.
    pub data: DataDir,
    /// The password hasher.
    pub hashing: Hashing,
    /// The token keys, and their source.
    pub keys: (TokenKeys, KeySource),
    /// The keys under which codes in messages are stored, the first for new ones; none without mail.
    pub server_keys: Vec<Secret<Vec<u8>>>,
    /// The letters that wait for their delivery, which begins once it is started; `None` without mail.
    pub mailbag: Option<Mailbag>,
    pub(super) users: Arc<dyn UserStore>,
}

/// Builds a goat from settings: connects to the stores, generates secrets that are missing, and
/// checks that the stored data fits them.
///
/// # Errors
///
/// If the database or Redis cannot be used, the schema is not current and must not be migrated now,
/// or a key or pepper is missing or wrong.
pub async fn build(settings: &Settings, observer: Arc<dyn Observer>) -> Result<Started, Failure> {
    let data = DataDir::new(&settings.storage.data_dir);
    let mut warnings = check_file_access(settings, &data)?;
    let breached = breached_file(settings)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    // Before the stores: a faulty template is found before anything is changed.
    let public_url = settings.http.public_url.as_ref();
    let mail = MailCourier::from_settings(&settings.mail, public_url, Arc::clone(&clock))?;
    let (courier, mailbag) = mail.unzip();
    let storage = Storage::open(&settings.storage, &data).await?;
    let mut connectivity = storage.check_connectivity().await?;
    warnings.append(&mut connectivity.warnings);
    connectivity.warnings = warnings;
    storage.ensure_schema(settings.storage.migrate_on_start, &data).await?;
    storage.check_writable().await?;
    let stores = storage.stores(settings, &observer, &clock).await?;
    // ATOMIC: hashes before the pepper; see above. A pepper is on the disk before any password is
    // hashed with it, so of two concurrent starts the later one finds the pepper of the hashes that
    // it has seen.
    let hashes = stored_hashes(stores.users.as_ref()).await?;
    let hashing = password_hasher(&settings.passwords, &data, &hashes)?;
    let keys = token_keys(&settings.tokens.keys, &data)?;
    let server_keys = server_keys(&settings.mail, &data)?;
    let users = Arc::clone(&stores.users);
    let mut builder = Goat::builder(stores, keys.0.clone())
        .tokens(token_settings(settings)?)
        .settings(rules(settings)?)
        .hasher(Arc::clone(&hashing.hasher))
        .hashing(bulkhead_limits(settings))
        .clock(clock)
        .observer(observer)
        .stored_roles();
    if let Some(courier) = courier {
        let keys = ServerKeys::new(server_keys.clone())?;
        builder = builder.courier(Arc::new(courier)).server_keys(keys);
    }
    let goat = with_breached(builder, breached).build()?;
    // Without users it is a first start. Before the checks, since the file may create the role given at
    // sign-up.
    if let (true, Some(path)) = (hashes.is_empty(), &settings.accounts.roles_file) {
        apply_roles(&goat, path).await?;
    }
    if let Err(error) = goat.prepare().await {
        // Another first start may have stored hashes of its own pepper meanwhile: name the files then.
        let hashes = stored_hashes(users.as_ref()).await?;
        check_hashes(&*hashing.hasher, hashing.pepper, &data, &hashes)?;
        return Err(error.into());
    }
    Ok(Started { goat, storage, connectivity, data, hashing, keys, server_keys, mailbag, users })
}

/// Whether a command hashes passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UsesPasswords {
    Yes,
    No,
}

/// Builds the goat of a command on the database of a server: creates no database, key or pepper, and
/// migrates nothing. Of the secrets it reads only the pepper, and this only if the command hashes
/// passwords. Its token keys are of this process alone, since commands sign no tokens.
///
/// # Errors
///
/// As [`build`]; and if there is no database, its schema is not current, or its pepper is missing.
pub(crate) async fn build_existing(
    settings: &Settings,
    passwords: UsesPasswords,
    observer: Arc<dyn Observer>,
) -> Result<Started, Failure> {
    let data = DataDir::new(&settings.storage.data_dir);
    let warnings = check_file_access(settings, &data)?;
    let storage = Storage::open_existing(&settings.storage, &data).await?;
    let mut connectivity = storage.check_connectivity().await?;
    connectivity.warnings.extend(warnings);
    storage.require_schema().await?;
    storage.check_writable().await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let stores = storage.invalidating_stores(settings, &observer, &clock).await?;
    let users = Arc::clone(&stores.users);
    let (hashing, breached) = match passwords {
        UsesPasswords::Yes => {
            let hashes = stored_hashes(users.as_ref()).await?;
            (existing_hasher(&settings.passwords, &data, &hashes)?, breached_file(settings)?)
        }
        UsesPasswords::No => {
            let own = Argon2id::new(cost(&settings.passwords)?, Peppers::none());
            (Hashing { hasher: Arc::new(own), pepper: KeySource::Configured }, None)
        }
    };
    let keys = (TokenKeys::generate(), KeySource::Configured);
    let builder = Goat::builder(stores, keys.0.clone())
        .settings(rules(settings)?)
        .hasher(Arc::clone(&hashing.hasher))
        .hashing(bulkhead_limits(settings))
        .clock(clock)
        .observer(observer)
        .stored_roles();
    let goat = with_breached(builder, breached).build()?;
    let (server_keys, mailbag) = (Vec::new(), None);
    Ok(Started { goat, storage, connectivity, data, hashing, keys, server_keys, mailbag, users })
}

impl Started {
    /// Checks that all nodes use the same pepper, once an administrator exists. Of several nodes
    /// that start at once on an empty database, each with a pepper that it generated, all but one
    /// fail here.
    ///
    /// # Errors
    ///
    /// If a stored password needs another pepper, or the database is unavailable.
    pub async fn check_pepper(&self) -> Result<(), Failure> {
        let hashes = stored_hashes(self.users.as_ref()).await?;
        check_hashes(&*self.hashing.hasher, self.hashing.pepper, &self.data, &hashes).map(drop)
    }

    /// Registers this node's signing key, and returns the ids of keys that other nodes sign with and
    /// that this node does not know.
    ///
    /// # Errors
    ///
    /// As [`Storage::register_signing_key`].
    pub async fn register_signing_key(&self) -> Result<Vec<String>, Failure> {
        let (keys, source) = &self.keys;
        self.storage.register_signing_key(keys, *source).await
    }
}

/// Opens the list of breached passwords, if there is one.
pub(crate) fn breached_file(settings: &Settings) -> Result<Option<BreachedFile>, Failure> {
    let open = |path| BreachedFile::open(path, settings.storage.store_timeout);
    settings.passwords.breached_file.as_ref().map(open).transpose()
}

fn with_breached(builder: Builder, list: Option<BreachedFile>) -> Builder {
    match list {
        Some(list) => builder.breached_passwords(Arc::new(list)),
        None => builder,
    }
}

/// Returns issuer, audience, client id and leeway of tokens.
pub(crate) fn token_settings(settings: &Settings) -> Result<TokenSettings, Failure> {
    let tokens = &settings.tokens;
    let named = TokenSettings::new(&tokens.issuer, &tokens.audience, tokens.clock_leeway)?;
    Ok(named.with_client_id(&tokens.client_id)?)
}

/// Returns lifetimes, quotas and policies.
pub(crate) fn rules(settings: &Settings) -> Result<goat_core::Settings, Failure> {
    let passwords = &settings.passwords;
    Ok(goat_core::Settings {
        access_ttl: settings.tokens.access_ttl,
        refresh_ttl: settings.tokens.refresh_ttl,
        session_ttl: settings.tokens.session_ttl,
        refresh_leeway: settings.tokens.refresh_leeway,
        recent: settings.sessions.recent,
        sessions_per_user: settings.sessions.per_user,
        keys: settings.keys.enabled,
        key_prefix: settings.keys.prefix.clone(),
        key_ttl: settings.keys.ttl,
        keys_per_user: settings.keys.per_user,
        cache_staleness: settings.sessions.cache_staleness,
        access_token_permissions: settings.tokens.access_permissions,
        token_attributes: settings.tokens.attributes.clone(),
        signup: match settings.accounts.signup {
            Signup::Active => goat_core::Signup::Active,
            Signup::Inactive => goat_core::Signup::Inactive,
            Signup::Confirmed => goat_core::Signup::Confirmed,
            Signup::Closed => goat_core::Signup::Closed,
        },
        account_quota: settings.limits.account,
        account_day_quota: settings.limits.account_day,
        password_check_quota: settings.limits.password_check,
        signup_role: settings.accounts.signup_role.clone(),
        self_attributes: settings.accounts.self_attributes.clone(),
        change_email_quota: settings.limits.auth,
        mail_quota: settings.limits.mail,
        confirm_ttl: settings.mail.confirm_ttl,
        recovery_ttl: settings.mail.recovery_ttl,
        invite_ttl: settings.mail.invite_ttl,
        email_sign_in: settings.mail.email_sign_in,
        passwords: PasswordPolicy::new(passwords.min_length, passwords.max_length)?,
        ..goat_core::Settings::default()
    })
}

fn bulkhead_limits(settings: &Settings) -> BulkheadLimits {
    BulkheadLimits {
        running: NonZeroUsize::new(settings.passwords.hash_concurrency)
            .unwrap_or(NonZeroUsize::MIN),
        waiting: settings.passwords.hash_queue,
    }
}

#[cfg(test)]
mod tests;
