//! `goat-server key …`: API keys on the command line, for operators of the machine.
//!
//! Every change goes through goat-core's services with a system actor, so that their rules apply: keys are
//! created for service accounts only. Running servers are notified as for [`user`](super::user) commands.

use std::sync::Arc;

use goat_core::key::{Key, NewKey, Scopes};
use goat_core::user::ServiceName;
use goat_core::{
    Actor, Error, ErrorKind, Goat, KeyId, PAGE_MAXIMUM, PageRequest, Permission, RecentActor, User,
};

use crate::cli::{KeyCommand, RevokedKeys};
use crate::failure::Failure;
use crate::observe::audit::AuditObserver;
use crate::start::settings::{Settings, parse_duration};
use crate::start::{self, Started, UsesPasswords};

use super::console::answer;
use super::table::Table;
use super::user::{find_user, show_time};

/// The actor in audit events.
const ACTOR: &str = "command line";

pub(super) async fn run(settings: &Settings, command: KeyCommand) -> Result<(), Failure> {
    let observer = Arc::new(AuditObserver);
    let started = start::build_existing(settings, UsesPasswords::No, observer).await?;
    let Started { goat, storage, .. } = started;
    let done = match command {
        KeyCommand::Create { owner, name, scopes, expires_in } => {
            create(&goat, &owner, name, &scopes, expires_in.as_deref()).await
        }
        KeyCommand::List { owner } => list(&goat, &owner).await,
        KeyCommand::Revoke(RevokedKeys::One(id)) => revoke(&goat, &id).await,
        KeyCommand::Revoke(RevokedKeys::All) => revoke_all(&goat).await,
    };
    storage.close().await;
    done
}

/// Prints the text alone, so that a script can keep it; the audit event names the key.
async fn create(
    goat: &Goat,
    owner: &str,
    name: String,
    scopes: &[String],
    expires_in: Option<&str>,
) -> Result<(), Failure> {
    let scopes = parse_scopes(scopes)?;
    let expires_in = expires_in.map(parse_duration).transpose();
    let expires_in =
        expires_in.map_err(|complaint| Failure::new(format!("--expires-in {complaint}")))?;
    // The rights of the role are known once the roles are loaded.
    goat.roles().list().await.map_err(explain)?;
    let owner = find_owner(goat, owner).await?;
    let (actor, new) = (RecentActor::system(ACTOR), NewKey { name, scopes, expires_in });
    let created = goat.keys().create_for(actor, owner.id, new).await.map_err(explain)?;
    answer(&format!("{}\n", created.secret.expose()))
}

async fn list(goat: &Goat, owner: &str) -> Result<(), Failure> {
    let owner = find_owner(goat, owner).await?;
    let mut table = Table::new(["ID", "NAME", "SCOPES", "CREATED", "EXPIRES", "LAST USED"]);
    for number in 1.. {
        let page = PageRequest::new(number, PAGE_MAXIMUM).unwrap_or_default();
        let keys = goat.keys().list_unchecked(owner.id, page).await.map_err(explain)?;
        let is_last = u64::from(number) * u64::from(PAGE_MAXIMUM) >= keys.total;
        keys.items.into_iter().for_each(|key| table.push(row(key)));
        if is_last {
            break;
        }
    }
    answer(&table.text())
}

fn row(key: Key) -> [String; 6] {
    let scopes = match key.scopes {
        Scopes::Role => "*".to_owned(),
        Scopes::Only(permissions) => {
            permissions.iter().map(Permission::as_str).collect::<Vec<_>>().join(" ")
        }
    };
    let or_never = |time: Option<_>| time.map_or_else(|| "never".to_owned(), show_time);
    [
        key.id.to_string(),
        key.name,
        scopes,
        show_time(key.created_at),
        or_never(key.expires_at),
        or_never(key.last_used_at),
    ]
}

async fn revoke(goat: &Goat, id: &str) -> Result<(), Failure> {
    let id = KeyId::parse(id).map_err(|error| Failure::new(format!("the id {error}")))?;
    let absent = || Failure::new("no key has this id");
    let key = goat.keys().find_by_id(id).await.map_err(explain)?.ok_or_else(absent)?;
    let revoked = goat.keys().revoke_of(Actor::system(ACTOR), key.owner, id).await;
    revoked.map_err(|error| match error.kind() {
        ErrorKind::NotFound => absent(),
        _ => explain(error),
    })?;
    answer(&format!("revoked the key {id}\n"))
}

async fn revoke_all(goat: &Goat) -> Result<(), Failure> {
    let count = goat.keys().revoke_all(Actor::system(ACTOR)).await.map_err(explain)?;
    answer(&format!("revoked {count} keys\n"))
}

/// Returns the user with an e-mail address, or the service account with a name.
async fn find_owner(goat: &Goat, owner: &str) -> Result<User, Failure> {
    if owner.contains('@') {
        return find_user(goat, owner).await;
    }
    let name = ServiceName::parse(owner)
        .map_err(|error| Failure::new(format!("the name of a service account {error}")))?;
    let found = goat.users().find_by_email(name.email()).await.map_err(explain)?;
    found.ok_or_else(|| Failure::new("no service account has this name"))
}

fn parse_scopes(scopes: &[String]) -> Result<Scopes, Failure> {
    if scopes.iter().any(|scope| scope == "*") {
        return match scopes {
            [_] => Ok(Scopes::Role),
            _ => Err(Failure::new("the scope * stands for all rights, so give no other")),
        };
    }
    let parse = |scope: &String| {
        let invalid = |error| Failure::new(format!("the scope {scope} {error}"));
        Permission::parse(scope).map_err(invalid)
    };
    let permissions: Vec<_> = scopes.iter().map(parse).collect::<Result<_, _>>()?;
    Scopes::only(permissions).map_err(|error| Failure::new(format!("the scopes {error}")))
}

/// Converts an error into a message for the operator.
fn explain(error: Error) -> Failure {
    match error.kind() {
        ErrorKind::Invalid => {
            let faults = error.violations().iter();
            let faults = faults.map(|one| format!("the {} {}", one.field, one.message));
            Failure::new(faults.collect::<Vec<_>>().join("; "))
        }
        ErrorKind::TooMany => {
            Failure::new("the service account has GOAT_KEYS_PER_USER keys already")
        }
        ErrorKind::InvalidTransition => Failure::new(
            "the user is a person, who creates keys after signing in; create a service account for a program",
        ),
        ErrorKind::NotFound => Failure::new(error.client_message()),
        _ => Failure::from(error),
    }
}
