//! Test harness: a goat with a manual clock, a counting hasher, failpoints and a recording
//! observer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use goat_core::auth::{Login, Refreshed, SignedIn, TokenPair};
use goat_core::event::{Event, EventKind, Observer};
use goat_core::invalidation::LocalInvalidations;
#[cfg(feature = "foreign-hashes")]
use goat_core::password::PasswordHasher;
use goat_core::session::Origin;
use goat_core::store::{UserChange, UserSnapshot, UserWrite};
use goat_core::testing::{Failpoints, ManualClock, PlainHasher, TestFactors};
use goat_core::token::{TokenKeys, TokenSettings, Tokens, Verifier};
use goat_core::user::{Account, NewUser};
use goat_core::{
    Actor, Builder, Clock as _, Email, Error, ErrorKind, Goat, Principal, Result, Role, RoleSet,
    Secret, Settings, Status, Stores, Timestamp, User, UserId,
};

/// Initial password of every test user.
pub(crate) const PASSWORD: &str = "a long walk on a short pier";
/// Another password.
pub(crate) const OTHER_PASSWORD: &str = "seven lamps over the quay";

/// Runs each behaviour, an `async fn(Backend)` in the enclosing module, on every backend.
macro_rules! on_every_store {
    ($($behaviour:ident),* $(,)?) => {
        mod memory {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    super::$behaviour($crate::flows::support::Backend::memory()).await;
                }
            )*
        }
        #[cfg(feature = "sqlite")]
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    super::$behaviour($crate::flows::support::Backend::sqlite().await).await;
                }
            )*
        }
        #[cfg(feature = "postgres")]
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    super::$behaviour($crate::flows::support::Backend::postgres().await).await;
                }
            )*
        }
        #[cfg(feature = "redis")]
        mod redis {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    super::$behaviour($crate::flows::support::Backend::redis()).await;
                }
            )*
        }
    };
}
pub(crate) use on_every_store;

/// The stores of a test.
pub(crate) struct Backend {
    stores: Stores,
    _folder: Option<tempfile::TempDir>,
}

impl Backend {
    pub(crate) fn memory() -> Self {
        Self { stores: Stores::memory(), _folder: None }
    }

    pub(crate) fn over(stores: Stores) -> Self {
        Self { stores, _folder: None }
    }

    #[cfg(feature = "sqlite")]
    pub(crate) async fn sqlite() -> Self {
        use goat_core::store::sql::{MigrateOptions, SqliteDatabase, SqliteOptions};
        let folder = tempfile::tempdir().expect("a folder");
        let options = SqliteOptions::new(folder.path().join("goat.db"));
        let database = SqliteDatabase::open(options).await.expect("a database");
        database.migrate(MigrateOptions::default()).await.expect("a schema");
        let stores = Stores {
            users: database.users(),
            roles: database.roles(),
            sessions: database.sessions(),
            challenges: database.challenges(),
            keys: database.keys(),
            ..Stores::memory()
        };
        Self { stores, _folder: Some(folder) }
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use goat_core::Stores;
    use goat_core::store::sql::{MigrateOptions, PostgresDatabase, PostgresOptions};
    use goat_engines::Postgres;

    use super::Backend;

    impl Backend {
        /// A database of its own, with the caller's clock.
        pub(crate) async fn postgres() -> Self {
            let options = PostgresOptions::new(Postgres::shared().create_database());
            let database = PostgresDatabase::open_with_caller_clock(&options).expect("a URL");
            database.migrate(MigrateOptions::default()).await.expect("a schema");
            let stores = Stores {
                users: database.users(),
                roles: database.roles(),
                sessions: database.sessions(),
                challenges: database.challenges(),
                keys: database.keys(),
                ..Stores::memory()
            };
            Self { stores, _folder: None }
        }
    }
}

#[cfg(feature = "redis")]
mod redis {
    use goat_core::Stores;
    use goat_core::store::redis::{RedisDatabase, RedisOptions};
    use goat_engines::Redis;

    use super::Backend;

    impl Backend {
        /// Users in memory, sessions and limits in Redis, with the caller's clock.
        pub(crate) fn redis() -> Self {
            let options = RedisOptions::new(Redis::shared().url()).prefix(Redis::prefix());
            let redis = RedisDatabase::open(&options.with_caller_clock()).expect("a URL");
            let stores =
                Stores { sessions: redis.sessions(), limits: redis.limits(), ..Stores::memory() };
            Self { stores, _folder: None }
        }
    }
}

/// Observer that records all events.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events(Arc<Recorded>);

#[derive(Debug, Default)]
struct Recorded {
    events: Mutex<Vec<Event>>,
    more: tokio::sync::Notify,
}

impl Observer for Events {
    fn observe(&self, event: &Event) {
        self.0.events.lock().expect("no panic").push(event.clone());
        self.0.more.notify_waiters();
    }
}

impl Events {
    /// Takes the recorded events.
    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.events.lock().expect("no panic"))
    }

    /// Waits for a matching event since the events were last taken.
    pub(crate) async fn wait_for(&self, wanted: impl Fn(&EventKind) -> bool) {
        let occurred = async {
            loop {
                let more = self.0.more.notified();
                let events = self.0.events.lock().expect("no panic").clone();
                if events.iter().any(|event| wanted(&event.kind)) {
                    return;
                }
                more.await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), occurred).await;
        waited.expect("the event comes");
    }

    /// Takes the kinds of the recorded events.
    pub(crate) fn take_kinds(&self) -> Vec<EventKind> {
        self.take().into_iter().map(|event| event.kind).collect()
    }
}

