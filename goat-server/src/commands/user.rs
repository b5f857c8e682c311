//! `goat-server user …`: user administration on the command line, for operators of the machine.
//!
//! Every change goes through goat-core's services with a system actor, so that their rules (such as
//! the last administrator) apply. Running servers are notified through PostgreSQL or Redis; a
//! server on SQLite alone sees the change within `GOAT_SESSION_CACHE_STALENESS`.

use std::sync::Arc;

use goat_core::user::{InvalidEmail, NewService, NewUser, ServiceName, UserFilter};
use goat_core::{
    Actor, Email, Error, ErrorKind, Goat, PAGE_MAXIMUM, PageRequest, Role, Status, Timestamp, User,
};

use crate::cli::{RevokeTarget, UserCommand};
use crate::failure::Failure;
use crate::start::settings::Settings;
use crate::start::{self, AdminPasswordFile, DataDir, Started, UsesPasswords};

use super::console::answer;
use super::observer::CommandObserver;
use super::password;
use super::table::Table;

pub(super) async fn run(settings: &Settings, command: UserCommand) -> Result<(), Failure> {
    let password_file = AdminPasswordFile::new(&DataDir::new(&settings.storage.data_dir));
    let passwords = if command.hashes_passwords() { UsesPasswords::Yes } else { UsesPasswords::No };
    let observer = CommandObserver { password_file: password_file.clone() };
    let started = start::build_existing(settings, passwords, Arc::new(observer)).await?;
    if matches!(command, UserCommand::ResetPassword { .. }) {
        password_file.find_owner(&started).await?;
    }
    let Started { goat, storage, .. } = started;
    let done = match command {
        UserCommand::Create { email, role, status } => create(&goat, &email, &role, &status).await,
        UserCommand::CreateService { name, role } => create_service(&goat, &name, &role).await,
        UserCommand::List => list(&goat).await,
        UserCommand::SetRole { email, role } => set_role(&goat, &email, &role).await,
        UserCommand::SetRoleOfAll { from, to } => set_role_of_all(&goat, &from, &to).await,
        UserCommand::SetStatus { email, status } => set_status(&goat, &email, &status).await,
        UserCommand::ResetPassword { email } => reset_password(&goat, &email).await,
        UserCommand::RevokeSessions(whose) => revoke_sessions(&goat, whose).await,
    };
    storage.close().await;
    done
}

fn system() -> Actor {
    Actor::system("command line")
}

async fn create(goat: &Goat, email: &str, role: &str, status: &str) -> Result<(), Failure> {
    // Everything else is checked before the operator types a password.
    let email = parse_email(email)?.of_person().map_err(not_an_address)?;
    let role = find_role(goat, role).await?;
    let status = parse_status(status)?;
    if goat.users().find_by_email(&email).await.map_err(explain)?.is_some() {
        return Err(explain(ErrorKind::EmailTaken.into()));
    }
    let new = NewUser { email, password: Some(password::ask()?), role, status };
    let user = goat.users().create(system(), new).await.map_err(explain)?;
    answer(&format!(
        "created {} with the role {} and the status {}\n",
        user.email.as_str(),
        user.role,
        user.status
    ))
}

async fn create_service(goat: &Goat, name: &str, role: &str) -> Result<(), Failure> {
    let name = ServiceName::parse(name)
        .map_err(|error| Failure::new(format!("the name of a service account {error}")))?;
    let role = find_role(goat, role).await?;
    let user = goat.users().create_service(system(), NewService { name, role }).await;
    let user = user.map_err(explain)?;
    answer(&format!("created {} with the role {}\n", user.email.as_str(), user.role))
}

async fn list(goat: &Goat) -> Result<(), Failure> {
    let mut table = Table::new(["E-MAIL", "ROLE", "STATUS", "CREATED", "LAST SIGN-IN"]);
    for_every_user(goat, async |user| {
        table.push([
            user.email.as_str().to_owned(),
            user.role.to_string(),
            user.status.to_string(),
            show_time(user.created_at),
            user.last_login_at.map_or_else(|| "never".to_owned(), show_time),
        ]);
        Ok(())
    })
    .await?;
    answer(&table.text())
}

