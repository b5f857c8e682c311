//! Rolling upgrade from the version before sign-in proofs: its schema, rows and tokens, and its statements on
//! the schema of this version, as its nodes go on sending them until the last one is replaced.
//!
//! The statements are copies of those that the earlier version sends. They never change.

use std::time::Duration;

use goat_core::auth::{Assurance, Method, Methods, StepUp};
use goat_core::session::{Origin, Session};
use goat_core::store::sql::{
    MigrateOptions, PostgresDatabase, PostgresOptions, SqliteDatabase, SqliteOptions,
};
use goat_core::token::AccessClaims;
use goat_core::user::{Account, Attributes};
use goat_core::{Email, SessionId, Stores, TokenId, UserId};
use goat_engines::Postgres;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tempfile::TempDir;

use crate::flows::support::{Backend, Harness, login};
use crate::postgres::support::{name, put};

macro_rules! migrations {
    ($engine:literal: $($file:literal),*) => {
        [$(include_str!(concat!("../../src/store/sql/migrations/", $engine, "/", $file, ".sql"))),*]
    };
}

const SQLITE: [&str; 9] = migrations!("sqlite": "0001_initial", "0002_user_revision", "0003_lists",
    "0004_identity", "0005_token_replacement", "0006_previous_used_from", "0007_list_indexes",
    "0008_roles", "0009_attributes");

const POSTGRES: [&str; 10] = migrations!("postgres": "0001_initial", "0002_user_revision", "0003_lists",
    "0004_signing_keys", "0005_identity", "0006_token_replacement", "0007_previous_used_from",
    "0008_list_indexes", "0009_roles", "0010_attributes");

/// A database, and the statements of a node of the earlier version.
enum Database {
    Sqlite(TempDir, SqlitePool),
    Postgres(String),
}

