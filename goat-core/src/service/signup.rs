//! Sign up: a new user makes an account.

use crate::detached::run_to_completion;
use crate::error::{Error, ErrorKind, Result, Violation};
use crate::event::{Event, EventActor, EventKind};
use crate::secret::Secret;
use crate::session::Origin;
use crate::user::{Email, User, UserChange, UserSnapshot, UserWriteOutcome};

use super::Flows;

/// What somebody signs up with.
#[derive(Clone, Debug)]
pub struct SignUp {
    /// The e-mail address.
    pub email: Email,
    /// The password.
    pub password: Secret<String>,
    /// From where.
    pub origin: Origin,
}

impl Flows {
    pub(crate) async fn sign_up(&self, request: SignUp) -> Result<User> {
        let status = self.settings.signup.status().ok_or(ErrorKind::SignupClosed)?;
        let users = std::sync::Arc::clone(&self.users);
        let mut violations: Vec<Violation> = Vec::new();
        let password = users.check_password(
            "password",
            &request.password,
            Some(&request.email),
            &mut violations,
        );
        let Some(password) = password else { return Err(Error::invalid(violations)) };
        // An address that is taken need not cost a hash: the answer tells it anyway.
        if users.users.by_email(request.email.canonical()).await?.is_some() {
            return Err(ErrorKind::EmailTaken.into());
        }
        let hash = Secret::new(users.hashing.hash(password).await?);
        let role = users.access.policy().roles().bottom().clone();
        let account = users.new_account(request.email, hash, role, status);
        run_to_completion(async move {
            let rule = |_: &UserSnapshot| Ok(UserChange::Put(account.clone()));
            match users.write_own(account.user.id, &rule).await? {
                UserWriteOutcome::Changed { after, .. } => {
                    let by = EventActor::User(after.user.id);
                    let event = Event::new(EventKind::SignedUp, users.time.now(), by)
                        .on(after.user.id)
                        .from_address(request.origin.address);
                    users.observer.observe(&event);
                    Ok(after.user)
                }
                UserWriteOutcome::EmailTaken => Err(ErrorKind::EmailTaken.into()),
                UserWriteOutcome::Refused(kind) => Err(kind.into()),
                UserWriteOutcome::Unchanged(_) | UserWriteOutcome::Deleted(_) => {
                    Err(Error::new(ErrorKind::Internal, "a store made no account where it should"))
                }
            }
        })
        .await
    }
}
