//! Properties of a database that goat relies on, and session defaults that it sets itself (O1).

use goat_core::ErrorKind;
use goat_core::store::sql::{MigrateOptions, PostgresDatabase, PostgresOptions};
use goat_engines::Postgres;

use crate::postgres::pooler::Pooler;
use crate::postgres::reconnects::Node;
use crate::postgres::support::{account, name, open, put, role};

/// A database with this encoding.
pub(crate) fn encoded(server: &Postgres, encoding: &str) -> String {
    let name = format!("encoded_{}", encoding.to_lowercase());
    server.psql(
        "postgres",
        &format!(
            "CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' \
             TEMPLATE template0"
        ),
    );
    let url = server.url();
    let (server_url, _) = url.rsplit_once('/').expect("a path");
    format!("{server_url}/{name}")
}

#[tokio::test]
async fn database_that_cannot_store_unicode_is_rejected() {
    let server = Postgres::shared();
    for encoding in ["LATIN1", "SQL_ASCII", "WIN1252", "EUC_JP"] {
        let options = PostgresOptions::new(encoded(server, encoding));
        let database = PostgresDatabase::open(&options).expect("a URL");
        let adopt = MigrateOptions { adopt_foreign: true };
        for result in [database.version().await.map(drop), database.migrate(adopt).await.map(drop)]
        {
            let error = result.expect_err(encoding);
            assert_eq!(error.kind(), ErrorKind::Configuration, "{error:?}");
            assert!(error.to_string().contains(&format!("encoding {encoding}")), "{error}");
        }
    }
}

#[tokio::test]
async fn changed_collation_is_rejected() {
    let server = Postgres::shared();
    let url = server.create_database();
    let database = open(&PostgresOptions::new(url.as_str())).await;
    database.version().await.expect("as migrated");
    let alter = |collation: &str| {
        let column = "ALTER TABLE goat_users ALTER email_canonical TYPE TEXT COLLATE";
        server.psql(name(&url), &format!("{column} \"{collation}\""));
    };
    alter("und-x-icu");
    let error = database.version().await.expect_err("another collation");
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error:?}");
    assert!(error.to_string().contains("goat_users.email_canonical"), "{error}");
    alter("C");
    database.version().await.expect("as before");
}

#[tokio::test]
async fn database_without_a_schema_is_rejected() {
    let server = Postgres::shared();
    let url = server.create_database();
    server.psql("postgres", &format!("ALTER DATABASE {} SET search_path = ''", name(&url)));
    let database = PostgresDatabase::open(&PostgresOptions::new(url)).expect("a URL");
    let error = database.version().await.expect_err("no schema");
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error:?}");
    assert!(error.to_string().contains("search_path"), "{error}");
}

/// Defaults under which calls would fail.
const HOSTILE: [(&str, &str); 7] = [
    ("default_transaction_isolation", "'serializable'"),
    ("default_transaction_read_only", "on"),
    ("default_transaction_deferrable", "on"),
    ("statement_timeout", "'1ms'"),
    ("lock_timeout", "'1ms'"),
    ("idle_in_transaction_session_timeout", "'1ms'"),
    ("search_path", "pg_catalog"),
];

fn set_hostile_defaults(server: &Postgres, database: &str) {
    for (setting, value) in HOSTILE {
        server.psql("postgres", &format!("ALTER DATABASE {database} SET {setting} = {value}"));
    }
}

/// O1: also if the defaults change after the schema was found.
#[tokio::test(flavor = "multi_thread")]
async fn defaults_of_the_database_do_not_apply() {
    let server = Postgres::shared();
    let url = server.create_database();
    let node = Node::new(&url).await;
    set_hostile_defaults(server, name(&url));
    node.replace_connections(server, &url).await;
    for _ in 0..3 {
        for (operation, call) in node.calls() {
            call.await.unwrap_or_else(|error| panic!("{operation}: {error:?}"));
        }
    }
    let settings = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND application_name = 'goat'";
    assert_ne!(server.psql(name(&url), &format!("SET statement_timeout = 0; {settings}")), "0");
}

/// O1: a pooler refuses startup options, and its clients share sessions: one may change the defaults of
/// another.
#[tokio::test(flavor = "multi_thread")]
async fn defaults_of_a_shared_session_do_not_apply() {
    let server = Postgres::shared();
    let url = server.create_database();
    let pooler = Pooler::start(server, 1);
    let node = Node::new(&format!("{}?statement-cache-capacity=0", pooler.url(&url))).await;
    for (setting, value) in HOSTILE {
        pooler.psql(&url, &format!("SET SESSION {setting} = {value}"));
        for (operation, call) in node.calls() {
            call.await.unwrap_or_else(|error| panic!("{setting}: {operation}: {error:?}"));
        }
        assert_ne!(pooler.psql(&url, &format!("SHOW {setting}")), "0", "it is the same session");
    }
}

/// Revoked rights: 503 instead of a defect, and refused at the start by name.
#[tokio::test(flavor = "multi_thread")]
async fn revoked_right_is_named_and_unavailable() {
    let server = Postgres::shared();
    let url = server.create_database();
    let owner = open(&PostgresOptions::new(url.as_str())).await;
    owner.check_writable().await.expect("its own tables");
    server.psql("postgres", "CREATE ROLE restricted LOGIN");
    server.psql(
        name(&url),
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO restricted",
    );
    let options = PostgresOptions::new(url.replace("goat@", "restricted@"));
    let database = PostgresDatabase::open(&options).expect("a URL");
    database.check_writable().await.expect("all rights");
    server.psql(name(&url), "REVOKE INSERT ON goat_users FROM restricted");
    let error = database.check_writable().await.expect_err("a right is missing");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("INSERT goat_users"), "{error}");
    let refused = put(&database.users(), None, &account(&role("client"))).await;
    assert!(refused.expect_err("a right is missing").is_unavailable());
}

/// O1: while a backup is restored, the tables are missing for a while.
#[tokio::test]
async fn missing_table_is_unavailable() {
    let server = Postgres::shared();
    let url = server.create_database();
    let database = open(&PostgresOptions::new(url.as_str())).await;
    server.psql(name(&url), "ALTER TABLE goat_users RENAME TO away");
    let users = database.users();
    let owner = account(&role("client"));
    assert!(users.by_id(owner.user.id).await.expect_err("no table").is_unavailable());
    assert!(put(&users, None, &owner).await.expect_err("no table").is_unavailable());
    server.psql(name(&url), "ALTER TABLE away RENAME TO goat_users");
    put(&users, None, &owner).await.expect("the table is back");
}