impl Database {
    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("goat.db");
        let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
        let pool = SqlitePool::connect_with(options).await.expect("a file");
        Self::Sqlite(folder, pool).of_the_version_before().await
    }

    async fn postgres() -> Self {
        Self::Postgres(Postgres::shared().create_database()).of_the_version_before().await
    }

    /// Brings an empty database to the schema of the earlier version, with the record of its migrations.
    async fn of_the_version_before(self) -> Self {
        let (current, steps) = match self {
            Self::Sqlite(..) => (self.another(), &SQLITE[..]),
            Self::Postgres(_) => (self.another(), &POSTGRES[..]),
        };
        let current = Box::pin(current).await;
        current.stores().await;
        let recorded = current
            .rows("SELECT name || ' ' || checksum FROM goat_migrations ORDER BY version")
            .await;
        self.run("CREATE TABLE goat_migrations (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, \
             checksum TEXT NOT NULL, applied_at BIGINT NOT NULL DEFAULT 0)").await;
        for (place, (sql, row)) in steps.iter().zip(&recorded).enumerate() {
            self.run(sql).await;
            let (step, checksum) = row.split_once(' ').expect("two words");
            let version = place + 1;
            self.run(&format!(
                "INSERT INTO goat_migrations (version, name, checksum) \
                 VALUES ({version}, '{step}', '{checksum}')"
            ))
            .await;
        }
        self
    }

    /// An empty database of the same engine.
    async fn another(&self) -> Self {
        match self {
            Self::Sqlite(..) => {
                let folder = tempfile::tempdir().expect("a folder");
                let file = folder.path().join("goat.db");
                let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
                Self::Sqlite(folder, SqlitePool::connect_with(options).await.expect("a file"))
            }
            Self::Postgres(_) => Self::Postgres(Postgres::shared().create_database()),
        }
    }

    /// Runs a statement of the earlier version.
    async fn run(&self, sql: &str) {
        match self {
            Self::Sqlite(_, pool) => {
                let statement = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()));
                statement.execute(pool).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
            }
            Self::Postgres(url) => {
                Postgres::shared().psql(name(url), sql);
            }
        }
    }

    /// Returns the rows of one text column.
    async fn rows(&self, sql: &str) -> Vec<String> {
        match self {
            Self::Sqlite(_, pool) => {
                let query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned()));
                query.fetch_all(pool).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
            }
            Self::Postgres(url) => {
                let rows = Postgres::shared().psql(name(url), sql);
                rows.lines().map(str::to_owned).collect()
            }
        }
    }

    /// Migrates to this version, and returns its stores.
    async fn stores(&self) -> Stores {
        match self {
            Self::Sqlite(folder, _) => {
                let options = SqliteOptions::new(folder.path().join("goat.db"));
                let database = SqliteDatabase::open(options).await.expect("a database");
                database.migrate(MigrateOptions::default()).await.expect("migrated");
                let (users, sessions) = (database.users(), database.sessions());
                Stores { users, roles: database.roles(), sessions, ..Stores::memory() }
            }
            Self::Postgres(url) => {
                let options = PostgresOptions::new(url.clone());
                let database = PostgresDatabase::open_with_caller_clock(&options).expect("a URL");
                database.migrate(MigrateOptions::default()).await.expect("migrated");
                let (users, sessions) = (database.users(), database.sessions());
                Stores { users, roles: database.roles(), sessions, ..Stores::memory() }
            }
        }
    }

    async fn insert_user(&self, account: &Account) {
        let (user, epoch) = (&account.user, account.epoch.number);
        let (id, role, status) = (user.id, user.role.as_str(), user.status.as_str());
        let (email, canonical, domain) =
            (user.email.as_str(), user.email.canonical(), user.email.domain());
        let (created, updated) = (user.created_at.as_millis(), user.updated_at.as_millis());
        let (hash, revision) = (account.password_hash.expose(), account.revision);
        self.run(&format!(
            "INSERT INTO goat_users (id, email, email_canonical, email_domain, role, status, \
             password_hash, created_at, updated_at, last_login_at, session_epoch, kept_session, \
             revision, token_replacement, attributes) \
             VALUES ('{id}', '{email}', '{canonical}', '{domain}', '{role}', '{status}', '{hash}', {created}, \
             {updated}, 0, {epoch}, NULL, {revision}, NULL, NULL)"
        ))
        .await;
    }

    async fn update_user(&self, account: &Account) {
        let (user, epoch) = (&account.user, account.epoch.number);
        let (id, role, status) = (user.id, user.role.as_str(), user.status.as_str());
        let (email, canonical, domain) =
            (user.email.as_str(), user.email.canonical(), user.email.domain());
        let (created, updated) = (user.created_at.as_millis(), user.updated_at.as_millis());
        let (hash, revision) = (account.password_hash.expose(), account.revision);
        let login = user.last_login_at.unwrap_or_default().as_millis();
        self.run(&format!(
            "UPDATE goat_users SET email = '{email}', email_canonical = '{canonical}', \
             email_domain = '{domain}', role = '{role}', status = '{status}', password_hash = '{hash}', \
             created_at = {created}, updated_at = {updated}, last_login_at = {login}, \
             session_epoch = {epoch}, kept_session = NULL, revision = {revision}, \
             token_replacement = NULL, attributes = NULL WHERE id = '{id}'"
        ))
        .await;
    }

    async fn insert_session(&self, session: &Session) {
        let Session { id, user, epoch, device, current, .. } = session;
        let (created, used) = (session.created_at.as_millis(), session.last_used_at.as_millis());
        let (idle, ends) = (session.idle_at.as_millis(), session.ends_at.as_millis());
        let (token, key) = (current.id, &current.key);
        let (issued, expires) = (current.issued_at.as_millis(), current.expires_at.as_millis());
        self.run(&format!(
            "INSERT INTO goat_sessions (id, user_id, epoch, device, address, created_at, \
             last_used_at, idle_at, ends_at, current_id, current_issued_at, \
             current_expires_at, current_key, previous_id, previous_used_at, \
             previous_used_from) \
             VALUES ('{id}', '{user}', {epoch}, '{device}', NULL, {created}, {used}, {idle}, {ends}, \
             '{token}', {issued}, {expires}, '{key}', NULL, NULL, NULL)"
        ))
        .await;
    }

    /// A rotation: the read and the write.
    async fn rotate(&self, session: &Session, next: TokenId) {
        let (id, user, current) = (session.id, session.user, &session.current);
        let found = self
            .rows(&format!(
                "SELECT current_id FROM (SELECT goat_sessions.id, user_id, epoch, device, address, \
                 goat_sessions.created_at, last_used_at, idle_at, ends_at, current_id, \
                 current_issued_at, current_expires_at, current_key, previous_id, \
                 previous_used_at, previous_used_from FROM goat_sessions \
                 WHERE id = '{id}' AND user_id = '{user}') AS locked"
            ))
            .await;
        assert_eq!(found, [current.id.to_string()]);
        let (used, idle) = (session.last_used_at.as_millis(), session.idle_at.as_millis());
        let (issued, expires) = (current.issued_at.as_millis(), current.expires_at.as_millis());
        let (key, before, epoch) = (&current.key, current.id, session.epoch);
        self.run(&format!(
            "UPDATE goat_sessions SET last_used_at = {used}, idle_at = {idle}, current_id = '{next}', \
             current_issued_at = {issued}, current_expires_at = {expires}, current_key = '{key}', \
             previous_id = '{before}', previous_used_at = {used}, previous_used_from = NULL, epoch = {epoch} \
             WHERE id = '{id}'"
        ))
        .await;
    }
}

/// The access token of a session, as the earlier version signs it: without `amr` and `acr`.
fn old_access_token(harness: &Harness, session: &Session) -> String {
    let claims = AccessClaims {
        user: session.user,
        session: session.id,
        id: TokenId::generate(session.created_at),
        issued_at: session.current.issued_at,
        expires_at: session.current.issued_at + Duration::from_secs(300),
        client_id: "goat".to_owned(),
        authenticated_at: session.created_at,
        amr: Vec::new(),
        acr: None,
        revisions: goat_core::user::Revisions::default(),
        epoch: session.epoch,
        permissions: None,
        attributes: Attributes::default(),
    };
    harness.tokens().sign_access(&claims).expect("a token")
}

