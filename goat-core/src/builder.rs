//! Builder of a goat: required parts as arguments, optional parts with defaults.

use std::sync::Arc;

use crate::access::{Role, RoleSet, RoleSource};
use crate::challenge::ServerKeys;
use crate::clock::{Clock, SystemClock, Time};
use crate::courier::Courier;
#[cfg(any(test, feature = "testing"))]
use crate::courier::kept::Letters;
use crate::error::{Error, Result};
use crate::event::{NoObserver, Observer};
use crate::factor::{AnswerVerifier, NoAnswers};
use crate::goat::Goat;
#[cfg(any(test, feature = "testing"))]
use crate::goat::SpareRoles;
use crate::invalidation::Lease;
use crate::limit::Limits;
use crate::password::{
    Argon2Settings, Argon2id, BreachedPasswords, BulkheadLimits, HashBulkhead, PasswordHasher,
    Peppers,
};
use crate::service::{
    ClaimSource, Context, CredentialLimits, Mail, Policy, Readiness, Renewals, RoleTableCache,
    SessionCache, SessionValidator,
};
use crate::settings::Settings;
use crate::store::Stores;
use crate::token::{TokenKeys, TokenSettings, Tokens};
use crate::user::User;

/// Builds a [`Goat`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct Builder {
    stores: Stores,
    keys: TokenKeys,
    tokens: TokenSettings,
    settings: Settings,
    claims: Option<ClaimSource>,
    roles: RoleSet,
    has_stored_roles: bool,
    hasher: Option<Arc<dyn PasswordHasher>>,
    hashing: BulkheadLimits,
    breached: Option<Arc<dyn BreachedPasswords>>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    pub(crate) answers: Arc<dyn AnswerVerifier>,
    courier: Option<Arc<dyn Courier>>,
    server_keys: Option<ServerKeys>,
    #[cfg(any(test, feature = "testing"))]
    pub(crate) letters: Option<Letters>,
    #[cfg(any(test, feature = "testing"))]
    spare: SpareRoles,
}

impl Builder {
    pub(crate) fn new(stores: Stores, keys: TokenKeys) -> Self {
        Self {
            stores,
            keys,
            tokens: TokenSettings::default(),
            settings: Settings::default(),
            claims: None,
            roles: RoleSet::default(),
            has_stored_roles: false,
            hasher: None,
            hashing: BulkheadLimits::default(),
            breached: None,
            clock: Arc::new(SystemClock::start()),
            observer: Arc::new(NoObserver),
            answers: Arc::new(NoAnswers),
            courier: None,
            server_keys: None,
            #[cfg(any(test, feature = "testing"))]
            letters: None,
            #[cfg(any(test, feature = "testing"))]
            spare: SpareRoles::default(),
        }
    }

    /// Sets lifetimes, quotas and policies.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets issuer, audience and leeway of tokens.
    pub fn tokens(mut self, tokens: TokenSettings) -> Self {
        self.tokens = tokens;
        self
    }

    /// Adds claims of the application to access tokens, for services that verify tokens offline: an object,
    /// made from the user at each login and refresh. goat itself never uses them for decisions.
    ///
    /// Claims that goat writes and those that decide on a token's rights (`sub`, `scope`, `cnf`, names
    /// with the prefix `goat_`) cannot be replaced, and together they have at most 1 KiB of JSON, beside the
    /// 1 KiB of [`Settings::token_attributes`]. A token is signed without any if one of them is rejected,
    /// which is logged as an error.
    ///
    /// ```
    /// use goat_core::{Goat, Stores, token::TokenKeys};
    /// use serde_json::json;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> goat_core::Result<()> {
    /// let goat = Goat::builder(Stores::memory(), TokenKeys::generate())
    ///     .claims(|user| json!({ "domain": user.email.domain() }))
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn claims(
        mut self,
        claims: impl Fn(&User) -> serde_json::Value + Send + Sync + 'static,
    ) -> Self {
        self.claims = Some(ClaimSource::new(claims));
        self
    }

    /// Sets the roles, in place of client, operator and admin.
    pub fn roles(mut self, roles: RoleSet) -> Self {
        self.roles = roles;
        self
    }

    /// Takes the roles from the role store, where [`Roles`](crate::Roles) creates, ranks and deletes them,
    /// in place of the set that is fixed in code. A store without roles is seeded with that set; a migrated
    /// database has client, operator and admin.
    ///
    /// ```
    /// use goat_core::access::{NewRole, Rank};
    /// use goat_core::{Actor, Goat, Permission, Role, Stores, token::TokenKeys};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> goat_core::Result<()> {
    /// let goat = Goat::builder(Stores::memory(), TokenKeys::generate()).stored_roles().build()?;
    /// let support = NewRole {
    ///     name: Role::parse_new("support").expect("a name"),
    ///     rank: Rank(300),
    ///     permissions: vec![Permission::new("ticket:*")],
    /// };
    /// goat.roles().create(Actor::system("setup"), support).await?;
    /// assert_eq!(goat.roles().names().len(), 4);
    /// # Ok(())
    /// # }
    /// ```
    pub fn stored_roles(mut self) -> Self {
        self.has_stored_roles = true;
        self
    }

    /// Sets the password hasher, in place of Argon2id with OWASP's parameters and no pepper.
    pub fn hasher(mut self, hasher: Arc<dyn PasswordHasher>) -> Self {
        self.hasher = Some(hasher);
        self
    }

