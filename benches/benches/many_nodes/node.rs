//! A node in this process, with its own runtime.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use goat_core::auth::Login;
use goat_core::session::Origin;
use goat_core::testing::PlainHasher;
use goat_core::token::TokenKeys;
use goat_core::user::NewUser;
use goat_core::{Actor, Clock, Email, Goat, Quota, Secret, Status, SystemClock, UserId};
use goat_server::Api;
use goat_server::observe::ServerObserver;
use goat_server::observe::metrics::Metrics;
use goat_server::serve::{Lifecycle, ServeSettings, serve};
use goat_server::start::settings::{Flags, Settings};
use goat_server::start::{DataDir, Storage};
use tokio::runtime::Runtime;

const PASSWORD: &str = "a long walk on a short pier";

/// A running node.
pub(crate) struct Node {
    pub(crate) goat: Goat,
    pub(crate) address: SocketAddr,
    runtime: Runtime,
}

/// A signed-in user.
pub(crate) struct Person {
    pub(crate) id: UserId,
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Node {
    /// Starts a node and waits until its invalidation channel is connected.
    pub(crate) fn start(postgres: &str, redis: Option<&str>) -> Self {
        let mut variables = vec![("DATABASE_URL", postgres), ("GOAT_MIGRATE_ON_START", "true")];
        variables.extend(redis.map(|url| ("REDIS_URL", url)));
        let limits = [
            "GOAT_RATE_LIMIT_AUTH",
            "GOAT_RATE_LIMIT_REFRESH",
            "GOAT_RATE_LIMIT_PUBLIC",
            "GOAT_RATE_LIMIT_ADDRESS",
            "GOAT_RATE_LIMIT_USER",
            "GOAT_RATE_LIMIT_VERIFY",
            "GOAT_RATE_LIMIT_SESSION_CONTROL",
        ];
        variables.extend(limits.map(|limit| (limit, "1000000/1m")));
        let variables = variables
            .into_iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let (settings, _) = Settings::load(variables, &Flags::default(), Path::new("no.env"))
            .expect("sound settings");
        let runtime = Runtime::new().expect("a runtime");
        let (goat, address) = runtime.block_on(Self::wire(settings));
        let begun = Instant::now();
        while !goat.sessions().invalidations_connected() {
            assert!(begun.elapsed() < Duration::from_secs(20), "connected");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { goat, address, runtime }
    }

    async fn wire(settings: Settings) -> (Goat, SocketAddr) {
        let folder = tempfile::tempdir().expect("a folder");
        let data = DataDir::new(folder.path());
        let storage = Storage::open(&settings.storage, &data).await.expect("a URL");
        storage.ensure_schema(true, &data).await.expect("a database");
        let metrics = Metrics::new();
        let observer: Arc<dyn goat_core::event::Observer> =
            ServerObserver::new(Arc::clone(&metrics));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let stores = storage.stores(&settings, &observer, &clock).await;
        let stores = stores.expect("the database responds");
        let secret = Secret::new(b"kT9vQ2xLr7ZpWc4NfYb8HsJd3MgRu6Ea".to_vec());
        let goat = Goat::builder(stores, TokenKeys::hs256(vec![secret]).expect("a key"))
            .settings(goat_core::Settings {
                account_quota: Some(Quota::per_minute(1_000_000)),
                account_day_quota: None,
                ..Default::default()
            })
            .hasher(Arc::new(PlainHasher::default()))
            .clock(clock)
            .observer(observer)
            .build()
            .expect("sound settings");
        goat.prepare().await.expect("the engines answer");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let lifecycle = Lifecycle::new();
        lifecycle.ready();
        let api = Api::new(goat.clone())
            .http(settings.http.clone())
            .limits(settings.limits.clone())
            .metrics(metrics)
            .lifecycle(lifecycle.clone());
        tokio::spawn(serve(listener, api.into_service(), ServeSettings::default(), lifecycle));
        (goat, address)
    }

    /// Creates a user with a role and signs them in at this node.
    pub(crate) fn person(&self, email: &str, role: &str) -> Person {
        let role = self.goat.roles().get(role).expect("a shipped role");
        let (email, password) = (Email::parse(email).expect("an address"), PASSWORD.into());
        let new = NewUser { email, password: Some(password), role, status: Status::Active };
        let user = self.runtime.block_on(self.goat.users().create(Actor::system("a bench"), new));
        let user = user.expect("a new user");
        self.sign_in(user.email.as_str(), user.id)
    }

    pub(crate) fn sign_in(&self, email: &str, id: UserId) -> Person {
        let origin = Origin::default();
        let login =
            Login { email: email.into(), password: PASSWORD.into(), device_token: None, origin };
        let signed_in = self.runtime.block_on(self.goat.login(login)).expect("a session").value;
        Person {
            id,
            access: signed_in.tokens.access_token.expose().clone(),
            refresh: signed_in.tokens.refresh_token.expose().clone(),
        }
    }
}

pub(crate) fn password() -> &'static str {
    PASSWORD
}
