//! Settings of the server: one table, read from flags, the environment and `.env`, into typed
//! structs.
//!
//! This module prints nothing, and returns only complete results: a [`Settings`] is free of
//! contradictions, and an [`Invalid`] lists every error at once. No secret appears in a message or
//! in `Debug` output (L1).

mod checks;
mod dotenv;
mod engines;
pub(crate) mod help;
mod keys;
mod limits;
mod log_filter;
mod mail;
mod problem;
mod reader;
mod secrets;
mod sources;
pub(crate) mod table;
#[cfg(test)]
mod tests;
mod types;
mod values;

use std::ffi::OsString;
use std::path::Path;

pub use keys::KeySettings;
pub use limits::LimitSettings;
pub use mail::{MailCredentials, MailDelivery, MailFrom, MailSettings, MailTls, SmtpSettings};
pub use problem::{EXIT_STATUS, Invalid, Problem, Warning};
pub use sources::Flags;
pub use types::{
    AccountSettings, Database, Environment, ForwardSettings, ForwardedHeader, HttpSettings,
    LogFormat, LogSettings, LoginPageSettings, Logo, PasswordSettings, SessionSettings,
    SigningKeys, Signup, StorageSettings, TokenSettings, VerifyHeader,
};

pub(crate) use engines::Engine;
pub(crate) use values::{duration as parse_duration, show as show_duration};

use reader::Reader;

/// The settings file in the working directory.
pub const DOTENV: &str = ".env";

/// The secrets that a command uses. The others are not read, and production does not require them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedSecrets {
    /// The keys that sign tokens: `GOAT_JWT_SECRET` and `GOAT_JWT_PRIVATE_KEY`.
    pub token_keys: bool,
    /// `GOAT_PASSWORD_PEPPER`.
    pub pepper: bool,
    /// `GOAT_SERVER_KEY`, which mail uses.
    pub server_keys: bool,
    /// `GOAT_ADMIN_PASSWORD`, which is required while there is no administrator.
    pub admin_password: bool,
}

impl UsedSecrets {
    /// Those of a server.
    pub const ALL: Self =
        Self { token_keys: true, pepper: true, server_keys: true, admin_password: true };
    /// None.
    pub const NONE: Self =
        Self { token_keys: false, pepper: false, server_keys: false, admin_password: false };
    /// Those of a command that hashes passwords.
    pub const PEPPER: Self = Self { pepper: true, ..Self::NONE };

    /// Whether the command uses a setting.
    fn include(self, setting: &table::Setting) -> bool {
        let is = |other: &table::Setting| setting.name == other.name;
        (self.token_keys || !is(&table::JWT_SECRET) && !is(&table::JWT_PRIVATE_KEY))
            && (self.pepper || !is(&table::PASSWORD_PEPPER))
            && (self.server_keys || !is(&table::SERVER_KEY))
            && (self.admin_password || !is(&table::ADMIN_PASSWORD))
    }
}

/// All settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `GOAT_ENV`.
    pub environment: Environment,
    /// Listeners and connection limits.
    pub http: HttpSettings,
    /// Database, Redis and data directory.
    pub storage: StorageSettings,
    /// Token keys and lifetimes.
    pub tokens: TokenSettings,
    /// Session quota and cache.
    pub sessions: SessionSettings,
    /// Password policy and hashing cost.
    pub passwords: PasswordSettings,
    /// Sign-up and the first administrator.
    pub accounts: AccountSettings,
    /// Mail.
    pub mail: MailSettings,
    /// API keys.
    pub keys: KeySettings,
    /// Rate limits.
    pub limits: LimitSettings,
    /// Logging.
    pub log: LogSettings,
}