async fn set_role(goat: &Goat, email: &str, role: &str) -> Result<(), Failure> {
    let user = find_user(goat, email).await?;
    let role = find_role(goat, role).await?;
    let user = goat.users().change_role(system(), user.id, role).await.map_err(explain)?;
    answer(&format!("{} now has the role {}\n", user.email.as_str(), user.role))
}

/// Gives every user of one role another one, a page of users at a time; reports the progress.
async fn set_role_of_all(goat: &Goat, from: &str, to: &str) -> Result<(), Failure> {
    let from = Role::parse(from).map_err(|error| Failure::new(format!("the role {error}")))?;
    let to = find_role(goat, to).await?;
    if from == to {
        return Err(Failure::new("the users have this role already"));
    }
    let page = PageRequest::new(1, PAGE_MAXIMUM).unwrap_or_default();
    let filter = UserFilter { roles: vec![from.clone()], page, ..UserFilter::default() };
    let mut changed = 0_u64;
    loop {
        let users = goat.users().list_all(filter.clone()).await.map_err(explain)?.users;
        if users.is_empty() {
            return answer(&format!("{changed} users now have the role {to}\n"));
        }
        for user in users {
            match goat.users().change_role(system(), user.id, to.clone()).await {
                Ok(_) => changed += 1,
                // Deleted in the meantime.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(
                        explain(error).with_advice(&format!("{changed} users were changed"))
                    );
                }
            }
        }
        answer(&format!("{changed} users changed\n"))?;
    }
}

async fn set_status(goat: &Goat, email: &str, status: &str) -> Result<(), Failure> {
    let user = find_user(goat, email).await?;
    let status = parse_status(status)?;
    let user = goat.users().change_status(system(), user.id, status).await.map_err(explain)?;
    answer(&format!("{} now has the status {}\n", user.email.as_str(), user.status))
}

async fn reset_password(goat: &Goat, email: &str) -> Result<(), Failure> {
    let user = find_user(goat, email).await?;
    let password = password::ask()?;
    let user = goat.users().reset_password(system(), user.id, password).await.map_err(explain)?;
    answer(&format!("{} has a new password; all sessions are revoked\n", user.email.as_str()))
}

async fn revoke_sessions(goat: &Goat, whose: RevokeTarget) -> Result<(), Failure> {
    let email = match whose {
        RevokeTarget::User(email) => email,
        RevokeTarget::Everyone => {
            let Revoked { users, sessions } = revoke_all(goat).await?;
            return answer(&format!("revoked {sessions} sessions of {users} users\n"));
        }
    };
    let user = find_user(goat, &email).await?;
    let ended = goat.sessions().revoke_all_of(system(), user.id).await.map_err(explain)?;
    answer(&format!("revoked {ended} sessions of {}\n", user.email.as_str()))
}

/// How many sessions of how many users were revoked.
#[derive(Debug, Default, PartialEq, Eq)]
struct Revoked {
    users: u64,
    sessions: u64,
}

/// Includes users without a known session: after a restore, a session that is missing in the backup
/// may exist elsewhere, and the raised session epoch ends it (R9).
async fn revoke_all(goat: &Goat) -> Result<Revoked, Failure> {
    let mut revoked = Revoked::default();
    let done = for_every_user(goat, async |user| {
        match goat.sessions().revoke_all_of(system(), user.id).await {
            Ok(ended) => revoked.sessions += ended,
            // Deleted in the meantime.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(explain(error)),
        }
        revoked.users += 1;
        Ok(())
    });
    done.await.map_err(|failure| {
        failure.with_advice("the sessions of some users are not revoked yet; run the command again")
    })?;
    Ok(revoked)
}

