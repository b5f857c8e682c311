//! The command line: the command, and the settings given as flags.
//!
//! Flags are generated from the settings table, so none can be missing. This module reads only the
//! arguments and prints only through [`NotRun::print`].

mod key;
mod role;
#[cfg(test)]
mod tests;
mod user;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches};

pub use key::{KeyCommand, RevokedKeys};
pub use role::{PermissionCommand, RoleCommand};
pub use user::{RevokeTarget, UserCommand};

use crate::start::settings::{Flags, UsedSecrets, help, table};

/// A command of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Serves the API; the default command.
    Serve,
    /// Migrates the database schema.
    Migrate {
        /// Adopt a database that holds other tables but none of goat's.
        adopt: bool,
    },
    /// Checks the settings and stores, and reports whether `serve` would start.
    Check {
        /// Fail on warnings too.
        strict: bool,
    },
    /// Copies an SQLite database and the secrets of the data folder into a new file.
    Backup(PathBuf),
    /// Brings a backup back, and ends all sessions.
    Restore(PathBuf),
    /// Asks the running server whether it lives.
    Health,
    /// Prints the OpenAPI document.
    OpenApi,
    /// Manages users.
    User(UserCommand),
    /// Manages API keys.
    Key(KeyCommand),
    /// Manages roles.
    Role(RoleCommand),
    /// Manages the permissions of roles.
    Permission(PermissionCommand),
}

impl Command {
    /// Returns the secrets that the command uses.
    pub(crate) fn secrets(&self) -> UsedSecrets {
        match self {
            Self::Serve | Self::Check { .. } => UsedSecrets::ALL,
            Self::User(command) if command.hashes_passwords() => UsedSecrets::PEPPER,
            _ => UsedSecrets::NONE,
        }
    }
}

/// The parsed arguments.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The command.
    pub command: Command,
    /// The settings among the arguments.
    pub flags: Flags,
}

/// Why no command runs: help or the version was requested, or the arguments are invalid.
#[derive(Debug)]
pub struct NotRun(clap::Error);

impl NotRun {
    /// Returns 0 for help and the version, 2 for invalid arguments.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        if self.0.use_stderr() { 2 } else { 0 }
    }

    /// Returns the text to print.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.render().to_string()
    }

    /// Prints the text: help and the version to standard output, errors to standard error.
    ///
    /// # Errors
    ///
    /// If the stream cannot be written to.
    pub fn print(&self) -> io::Result<()> {
        self.0.print()
    }
}

impl Invocation {
    /// Parses arguments; the first is the program's name.
    ///
    /// ```
    /// use goat_server::cli::{Command, Invocation};
    ///
    /// let invocation = Invocation::parse(["goat-server", "--goat-listen", "[::]:80"]);
    /// assert_eq!(invocation.expect("valid arguments").command, Command::Serve);
    /// ```
    ///
    /// # Errors
    ///
    /// If no command is to run, also for help and the version.
    pub fn parse<A>(arguments: impl IntoIterator<Item = A>) -> Result<Self, NotRun>
    where
        A: Into<OsString> + Clone,
    {
        let matches = definition().try_get_matches_from(arguments).map_err(NotRun)?;
        Ok(Self { command: command(&matches), flags: flags(&matches) })
    }
}

/// Returns the clap definition.
fn definition() -> clap::Command {
    let adopt = Arg::new("adopt").long("adopt").action(ArgAction::SetTrue).help(
        "Create goat's tables in a database that contains only tables of another application",
    );

    let file = |help| {
        Arg::new("file")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .required(true)
            .help(help)
    };
    let strict = Arg::new("strict")
        .long("strict")
        .action(ArgAction::SetTrue)
        .help("Fail with status 78 on warnings too");

    described("goat-server", env!("CARGO_PKG_DESCRIPTION"))
        .version(env!("CARGO_PKG_VERSION"))
        .after_help("Use --help to list all settings.")
        .subcommand(described("serve", "Serve the API (the default command)"))
        .subcommand(described("migrate", "Migrate the database schema to this version").arg(adopt))
        .subcommand(
            described("check", "Check the settings, keys and stores without starting the server")
                .arg(strict),
        )
        .subcommand(
            described(
                "backup",
                "Copy the SQLite database and the secrets of the data folder into a new file, also while the server runs",
            )
            .arg(file("File to create, readable by its owner only")),
        )
        .subcommand(
            described(
                "restore",
                "Bring a backup back into an empty data folder, and end all sessions",
            )
            .arg(file("File that backup has created")),
        )
        .subcommand(described(
            "health",
            "Ask the server of these settings whether it runs, for the health check of a container",
        ))
        .subcommand(described("openapi", "Print the OpenAPI document"))
        .subcommand(user::definition())
        .subcommand(key::definition())
        .subcommand(role::roles())
        .subcommand(role::permissions())
        .args(table::TABLE.iter().filter_map(|setting| {
            // Hidden, since `help::settings` writes the help of all settings in one form, secrets
            // included.
            Some(
                Arg::new(setting.name)
                    .long(setting.flag()?)
                    .value_name("VALUE")
                    .global(true)
                    .hide(true),
            )
        }))
}

/// Returns a command with the settings in its help.
fn described(name: &'static str, about: &'static str) -> clap::Command {
    clap::Command::new(name).about(about).after_long_help(help::settings())
}

/// Returns the command of the matches.
fn command(matches: &ArgMatches) -> Command {
    match matches.subcommand() {
        Some(("migrate", matches)) => Command::Migrate { adopt: matches.get_flag("adopt") },
        Some(("check", matches)) => Command::Check { strict: matches.get_flag("strict") },
        Some(("backup", matches)) => Command::Backup(file(matches)),
        Some(("restore", matches)) => Command::Restore(file(matches)),
        Some(("health", _)) => Command::Health,
        Some(("openapi", _)) => Command::OpenApi,
        Some(("user", matches)) => Command::User(user::command(matches)),
        Some(("key", matches)) => Command::Key(key::command(matches)),
        Some(("role", matches)) => Command::Role(role::role_command(matches)),
        Some(("permission", matches)) => Command::Permission(role::permission_command(matches)),
        _ => Command::Serve,
    }
}

/// Returns the required file.
fn file(matches: &ArgMatches) -> PathBuf {
    matches.get_one("file").cloned().unwrap_or_default()
}

/// Returns the text of an argument that is required or has a default.
fn text(matches: &ArgMatches, id: &str) -> String {
    matches.get_one::<String>(id).cloned().unwrap_or_default()
}

/// Returns the settings among the arguments, at any position.
fn flags(matches: &ArgMatches) -> Flags {
    // The innermost command also holds the flags of the outer ones.
    let mut innermost = matches;
    while let Some((_, inner)) = innermost.subcommand() {
        innermost = inner;
    }
    let mut flags = Flags::default();
    for setting in table::TABLE.iter().filter(|setting| setting.flag().is_some()) {
        if let Some(value) = innermost.get_one::<String>(setting.name) {
            flags.set(setting, value.clone());
        }
    }
    flags
}