impl Settings {
    /// Reads the settings from the flags, the environment and the file, in this order of
    /// precedence, and checks them. A missing file counts as empty.
    ///
    /// The returned warnings are for the operator and prevent nothing.
    ///
    /// ```
    /// use std::path::Path;
    /// use goat_server::start::settings::{Flags, Settings};
    ///
    /// let environment = [("GOAT_LISTEN".into(), "[::1]:9000".into())];
    /// let (settings, warnings) =
    ///     Settings::load(environment, &Flags::default(), Path::new("there-is-no.env"))?;
    /// assert_eq!(settings.http.listen.port(), 9000);
    /// assert!(warnings.is_empty());
    /// # Ok::<(), goat_server::start::settings::Invalid>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Lists every variable that is malformed, empty, out of bounds or in contradiction to another,
    /// and every malformed line of the file. A program should then exit with [`EXIT_STATUS`].
    pub fn load(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &Flags,
        dotenv: &Path,
    ) -> Result<(Self, Vec<Warning>), Invalid> {
        Self::load_for(UsedSecrets::ALL, environment, flags, dotenv)
    }

    /// Reads the settings like [`Settings::load`], for a command that uses these secrets.
    ///
    /// # Errors
    ///
    /// As [`Settings::load`].
    pub fn load_for(
        used: UsedSecrets,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &Flags,
        dotenv: &Path,
    ) -> Result<(Self, Vec<Warning>), Invalid> {
        let gathered = sources::gather(used, environment, flags, dotenv);
        Self::read(used, Engine::is_built, Reader::new(gathered))
    }

    fn read(
        used: UsedSecrets,
        is_built: impl Fn(Engine) -> bool,
        mut reader: Reader,
    ) -> Result<(Self, Vec<Warning>), Invalid> {
        let environment = Environment::read(&mut reader);
        let http = HttpSettings::read(&mut reader, environment);
        let storage = StorageSettings::read(&mut reader, is_built);
        let mail = MailSettings::read(&mut reader, &http, &storage.data_dir, environment);
        let settings = Self {
            environment,
            http,
            storage,
            tokens: TokenSettings::read(&mut reader),
            sessions: SessionSettings::read(&mut reader),
            passwords: PasswordSettings::read(&mut reader),
            accounts: AccountSettings::read(&mut reader, environment),
            mail,
            keys: KeySettings::read(&mut reader),
            limits: LimitSettings::read(&mut reader),
            log: LogSettings::read(&mut reader),
        };
        checks::contradictions(&settings, used, &mut reader);
        checks::strength(&settings, used, &mut reader);
        let log_format = settings.log.format;
        reader.finish(settings, log_format)
    }
}

/// The settings of an API in an application: those of [`Api::http`](crate::Api::http) and
/// [`Api::limits`](crate::Api::limits).
///
/// The default is that of each setting.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MountSettings {
    /// Proxies, cookies, CORS, the sign-in page. The metrics are not public.
    pub http: HttpSettings,
    /// Rate limits.
    pub limits: LimitSettings,
}

impl MountSettings {
    /// Reads the settings from environment variables, as [`Settings::load`] does. Those of databases,
    /// secrets and accounts are not read: they belong to the goat, which the application builds.
    ///
    /// ```
    /// use goat_server::start::settings::MountSettings;
    ///
    /// let environment = [("GOAT_TRUSTED_PROXIES".into(), "10.0.0.0/8".into())];
    /// let (settings, warnings) = MountSettings::load(environment)?;
    /// assert_eq!(settings.http.trusted_proxies.len(), 1);
    /// assert!(warnings.is_empty());
    /// # Ok::<(), goat_server::start::settings::Invalid>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Lists every variable of these settings that is malformed, empty, out of bounds or in contradiction
    /// to another.
    pub fn load(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(Self, Vec<Warning>), Invalid> {
        let mut reader = Reader::new(sources::gather_public(environment));
        let settings = Self {
            http: HttpSettings::read(&mut reader, Environment::Production),
            limits: LimitSettings::read(&mut reader),
        };
        checks::browsers(&settings.http, &mut reader);
        reader.finish(settings, None)
    }
}
