//! Every store that comes with goat, against the suites of the ports.

use std::sync::Arc;

use goat_core::access::RoleStore;
use goat_core::session::SessionStore;
use goat_core::testing;
use goat_core::user::UserStore;

mod memory {
    use super::*;
    use goat_core::store::memory::{MemoryDirectory, MemorySessions};

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
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sessions_conform() {
        let store: Arc<dyn SessionStore> = Arc::new(MemorySessions::default());
        testing::sessions::conformance(&store).await;
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
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sessions_conform() {
        let (_folder, database) = database().await;
        testing::sessions::conformance(&database.sessions()).await;
        testing::sessions::conformance(&database.sessions_without_users()).await;
    }
}
