//! The commands about users.

use clap::{Arg, ArgAction, ArgMatches};

use super::{described, text};

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
    /// Creates a service account.
    CreateService {
        /// The name.
        name: String,
        /// The role.
        role: String,
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

/// Returns the definition of the command and its subcommands.
pub(super) fn definition() -> clap::Command {
    let email =
        || Arg::new("email").value_name("EMAIL").required(true).help("E-mail address of the user");
    let role = || Arg::new("role").value_name("ROLE").help("Role of the user");
    let status = || Arg::new("status").value_name("STATUS").help("Status of the user");
    described("user", "Manage users")
        .subcommand_required(true)
        .subcommand(
            described(
                "create",
                "Create a user; reads the password from the terminal or standard input",
            )
            .arg(email().value_name("EMAIL|NAME").help(
                "E-mail address of the user; with --service, the name of the service account",
            ))
            .arg(role().long("role").default_value("client"))
            .arg(
                status()
                    .long("status")
                    .default_value("active")
                    .value_parser(["active", "inactive"]),
            )
            .arg(
                Arg::new("service")
                    .long("service")
                    .action(ArgAction::SetTrue)
                    .conflicts_with("status")
                    .help("Create a service account, which has no password and cannot sign in"),
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
        )
}

/// Returns the command of the matches.
pub(super) fn command(matches: &ArgMatches) -> UserCommand {
    match matches.subcommand() {
        Some(("create", matches)) if matches.get_flag("service") => {
            UserCommand::CreateService { name: text(matches, "email"), role: text(matches, "role") }
        }
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
