//! `Goat`: the handle that an application keeps.

mod mail;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

#[cfg(any(test, feature = "testing"))]
use crate::access::Role;
use crate::builder::Builder;
use crate::clock::Time;
#[cfg(any(test, feature = "testing"))]
use crate::courier::kept::Letters;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::factor::{Answer, SignInChallenge};
use crate::id::UserId;
use crate::limit::{Limits, WithDecisions};
use crate::password::{BulkheadLoad, HashError, check_sample};
use crate::proof::{Proof, Vouch};
use crate::secret::Secret;
use crate::service::{
    Authentication, Context, FreshPrincipal, Introspection, Keys, Login, PreparedSignUp, Principal,
    RecentPrincipal, Refreshed, Renewed, Roles, Sessions, SignUp, SignedIn, StepUp, SteppedUp,
    Uncommitted, Users,
};
use crate::session::Origin;
use crate::settings::Settings;
use crate::store::shared_cache::SharedCacheStats;
use crate::store::{StoreTransaction, Stores, sampled_hashes};
use crate::token::TokenKeys;
use crate::user::{User, UserFilter};

/// How often expired sessions are removed.
const PURGE_INTERVAL: Duration = Duration::from_secs(60);

/// How many expired sessions are removed at once; bounds the load on the database.
const PURGE_BATCH: u32 = 1000;

/// Users, sessions, roles and limits behind one handle. Cheap to clone; clones share all state.
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
///     password: Some("a long walk on a short pier".into()),
///     origin: Origin::default(),
/// })
/// .await?;
/// let signed_in = goat
///     .login(Login {
///         email: "ann@example.org".into(),
///         password: "a long walk on a short pier".into(),
///         device_token: None, origin: Origin::default(),
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
struct Inner {
    context: Arc<Context>,
    users: Users,
    sessions: Sessions,
    roles: Roles,
    keys: Keys,
    limits: Limits,
    shared_cache: Option<SharedCacheStats>,
    #[cfg(any(test, feature = "testing"))]
    letters: Option<Letters>,
    #[cfg(any(test, feature = "testing"))]
    spare: SpareRoles,
}

/// Roles for tests, without permissions or users until a test signs in with permissions that no other
/// role has.
#[cfg(any(test, feature = "testing"))]
#[derive(Debug, Default)]
pub(crate) struct SpareRoles {
    pub(crate) roles: Vec<Role>,
    /// Held from the search for a free role until it has its first user, so that two tests do not
    /// take the same role.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

impl Goat {
    /// Returns a builder over stores and keys; everything else has a default.
    pub fn builder(stores: Stores, keys: TokenKeys) -> Builder {
        Builder::new(stores, keys)
    }

