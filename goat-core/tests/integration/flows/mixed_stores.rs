//! Mixed stores: users in one store, permissions and sessions in another.

use std::sync::Arc;

use goat_core::store::memory::{MemoryDirectory, MemoryRoles};
use goat_core::{ErrorKind, Permission, Stores};

use crate::flows::captured_log::Lines;
use crate::flows::support::{Backend, Harness, Outcome, system};

const REPORTS: Permission = Permission::new("report:read");

/// Adds a user store that the other stores do not know.
fn with_separate_users(stores: Stores) -> Harness {
    Harness::on(Backend::over(Stores { users: Arc::new(MemoryDirectory::default()), ..stores }))
}

async fn an_administrator_changes_permissions(harness: Harness) {
    let admin = harness.member("ada", "admin").await.tokens;
    let operator = harness.member("olga", "operator").await.tokens;
    harness.goat.prepare().await.expect("the stores fit");
    let roles = harness.goat.roles();
    let actor = harness.actor(&operator).await;
    let refused = roles.grant(actor, "operator", REPORTS).await.kind();
    assert_eq!(refused, Some(ErrorKind::Forbidden));
    let actor = harness.actor(&admin).await;
    let grant = roles.grant(actor, "operator", REPORTS).await.expect("granted");
    assert!(harness.principal(&operator).await.may(&REPORTS));
    roles.revoke(harness.actor(&admin).await, grant.id).await.expect("revoked");
    assert!(!harness.principal(&operator).await.may(&REPORTS));
}

/// The inconsistency is reported where it is detected, and not as an ended session.
async fn a_role_store_with_other_users_is_a_configuration_error(harness: Harness) {
    harness.goat.prepare().await.expect("no users yet");
    let admin = harness.member("ada", "admin").await;
    let assert_reported = |error: goat_core::Error| {
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains("roles_without_users"), "{error}");
    };
    assert_reported(harness.goat.prepare().await.expect_err("a contradiction"));
    let roles = harness.goat.roles();
    let actor = harness.actor(&admin.tokens).await;
    assert_reported(roles.grant(actor, "operator", REPORTS).await.expect_err("a contradiction"));
    assert!(
        roles
            .grants_of("operator")
            .await
            .expect("grants")
            .iter()
            .all(|grant| { grant.permission != REPORTS })
    );

    // A deleted actor is still reported as such.
    let actor = harness.actor(&admin.tokens).await;
    harness.user("eve", "admin").await;
    harness.goat.users().delete(system(), admin.user.id).await.expect("deleted");
    let gone = roles.grant(actor, "operator", REPORTS).await.kind();
    assert_eq!(gone, Some(ErrorKind::SessionRevoked));
}

#[tokio::test]
async fn in_memory_roles_work_without_users() {
    let roles = Arc::new(MemoryRoles::default());
    an_administrator_changes_permissions(with_separate_users(Stores { roles, ..Stores::memory() }))
        .await;
}

#[tokio::test]
async fn an_in_memory_directory_with_other_users_is_detected() {
    a_role_store_with_other_users_is_a_configuration_error(with_separate_users(Stores::memory()))
        .await;
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::*;
    use goat_core::store::sql::{MigrateOptions, SqliteDatabase, SqliteOptions};
    use goat_core::store::{UserChange, UserSnapshot, UserWrite};
    use goat_core::{Status, UserId};

    async fn database() -> (tempfile::TempDir, SqliteDatabase) {
        let folder = tempfile::tempdir().expect("a folder");
        let options = SqliteOptions::new(folder.path().join("goat.db"));
        let database = SqliteDatabase::open(options).await.expect("a database");
        database.migrate(MigrateOptions::default()).await.expect("a schema");
        (folder, database)
    }

    fn without_users(database: &SqliteDatabase) -> Stores {
        Stores {
            roles: database.roles_without_users(),
            sessions: database.sessions_without_users(),
            ..Stores::memory()
        }
    }

    #[tokio::test]
    async fn roles_work_without_users() {
        let (_folder, database) = database().await;
        an_administrator_changes_permissions(with_separate_users(without_users(&database))).await;
    }

    #[tokio::test]
    async fn roles_with_other_users_are_detected() {
        let (_folder, database) = database().await;
        let stores = Stores { roles: database.roles(), ..without_users(&database) };
        a_role_store_with_other_users_is_a_configuration_error(with_separate_users(stores)).await;
    }

    /// An old row of the same user has no effect.
    #[tokio::test]
    async fn leftover_users_in_the_database_are_ignored() {
        let (_folder, database) = database().await;
        let harness = with_separate_users(without_users(&database));
        let admin = harness.member("ada", "admin").await;
        leave_behind(&harness, &database, admin.user.id).await;
        let actor = harness.actor(&admin.tokens).await;
        harness.goat.roles().grant(actor, "operator", REPORTS).await.expect("granted");
    }

    async fn leave_behind(harness: &Harness, database: &SqliteDatabase, id: UserId) {
        let account =
            harness.stores.users.by_id(id).await.expect("the store responds").expect("the user");
        let decide = |_: &UserSnapshot| {
            let mut account = account.clone();
            account.user.status = Status::Suspended;
            Ok(UserChange::Put(account))
        };
        let top_role = &account.user.role;
        let write = UserWrite {
            actor: None,
            key: None,
            target: id,
            top_role,
            assigns: None,
            decide: &decide,
        };
        database.users().write(write).await.expect("written");
    }

    /// It costs an additional read each time but is correct, so it is logged once.
    #[tokio::test]
    async fn sessions_with_other_users_are_logged_once() {
        let lines = Lines::begin();
        let (_folder, database) = database().await;
        for (sessions, expected) in
            [(database.sessions_without_users(), 0), (database.sessions(), 1)]
        {
            let harness = with_separate_users(Stores { sessions, ..without_users(&database) });
            let ann = harness.member("ann", "client").await;
            for _ in 0..3 {
                harness.actor(&ann.tokens).await;
            }
            harness.goat.users().delete(system(), ann.user.id).await.expect("deleted");
            let gone = harness.authenticate(&ann.tokens).await.kind();
            assert_eq!(gone, Some(ErrorKind::SessionRevoked));
            let warnings = lines.take_warnings();
            assert_eq!(warnings.len(), expected, "{warnings:?}");
            assert!(warnings.iter().all(|line| line.contains("sessions_without_users")));
        }
    }

    /// A user deleted during the lookup does not indicate mixed stores.
    #[tokio::test]
    async fn sessions_of_deleted_users_are_not_logged() {
        let lines = Lines::begin();
        let (_folder, database) = database().await;
        let stores = database.stores(Stores::memory().limits);
        let harness = Harness::on(Backend::over(stores));
        let ann = harness.member("ann", "client").await;
        let principal = harness.principal(&ann.tokens).await;
        let decide = |_: &UserSnapshot| Ok(UserChange::Delete);
        let top_role = &harness.role("admin");
        let target = ann.user.id;
        let write =
            UserWrite { actor: None, key: None, target, top_role, assigns: None, decide: &decide };
        harness.stores.users.write(write).await.expect("deleted past goat");
        assert!(harness.goat.reauthenticate(&principal).await.is_err());
        assert_eq!(lines.take_warnings(), [""; 0]);
    }
}