    /// Sets how many passwords are hashed concurrently, and how many requests may queue.
    pub fn hashing(mut self, limits: BulkheadLimits) -> Self {
        self.hashing = limits;
        self
    }

    /// Sets the list of passwords that are known from data breaches, which new passwords are compared with.
    /// There is none by default.
    pub fn breached_passwords(mut self, list: Arc<dyn BreachedPasswords>) -> Self {
        self.breached = Some(list);
        self
    }

    /// Sets the clock, in place of the system clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the observer of events.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Sets the courier, which delivers letters: it switches on recovery, verification, invitations, and
    /// changes of addresses that take effect once the new mailbox answered. It needs
    /// [`server_keys`](Self::server_keys).
    ///
    /// ```
    /// use std::sync::Arc;
    /// use goat_core::challenge::ServerKeys;
    /// use goat_core::courier::{Courier, Letter, Permit, QueueFull};
    /// use goat_core::{Goat, Stores, token::TokenKeys};
    /// use tokio::sync::mpsc;
    ///
    /// #[derive(Debug)]
    /// struct Outbox(mpsc::Sender<Letter>);
    ///
    /// impl Courier for Outbox {
    ///     fn reserve(&self) -> Result<Permit, QueueFull> {
    ///         let place = self.0.clone().try_reserve_owned().map_err(|_| QueueFull)?;
    ///         Ok(Permit::new(move |letter| {
    ///             place.send(letter);
    ///         }))
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> goat_core::Result<()> {
    /// let (sender, _letters) = mpsc::channel(100);
    /// let goat = Goat::builder(Stores::memory(), TokenKeys::generate())
    ///     .courier(Arc::new(Outbox(sender)))
    ///     .server_keys(ServerKeys::generate())
    ///     .build()?;
    /// # let _ = goat;
    /// # Ok(())
    /// # }
    /// ```
    pub fn courier(mut self, courier: Arc<dyn Courier>) -> Self {
        self.courier = Some(courier);
        self
    }

    /// Sets the keys under which typed codes are stored. All nodes need the same ones.
    pub fn server_keys(mut self, keys: ServerKeys) -> Self {
        self.server_keys = Some(keys);
        self
    }

    /// Sets the roles that tests may grant permissions to.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn spare(mut self, spare: SpareRoles) -> Self {
        self.spare = spare;
        self
    }

    /// Builds the goat. Reads nothing from the stores yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) for settings out of bounds, for a role
    /// given at sign-up that the set does not contain or that has `full_access`, for a courier without server
    /// keys, and for confirmed sign-up or sign-in by e-mail without a courier.
    pub fn build(self) -> Result<Goat> {
        self.settings.check()?;
        let Self {
            stores,
            keys,
            tokens,
            settings,
            claims,
            roles,
            has_stored_roles,
            hasher,
            hashing,
            breached,
            clock,
            observer,
            answers,
            courier,
            server_keys,
            #[cfg(any(test, feature = "testing"))]
            letters,
            #[cfg(any(test, feature = "testing"))]
            spare,
        } = self;
        let mail = Mail::new(courier, server_keys, &settings)?;
        let signup = settings.signup_role.clone();
        if let (Some(role), false) = (&signup, has_stored_roles) {
            check_signup_role(role, &roles)?;
        }
        let source = RoleSource { set: roles, is_stored: has_stored_roles, signup };
        let (stores, shared_cache) =
            stores.read_through(&keys, settings.cache_staleness, Arc::clone(&clock));
        let time = Time::new(clock);
        let hasher = hasher
            .unwrap_or_else(|| Arc::new(Argon2id::new(Argon2Settings::default(), Peppers::none())));
        let limits = Limits::new(Arc::clone(&stores.limits), time.clone());
        let staleness = settings.cache_staleness;
        let lease = Arc::new(Lease::default());
        let role_table = Arc::new(RoleTableCache::new(
            Arc::clone(&stores.roles),
            source.clone(),
            staleness,
            Arc::clone(&lease),
            time.clone(),
        ));
        let validator = SessionValidator::new(
            SessionCache::new(staleness, settings.cache_entries, Arc::clone(&lease)),
            stores.clone(),
            Arc::clone(&role_table),
            lease,
            time.clone(),
        );
        let context = Context {
            credential_limits: CredentialLimits::new(limits.clone(), &settings),
            policy: Policy::new(source),
            role_table,
            validator,
            tokens: Tokens::new(keys, tokens),
            claims,
            hasher: HashBulkhead::new(hasher, hashing),
            breached,
            answers,
            mail,
            observer,
            readiness: Readiness::default(),
            renewals: Renewals::default(),
            time,
            stores,
            settings,
        };
        Ok(Goat::new(
            context,
            limits,
            shared_cache,
            #[cfg(any(test, feature = "testing"))]
            letters,
            #[cfg(any(test, feature = "testing"))]
            spare,
        ))
    }
}

/// Checks the role given at sign-up against a fixed set (A8).
fn check_signup_role(role: &Role, roles: &RoleSet) -> Result<()> {
    if !roles.contains(role) {
        return Err(Error::configuration(format!(
            "the role given at sign-up, {role}, is not in the set"
        )));
    }
    if role == roles.top() {
        return Err(Error::configuration(format!(
            "the role given at sign-up, {role}, must not have full_access"
        )));
    }
    Ok(())
}
