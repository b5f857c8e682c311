//! Conformance of goat's stores.

use std::sync::Arc;

use goat_core::store::{ChallengeStore, KeyStore, RoleStore, SessionStore, UserStore};
use goat_core::testing;

mod memory {
    use super::*;
    use goat_core::store::memory::{
        MemoryChallenges, MemoryDirectory, MemoryRoles, MemorySessions,
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn users_conform() {
        let store: Arc<dyn UserStore> = Arc::new(MemoryDirectory::default());
        testing::users::conformance(&store).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn roles_conform() {
        let store = Arc::new(MemoryDirectory::default());
        let (roles, users) =
            (Arc::clone(&store) as Arc<dyn RoleStore>, store as Arc<dyn UserStore>);
        testing::roles::conformance(&roles).await;
        testing::roles::conformance_with_users(&roles, &users).await;
        let without_users: Arc<dyn RoleStore> = Arc::new(MemoryRoles::default());
        testing::roles::conformance(&without_users).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn keys_conform() {
        let store = Arc::new(MemoryDirectory::default());
        let (keys, users) = (Arc::clone(&store) as Arc<dyn KeyStore>, store as Arc<dyn UserStore>);
        testing::keys::conformance(&keys).await;
        testing::keys::conformance_with_users(&keys, &users).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sessions_conform() {
        let store: Arc<dyn SessionStore> = Arc::new(MemorySessions::default());
        testing::sessions::conformance(&store).await;
        testing::sessions::a_dropped_replacement_has_its_full_effect_or_none(&store).await;
        testing::sessions::conformance_in(&store, &testing::ManualClock::default()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn challenges_conform() {
        let store: Arc<dyn ChallengeStore> = Arc::new(MemoryChallenges::default());
        testing::challenges::conformance(&store).await;
        testing::challenges::a_dropped_put_has_its_full_effect_or_none(&store).await;
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::*;
    use goat_core::store::sql::{MigrateOptions, SqliteDatabase, SqliteOptions};
    use tempfile::TempDir;

    async fn database() -> (TempDir, SqliteDatabase) {
        let folder = tempfile::tempdir().expect("a folder");
        let options = SqliteOptions::new(folder.path().join("goat.db"));
        let database = SqliteDatabase::open(options).await.expect("a database");
        database.migrate(MigrateOptions::default()).await.expect("a schema");
        (folder, database)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn users_conform() {
        let (_folder, database) = database().await;
        testing::users::conformance(&database.users()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn roles_conform() {
        let (_folder, database) = database().await;
        testing::roles::conformance(&database.roles()).await;
        testing::roles::conformance_with_users(&database.roles(), &database.users()).await;
        testing::roles::conformance(&database.roles_without_users()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn keys_conform() {
        let (_folder, database) = database().await;
        testing::keys::conformance(&database.keys()).await;
        testing::keys::conformance(&database.keys_without_users()).await;
        testing::keys::conformance_with_users(&database.keys(), &database.users()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sessions_conform() {
        let (_folder, database) = database().await;
        testing::sessions::conformance(&database.sessions()).await;
        let sessions = database.sessions();
        testing::sessions::a_dropped_replacement_has_its_full_effect_or_none(&sessions).await;
        testing::sessions::conformance(&database.sessions_without_users()).await;
        let clock = testing::ManualClock::default();
        testing::sessions::conformance_in(&database.sessions(), &clock).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn challenges_conform() {
        let (_folder, database) = database().await;
        testing::challenges::conformance(&database.challenges()).await;
        let challenges = database.challenges();
        testing::challenges::a_dropped_put_has_its_full_effect_or_none(&challenges).await;
        let users = database.users();
        testing::challenges::conformance_with_users(&challenges, &users).await;
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use super::*;
    use goat_core::store::sql::{MigrateOptions, PostgresDatabase, PostgresOptions};
    use goat_engines::Postgres;

    /// With the caller's clock, which the suites advance.
    async fn database() -> PostgresDatabase {
        let options = PostgresOptions::new(Postgres::shared().create_database());
        let database = PostgresDatabase::open_with_caller_clock(&options).expect("a URL");
        database.migrate(MigrateOptions::default()).await.expect("a schema");
        database
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn users_conform() {
        testing::users::conformance(&database().await.users()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn roles_conform() {
        let database = database().await;
        testing::roles::conformance(&database.roles()).await;
        testing::roles::conformance_with_users(&database.roles(), &database.users()).await;
        testing::roles::conformance(&database.roles_without_users()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn keys_conform() {
        let database = database().await;
        testing::keys::conformance(&database.keys()).await;
        testing::keys::conformance(&database.keys_without_users()).await;
        testing::keys::conformance_with_users(&database.keys(), &database.users()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sessions_conform() {
        let database = database().await;
        testing::sessions::conformance(&database.sessions()).await;
        let sessions = database.sessions();
        testing::sessions::a_dropped_replacement_has_its_full_effect_or_none(&sessions).await;
        testing::sessions::conformance(&database.sessions_without_users()).await;
        let clock = testing::ManualClock::default();
        testing::sessions::conformance_in(&database.sessions(), &clock).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn challenges_conform() {
        let database = database().await;
        testing::challenges::conformance(&database.challenges()).await;
        let challenges = database.challenges();
        testing::challenges::a_dropped_put_has_its_full_effect_or_none(&challenges).await;
        let users = database.users();
        testing::challenges::conformance_with_users(&challenges, &users).await;
    }
}

/// Observed stores keep the guarantees of the inner stores.
mod observed {
    use super::*;
    use std::time::Duration;

    use goat_core::event::NoObserver;
    use goat_core::testing::ManualClock;
    use goat_core::{Stores, SystemClock};

    fn stores() -> Stores {
        let clock = Arc::new(SystemClock::start());
        Stores::memory().observed(Duration::from_secs(60), Arc::new(NoObserver), clock)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn users_conform() {
        testing::users::conformance(&stores().users).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn roles_conform() {
        let stores = stores();
        testing::roles::conformance(&stores.roles).await;
        testing::roles::conformance_with_users(&stores.roles, &stores.users).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn keys_conform() {
        let stores = stores();
        testing::keys::conformance(&stores.keys).await;
        testing::keys::conformance_with_users(&stores.keys, &stores.users).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sessions_conform() {
        testing::sessions::conformance(&stores().sessions).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn challenges_conform() {
        testing::challenges::conformance(&stores().challenges).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn limits_conform() {
        testing::limits::conformance(&*stores().limits, &ManualClock::default()).await;
    }

    /// O1: a timed-out call has its full effect or none, and the database remains usable.
    #[cfg(feature = "sqlite")]
    #[tokio::test(flavor = "multi_thread")]
    async fn a_timed_out_write_has_its_full_effect_or_none() {
        use goat_core::auth::{Login, SignUp};
        use goat_core::session::Origin;
        use goat_core::testing::PlainHasher;
        use goat_core::token::TokenKeys;
        use goat_core::{Email, ErrorKind, Goat};

        let folder = tempfile::tempdir().expect("a folder");
        let stores = Stores::sqlite(folder.path().join("goat.db")).await.expect("a database");
        let keys = TokenKeys::generate();
        let goat = |stores| {
            let builder = Goat::builder(stores, keys.clone());
            builder.hasher(Arc::new(PlainHasher::default())).build().expect("a goat")
        };
        let unlimited = goat(stores.clone());
        unlimited.prepare().await.expect("a database");
        for attempt in 0..40 {
            // From no time to plenty: the timeout hits another point each time.
            let timeout = Duration::from_micros(attempt * 25);
            let clock = Arc::new(SystemClock::start());
            let hasty = goat(stores.clone().observed(timeout, Arc::new(NoObserver), clock));
            let email = format!("user-{attempt}@example.org");
            let sign_up = || SignUp {
                email: Email::parse(&email).expect("an address"),
                password: Some("a long walk on a short pier".into()),
                origin: Origin::default(),
            };
            if let Err(error) = hasty.sign_up(sign_up()).await {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            }
            // Committed or not, the account is complete after another attempt.
            if let Err(error) = unlimited.sign_up(sign_up()).await {
                assert_eq!(error.kind(), ErrorKind::EmailTaken, "{error:?}");
            }
            let login = Login {
                email: email.clone().into(),
                password: "a long walk on a short pier".into(),
                device_token: None,
                origin: Origin::default(),
            };
            unlimited.login(login).await.expect("the account is complete");
        }
    }
}
