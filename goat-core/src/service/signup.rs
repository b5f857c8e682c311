//! Sign-up: a new user creates an account.

use std::net::IpAddr;
use std::sync::Arc;

use crate::access::{Role, RoleTable};
use crate::detached::run_to_completion;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, EventActor, EventKind};
use crate::password::NewPassword;
use crate::secret::Secret;
use crate::session::Origin;
use crate::store::{StoreTransaction, UserChange, UserSnapshot, UserWriteOutcome};
use crate::user::{Account, Attributes, Email, Status, User};

use super::context::{Acting, check_person};
use super::{Context, Uncommitted};

/// A sign-up request.
#[derive(Clone, Debug)]
pub struct SignUp {
    /// The e-mail address.
    pub email: Email,
    /// The password; `None` for a user that signs in by other means, such as
    /// [`Goat::vouch`](crate::Goat::vouch).
    pub password: Option<Secret<String>>,
    /// The origin of the request.
    pub origin: Origin,
}

impl SignUp {
    /// Creates a request with a password.
    ///
    /// ```
    /// use goat_core::session::Origin;
    /// use goat_core::{Email, auth::SignUp};
    ///
    /// let email = Email::parse("ann@example.org")?;
    /// let request = SignUp::new(email, "a long walk on a short pier", Origin::default());
    /// # let _ = request;
    /// # Ok::<(), goat_core::user::InvalidEmail>(())
    /// ```
    pub fn new(
        email: Email,
        password: impl Into<Secret<String>>,
        origin: impl Into<Origin>,
    ) -> Self {
        Self { email, password: Some(password.into()), origin: origin.into() }
    }
}

/// A sign-up with a checked and hashed password, to be created alone or within a transaction of the
/// application: see [`Goat::prepare_sign_up`](crate::Goat::prepare_sign_up).
#[derive(Debug)]
#[must_use = "no user is created before `create` or `create_in`"]
pub struct PreparedSignUp {
    context: Arc<Context>,
    account: Account,
    address: Option<IpAddr>,
}

impl PreparedSignUp {
    /// Sets the attributes of the new user. The application decides which of them a client may choose.
    pub fn with_attributes(mut self, attributes: Attributes) -> Self {
        self.account.user.attributes = attributes;
        self
    }

    /// Creates the account.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::EmailTaken`]; or if the store is unavailable.
    pub async fn create(self) -> Result<User> {
        let Self { context, account, address } = self;
        run_to_completion(async move {
            let user = context.create_signed_up(None, account).await?.user;
            context.emit_signed_up(&user, address);
            Ok(user)
        })
        .await
    }

    /// Creates the account within a transaction of the application: see
    /// [`Goat::sign_up_in`](crate::Goat::sign_up_in).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::EmailTaken`]; [`ErrorKind::Internal`] if the user store cannot join the transaction;
    /// or if the store is unavailable.
    pub async fn create_in<'a>(
        self,
        transaction: impl Into<StoreTransaction<'a>> + Send,
    ) -> Result<Uncommitted<User>> {
        let Self { context, account, address } = self;
        let mut transaction = transaction.into();
        let user = context.create_signed_up(Some(&mut transaction), account).await?.user;
        let signed_up = user.clone();
        Ok(Uncommitted::new(user, async move { context.emit_signed_up(&signed_up, address) }))
    }
}

impl Context {
    pub(crate) async fn sign_up(self: &Arc<Self>, request: SignUp) -> Result<User> {
        self.prepare_sign_up(request).await?.create().await
    }

    pub(crate) async fn prepare_sign_up(
        self: &Arc<Self>,
        request: SignUp,
    ) -> Result<PreparedSignUp> {
        let (status, password) = self.check_sign_up(&request).await?;
        // A taken address costs no hash; the response reveals it in any case.
        if self.stores.users.by_email(request.email.canonical()).await?.is_some() {
            return Err(ErrorKind::EmailTaken.into());
        }
        self.check_not_undoable(&request.email).await?;
        let role = signup_role(&self.role_table.roles().await?)?;
        self.hash_sign_up(request, role, status, password).await
    }

    pub(crate) async fn sign_up_in(
        self: &Arc<Self>,
        transaction: StoreTransaction<'_>,
        request: SignUp,
    ) -> Result<Uncommitted<User>> {
        let (status, password) = self.check_sign_up(&request).await?;
        // Without a read of the address, and of roles that are known: on the application's pool, callers that
        // hold a connection each and wait for a second one would exhaust it.
        let role = signup_role(&self.role_table.known_or_loaded().await?)?;
        let prepared = self.hash_sign_up(request, role, status, password).await?;
        prepared.create_in(transaction).await
    }

    /// Checks that sign-up is open and the password within the policy; returns the status of the new user.
    async fn check_sign_up(&self, request: &SignUp) -> Result<(Status, Option<NewPassword>)> {
        let status = self.settings.signup.status().ok_or(ErrorKind::SignupClosed)?;
        let mut violations = check_person(&request.email);
        let email = Some(&request.email);
        let password = match &request.password {
            Some(password) => {
                self.check_password("password", password, email, &mut violations).await?
            }
            None => None,
        };
        if violations.is_empty() { Ok((status, password)) } else { Err(Error::invalid(violations)) }
    }

    async fn hash_sign_up(
        self: &Arc<Self>,
        request: SignUp,
        role: Role,
        status: Status,
        password: Option<NewPassword>,
    ) -> Result<PreparedSignUp> {
        let hash = self.initial_hash(password).await?;
        let account = self.new_account(request.email, hash, role, status);
        let address = request.origin.address;
        Ok(PreparedSignUp { context: Arc::clone(self), account, address })
    }

    pub(super) async fn create_signed_up(
        &self,
        mut within: Option<&mut StoreTransaction<'_>>,
        mut account: Account,
    ) -> Result<Account> {
        let mut written = self.write_new(within.as_deref_mut(), &account).await?;
        if let UserWriteOutcome::Refused(ErrorKind::Invalid) = written {
            // The role was deleted meanwhile, once another one was given at sign-up.
            self.role_table.mark_stale();
            account.user.role = signup_role(&self.role_table.table(None).await?)?;
            written = self.write_new(within, &account).await?;
        }
        match written {
            UserWriteOutcome::Changed { after, .. } => Ok(after),
            UserWriteOutcome::EmailTaken => Err(ErrorKind::EmailTaken.into()),
            UserWriteOutcome::Refused(kind) => Err(kind.into()),
            UserWriteOutcome::Unchanged(_) | UserWriteOutcome::Deleted(_) => {
                Err(Error::new(ErrorKind::Internal, "the user store did not create the account"))
            }
        }
    }

    async fn write_new(
        &self,
        within: Option<&mut StoreTransaction<'_>>,
        account: &Account,
    ) -> Result<UserWriteOutcome> {
        let (id, role) = (account.user.id, &account.user.role);
        let table = self.role_table.known();
        let rule = |snapshot: &UserSnapshot| {
            self.policy.check_exists(role, snapshot, &table)?;
            Ok(UserChange::Put(account.clone()))
        };
        self.write_user_within(within, Acting::default(), id, Some(role), &rule).await
    }

    pub(super) fn emit_signed_up(&self, user: &User, address: Option<IpAddr>) {
        let event = Event::new(EventKind::SignedUp, self.time.now(), EventActor::User(user.id))
            .about(user)
            .with_address(address);
        self.observer.observe(&event);
    }
}

pub(super) fn signup_role(table: &Arc<RoleTable>) -> Result<Role> {
    let missing = || Error::configuration("the role given at sign-up does not exist");
    table.signup().cloned().ok_or_else(missing)
}
