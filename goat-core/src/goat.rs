//! The handle that an application keeps.

use std::sync::Arc;

#[cfg(any(test, feature = "testing"))]
use crate::access::Role;
use crate::access::{FreshPrincipal, Principal, Roles};
use crate::auth::{Authentication, Flows, Login, Refreshed, SignUp, SignedIn};
use crate::builder::Builder;
use crate::clock::Time;
use crate::error::{Error, ErrorKind, Result};
use crate::limit::{Limits, WithDecisions};
use crate::password::{BulkheadLoad, HashError};
use crate::secret::Secret;
use crate::session::{Origin, Sessions};
use crate::settings::Settings;
use crate::store::Stores;
use crate::token::TokenKeys;
use crate::user::{User, UserFilter, Users, sampled_hashes};

/// Users, sessions, roles and limits behind one handle. Cheap to clone; all clones are one.
///
/// ```
/// use goat_core::{Email, Goat, Stores, token::TokenKeys};
/// use goat_core::auth::{Login, SignUp};
/// use goat_core::session::Origin;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> goat_core::Result<()> {
/// let goat = Goat::builder(Stores::memory(), TokenKeys::generate()).build()?;
///
/// goat.sign_up(SignUp {
///     email: Email::parse("ann@example.org").expect("an address"),
///     password: "a long walk on a short pier".into(),
///     origin: Origin::default(),
/// })
/// .await?;
/// let signed_in = goat
///     .login(Login {
///         email: "ann@example.org".into(),
///         password: "a long walk on a short pier".into(),
///         origin: Origin::default(),
///     })
///     .await?
///     .value;
///
/// let principal = goat.authenticate_token(signed_in.tokens.access_token.expose()).await?;
/// assert_eq!(principal.user(), signed_in.user.id);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Goat {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) stores: Stores,
    pub(crate) flows: Arc<Flows>,
    pub(crate) users: Users,
    pub(crate) sessions: Sessions,
    pub(crate) roles: Roles,
    pub(crate) limits: Limits,
    #[cfg(any(test, feature = "testing"))]
    pub(crate) spare: SpareRoles,
}

/// Roles that are there for tests: without permissions and users, until somebody signs in with
/// permissions that no other role has.
#[cfg(any(test, feature = "testing"))]
#[derive(Debug, Default)]
pub(crate) struct SpareRoles {
    pub(crate) roles: Vec<Role>,
    /// One at a time: between a look for a role that is free and the first user who has it, nobody
    /// else may find it free.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

impl Goat {
    /// Begins to build one, over stores and keys; everything else has a default.
    pub fn builder(stores: Stores, keys: TokenKeys) -> Builder {
        Builder::new(stores, keys)
    }

    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// Users: seen, made, changed, deleted.
    #[must_use]
    pub fn users(&self) -> &Users {
        &self.inner.users
    }

    /// Sessions: seen and ended.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.inner.sessions
    }

    /// Roles and their permissions.
    #[must_use]
    pub fn roles(&self) -> &Roles {
        &self.inner.roles
    }

    /// Limits: how much somebody may do in a while.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// The time that this goat decides by.
    #[must_use]
    pub fn time(&self) -> &Time {
        &self.inner.flows.users.time
    }

    /// How it was told to behave.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.flows.settings
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn spare_roles(&self) -> &SpareRoles {
        &self.inner.spare
    }

    /// Makes an account.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SignupClosed`], [`ErrorKind::Invalid`] for a password against the policy,
    /// [`ErrorKind::EmailTaken`], [`ErrorKind::Unavailable`] if a store does not answer or too many
    /// passwords wait to be hashed.
    pub async fn sign_up(&self, request: SignUp) -> Result<User> {
        self.inner.flows.sign_up(request).await
    }

    /// Exchanges an e-mail address and a password for a session.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RateLimited`] for too many attempts on the account,
    /// [`ErrorKind::InvalidCredentials`] for any two texts that do not match; with the right
    /// password only: [`ErrorKind::AccountInactive`], [`ErrorKind::AccountSuspended`];
    /// [`ErrorKind::Unavailable`] if a store does not answer or too many passwords wait.
    pub async fn login(&self, request: Login) -> Result<WithDecisions<SignedIn>> {
        self.inner.flows.login(request).await
    }

    /// Who an access token speaks for: a live session of an active user.
    ///
    /// Verified locally first, then looked up in the cache, and only then in the stores.
    ///
    /// # Errors
    ///
    /// The future answers [`ErrorKind::InvalidToken`], [`ErrorKind::TokenExpired`],
    /// [`ErrorKind::SessionRevoked`], or [`ErrorKind::Unavailable`] if a store does not answer.
    pub fn authenticate_token(&self, access_token: &str) -> Authentication {
        self.inner.flows.authenticate(access_token)
    }

