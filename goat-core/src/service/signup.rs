//! Sign-up: a new user creates an account.

use std::sync::Arc;

use crate::detached::run_to_completion;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, EventActor, EventKind};
use crate::secret::Secret;
use crate::session::Origin;
use crate::store::{UserChange, UserSnapshot, UserWriteOutcome};
use crate::user::{Email, User};

use super::Context;

/// A sign-up request.
#[derive(Clone, Debug)]
pub struct SignUp {
    /// The e-mail address.
    pub email: Email,
    /// The password.
    pub password: Secret<String>,
    /// The origin of the request.
    pub origin: Origin,
}

impl Context {
    pub(crate) async fn sign_up(self: &Arc<Self>, request: SignUp) -> Result<User> {
        let status = self.settings.signup.status().ok_or(ErrorKind::SignupClosed)?;
        let context = Arc::clone(self);
        let mut violations = Vec::new();
        let email = Some(&request.email);
        let password =
            context.check_password("password", &request.password, email, &mut violations);
        let Some(password) = password else { return Err(Error::invalid(violations)) };
        // A taken address costs no hash; the response reveals it in any case.
        if context.stores.users.by_email(request.email.canonical()).await?.is_some() {
            return Err(ErrorKind::EmailTaken.into());
        }
        let hash = Secret::new(context.hasher.hash(password).await?);
        let role = context.policy.roles().bottom().clone();
        let account = context.new_account(request.email, hash, role, status);
        run_to_completion(async move {
            let rule = |_: &UserSnapshot| Ok(UserChange::Put(account.clone()));
            match context.write_user(None, account.user.id, &rule).await? {
                UserWriteOutcome::Changed { after, .. } => {
                    let (id, now) = (after.user.id, context.time.now());
                    let event = Event::new(EventKind::SignedUp, now, EventActor::User(id))
                        .on(id)
                        .with_address(request.origin.address);
                    context.observer.observe(&event);
                    Ok(after.user)
                }
                UserWriteOutcome::EmailTaken => Err(ErrorKind::EmailTaken.into()),
                UserWriteOutcome::Refused(kind) => Err(kind.into()),
                UserWriteOutcome::Unchanged(_) | UserWriteOutcome::Deleted(_) => Err(Error::new(
                    ErrorKind::Internal,
                    "the user store did not create the account",
                )),
            }
        })
        .await
    }
}
