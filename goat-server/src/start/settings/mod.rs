//! Settings of the server: one table, read from flags, the environment and `.env`, typed by
//! concern.
//!
//! Nothing here prints, and nothing is left half-checked: a [`Settings`] is free of contradictions,
//! and an [`Invalid`] names everything that is wrong at once. No value of a secret reaches a
//! message or a `Debug` output (L1).

mod checks;
mod dotenv;
pub(crate) mod help;
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

pub use problem::{EXIT_STATUS, Invalid, Problem, Warning};
pub use sources::Flags;
pub use types::{
    AccountSettings, Database, Environment, ForwardedHeader, HttpSettings, LimitSettings,
    LogFormat, LogSettings, PasswordSettings, SessionSettings, SigningKeys, Signup,
    StorageSettings, TokenSettings,
};

pub(crate) use values::show as show_duration;

use reader::Reader;

/// The file in the working directory that settings may stand in.
pub const DOTENV: &str = ".env";

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `GOAT_ENV`.
    pub environment: Environment,
    /// The listeners, and what a connection may cost.
    pub http: HttpSettings,
    /// Where state is kept.
    pub storage: StorageSettings,
    /// How tokens are made, and how long they live.
    pub tokens: TokenSettings,
    /// How many sessions there may be.
    pub sessions: SessionSettings,
    /// What a password must be, and what its hash costs.
    pub passwords: PasswordSettings,
    /// Who gets an account.
    pub accounts: AccountSettings,
    /// Rate limits.
    pub limits: LimitSettings,
    /// What is logged, and how.
    pub log: LogSettings,
}

impl Settings {
    /// Reads the settings from the flags, the environment and the file, each of which wins over
    /// what follows it, and checks all of them. A file that is not there is an empty one.
    ///
    /// The warnings are for the operator and stop nothing.
    ///
    /// ```
    /// use std::path::Path;
    /// use goat_server::start::settings::{Flags, Settings};
    ///
    /// let environment = [("GOAT_LISTEN".into(), "[::]:9000".into())];
    /// let (settings, warnings) =
    ///     Settings::load(environment, &Flags::default(), Path::new("there-is-no.env"))?;
    /// assert_eq!(settings.http.listen.port(), 9000);
    /// assert!(warnings.is_empty());
    /// # Ok::<(), goat_server::start::settings::Invalid>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Names every variable that is malformed, empty, out of bounds or in contradiction with
    /// another, and every line of the file that cannot be read. A program ends with
    /// [`EXIT_STATUS`] then.
    pub fn load(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &Flags,
        dotenv: &Path,
    ) -> Result<(Self, Vec<Warning>), Invalid> {
        let mut reader = Reader::new(sources::gather(environment, flags, dotenv));
        let settings = Self {
            environment: Environment::read(&mut reader),
            http: HttpSettings::read(&mut reader),
            storage: StorageSettings::read(&mut reader),
            tokens: TokenSettings::read(&mut reader),
            sessions: SessionSettings::read(&mut reader),
            passwords: PasswordSettings::read(&mut reader),
            accounts: AccountSettings::read(&mut reader),
            limits: LimitSettings::read(&mut reader),
            log: LogSettings::read(&mut reader),
        };
        checks::contradictions(&settings, &mut reader);
        checks::strength(&settings, &mut reader);
        reader.finish(settings)
    }
}