    pub(crate) fn new(
        context: Context,
        limits: Limits,
        shared_cache: Option<SharedCacheStats>,
        #[cfg(any(test, feature = "testing"))] letters: Option<Letters>,
        #[cfg(any(test, feature = "testing"))] spare: SpareRoles,
    ) -> Self {
        let context = Arc::new(context);
        let inner = Inner {
            users: Users::new(Arc::clone(&context)),
            sessions: Sessions::new(Arc::clone(&context)),
            roles: Roles::new(Arc::clone(&context)),
            keys: Keys::new(Arc::clone(&context)),
            limits,
            shared_cache,
            context,
            #[cfg(any(test, feature = "testing"))]
            letters,
            #[cfg(any(test, feature = "testing"))]
            spare,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Returns the user service.
    #[must_use]
    pub fn users(&self) -> &Users {
        &self.inner.users
    }

    /// Returns the session service.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.inner.sessions
    }

    /// Returns the role service.
    #[must_use]
    pub fn roles(&self) -> &Roles {
        &self.inner.roles
    }

    /// Returns the service of API keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    /// Returns the rate limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Returns the statistics of the shared cache, if the stores have one.
    #[must_use]
    pub fn shared_cache_stats(&self) -> Option<&SharedCacheStats> {
        self.inner.shared_cache.as_ref()
    }

    /// Returns the clock that this goat uses.
    #[must_use]
    pub fn time(&self) -> &Time {
        &self.inner.context.time
    }

    /// Returns the settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.context.settings
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn letters(&self) -> Option<&Letters> {
        self.inner.letters.as_ref()
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn spare_roles(&self) -> &SpareRoles {
        &self.inner.spare
    }

    /// Creates an account for a new user.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SignupClosed`], also where addresses are confirmed first
    /// ([`Signup::Confirmed`](crate::Signup::Confirmed)); [`ErrorKind::Invalid`] for a password against the
    /// policy; [`ErrorKind::EmailTaken`]; [`ErrorKind::Unavailable`] if a store is unavailable or the queue of
    /// the password hasher is full.
    pub async fn sign_up(&self, request: SignUp) -> Result<User> {
        self.inner.context.sign_up(request).await
    }

    /// Creates an account for a new user within a transaction of the application, so that goat's row and
    /// the application's commit together or not at all.
    ///
    /// The stores keep users in the transaction's database:
    /// [`SqliteDatabase`](crate::store::sql::SqliteDatabase) and
    /// [`PostgresDatabase`](crate::store::sql::PostgresDatabase), best of all
    /// [`from_pool`](crate::store::sql::SqliteDatabase::from_pool). A rejected sign-up leaves the
    /// transaction usable.
    ///
    /// An address that its earlier owner may still take back after a change counts as taken in
    /// [`Goat::sign_up`] and [`Goat::prepare_sign_up`]; this call cannot read that within the transaction.
    ///
    /// The password is hashed first, which takes tens of milliseconds, or longer while other hashes are
    /// queued; meanwhile the transaction occupies a connection. [`Goat::prepare_sign_up`] hashes before
    /// the transaction begins, which is better where many users sign up. Make either call the first of the
    /// transaction: in SQLite it takes the write lock, and `pool.begin()` takes none. In PostgreSQL, the
    /// transaction is READ COMMITTED, the default.
    ///
    /// ```no_run
    /// # #[cfg(feature = "sqlite")] {
    /// use goat_core::auth::SignUp;
    /// use goat_core::{Goat, User};
    ///
    /// async fn register(
    ///     goat: &Goat,
    ///     pool: &sqlx::SqlitePool,
    ///     request: SignUp,
    ///     name: &str,
    /// ) -> Result<User, Box<dyn std::error::Error>> {
    ///     let mut transaction = pool.begin().await?;
    ///     let user = goat.sign_up_in(&mut transaction, request).await?;
    ///     let insert = sqlx::query("INSERT INTO profiles (user_id, name) VALUES ($1, $2)");
    ///     insert.bind(user.id.to_string()).bind(name).execute(&mut *transaction).await?;
    ///     transaction.commit().await?;
    ///     Ok(user.committed().await)
    /// }
    /// # let _ = register;
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Goat::sign_up`]; [`ErrorKind::Internal`] if the user store cannot join the transaction:
    /// another database, or another isolation level.
    pub async fn sign_up_in<'a>(
        &self,
        transaction: impl Into<StoreTransaction<'a>> + Send,
        request: SignUp,
    ) -> Result<Uncommitted<User>> {
        self.inner.context.sign_up_in(transaction.into(), request).await
    }

    /// Checks a sign-up and hashes its password, before the transaction of the application that creates
    /// the account.
    ///
    /// ```no_run
    /// # #[cfg(feature = "sqlite")] {
    /// # use goat_core::{Goat, auth::SignUp};
    /// # async fn register(
    /// #     goat: Goat,
    /// #     pool: sqlx::SqlitePool,
    /// #     request: SignUp,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// let prepared = goat.prepare_sign_up(request).await?;
    /// let mut transaction = pool.begin().await?;
    /// let user = prepared.create_in(&mut transaction).await?;
    /// // The application's own rows.
    /// transaction.commit().await?;
    /// let user = user.committed().await;
    /// # let _ = user;
    /// # Ok(())
    /// # }
    /// # let _ = register;
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Goat::sign_up`].
    pub async fn prepare_sign_up(&self, request: SignUp) -> Result<PreparedSignUp> {
        self.inner.context.prepare_sign_up(request).await
    }

    /// Exchanges an e-mail address and a password for a session.
    ///
    /// Attempts count per account, whether or not it exists. The result has a device token: a client
    /// that presents it at its next login has limits of its own, so that attackers cannot lock it out.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RateLimited`] for too many attempts on the account or with the device token,
    /// [`ErrorKind::InvalidCredentials`] if the address and the password do not match; with the right
    /// password only: [`ErrorKind::AccountInactive`], [`ErrorKind::AccountSuspended`], and
    /// [`ErrorKind::SecondFactorRequired`], after which [`Goat::answer`] completes the sign-in;
    /// [`ErrorKind::Unavailable`] if a store is unavailable or the queue of the password hasher is full.
    pub async fn login(&self, request: Login) -> Result<WithDecisions<SignedIn>> {
        self.inner.context.login(request).await
    }

    /// Returns the proof that a user authenticated by the application's own means: LDAP, a wallet, an
    /// external identity provider.
    ///
    /// goat takes the application's word. It asks for no password and counts no attempt, so the application
    /// verifies the user and limits the attempts itself. Only a method that verifies several factors is
    /// [`Vouch::multi`].
    ///
    /// ```
    /// use goat_core::auth::Vouch;
    /// use goat_core::testing::TestGoat;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> goat_core::Result<()> {
    /// # let test = TestGoat::new();
    /// # let (goat, user) = (test.goat.clone(), test.sign_in("ann", []).await.user.id);
    /// // After the application's own check:
    /// let proof = goat.vouch(user, Vouch::single("ldap")).await?;
    /// let signed_in = goat.open_session(proof, Default::default()).await?;
    /// assert_eq!(signed_in.user.id, user);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if the user does not exist; or if a store is unavailable.
    pub async fn vouch(&self, user: UserId, vouch: Vouch) -> Result<Proof> {
        self.inner.context.vouch(user, vouch).await
    }

    /// Opens a session for a proof: the last step of every sign-in. The session's lifetime counts from the
    /// proof, which opens a session for ten minutes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidCredentials`] for a proof that is too old, or from before a suspension, a new
    /// password, the deletion of the user or the end of all its sessions; [`ErrorKind::InvalidTransition`]
    /// for a service account; [`ErrorKind::AccountInactive`], [`ErrorKind::AccountSuspended`];
    /// [`ErrorKind::SecondFactorRequired`] where a factor is in force and the proof is of one factor;
    /// [`ErrorKind::Unavailable`] if a store is unavailable.
    pub async fn open_session(&self, proof: Proof, origin: Origin) -> Result<SignedIn> {
        self.inner.context.open_session(proof, origin).await
    }

    /// Completes a sign-in that waits for a second factor ([`Error::pending`](crate::Error::pending)), and
    /// opens its session, on the device of the login. The session has several factors from the time of the
    /// answer.
    ///
    /// An answer counts against the limits of the login, and a pending sign-in takes five. It is answered once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidChallenge`] for a wrong answer or secret, and for a pending sign-in that is unknown,
    /// used, expired, or from before a suspension, a new password or the end of all sessions;
    /// [`ErrorKind::RateLimited`]; [`ErrorKind::AccountInactive`], [`ErrorKind::AccountSuspended`];
    /// [`ErrorKind::Unavailable`] if a store is unavailable.
    pub async fn answer(
        &self,
        pending: impl Into<SignInChallenge> + Send,
        answer: Answer,
        origin: &Origin,
    ) -> Result<WithDecisions<SignedIn>> {
        self.inner.context.confirm_sign_in(pending.into(), answer, origin).await
    }

    /// Authenticates an access token or an API key and returns its principal: a live session, or a live key,
    /// of an active user.
    ///
    /// The text is verified locally first, then the session or key is looked up in the cache, and only then
    /// in the stores.
    ///
    /// # Errors
    ///
    /// The future returns [`ErrorKind::InvalidToken`], also for an API key that does not exist or was
    /// revoked, and while [`Settings::keys`] is off, [`ErrorKind::TokenExpired`],
    /// [`ErrorKind::SessionRevoked`], or [`ErrorKind::Unavailable`] if a store is unavailable.
    pub fn authenticate_token(&self, token_or_key: &str) -> Authentication {
        self.inner.context.authenticate(token_or_key)
    }

    /// Like [`Goat::authenticate_token`], without API keys: for a place where only a session's token
    /// belongs, such as a cookie.
    ///
    /// # Errors
    ///
    /// Those of [`Goat::authenticate_token`]; [`ErrorKind::InvalidToken`] for an API key.
    pub fn authenticate_access_token(&self, access_token: &str) -> Authentication {
        self.inner.context.authenticate_access_token(access_token)
    }

    /// Returns the user and the rights behind an access token or an API key, for another service that asks by
    /// RFC 7662; `None` if it is not valid now, for any reason. A refresh token is not valid here, and is not
    /// used up.
    ///
    /// ```
    /// use goat_core::Permission;
    /// use goat_core::testing::TestGoat;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> goat_core::Result<()> {
    /// let test = TestGoat::new();
    /// let alice = test.sign_in("alice", [Permission::new("report:read")]).await;
    /// let found = test.goat.introspect(alice.access_token()).await?.expect("a valid token");
    /// assert_eq!(found.user, alice.user.id);
    /// assert_eq!(found.permissions, [Permission::new("report:read")]);
    /// assert!(test.goat.introspect("forged").await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] if a store is unavailable.
    pub async fn introspect(&self, token_or_key: &str) -> Result<Option<Introspection>> {
        self.inner.context.introspect(token_or_key).await
    }

    /// Ends the session of an access token, also of an expired one, or of a refresh token, or revokes an API
    /// key, for a client that revokes its token by RFC 7009. Any other text, and a token that a change of the
    /// password replaced, change nothing, and the result does not tell.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] if a store is unavailable.
    pub async fn revoke_token(&self, token_or_key: &str, origin: &Origin) -> Result<()> {
        self.inner.context.revoke_token(token_or_key, origin).await
    }

    /// Whether this goat, or a clone of it, issued the principal. Another goat in the same process may
    /// have other users and grant other permissions to their roles.
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
        self.inner.context.validator.issued(principal)
    }

