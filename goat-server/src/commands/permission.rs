//! `goat-server permission …`: permissions of roles on the command line, for operators of the machine.

use std::sync::Arc;

use goat_core::{Actor, Goat};

use crate::cli::PermissionCommand;
use crate::failure::Failure;
use crate::observe::audit::AuditObserver;
use crate::start::settings::Settings;
use crate::start::{self, Started, UsesPasswords};

use super::console::answer;
use super::role::{explain, parse_permission};
use super::table::Table;

pub(super) async fn run(settings: &Settings, command: PermissionCommand) -> Result<(), Failure> {
    let observer = Arc::new(AuditObserver);
    let started = start::build_existing(settings, UsesPasswords::No, observer).await?;
    let Started { goat, storage, .. } = started;
    let done = match command {
        PermissionCommand::List { role } => list(&goat, role.as_deref()).await,
        PermissionCommand::Grant { role, permission } => grant(&goat, &role, &permission).await,
        PermissionCommand::Revoke { role, permission } => revoke(&goat, &role, &permission).await,
    };
    storage.close().await;
    done
}

fn system() -> Actor {
    Actor::system("command line")
}

async fn list(goat: &Goat, role: Option<&str>) -> Result<(), Failure> {
    let roles = goat.roles().list().await.map_err(explain)?;
    if role.is_some_and(|name| !roles.iter().any(|role| role.role.as_str() == name)) {
        return Err(Failure::new("no such role exists"));
    }
    let mut table = Table::new(["ROLE", "PERMISSION"]);
    for summary in roles.iter().filter(|one| role.is_none_or(|name| one.role.as_str() == name)) {
        for permission in &summary.permissions {
            table.push([summary.role.to_string(), permission.to_string()]);
        }
    }
    answer(&table.text())
}

async fn grant(goat: &Goat, role: &str, permission: &str) -> Result<(), Failure> {
    let permission = parse_permission(permission)?;
    let grant = goat.roles().grant(system(), role, permission).await.map_err(explain)?;
    answer(&format!("the role {} now has the permission {}\n", grant.role, grant.permission))
}

async fn revoke(goat: &Goat, role: &str, permission: &str) -> Result<(), Failure> {
    let permission = parse_permission(permission)?;
    let grants = goat.roles().grants_of(role).await.map_err(explain)?;
    let grant = grants.iter().find(|grant| grant.permission == permission);
    let lacks = || Failure::new(format!("the role {role} does not have the permission"));
    goat.roles().revoke(system(), grant.ok_or_else(lacks)?.id).await.map_err(explain)?;
    answer(&format!("the role {role} no longer has the permission {permission}\n"))
}
