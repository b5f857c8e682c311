//! Confirmed sign-up: no account and no password exist before the mailbox answered.

use std::sync::Arc;

use crate::challenge::Purpose;
use crate::courier::Message;
use crate::detached::run_to_completion;
use crate::error::{Error, ErrorKind, Result};
use crate::proof::Proof;
use crate::secret::Secret;
use crate::session::Origin;
use crate::settings::Signup;
use crate::user::{Email, Status};

use super::super::context::check_person;
use super::super::open_session::SignIn;
use super::super::pending_sign_in::LoginLimits;
use super::super::signup::signup_role;
use super::super::{Context, SignedIn};
use super::answer::MailAnswer;
use super::request::{AddressHeld, ByAddress, ChallengeSent};

impl Context {
    /// Asks for a letter that confirms a sign-up.
    pub(crate) async fn request_sign_up(
        self: &Arc<Self>,
        email: Email,
        origin: &Origin,
    ) -> Result<ChallengeSent> {
        self.check_confirmed()?;
        let violations = check_person(&email);
        if !violations.is_empty() {
            return Err(Error::invalid(violations));
        }
        let ttl = self.settings.confirm_ttl;
        let request = ByAddress { purpose: Purpose::SignUp, email, ttl };
        self.request_by_address(request, origin, |_, account, secret| async move {
            Ok(Some(match account {
                None => Message::ConfirmSignUp(secret),
                Some(_) => Message::AccountExists,
            }))
        })
        .await
    }

    /// Creates the account of an answered sign-up, and signs it in.
    pub(crate) async fn confirm_sign_up(
        self: &Arc<Self>,
        answer: &MailAnswer,
        password: &Secret<String>,
        origin: &Origin,
    ) -> Result<SignedIn> {
        self.check_confirmed()?;
        let found = self.find_answered(answer, Purpose::SignUp).await?;
        let email = Self::held::<AddressHeld>(&found.challenge)?.email()?;
        let password = self.new_password("password", password, &email).await?;
        let proven = self.compare(found, &email, origin).await?;
        let role = signup_role(&self.role_table.roles().await?)?;
        let hash = self.initial_hash(Some(password)).await?;
        let mut account = self.new_account(email, hash, role, Status::Active);
        account.user.email_verified_at = Some(account.user.created_at);
        let (context, origin) = (Arc::clone(self), origin.clone());
        // The account exists once, also if the client disconnects after the challenge was taken.
        run_to_completion(async move {
            context.take(&proven).await?;
            let account = context.create_signed_up(None, account).await?;
            context.emit_signed_up(&account.user, origin.address);
            let at = context.time.now();
            let proof = Proof::by_email(account.user.id, account.epoch.number, at);
            let limits = LoginLimits::Account;
            let sign_in = SignIn::new(account, proof, origin, limits);
            context.open_session_of(sign_in).await
        })
        .await
    }

    fn check_confirmed(&self) -> Result<(), ErrorKind> {
        match self.settings.signup {
            Signup::Confirmed => Ok(()),
            Signup::Active | Signup::Inactive | Signup::Closed => Err(ErrorKind::SignupClosed),
        }
    }
}