    /// Re-reads a principal's session or API key, and its user, from the stores, bypassing every cache.
    /// Changes of users and permissions require the result.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SessionRevoked`] if the session has ended meanwhile, [`ErrorKind::InvalidToken`] or
    /// [`ErrorKind::TokenExpired`] if the key was revoked or has expired, or [`ErrorKind::Unavailable`] if a
    /// store is unavailable.
    pub async fn reauthenticate(&self, principal: &Principal) -> Result<FreshPrincipal> {
        self.inner.context.reauthenticate(principal).await
    }

    /// Re-reads a principal, and checks that its session was proven a short time ago: at most
    /// [`Settings::recent`](crate::Settings::recent) ago, and by several factors in a session that has had
    /// such a proof. Changes of the user's own credentials require the result.
    ///
    /// ```
    /// use goat_core::testing::TestGoat;
    /// use goat_core::{ErrorKind, RequiredProof};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> goat_core::Result<()> {
    /// let test = TestGoat::new();
    /// let alice = test.sign_in("alice", []).await;
    /// let me = test.goat.authenticate_token(alice.access_token()).await?;
    /// let recent = test.goat.require_recent(&me).await?;
    /// assert_eq!(recent.principal().user(), alice.user.id);
    ///
    /// test.clock.advance(Duration::from_secs(301));
    /// let error = test.goat.require_recent(&me).await.expect_err("five minutes have passed");
    /// assert_eq!(error.kind(), ErrorKind::StepUpRequired);
    /// let max_age = Some(Duration::from_secs(300));
    /// assert_eq!(error.required_proof(), Some(RequiredProof { max_age, multi: false }));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SessionRequired`] for an API key; [`ErrorKind::StepUpRequired`], after which the client
    /// calls [`Goat::step_up`]; those of [`Goat::reauthenticate`].
    pub async fn require_recent(&self, principal: &Principal) -> Result<RecentPrincipal> {
        self.inner.context.require_recent(principal).await
    }