/// A goat with everything that tests need to control it.
pub(crate) struct Harness {
    pub(crate) goat: Goat,
    pub(crate) clock: ManualClock,
    pub(crate) hasher: PlainHasher,
    pub(crate) events: Events,
    pub(crate) failpoints: Failpoints,
    /// The second factors; no user has one at the beginning.
    pub(crate) factors: TestFactors,
    /// The stores below the failpoints.
    pub(crate) stores: Stores,
    keys: TokenKeys,
    settings: Settings,
    has_stored_roles: bool,
    _backend: Backend,
}

impl Harness {
    pub(crate) fn on(backend: Backend) -> Self {
        Self::with(backend, |_| {})
    }

    /// With roles that are stored, in place of a fixed set.
    pub(crate) fn with_stored_roles(backend: Backend) -> Self {
        Self::build(backend, true, |_| {})
    }

    /// With changed settings. Limits of passwords are off unless they set one.
    pub(crate) fn with(backend: Backend, change: impl FnOnce(&mut Settings)) -> Self {
        Self::build(backend, false, change)
    }

    /// With letters that are kept, and with changed settings. The limit of letters is off unless they set it.
    pub(crate) fn with_letters(backend: Backend, change: impl FnOnce(&mut Settings)) -> Self {
        let unlimited = |settings: &mut Settings| {
            settings.mail_quota = None;
            change(settings);
        };
        Self::assemble(backend, false, unlimited, Builder::test_letters)
    }

    /// With stored roles or a fixed set, and with changed settings.
    pub(crate) fn build(
        backend: Backend,
        has_stored_roles: bool,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        Self::assemble(backend, has_stored_roles, change, |builder| builder)
    }

    fn assemble(
        backend: Backend,
        has_stored_roles: bool,
        change: impl FnOnce(&mut Settings),
        letters: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let mut settings = Settings {
            account_quota: None,
            account_day_quota: None,
            password_check_quota: None,
            change_email_quota: None,
            ..Settings::default()
        };
        change(&mut settings);
        let clock = ManualClock::default();
        let hasher = PlainHasher::default();
        let events = Events::default();
        let keys = TokenKeys::generate();
        let factors = TestFactors::default();
        let stores = Stores { factors: Arc::new(factors.clone()), ..backend.stores.clone() };
        let (wrapped, failpoints) = Failpoints::over(stores.clone());
        let builder = Goat::builder(wrapped, keys.clone())
            .settings(settings.clone())
            .test_factors(&factors)
            .clock(Arc::new(clock.clone()))
            .hasher(Arc::new(hasher.clone()))
            .observer(Arc::new(events.clone()));
        let builder = if has_stored_roles { builder.stored_roles() } else { builder };
        let goat = letters(builder).build().expect("good settings");
        Self {
            goat,
            clock,
            hasher,
            events,
            failpoints,
            factors,
            stores,
            keys,
            settings,
            has_stored_roles,
            _backend: backend,
        }
    }

    /// A second node over these stores, with the same keys and clock.
    pub(crate) fn node(&self, stores: Stores) -> Goat {
        let builder = Goat::builder(stores, self.keys.clone())
            .settings(self.settings.clone())
            .test_factors(&self.factors)
            .clock(Arc::new(self.clock.clone()))
            .hasher(Arc::new(self.hasher.clone()));
        let builder = if self.has_stored_roles { builder.stored_roles() } else { builder };
        let builder = if self.goat.has_courier() { builder.test_letters() } else { builder };
        builder.build().expect("good settings")
    }

    /// A second node with other roles.
    pub(crate) fn node_with_roles(&self, roles: RoleSet) -> Goat {
        Goat::builder(self.stores.clone(), self.keys.clone())
            .roles(roles)
            .settings(self.settings.clone())
            .clock(Arc::new(self.clock.clone()))
            .hasher(Arc::new(self.hasher.clone()))
            .build()
            .expect("good settings")
    }

    /// A second node with another hasher.
    #[cfg(feature = "foreign-hashes")]
    pub(crate) fn node_with_hasher(&self, hasher: Arc<dyn PasswordHasher>) -> Goat {
        Goat::builder(self.stores.clone(), self.keys.clone())
            .settings(self.settings.clone())
            .clock(Arc::new(self.clock.clone()))
            .hasher(hasher)
            .build()
            .expect("good settings")
    }

