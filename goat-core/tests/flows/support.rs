//! A goat with a manual clock, a hasher that counts, stores that can be held, and an observer that
//! remembers; and the few steps that most tests begin with.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use goat_core::auth::{Login, Refreshed, SignedIn, TokenPair};
use goat_core::event::{Event, EventKind, Observer};
use goat_core::invalidation::LocalInvalidations;
use goat_core::session::Origin;
use goat_core::testing::{ManualClock, Pauses, PlainHasher};
use goat_core::token::TokenKeys;
use goat_core::user::NewUser;
use goat_core::{
    Actor, Email, Error, ErrorKind, Goat, Principal, Result, Role, Secret, Settings, Status,
    Stores, User,
};

/// What everybody's password is at first.
pub(crate) const PASSWORD: &str = "a long walk on a short pier";
/// Another one.
pub(crate) const OTHER_PASSWORD: &str = "seven lamps over the quay";

/// Runs behaviours on every backend: each is an `async fn(Ground)` in the module above.
macro_rules! on_every_store {
    ($($behaviour:ident),* $(,)?) => {
        mod memory {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    super::$behaviour($crate::support::Ground::memory()).await;
                }
            )*
        }
        #[cfg(feature = "sqlite")]
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    super::$behaviour($crate::support::Ground::sqlite().await).await;
                }
            )*
        }
        #[cfg(feature = "postgres")]
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    super::$behaviour($crate::support::Ground::postgres().await).await;
                }
            )*
        }
        #[cfg(feature = "redis")]
        mod redis {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    super::$behaviour($crate::support::Ground::redis()).await;
                }
            )*
        }
    };
}
pub(crate) use on_every_store;

/// The stores that a test stands on.
pub(crate) struct Ground {
    stores: Stores,
    _folder: Option<tempfile::TempDir>,
}

impl Ground {
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

    use super::Ground;

    impl Ground {
        /// A database of its own, by the caller's clock.
        pub(crate) async fn postgres() -> Self {
            let options = PostgresOptions::new(Postgres::shared().create_database());
            let database = PostgresDatabase::open_with_caller_clock(&options).expect("a URL");
            database.migrate(MigrateOptions::default()).await.expect("a schema");
            let stores = Stores {
                users: database.users(),
                roles: database.roles(),
                sessions: database.sessions(),
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

    use super::Ground;

    impl Ground {
        /// Users in memory, sessions and limits in Redis, by the caller's clock.
        pub(crate) fn redis() -> Self {
            let options = RedisOptions::new(Redis::shared().url()).prefix(Redis::prefix());
            let redis = RedisDatabase::open(&options.with_caller_clock()).expect("a URL");
            let stores =
                Stores { sessions: redis.sessions(), limits: redis.limits(), ..Stores::memory() };
            Self { stores, _folder: None }
        }
    }
}

/// Remembers every event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events(Arc<Heard>);

#[derive(Debug, Default)]
struct Heard {
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
    /// All of them, which are then forgotten.
    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.events.lock().expect("no panic"))
    }

    /// Waits until there was such an event since they were last taken.
    pub(crate) async fn wait_for(&self, wanted: impl Fn(&EventKind) -> bool) {
        let come = async {
            loop {
                let more = self.0.more.notified();
                let events = self.0.events.lock().expect("no panic").clone();
                if events.iter().any(|event| wanted(&event.kind)) {
                    return;
                }
                more.await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), come).await;
        waited.expect("the event comes");
    }

    /// The kinds of all of them, which are then forgotten.
    pub(crate) fn take_kinds(&self) -> Vec<EventKind> {
        self.take().into_iter().map(|event| event.kind).collect()
    }
}

/// One goat and everything that a test reaches it by.
pub(crate) struct House {
    pub(crate) goat: Goat,
    pub(crate) clock: ManualClock,
    pub(crate) hasher: PlainHasher,
    pub(crate) events: Events,
    pub(crate) pauses: Pauses,
    /// The stores beneath the pauses.
    pub(crate) stores: Stores,
    keys: TokenKeys,
    settings: Settings,
    _ground: Ground,
}

impl House {
    pub(crate) fn on(ground: Ground) -> Self {
        Self::with(ground, |_| {})
    }

    /// With other settings than the defaults. The limit of attempts is off unless they set one.
    pub(crate) fn with(ground: Ground, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings { account_quota: None, ..Settings::default() };
        change(&mut settings);
        let clock = ManualClock::default();
        let hasher = PlainHasher::default();
        let events = Events::default();
        let keys = TokenKeys::generate();
        let (stores, pauses) = Pauses::over(ground.stores.clone());
        let goat = Goat::builder(stores, keys.clone())
            .settings(settings.clone())
            .clock(Arc::new(clock.clone()))
            .hasher(Arc::new(hasher.clone()))
            .observer(Arc::new(events.clone()))
            .build()
            .expect("good settings");
        let stores = ground.stores.clone();
        Self { goat, clock, hasher, events, pauses, stores, keys, settings, _ground: ground }
    }

    /// A second node over these stores, with the same keys and clock.
    pub(crate) fn node(&self, stores: Stores) -> Goat {
        Goat::builder(stores, self.keys.clone())
            .settings(self.settings.clone())
            .clock(Arc::new(self.clock.clone()))
            .hasher(Arc::new(self.hasher.clone()))
            .build()
            .expect("good settings")
    }

    /// A second node that hears what the first one tells.
    pub(crate) fn neighbour(&self) -> Goat {
        self.node(self.stores.clone())
    }

    /// A second node that hears nothing.
    pub(crate) fn deaf_neighbour(&self) -> Goat {
        let invalidations = Arc::new(LocalInvalidations::default());
        self.node(Stores { invalidations, ..self.stores.clone() })
    }

    pub(crate) fn role(&self, name: &str) -> Role {
        self.goat.roles().get(name).expect("a role of the set")
    }

    /// Makes an active user of a role, with [`PASSWORD`].
    pub(crate) async fn user(&self, name: &str, role: &str) -> User {
        let new = NewUser {
            email: email(name),
            password: PASSWORD.into(),
            role: self.role(role),
            status: Status::Active,
        };
        self.goat.users().create(system(), new).await.expect("a user")
    }

    pub(crate) async fn try_sign_in(&self, name: &str) -> Result<SignedIn> {
        login(&self.goat, address(name), PASSWORD).await
    }

    pub(crate) async fn sign_in(&self, name: &str) -> SignedIn {
        self.try_sign_in(name).await.expect("a session")
    }

    /// Makes an active user and signs them in.
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
    let login = Login { email: email.into(), password: password.into(), origin: Origin::default() };
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

/// The kind of a failure, or nothing for a success.
pub(crate) trait Outcome {
    fn kind(&self) -> Option<ErrorKind>;
}

impl<T> Outcome for Result<T> {
    fn kind(&self) -> Option<ErrorKind> {
        self.as_ref().err().map(Error::kind)
    }
}
