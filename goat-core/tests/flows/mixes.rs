//! Users who are kept in one place, and permissions and sessions in another.

use std::sync::Arc;

use goat_core::store::memory::{MemoryDirectory, MemoryRoles};
use goat_core::{ErrorKind, Permission, Stores};

use crate::log::Lines;
use crate::support::{Ground, House, Outcome, system};

const REPORTS: Permission = Permission::new("report:read");

/// Users of one's own: nothing else knows them.
fn beside(stores: Stores) -> House {
    House::on(Ground::over(Stores { users: Arc::new(MemoryDirectory::default()), ..stores }))
}

async fn an_administrator_changes_permissions(house: House) {
    let admin = house.member("ada", "admin").await.tokens;
    let operator = house.member("olga", "operator").await.tokens;
    house.goat.prepare().await.expect("the stores fit");
    let roles = house.goat.roles();
    let actor = house.actor(&operator).await;
    let refused = roles.grant(actor, "operator", REPORTS).await.kind();
    assert_eq!(refused, Some(ErrorKind::Forbidden));
    let actor = house.actor(&admin).await;
    let grant = roles.grant(actor, "operator", REPORTS).await.expect("granted");
    assert!(house.principal(&operator).await.may(&REPORTS));
    roles.revoke(house.actor(&admin).await, grant.id).await.expect("revoked");
    assert!(!house.principal(&operator).await.may(&REPORTS));
}

/// The contradiction is named where it is met, and nobody is told that their session has ended.
async fn a_store_of_permissions_with_other_users_is_a_configuration_that_cannot_work(house: House) {
    house.goat.prepare().await.expect("nobody is there who could be missed");
    let admin = house.member("ada", "admin").await;
    let sentence = |error: goat_core::Error| {
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains("roles_without_users"), "{error}");
    };
    sentence(house.goat.prepare().await.expect_err("a contradiction"));
    let roles = house.goat.roles();
    let actor = house.actor(&admin.tokens).await;
    sentence(roles.grant(actor, "operator", REPORTS).await.expect_err("a contradiction"));
    assert!(
        roles
            .grants_of("operator")
            .await
            .expect("grants")
            .iter()
            .all(|grant| { grant.permission != REPORTS })
    );

    // Who really is gone is told so.
    let actor = house.actor(&admin.tokens).await;
    house.user("eve", "admin").await;
    house.goat.users().delete(system(), admin.user.id).await.expect("deleted");
    let gone = roles.grant(actor, "operator", REPORTS).await.kind();
    assert_eq!(gone, Some(ErrorKind::SessionRevoked));
}

#[tokio::test]
async fn permissions_in_memory_do_without_users() {
    let roles = Arc::new(MemoryRoles::default());
    an_administrator_changes_permissions(beside(Stores { roles, ..Stores::memory() })).await;
}

#[tokio::test]
async fn a_directory_in_memory_beside_other_users_is_noticed() {
    a_store_of_permissions_with_other_users_is_a_configuration_that_cannot_work(beside(
        Stores::memory(),
    ))
    .await;
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::*;
    use goat_core::store::sql::{MigrateOptions, SqliteDatabase, SqliteOptions};
    use goat_core::user::{UserChange, UserSnapshot, UserWrite};
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
    async fn permissions_do_without_users() {
        let (_folder, database) = database().await;
        an_administrator_changes_permissions(beside(without_users(&database))).await;
    }

    #[tokio::test]
    async fn permissions_with_other_users_are_noticed() {
        let (_folder, database) = database().await;
        let stores = Stores { roles: database.roles(), ..without_users(&database) };
        a_store_of_permissions_with_other_users_is_a_configuration_that_cannot_work(beside(stores))
            .await;
    }

    /// A row of an earlier time, of the same user, decides nothing.
    #[tokio::test]
    async fn users_left_in_the_database_are_not_looked_at() {
        let (_folder, database) = database().await;
        let house = beside(without_users(&database));
        let admin = house.member("ada", "admin").await;
        leave_behind(&house, &database, admin.user.id).await;
        let actor = house.actor(&admin.tokens).await;
        house.goat.roles().grant(actor, "operator", REPORTS).await.expect("granted");
    }

    async fn leave_behind(house: &House, database: &SqliteDatabase, id: UserId) {
        let account = house.stores.users.by_id(id).await.expect("it answers").expect("the user");
        let decide = |_: &UserSnapshot| {
            let mut account = account.clone();
            account.user.status = Status::Suspended;
            Ok(UserChange::Put(account))
        };
        let top_role = &account.user.role;
        let write = UserWrite { actor: None, target: id, top_role, decide: &decide };
        database.users().write(write).await.expect("written");
    }

    /// It costs a read each time and decides nothing wrong, so that it is said once.
    #[tokio::test]
    async fn sessions_that_are_read_with_other_users_are_logged_once() {
        let lines = Lines::begin();
        let (_folder, database) = database().await;
        for (sessions, expected) in
            [(database.sessions_without_users(), 0), (database.sessions(), 1)]
        {
            let house = beside(Stores { sessions, ..without_users(&database) });
            let ann = house.member("ann", "client").await;
            for _ in 0..3 {
                house.actor(&ann.tokens).await;
            }
            house.goat.users().delete(system(), ann.user.id).await.expect("deleted");
            let gone = house.authenticate(&ann.tokens).await.kind();
            assert_eq!(gone, Some(ErrorKind::SessionRevoked));
            let warnings = lines.take_warnings();
            assert_eq!(warnings.len(), expected, "{warnings:?}");
            assert!(warnings.iter().all(|line| line.contains("sessions_without_users")));
        }
    }

    /// Whoever is deleted while they are looked up is no sign of a wrong mix.
    #[tokio::test]
    async fn sessions_of_deleted_users_are_not_logged() {
        let lines = Lines::begin();
        let (_folder, database) = database().await;
        let stores = database.stores(Stores::memory().limits);
        let house = House::on(Ground::over(stores));
        let ann = house.member("ann", "client").await;
        let principal = house.principal(&ann.tokens).await;
        let decide = |_: &UserSnapshot| Ok(UserChange::Delete);
        let top_role = &house.role("admin");
        let target = ann.user.id;
        let write = UserWrite { actor: None, target, top_role, decide: &decide };
        house.stores.users.write(write).await.expect("deleted past goat");
        assert!(house.goat.reauthenticate(&principal).await.is_err());
        assert_eq!(lines.take_warnings(), [""; 0]);
    }
}
