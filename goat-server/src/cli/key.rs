//! The commands about API keys.

use clap::{Arg, ArgAction, ArgMatches};

use super::{described, text};

/// A key command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyCommand {
    /// Creates a key of a service account, and prints its text.
    Create {
        /// The name of the service account, or its e-mail address.
        owner: String,
        /// The name of the key.
        name: String,
        /// The scopes, or `*`.
        scopes: Vec<String>,
        /// The life.
        expires_in: Option<String>,
    },
    /// Lists the keys of a user.
    List {
        /// The e-mail address, or the name of a service account.
        owner: String,
    },
    /// Revokes one key, or those of all users, as after a restore of the database.
    Revoke(RevokedKeys),
}

/// The keys to revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevokedKeys {
    /// The key with this id.
    One(String),
    /// The keys of all users.
    All,
}

/// Returns the definition of the command and its subcommands.
pub(super) fn definition() -> clap::Command {
    let owner = |help| Arg::new("owner").value_name("EMAIL|NAME").required(true).help(help);
    described("key", "Manage API keys")
        .subcommand_required(true)
        .subcommand(
            described("create", "Create a key of a service account and print it; it is shown only now")
                .arg(owner("E-mail address or name of the service account"))
                .arg(
                    Arg::new("name")
                        .value_name("KEY_NAME")
                        .required(true)
                        .help("Name of the key, for people"),
                )
                .arg(
                    Arg::new("scope")
                        .long("scope")
                        .value_name("PERMISSION")
                        .action(ArgAction::Append)
                        .required(true)
                        .help("Right of the key; repeat it for several, or '*' for all rights of the role"),
                )
                .arg(
                    Arg::new("expires-in")
                        .long("expires-in")
                        .value_name("DURATION")
                        .help("Life of the key, such as 720h; by default, and at most, GOAT_KEY_TTL"),
                ),
        )
        .subcommand(
            described("list", "List the keys of a user")
                .arg(owner("E-mail address of the user, or name of the service account")),
        )
        .subcommand(
            described(
                "revoke",
                "Revoke a key, or the keys of all users after a restore of the database",
            )
            .arg(
                Arg::new("id")
                    .value_name("ID")
                    .required_unless_present("all")
                    .conflicts_with("all")
                    .help("Id of the key"),
            )
            .arg(
                Arg::new("all")
                    .long("all")
                    .action(ArgAction::SetTrue)
                    .help("Revoke the keys of all users"),
            ),
        )
}

/// Returns the command of the matches.
pub(super) fn command(matches: &ArgMatches) -> KeyCommand {
    match matches.subcommand() {
        Some(("create", matches)) => KeyCommand::Create {
            owner: text(matches, "owner"),
            name: text(matches, "name"),
            scopes: matches.get_many("scope").unwrap_or_default().cloned().collect(),
            expires_in: matches.get_one("expires-in").cloned(),
        },
        Some(("list", matches)) => KeyCommand::List { owner: text(matches, "owner") },
        Some(("revoke", matches)) if !matches.get_flag("all") => {
            KeyCommand::Revoke(RevokedKeys::One(text(matches, "id")))
        }
        _ => KeyCommand::Revoke(RevokedKeys::All),
    }
}