    /// Verifies a proof of the principal's user again: the password, or the answer of a second factor, which
    /// makes the new session one of several factors. A new session replaces the principal's: on the same
    /// device and with the same end, under new tokens. The earlier tokens no longer work, so that a copy of
    /// them gains nothing, and presenting one ends nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SessionRequired`] for an API key, [`ErrorKind::RateLimited`] for too many passwords in
    /// the session, [`ErrorKind::WrongPassword`], [`ErrorKind::WrongCode`], [`ErrorKind::SessionRevoked`] if
    /// the session has ended meanwhile; or if a store is unavailable.
    pub async fn step_up(
        &self,
        principal: &Principal,
        proof: StepUp,
        origin: &Origin,
    ) -> Result<WithDecisions<SteppedUp>> {
        self.inner.context.step_up(principal, proof, origin).await
    }

    /// Rotates a refresh token and returns the next token pair.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidToken`], [`ErrorKind::TokenExpired`], [`ErrorKind::SessionRevoked`],
    /// [`ErrorKind::TokenReused`] in that order of precedence; or [`ErrorKind::Unavailable`] if a
    /// store is unavailable, and then a retry with the same token succeeds.
    pub async fn refresh(
        &self,
        refresh_token: &Secret<String>,
        origin: &Origin,
    ) -> Result<Refreshed> {
        self.inner.context.refresh(refresh_token, origin).await
    }