    /// Whether it was this goat, or a clone of it, that found out who that is. Another one in the same
    /// process may have other users, and give their roles other permissions.
    ///
    /// ```
    /// use goat_core::testing::TestGoat;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> goat_core::Result<()> {
    /// let (here, there) = (TestGoat::new(), TestGoat::new());
    /// let alice = here.sign_in("alice", []).await;
    /// let alice = here.goat.authenticate_token(alice.access_token()).await?;
    /// assert!(here.goat.issued(&alice));
    /// assert!(!there.goat.issued(&alice));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn issued(&self, principal: &Principal) -> bool {
        self.inner.flows.users.validator.issued(principal)
    }

    /// Reads a principal's session and user again from the stores, past every cache: the proof that
    /// changes of users and rights ask for.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SessionRevoked`] if the session has ended meanwhile, or
    /// [`ErrorKind::Unavailable`] if a store does not answer.
    pub async fn reauthenticate(&self, principal: &Principal) -> Result<FreshPrincipal> {
        self.inner.flows.reauthenticate(principal).await
    }

    /// Exchanges a refresh token for the next pair of tokens, once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidToken`], [`ErrorKind::TokenExpired`], [`ErrorKind::SessionRevoked`],
    /// [`ErrorKind::TokenReused`] in that order of precedence; or [`ErrorKind::Unavailable`] if a
    /// store does not answer, and then the token is still good, or its successor is answered.
    pub async fn refresh(
        &self,
        refresh_token: &Secret<String>,
        origin: &Origin,
    ) -> Result<Refreshed> {
        self.inner.flows.refresh(refresh_token, origin).await
    }

    /// Ends the session that asks. Its tokens are refused when this returns.
    ///
    /// # Errors
    ///
    /// If a store does not answer.
    pub async fn logout(&self, principal: &Principal, origin: &Origin) -> Result<()> {
        self.inner.flows.logout(principal, origin).await
    }

    /// The public keys of access tokens as a JWK set (RFC 7517 §5); empty for HS256.
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        self.inner.flows.tokens.jwks()
    }

    /// How many passwords are being hashed now, and how many wait.
    #[must_use]
    pub fn hash_load(&self) -> BulkheadLoad {
        self.inner.flows.users.hashing.load()
    }

    /// Makes ready: fills a new database with what the set of roles starts with, and checks that
    /// stored passwords can be verified at all, and that the store of permissions knows the users if
    /// it says so.
    ///
    /// A goat does the first by itself when it is first asked; a program that wants to fail at its
    /// start rather than at somebody's sign-in calls this.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if the pepper of a stored password is missing, and for a store of
    /// permissions that looks for users where they are not kept;
    /// [`ErrorKind::Internal`] if one costs more than the hasher accepts; or if a store does not
    /// answer. What is stored in a password's place and is no hash at all is logged: such users sign
    /// in once a password is set for them.
    pub async fn prepare(&self) -> Result<()> {
        self.inner.flows.users.access.table(None).await?;
        self.check_hashes().await?;
        self.check_users().await
    }

    /// Looks one user up where permissions are kept. What stores are made of does not show from
    /// outside, so that a wrong mix is known by a user who is in one place and not in the other.
    async fn check_users(&self) -> Result<()> {
        let page = self.inner.users.list_all(UserFilter::default()).await?;
        match page.users.first() {
            Some(user) => self.inner.roles.check_users(user.id).await,
            None => Ok(()),
        }
    }

    async fn check_hashes(&self) -> Result<()> {
        let hashing = &self.inner.flows.users.hashing;
        let is_unreadable =
            |checked: &Result<(), HashError>| checked.as_ref().is_err_and(HashError::is_unreadable);
        let is_readable = |hash: &str| !is_unreadable(&hashing.check(hash));
        let mut unreadable = 0_usize;
        for hash in sampled_hashes(self.inner.stores.users.as_ref(), is_readable).await? {
            match hashing.check(&hash) {
                refused if is_unreadable(&refused) => unreadable += 1,
                checked => checked?,
            }
        }
        if unreadable > 0 {
            tracing::warn!(unreadable, "some users have no password that could be verified");
        }
        Ok(())
    }

    /// Whether the stores answer. Bounded by the stores' own time-outs.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] if one does not.
    pub async fn ping(&self) -> Result<()> {
        let answers = async {
            self.inner.stores.users.ping().await?;
            self.inner.stores.sessions.ping().await
        };
        answers.await.map_err(|error| Error::from(ErrorKind::Unavailable).with_source(error))
    }
}
