//! The commands about roles and their permissions.

use clap::{Arg, ArgAction, ArgMatches};
use goat_core::access::Rank;

use super::{described, text};

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

/// Returns the definition of the command about roles and its subcommands.
pub(super) fn roles() -> clap::Command {
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

/// Returns the definition of the command about permissions and its subcommands.
pub(super) fn permissions() -> clap::Command {
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

/// Returns the command about roles of the matches.
pub(super) fn role_command(matches: &ArgMatches) -> RoleCommand {
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

/// Returns the command about permissions of the matches.
pub(super) fn permission_command(matches: &ArgMatches) -> PermissionCommand {
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