/// Calls a function for every user, newest first.
async fn for_every_user(
    goat: &Goat,
    mut act: impl AsyncFnMut(User) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let page = PageRequest::new(1, PAGE_MAXIMUM).unwrap_or_default();
    let mut filter = UserFilter { page, ..UserFilter::default() };
    loop {
        let users = goat.users().list_all(filter.clone()).await.map_err(explain)?.users;
        let Some(last) = users.last() else { return Ok(()) };
        filter.after = Some(last.id);
        for user in users {
            act(user).await?;
        }
    }
}

pub(super) async fn find_user(goat: &Goat, email: &str) -> Result<User, Failure> {
    let email = parse_email(email)?;
    let found = goat.users().find_by_email(&email).await.map_err(explain)?;
    found.ok_or_else(|| explain(ErrorKind::NotFound.into()))
}

fn parse_email(text: &str) -> Result<Email, Failure> {
    Email::parse(text).map_err(not_an_address)
}

fn not_an_address(error: InvalidEmail) -> Failure {
    Failure::new(format!("the e-mail address {error}"))
}

async fn find_role(goat: &Goat, name: &str) -> Result<Role, Failure> {
    // The stored roles are known once they are loaded.
    goat.roles().list().await.map_err(explain)?;
    let unknown = || Failure::new(format!("the role {}", goat.roles().must_be_a_role()));
    goat.roles().get(name).ok_or_else(unknown)
}

fn parse_status(text: &str) -> Result<Status, Failure> {
    let names = Status::ALL.map(Status::as_str).join(", ");
    Status::parse(text).ok_or_else(|| Failure::new(format!("the status must be one of {names}")))
}

/// Converts an error into a message for the operator: the violated rule, or the broken dependency.
fn explain(error: Error) -> Failure {
    match error.kind() {
        ErrorKind::NotFound => Failure::new("no user has this e-mail address"),
        ErrorKind::EmailTaken => Failure::new("another user has this e-mail address"),
        ErrorKind::Invalid => {
            let faults: Vec<String> = error
                .violations()
                .iter()
                .map(|violation| format!("the {} {}", violation.field, violation.message))
                .collect();
            Failure::new(faults.join("; "))
        }
        ErrorKind::LastAdministrator | ErrorKind::InvalidTransition => {
            Failure::new(error.client_message())
        }
        _ => Failure::from(error),
    }
}

/// Formats a time as RFC 3339, to the second.
pub(super) fn show_time(time: Timestamp) -> String {
    jiff::Timestamp::from_second(time.as_seconds())
        .map_or_else(|_| "unknown".to_owned(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use goat_core::Stores;
    use goat_core::auth::{Login, SignUp};
    use goat_core::session::Origin;
    use goat_core::testing::PlainHasher;
    use goat_core::token::TokenKeys;

    use super::*;

    /// R9.
    #[tokio::test]
    async fn revoking_all_sessions_covers_every_page_of_users() {
        let goat = Goat::builder(Stores::memory(), TokenKeys::generate())
            .hasher(Arc::new(PlainHasher::default()))
            .build()
            .expect("a goat");
        let count = u64::from(2 * PAGE_MAXIMUM + 1);
        let mut tokens = Vec::new();
        for number in 0..count {
            let (email, password) = (format!("user{number}@example.org"), "a walk on a short pier");
            let sign_up = SignUp {
                email: Email::parse(&email).expect("an address"),
                password: Some(password.into()),
                origin: Origin::default(),
            };
            goat.sign_up(sign_up).await.expect("a user");
            let login = Login {
                email: email.into(),
                password: password.into(),
                device_token: None,
                origin: Origin::default(),
            };
            let signed_in = goat.login(login).await.expect("a session").value;
            tokens.push(signed_in.tokens.access_token);
        }
        let revoked = revoke_all(&goat).await.expect("the store answers");
        assert_eq!(revoked, Revoked { users: count, sessions: count });
        for token in tokens {
            let refused =
                goat.authenticate_token(token.expose()).await.expect_err("the session is over");
            assert_eq!(refused.kind(), ErrorKind::SessionRevoked);
        }
    }

    #[test]
    fn time_is_shown_to_the_second() {
        assert_eq!(show_time(Timestamp::from_millis(1_767_225_600_999)), "2026-01-01T00:00:00Z");
    }
}