    /// Refreshes a session within a request, and returns the principal along with the next token pair:
    /// for clients that keep the refresh token where every request carries it, such as a cookie.
    ///
    /// Concurrent renewals with one refresh token share one rotation in this process. Across processes
    /// the [grace period](crate::Settings::refresh_leeway) gives each of them the same successor.
    ///
    /// ```
    /// use goat_core::testing::TestGoat;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> goat_core::Result<()> {
    /// let test = TestGoat::new();
    /// let alice = test.sign_in("alice", []).await;
    /// let origin = Default::default();
    /// let token = &alice.tokens.refresh_token;
    /// let (one, other) = tokio::join!(
    ///     test.goat.renew(token, &origin),
    ///     test.goat.renew(token, &origin),
    /// );
    /// let (one, other) = (one?, other?);
    /// assert_eq!(one.principal.user(), alice.user.id);
    /// assert_eq!(one.tokens.refresh_token.expose(), other.tokens.refresh_token.expose());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`refresh`](Self::refresh) and of [`authenticate_token`](Self::authenticate_token).
    pub async fn renew(&self, refresh_token: &Secret<String>, origin: &Origin) -> Result<Renewed> {
        self.inner.context.renew(refresh_token, origin).await
    }

    /// Ends the principal's session. Its tokens are invalid when this returns.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SessionRequired`] for an API key; or if a store is unavailable.
    pub async fn logout(&self, principal: &Principal, origin: &Origin) -> Result<()> {
        self.inner.context.logout(principal, origin).await
    }

    /// Returns the public keys of access tokens as a JWK set (RFC 7517 §5); empty for HS256.
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        self.inner.context.tokens.jwks()
    }

    /// Returns how many password hashes are running, and how many are queued.
    #[must_use]
    pub fn hash_load(&self) -> BulkheadLoad {
        self.inner.context.hasher.load()
    }

    /// Seeds a new database with the permissions of the role set, and checks that the role given at
    /// sign-up has no `full_access`, that stored passwords can be verified, and that a role store that
    /// keeps users does find them.
    ///
    /// A goat seeds by itself on first use; a program calls this to fail at its start and not at the
    /// first login.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if the role given at sign-up has `full_access` in the store, if the
    /// hasher cannot verify a stored password or lacks its pepper, and for a role store that looks up
    /// users where they are not kept; [`ErrorKind::Internal`] if a hash costs more than the hasher
    /// accepts; or if a store is unavailable. A user without a password has an empty stored hash, or one
    /// that begins with `!` or `*`.
    pub async fn prepare(&self) -> Result<()> {
        self.inner.context.role_table.check().await?;
        self.check_hashes().await?;
        self.check_users().await
    }

    /// Runs maintenance until it is dropped: every minute it removes expired sessions and challenges, and
    /// records the last use of API keys. Spawn it once per process. A graceful shutdown calls
    /// [`Keys::record_uses`] at its end.
    ///
    /// ```
    /// # use goat_core::{Goat, Stores, token::TokenKeys};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> goat_core::Result<()> {
    /// let goat = Goat::builder(Stores::memory(), TokenKeys::generate()).build()?;
    /// tokio::spawn(goat.clone().maintain());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn maintain(self) {
        let mut ticks = interval(PURGE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.sessions().purge(PURGE_BATCH).await {
                Ok(0) => {}
                Ok(count) => tracing::debug!(count, "expired sessions purged"),
                Err(error) => tracing::warn!(%error, "failed to purge expired sessions"),
            }
            if let Err(error) = self.keys().record_uses().await {
                tracing::warn!(%error, "failed to record the last use of API keys; tried again in a minute");
            }
            match self.inner.context.purge_challenges(PURGE_BATCH).await {
                Ok(0) => {}
                Ok(count) => tracing::debug!(count, "expired challenges purged"),
                Err(error) => tracing::warn!(%error, "failed to purge expired challenges"),
            }
        }
    }

    /// Looks up one user in the role store: a mix of stores that do not fit shows as a user that exists
    /// in only one of them.
    async fn check_users(&self) -> Result<()> {
        let page = self.inner.users.list_all(UserFilter::default()).await?;
        match page.users.first() {
            Some(user) => self.inner.roles.check_users(user.id).await,
            None => Ok(()),
        }
    }

    async fn check_hashes(&self) -> Result<()> {
        let context = &self.inner.context;
        let is_readable =
            |hash: &str| !context.hasher.check(hash).as_ref().is_err_and(HashError::is_unreadable);
        let hashes = sampled_hashes(context.stores.users.as_ref(), is_readable).await?;
        check_sample(&hashes, |hash| context.hasher.check(hash))
    }

    /// Checks that the stores respond, within a second. Concurrent calls share one check, and its
    /// outcome is kept for 250 ms, so that any number of probes costs the stores a few calls a second. A
    /// change of the outcome is logged.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] if one does not.
    pub async fn ping(&self) -> Result<()> {
        self.inner.context.ping().await
    }
}
