//! `goat-server role …`: roles on the command line, for operators of the machine.
//!
//! Every change goes through goat-core's services with a system actor, so that their rules apply.

use std::sync::Arc;

use goat_core::access::{NewRole, Rank};
use goat_core::{Actor, Error, ErrorKind, Goat, Permission, Role};

use crate::cli::RoleCommand;
use crate::failure::Failure;
use crate::observe::audit::AuditObserver;
use crate::start::settings::Settings;
use crate::start::{self, Started, UsesPasswords};

use super::console::answer;
use super::table::Table;

pub(super) async fn run(settings: &Settings, command: RoleCommand) -> Result<(), Failure> {
    let observer = Arc::new(AuditObserver);
    let started = start::build_existing(settings, UsesPasswords::No, observer).await?;
    let Started { goat, storage, .. } = started;
    let done = match command {
        RoleCommand::List => list(&goat).await,
        RoleCommand::Create { name, rank, permissions } => {
            create(&goat, &name, Rank(rank), &permissions).await
        }
        RoleCommand::SetRank { name, rank } => set_rank(&goat, &name, Rank(rank)).await,
        RoleCommand::Delete { name } => delete(&goat, &name).await,
    };
    storage.close().await;
    done
}

fn system() -> Actor {
    Actor::system("command line")
}

async fn list(goat: &Goat) -> Result<(), Failure> {
    let mut table = Table::new(["ROLE", "RANK", "PERMISSIONS"]);
    for role in goat.roles().list().await.map_err(explain)? {
        let permissions: Vec<_> = role.permissions.iter().map(Permission::as_str).collect();
        table.push([role.role.to_string(), role.rank.0.to_string(), permissions.join(" ")]);
    }
    answer(&table.text())
}

async fn create(
    goat: &Goat,
    name: &str,
    rank: Rank,
    permissions: &[String],
) -> Result<(), Failure> {
    let name = Role::parse_new(name).map_err(|error| Failure::new(format!("the name {error}")))?;
    let permissions = permissions.iter().map(|text| parse_permission(text));
    let permissions = permissions.collect::<Result<_, _>>()?;
    let new = NewRole { name, rank, permissions };
    let role = goat.roles().create(system(), new).await.map_err(explain)?;
    answer(&format!("created the role {} with the rank {}\n", role.role, role.rank.0))
}

async fn set_rank(goat: &Goat, name: &str, rank: Rank) -> Result<(), Failure> {
    let role = goat.roles().set_rank(system(), name, rank).await.map_err(explain)?;
    answer(&format!("{} now has the rank {}\n", role.role, role.rank.0))
}

async fn delete(goat: &Goat, name: &str) -> Result<(), Failure> {
    goat.roles().delete(system(), name).await.map_err(explain)?;
    answer(&format!("deleted the role {name}\n"))
}

pub(super) fn parse_permission(text: &str) -> Result<Permission, Failure> {
    Permission::parse(text).map_err(|error| Failure::new(format!("the permission {error}")))
}

/// Converts an error into a message for the operator.
pub(super) fn explain(error: Error) -> Failure {
    match error.kind() {
        ErrorKind::NotFound => Failure::new("no such role exists"),
        ErrorKind::RoleInUse => {
            let users = error.users().unwrap_or_default();
            Failure::new(format!(
                "{users} users have this role; give them another one with goat-server user \
                 set-role --all-of"
            ))
        }
        ErrorKind::Invalid => {
            let faults: Vec<String> = error
                .violations()
                .iter()
                .map(|violation| format!("the {} {}", violation.field, violation.message))
                .collect();
            Failure::new(faults.join("; "))
        }
        ErrorKind::RoleExists
        | ErrorKind::RoleProtected
        | ErrorKind::TooMany
        | ErrorKind::PermissionExists
        | ErrorKind::LastAdministrator => Failure::new(error.client_message()),
        _ => Failure::from(error),
    }
}