    /// An offline verifier with the public keys.
    pub(crate) fn verifier(&self) -> Verifier {
        let (keys, clock) = (self.keys.jwks().to_string(), Arc::new(self.clock.clone()));
        Verifier::with_clock(keys, TokenSettings::default(), clock).expect("public keys")
    }

    /// The tokens of this goat, to sign some by hand.
    pub(crate) fn tokens(&self) -> Tokens {
        Tokens::new(self.keys.clone(), TokenSettings::default())
    }

    /// A second node that receives the first node's invalidations.
    pub(crate) fn second_node(&self) -> Goat {
        self.node(self.stores.clone())
    }

    /// A second node that receives no invalidations.
    pub(crate) fn disconnected_node(&self) -> Goat {
        let invalidations = Arc::new(LocalInvalidations::default());
        self.node(Stores { invalidations, ..self.stores.clone() })
    }

    pub(crate) fn role(&self, name: &str) -> Role {
        self.goat.roles().get(name).expect("a role of the set")
    }

    /// Creates an active user with a role and [`PASSWORD`].
    pub(crate) async fn user(&self, name: &str, role: &str) -> User {
        let new = NewUser {
            email: email(name),
            password: Some(PASSWORD.into()),
            role: self.role(role),
            status: Status::Active,
        };
        self.goat.users().create(system(), new).await.expect("a user")
    }

    /// Stores a text as a user's password hash, bypassing goat.
    pub(crate) async fn store_hash(&self, id: UserId, hash: &str) {
        self.store(id, &|account| account.password_hash = hash.into()).await;
    }

    /// Stores that a user's address is verified now, bypassing goat, and returns the time.
    pub(crate) async fn verify_email(&self, id: UserId) -> Timestamp {
        let now = self.clock.now();
        self.store(id, &|account| account.user.email_verified_at = Some(now)).await;
        self.goat.users().invalidate(id).await;
        now
    }

    async fn store(&self, id: UserId, change: &(dyn Fn(&mut Account) + Send + Sync)) {
        let decide = |snapshot: &UserSnapshot| {
            let mut account = snapshot.target.clone().ok_or(ErrorKind::NotFound)?;
            change(&mut account);
            Ok(UserChange::Put(account))
        };
        let top_role = &self.role("admin");
        let write = UserWrite {
            actor: None,
            key: None,
            target: id,
            top_role,
            assigns: None,
            decide: &decide,
        };
        self.stores.users.write(write).await.expect("the store responds");
    }

    pub(crate) async fn try_sign_in(&self, name: &str) -> Result<SignedIn> {
        login(&self.goat, address(name), PASSWORD).await
    }

    pub(crate) async fn sign_in(&self, name: &str) -> SignedIn {
        self.try_sign_in(name).await.expect("a session")
    }

    /// Creates an active user and signs in.
    pub(crate) async fn member(&self, name: &str, role: &str) -> SignedIn {
        self.user(name, role).await;
        self.sign_in(name).await
    }

    pub(crate) async fn authenticate(&self, tokens: &TokenPair) -> Result<Principal> {
        self.goat.authenticate_token(tokens.access_token.expose()).await
    }

    pub(crate) async fn principal(&self, tokens: &TokenPair) -> Principal {
        self.authenticate(tokens).await.expect("a live session")
    }

    pub(crate) async fn actor(&self, tokens: &TokenPair) -> Actor {
        let principal = self.principal(tokens).await;
        self.goat.reauthenticate(&principal).await.expect("a live session").into()
    }

    pub(crate) async fn refresh(&self, tokens: &TokenPair) -> Result<Refreshed> {
        refresh(&self.goat, &tokens.refresh_token).await
    }

    pub(crate) async fn logout(&self, tokens: &TokenPair) {
        let principal = self.principal(tokens).await;
        self.goat.logout(&principal, &Origin::default()).await.expect("signed out");
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

pub(crate) async fn login(
    goat: &Goat,
    email: impl Into<Secret<String>>,
    password: &str,
) -> Result<SignedIn> {
    let login = Login {
        email: email.into(),
        password: password.into(),
        device_token: None,
        origin: Origin::default(),
    };
    Ok(goat.login(login).await?.value)
}

pub(crate) async fn refresh(goat: &Goat, token: &Secret<String>) -> Result<Refreshed> {
    goat.refresh(token, &Origin::default()).await
}

pub(crate) fn address(name: &str) -> String {
    format!("{name}@example.org")
}

pub(crate) fn email(name: &str) -> Email {
    Email::parse(&address(name)).expect("an address")
}

pub(crate) fn system() -> Actor {
    Actor::system("a test")
}

/// The error kind of a result; `None` for a success.
pub(crate) trait Outcome {
    fn kind(&self) -> Option<ErrorKind>;
}

impl<T> Outcome for Result<T> {
    fn kind(&self) -> Option<ErrorKind> {
        self.as_ref().err().map(Error::kind)
    }
}
