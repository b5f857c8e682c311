//! The command line: the command, and the settings given as flags.
//!
//! Flags are generated from the settings table, so none can be missing. This module reads only the
//! arguments and prints only through [`NotRun::print`].

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches};
use goat_core::access::Rank;

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
    /// Manages roles.
    Role(RoleCommand),
    /// Manages the permissions of roles.
    Permission(PermissionCommand),
}

/// A role command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleCommand {
    /// Lists the roles.
    List,
    /// Creates a role.
    Create {
        /// The name.
        name: String,
        /// The rank.
        rank: u32,
        /// The permissions.
        permissions: Vec<String>,
    },
    /// Changes a role's rank.
    SetRank {
        /// The name.
        name: String,
        /// The rank.
        rank: u32,
    },
    /// Deletes a role that no user has.
    Delete {
        /// The name.
        name: String,
    },
}

/// A command about the permissions of roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PermissionCommand {
    /// Lists the permissions of one role, or of all.
    List {
        /// The role.
        role: Option<String>,
    },
    /// Grants a permission to a role.
    Grant {
        /// The role.
        role: String,
        /// The permission.
        permission: String,
    },
    /// Revokes a permission from a role.
    Revoke {
        /// The role.
        role: String,
        /// The permission.
        permission: String,
    },
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

/// A user command. Passwords are read from the terminal or standard input, never from arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserCommand {
    /// Creates a user.
    Create {
        /// The e-mail address.
        email: String,
        /// The role.
        role: String,
        /// `active` or `inactive`.
        status: String,
    },
    /// Lists the users.
    List,
    /// Changes a user's role.
    SetRole {
        /// The e-mail address.
        email: String,
        /// The role.
        role: String,
    },
    /// Gives every user of one role another role.
    SetRoleOfAll {
        /// The present role.
        from: String,
        /// The role.
        to: String,
    },
    /// Changes a user's status.
    SetStatus {
        /// The e-mail address.
        email: String,
        /// `inactive`, `active` or `suspended`.
        status: String,
    },
    /// Sets a user's password, which ends all sessions of the user.
    ResetPassword {
        /// The e-mail address.
        email: String,
    },
    /// Revokes the sessions of one user or of all users, as after restoring the database from a
    /// backup.
    RevokeSessions(RevokeTarget),
}

impl UserCommand {
    /// Whether the command hashes a password, for which it uses the pepper.
    pub(crate) fn hashes_passwords(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::ResetPassword { .. })
    }
}

/// The users to revoke the sessions of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevokeTarget {
    /// The user with this e-mail address.
    User(String),
    /// All users.
    Everyone,
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
    let email =
        || Arg::new("email").value_name("EMAIL").required(true).help("E-mail address of the user");
    let role = || Arg::new("role").value_name("ROLE").help("Role of the user");
    let status = || Arg::new("status").value_name("STATUS").help("Status of the user");
    let user = described("user", "Manage users")
        .subcommand_required(true)
        .subcommand(
            described(
                "create",
                "Create a user; reads the password from the terminal or standard input",
            )
            .arg(email())
            .arg(role().long("role").default_value("client"))
            .arg(
                status()
                    .long("status")
                    .default_value("active")
                    .value_parser(["active", "inactive"]),
            ),
        )
        .subcommand(described("list", "List the users"))
        .subcommand(
            described("set-role", "Change the role of a user, or of all users of a role")
                .arg(email().value_name("EMAIL|FROM").help(
                    "E-mail address of the user; with --all-of, the present role of the users",
                ))
                .arg(role().required(true))
                .arg(
                    Arg::new("all-of")
                        .long("all-of")
                        .action(ArgAction::SetTrue)
                        .help("Change all users of the role FROM, some at a time"),
                ),
        )
        .subcommand(
            described("set-status", "Change the status of a user")
                .arg(email())
                .arg(status().required(true).value_parser(["inactive", "active", "suspended"])),
        )
        .subcommand(
            described(
                "reset-password",
                "Set a new password and end all sessions of a user; reads the password from the terminal or standard input",
            )
            .arg(email()),
        )
        .subcommand(
            described(
                "revoke-sessions",
                "End all sessions of a user, or of all users after a restore of the database",
            )
            .arg(email().required(false).required_unless_present("all").conflicts_with("all"))
            .arg(
                Arg::new("all")
                    .long("all")
                    .action(ArgAction::SetTrue)
                    .help("End the sessions of all users"),
            ),
        );
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
        .subcommand(user)
        .subcommand(roles())
        .subcommand(permissions())
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