async fn upgrade(old: Database) {
    // A user and a session of the earlier version, whose values this version has too.
    let harness = Harness::on(Backend::memory());
    let ann = harness.member("ann", "client").await;
    let id = ann.user.id;
    let account = harness.stores.users.by_id(id).await.expect("a read").expect("Ann");
    let view = harness.stores.sessions.find(id, ann.session).await.expect("a read");
    let session = view.expect("the session").session;
    old.insert_user(&account).await;
    old.insert_session(&session).await;
    let old_token = old_access_token(&harness, &session);

    let stores = old.stores().await;
    let goat = harness.node(stores.clone());
    let me = goat.authenticate_token(&old_token).await.expect("the old token");
    assert_eq!((me.user(), me.assurance()), (id, Some(Assurance::Single)));
    assert_eq!(me.authenticated_at(), Some(session.created_at));
    let refreshed = goat.refresh(&ann.tokens.refresh_token, &Origin::default()).await;
    let refreshed = refreshed.expect("the old refresh token");
    login(&goat, "ann@example.org", crate::flows::support::PASSWORD).await.expect("signed in");

    // A session that this version has raised, and a node of the earlier version that rotates its tokens.
    let me = goat.authenticate_token(refreshed.tokens.access_token.expose()).await.expect("live");
    harness.advance(60);
    let proof = StepUp::Password(crate::flows::support::PASSWORD.into());
    let stepped_up = goat.step_up(&me, proof, &Origin::default()).await.expect("raised").value;
    let find = async |user: UserId, id: SessionId| {
        let view = stores.sessions.find(user, id).await.expect("a read");
        view.expect("the session").session
    };
    let raised = find(id, stepped_up.session).await;
    assert!(raised.authenticated_at > raised.created_at);
    old.rotate(&raised, TokenId::generate(raised.last_used_at)).await;
    let rotated = find(id, stepped_up.session).await;
    assert_eq!(rotated.previous.map(|previous| previous.id), Some(raised.current.id));
    assert_eq!(
        (rotated.methods, rotated.authenticated_at, rotated.multi_at, rotated.created_at),
        (raised.methods, raised.authenticated_at, raised.multi_at, raised.created_at)
    );
    goat.authenticate_token(stepped_up.tokens.access_token.expose()).await.expect("still live");

    // What a node of the earlier version writes to the schema of this one.
    let mut bea = account.clone();
    bea.user.id = UserId::generate(account.user.created_at);
    bea.user.email = crate::flows::support::email("bea");
    old.insert_user(&bea).await;
    let mut hers = session.clone();
    (hers.id, hers.user) = (SessionId::generate(session.created_at), bea.user.id);
    old.insert_session(&hers).await;
    let found = find(hers.user, hers.id).await;
    assert_eq!(found, hers);
    assert_eq!(found.methods, Methods::of(Method::Password));
    let me = goat.authenticate_token(&old_access_token(&harness, &hers)).await;
    // The old token of the first minute has four left.
    assert_eq!(me.expect("her old token").user(), bea.user.id);
    old.run(&format!(
        "DELETE FROM goat_sessions WHERE id = '{}' AND user_id = '{}'",
        hers.id, hers.user
    ))
    .await;
    old.run(&format!("DELETE FROM goat_users WHERE id = '{}'", bea.user.id)).await;
    assert!(stores.users.by_id(bea.user.id).await.expect("a read").is_none());
    a_node_of_the_earlier_version_verifies_no_address(&old, &stores, id).await;
}

/// A node of the earlier version leaves the time at which an address was verified, also when it changes the
/// address. The database forgets the time then.
async fn a_node_of_the_earlier_version_verifies_no_address(
    old: &Database,
    stores: &Stores,
    id: UserId,
) {
    let read = async || stores.users.by_id(id).await.expect("a read").expect("Ann");
    let mut ann = read().await;
    assert_eq!(ann.user.email_verified_at, None);
    let verified_at = Some(ann.user.created_at);
    ann.user.email_verified_at = verified_at;
    put(&stores.users, None, &ann).await.expect("the store responds");
    for (email, expected) in [
        ("ann@example.org", verified_at),
        ("ANN@example.org", verified_at),
        ("other@example.org", None),
        ("ann@example.org", None),
    ] {
        ann.user.email = Email::parse(email).expect("an address");
        ann.revision = read().await.revision + 1;
        old.update_user(&ann).await;
        let read = read().await;
        assert_eq!((read.user.email.as_str(), read.revision), (email, ann.revision));
        assert_eq!(read.user.email_verified_at, expected, "{email}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sqlite_database_of_the_version_before_is_upgraded_while_it_is_used() {
    upgrade(Database::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_database_of_the_version_before_is_upgraded_while_it_is_used() {
    upgrade(Database::postgres().await).await;
}
