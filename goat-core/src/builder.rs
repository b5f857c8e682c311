//! How a goat is built: what must be given, and what has a default.

use std::sync::Arc;

use crate::access::{RoleSet, RoleTableCache, Roles};
use crate::auth::Flows;
use crate::clock::{Clock, SystemClock, Time};
use crate::error::Result;
use crate::event::{NoObserver, Observer};
#[cfg(any(test, feature = "testing"))]
use crate::goat::SpareRoles;
use crate::goat::{Goat, Inner};
use crate::limit::{AccountLimit, Limits};
use crate::password::{
    Argon2Settings, Argon2id, BulkheadLimits, HashBulkhead, PasswordHasher, Peppers,
};
use crate::session::{SessionCache, SessionValidator, Sessions};
use crate::settings::Settings;
use crate::store::Stores;
use crate::token::{TokenKeys, TokenSettings, Tokens};
use crate::user::{self, Users};

/// Builds a [`Goat`].
#[derive(Debug)]
#[must_use = "nothing is built before build() is called"]
pub struct Builder {
    stores: Stores,
    keys: TokenKeys,
    tokens: TokenSettings,
    settings: Settings,
    roles: RoleSet,
    hasher: Option<Arc<dyn PasswordHasher>>,
    hashing: BulkheadLimits,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
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
            roles: RoleSet::default(),
            hasher: None,
            hashing: BulkheadLimits::default(),
            clock: Arc::new(SystemClock::start()),
            observer: Arc::new(NoObserver),
            #[cfg(any(test, feature = "testing"))]
            spare: SpareRoles::default(),
        }
    }

    /// Lifetimes, quotas and policies.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Issuer, audience and leeway of tokens.
    pub fn tokens(mut self, tokens: TokenSettings) -> Self {
        self.tokens = tokens;
        self
    }

    /// A set of roles of one's own, in place of client, operator and admin.
    pub fn roles(mut self, roles: RoleSet) -> Self {
        self.roles = roles;
        self
    }

    /// A password hasher, in place of Argon2id at OWASP's parameters without a pepper.
    pub fn hasher(mut self, hasher: Arc<dyn PasswordHasher>) -> Self {
        self.hasher = Some(hasher);
        self
    }

    /// How many passwords are hashed at once, and how many may wait.
    pub fn hashing(mut self, limits: BulkheadLimits) -> Self {
        self.hashing = limits;
        self
    }

    /// A clock, in place of the machine's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Who hears of events.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Roles that a test may give permissions to.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn spare(mut self, spare: SpareRoles) -> Self {
        self.spare = spare;
        self
    }

    /// Builds it. Reads nothing from the stores yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) for settings out of bounds.
    pub fn build(self) -> Result<Goat> {
        self.settings.check()?;
        let Self {
            stores,
            keys,
            tokens,
            settings,
            roles,
            hasher,
            hashing,
            clock,
            observer,
            #[cfg(any(test, feature = "testing"))]
            spare,
        } = self;
        let time = Time::new(clock);
        let hasher = hasher
            .unwrap_or_else(|| Arc::new(Argon2id::new(Argon2Settings::default(), Peppers::none())));
        let limits = Limits::new(Arc::clone(&stores.limits), time.clone());
        let access = Arc::new(RoleTableCache::new(
            Arc::clone(&stores.roles),
            roles,
            settings.cache_staleness,
            time.clone(),
        ));
        let lease = Arc::clone(access.lease());
        let validator = SessionValidator::new(
            SessionCache::new(settings.cache_staleness, settings.cache_entries, lease),
            Arc::clone(&stores.sessions),
            Arc::clone(&stores.users),
            Arc::clone(&access),
            Arc::clone(&stores.invalidations),
            time.clone(),
        );
        let users = Users::new(user::Inner {
            users: Arc::clone(&stores.users),
            sessions: Arc::clone(&stores.sessions),
            access: Arc::clone(&access),
            validator: Arc::clone(&validator),
            hashing: HashBulkhead::new(hasher, hashing),
            passwords: settings.passwords.clone(),
            attempts: AccountLimit::new(limits.clone(), settings.account_quota),
            observer: Arc::clone(&observer),
            time: time.clone(),
        });
        let sessions = Sessions::new(
            Arc::clone(&stores.sessions),
            Arc::clone(&stores.users),
            Arc::clone(&access),
            Arc::clone(&validator),
            Arc::clone(&observer),
            time.clone(),
        );
        let flows = Arc::new(Flows {
            users: Arc::clone(users.inner()),
            tokens: Tokens::new(keys, tokens),
            settings,
            purged_at: std::sync::atomic::AtomicI64::new(0),
        });
        let roles = Roles::new(access, validator, observer, time);
        Ok(Goat::new(Inner {
            stores,
            flows,
            users,
            sessions,
            roles,
            limits,
            #[cfg(any(test, feature = "testing"))]
            spare,
        }))
    }
}