fn roles() -> clap::Command {
    let name = || Arg::new("name").value_name("NAME").required(true).help("Name of the role");
    let rank = || {
        let highest = i64::from(Rank::HIGHEST_ASSIGNABLE.0);
        let range = clap::value_parser!(u32).range(0..=highest);
        Arg::new("rank")
            .value_name("RANK")
            .required(true)
            .value_parser(range)
            .help("Rank of the role")
    };
    let permissions = Arg::new("permission")
        .long("permission")
        .value_name("PERMISSION")
        .action(ArgAction::Append)
        .help("Permission of the role, such as report:read; may be repeated");
    described("role", "Manage roles")
        .subcommand_required(true)
        .subcommand(described("list", "List the roles, lowest rank first"))
        .subcommand(
            described("create", "Create a role")
                .arg(name())
                .arg(rank().long("rank"))
                .arg(permissions),
        )
        .subcommand(described("set-rank", "Change the rank of a role").arg(name()).arg(rank()))
        .subcommand(described("delete", "Delete a role that no user has").arg(name()))
}

fn permissions() -> clap::Command {
    let role = || Arg::new("role").value_name("ROLE").help("Name of the role");
    let permission = || {
        Arg::new("permission")
            .value_name("PERMISSION")
            .required(true)
            .help("Permission, such as report:read or report:*")
    };
    described("permission", "Manage the permissions of roles")
        .subcommand_required(true)
        .subcommand(
            described("list", "List the permissions of a role, or of all roles").arg(role()),
        )
        .subcommand(
            described("grant", "Grant a permission to a role")
                .arg(role().required(true))
                .arg(permission()),
        )
        .subcommand(
            described("revoke", "Revoke a permission from a role")
                .arg(role().required(true))
                .arg(permission()),
        )
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
        Some(("user", matches)) => Command::User(user_command(matches)),
        Some(("role", matches)) => Command::Role(role_command(matches)),
        Some(("permission", matches)) => Command::Permission(permission_command(matches)),
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

fn role_command(matches: &ArgMatches) -> RoleCommand {
    let rank = |matches: &ArgMatches| matches.get_one::<u32>("rank").copied().unwrap_or_default();
    match matches.subcommand() {
        Some(("create", matches)) => RoleCommand::Create {
            name: text(matches, "name"),
            rank: rank(matches),
            permissions: matches.get_many("permission").into_iter().flatten().cloned().collect(),
        },
        Some(("set-rank", matches)) => {
            RoleCommand::SetRank { name: text(matches, "name"), rank: rank(matches) }
        }
        Some(("delete", matches)) => RoleCommand::Delete { name: text(matches, "name") },
        _ => RoleCommand::List,
    }
}

fn permission_command(matches: &ArgMatches) -> PermissionCommand {
    let both = |matches: &ArgMatches| (text(matches, "role"), text(matches, "permission"));
    match matches.subcommand() {
        Some(("grant", matches)) => {
            let (role, permission) = both(matches);
            PermissionCommand::Grant { role, permission }
        }
        Some(("revoke", matches)) => {
            let (role, permission) = both(matches);
            PermissionCommand::Revoke { role, permission }
        }
        Some((_, matches)) => {
            PermissionCommand::List { role: matches.get_one::<String>("role").cloned() }
        }
        None => PermissionCommand::List { role: None },
    }
}

fn user_command(matches: &ArgMatches) -> UserCommand {
    match matches.subcommand() {
        Some(("create", matches)) => UserCommand::Create {
            email: text(matches, "email"),
            role: text(matches, "role"),
            status: text(matches, "status"),
        },
        Some(("set-role", matches)) if matches.get_flag("all-of") => {
            UserCommand::SetRoleOfAll { from: text(matches, "email"), to: text(matches, "role") }
        }
        Some(("set-role", matches)) => {
            UserCommand::SetRole { email: text(matches, "email"), role: text(matches, "role") }
        }
        Some(("set-status", matches)) => UserCommand::SetStatus {
            email: text(matches, "email"),
            status: text(matches, "status"),
        },
        Some(("reset-password", matches)) => {
            UserCommand::ResetPassword { email: text(matches, "email") }
        }
        Some(("revoke-sessions", matches)) if matches.get_flag("all") => {
            UserCommand::RevokeSessions(RevokeTarget::Everyone)
        }
        Some(("revoke-sessions", matches)) => {
            UserCommand::RevokeSessions(RevokeTarget::User(text(matches, "email")))
        }
        _ => UserCommand::List,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Invocation, NotRun> {
        Invocation::parse(["goat-server"].iter().chain(arguments))
    }

    #[test]
    fn definition_is_consistent() {
        definition().debug_assert();
    }

    #[test]
    fn each_command_is_parsed() {
        let user = Command::User;
        let email = || "a@b.example".to_owned();
        for (line, expected) in [
            ("", Command::Serve),
            ("serve", Command::Serve),
            ("migrate", Command::Migrate { adopt: false }),
            ("migrate --adopt", Command::Migrate { adopt: true }),
            ("check", Command::Check { strict: false }),
            ("check --strict", Command::Check { strict: true }),
            ("backup goat.backup", Command::Backup("goat.backup".into())),
            ("restore goat.backup", Command::Restore("goat.backup".into())),
            ("health", Command::Health),
            ("openapi", Command::OpenApi),
            ("user list", user(UserCommand::List)),
            (
                "user create a@b.example",
                user(UserCommand::Create {
                    email: email(),
                    role: "client".into(),
                    status: "active".into(),
                }),
            ),
            (
                "user create --role admin --status inactive a@b.example",
                user(UserCommand::Create {
                    email: email(),
                    role: "admin".into(),
                    status: "inactive".into(),
                }),
            ),
            (
                "user set-role a@b.example operator",
                user(UserCommand::SetRole { email: email(), role: "operator".into() }),
            ),
            (
                "user set-role --all-of team-a client",
                user(UserCommand::SetRoleOfAll { from: "team-a".into(), to: "client".into() }),
            ),
            ("role list", Command::Role(RoleCommand::List)),
            (
                "role create support --rank 300 --permission a:b --permission a:c",
                Command::Role(RoleCommand::Create {
                    name: "support".into(),
                    rank: 300,
                    permissions: vec!["a:b".into(), "a:c".into()],
                }),
            ),
            (
                "role set-rank support 0",
                Command::Role(RoleCommand::SetRank { name: "support".into(), rank: 0 }),
            ),
            ("role delete support", Command::Role(RoleCommand::Delete { name: "support".into() })),
            ("permission list", Command::Permission(PermissionCommand::List { role: None })),
            (
                "permission list support",
                Command::Permission(PermissionCommand::List { role: Some("support".into()) }),
            ),
            (
                "permission grant support a:b",
                Command::Permission(PermissionCommand::Grant {
                    role: "support".into(),
                    permission: "a:b".into(),
                }),
            ),
            (
                "permission revoke support a:b",
                Command::Permission(PermissionCommand::Revoke {
                    role: "support".into(),
                    permission: "a:b".into(),
                }),
            ),
            (
                "user set-status a@b.example suspended",
                user(UserCommand::SetStatus { email: email(), status: "suspended".into() }),
            ),
            (
                "user reset-password a@b.example",
                user(UserCommand::ResetPassword { email: email() }),
            ),
            (
                "user revoke-sessions a@b.example",
                user(UserCommand::RevokeSessions(RevokeTarget::User(email()))),
            ),
            (
                "user revoke-sessions --all",
                user(UserCommand::RevokeSessions(RevokeTarget::Everyone)),
            ),
        ] {
            let arguments: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(parse(&arguments).expect(line).command, expected, "{line}");
        }
    }

    #[test]
    fn wrong_arguments_are_a_usage_error() {
        for line in [
            "dance",
            "backup",
            "restore",
            "user",
            "user create",
            "user set-role a@b.example",
            "user set-status a@b.example asleep",
            "user revoke-sessions",
            "user revoke-sessions --all a@b.example",
            "user create a@b.example --status suspended",
            "user set-role --all-of client",
            "role",
            "role create support",
            "role create support --rank 1000",
            "role set-rank support -1",
            "permission",
            "permission grant support",
            "serve --adopt",
            "serve --strict",
            "--goat-listen",
            "--goat-litsen 127.0.0.1:80",
            "--goat-listen 127.0.0.1:80 --goat-listen 127.0.0.1:81",
        ] {
            let arguments: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(parse(&arguments).expect_err(line).exit_status(), 2, "{line}");
        }
    }

    #[test]
    fn misspelled_flag_gets_a_suggestion() {
        let error = parse(&["serve", "--goat-litsen=x"]).expect_err("a misspelt flag").text();
        assert!(error.contains("'--goat-listen'"), "{error}");
    }

    #[test]
    fn secret_has_no_flag_and_is_not_shown() {
        for flag in ["--goat-jwt-secret", "--goat-password-pepper", "--goat-admin-password"] {
            for arguments in [vec![format!("{flag}=canary")], vec![flag.into(), "canary".into()]] {
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                let error = parse(&arguments).expect_err("a secret on the command line");
                assert_eq!(error.exit_status(), 2);
                assert!(!error.text().contains("canary"), "{}", error.text());
            }
        }
    }

    #[test]
    fn debug_output_hides_flag_values() {
        let invocation =
            parse(&["--database-url", "postgres://u:canary@db/g"]).expect("valid arguments");
        let shown = format!("{invocation:?}");
        assert!(shown.contains("DATABASE_URL") && !shown.contains("canary"), "{shown}");
    }

    #[test]
    fn every_command_has_help() {
        for command in [
            "",
            "serve",
            "migrate",
            "check",
            "backup",
            "restore",
            "health",
            "openapi",
            "user",
            "user create",
            "user list",
            "user set-role",
            "user set-status",
            "user reset-password",
            "user revoke-sessions",
            "role",
            "role create",
            "role set-rank",
            "role delete",
            "permission",
            "permission list",
            "permission grant",
            "permission revoke",
        ] {
            for option in ["--help", "-h"] {
                let mut arguments: Vec<&str> = command.split_whitespace().collect();
                arguments.push(option);
                let answer = parse(&arguments).expect_err("an answer in place of a command");
                assert_eq!(answer.exit_status(), 0, "{command} {option}");
                assert!(!answer.text().is_empty(), "{command} {option}");
            }
        }
    }

    #[test]
    fn version_is_printed() {
        let answer = parse(&["--version"]).expect_err("an answer in place of a command");
        assert_eq!(answer.exit_status(), 0);
        assert_eq!(answer.text(), format!("goat-server {}\n", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn help_of_every_command_lists_every_setting_with_its_default_and_bounds() {
        fn flat(text: &str) -> String {
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        }
        for command in ["", "serve", "migrate", "check", "openapi", "user", "user set-role"] {
            let mut arguments: Vec<&str> = command.split_whitespace().collect();
            arguments.push("--help");
            let help = flat(&parse(&arguments).expect_err("help").text());
            for setting in table::TABLE {
                let entry = flat(&format!(
                    "{} {}Accepts {}. Default: {}.",
                    setting.help,
                    if setting.flag().is_none() { "Secret. " } else { "" },
                    setting.kind,
                    setting.default
                ));
                let start = help.find(&format!(" {}", setting.name)).expect(setting.name);
                assert!(help[start..].contains(&entry), "{command}: {}", setting.name);
                let flag = setting.flag().map(|flag| format!("--{flag} <VALUE>"));
                assert!(flag.is_none_or(|flag| help[start..].contains(&flag)), "{}", setting.name);
            }
        }
    }
}
