//! Test databases, with users and sessions.

use std::sync::Arc;
use std::time::Duration;

use goat_core::auth::{Method, Methods};
use goat_core::session::{RefreshToken, Session, SessionEpoch};
use goat_core::store::sql::{MigrateOptions, PostgresDatabase, PostgresOptions};
use goat_core::store::{
    Rotation, UserChange, UserSnapshot, UserStore, UserWrite, UserWriteOutcome,
};
use goat_core::user::{Account, Attributes};
use goat_core::{
    Clock as _, Email, Role, SessionId, Status, StoreError, SystemClock, Timestamp, TokenId, User,
    UserId,
};

/// Opens and migrates a database.
pub(crate) async fn open(options: &PostgresOptions) -> PostgresDatabase {
    migrated(PostgresDatabase::open(options).expect("a URL")).await
}

/// Like [`open`], with the caller's clock, which a suite moves.
pub(crate) async fn open_with_caller_clock(options: &PostgresOptions) -> PostgresDatabase {
    migrated(PostgresDatabase::open_with_caller_clock(options).expect("a URL")).await
}

async fn migrated(database: PostgresDatabase) -> PostgresDatabase {
    database.migrate(MigrateOptions::default()).await.expect("a schema");
    database
}

/// A deadline for polling.
pub(crate) struct Deadline {
    clock: SystemClock,
    timeout: Duration,
}

impl Deadline {
    pub(crate) fn after(seconds: u64) -> Self {
        Self { clock: SystemClock::start(), timeout: Duration::from_secs(seconds) }
    }

    pub(crate) fn has_passed(&self) -> bool {
        self.clock.elapsed() > self.timeout
    }
}

/// The database name at the end of a URL.
pub(crate) fn name(url: &str) -> &str {
    url.rsplit_once('/').expect("a path").1
}

/// The current time, so that new sessions are not expired by the database's clock.
pub(crate) fn now() -> Timestamp {
    let since = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970");
    Timestamp::from_millis(i64::try_from(since.as_millis()).expect("a clock before 292278994"))
}

pub(crate) fn role(name: &str) -> Role {
    Role::parse(name).expect("a role's name")
}

/// An active user.
pub(crate) fn account(role: &Role) -> Account {
    let id = UserId::generate(now());
    Account {
        user: User {
            id,
            email: Email::parse(&format!("{id}@example.org")).expect("an address"),
            email_verified_at: None,
            role: role.clone(),
            status: Status::Active,
            created_at: now(),
            updated_at: now(),
            last_login_at: None,
            attributes: Attributes::default(),
        },
        password_hash: "hash".into(),
        epoch: SessionEpoch::default(),
        replacement: None,
        revision: 0,
    }
}

/// Writes an account as it is.
pub(crate) async fn put(
    users: &Arc<dyn UserStore>,
    actor: Option<UserId>,
    account: &Account,
) -> Result<UserWriteOutcome, StoreError> {
    let decide = |_: &UserSnapshot| Ok(UserChange::Put(account.clone()));
    let (target, top_role) = (account.user.id, &role("admin"));
    users
        .write(UserWrite { actor, key: None, target, top_role, assigns: None, decide: &decide })
        .await
}

pub(crate) fn token(now: Timestamp) -> RefreshToken {
    RefreshToken {
        id: TokenId::generate(now),
        issued_at: now,
        expires_at: now + Duration::from_secs(3600),
        key: "key".to_owned(),
    }
}

/// A session that expires after one idle hour, and after a day at the latest.
pub(crate) fn session(user: UserId) -> Session {
    let created_at = now();
    let current = token(created_at);
    Session {
        id: SessionId::generate(created_at),
        user,
        epoch: 0,
        device: "Browser".to_owned(),
        address: None,
        created_at,
        last_used_at: created_at,
        idle_at: current.expires_at,
        ends_at: created_at + Duration::from_secs(24 * 3600),
        current,
        previous: None,
        methods: Methods::of(Method::Password),
        authenticated_at: created_at,
        multi_at: None,
        actor: None,
    }
}

/// A rotation with a presented token at a time.
pub(crate) fn rotation(
    session: &Session,
    presented: TokenId,
    now: Timestamp,
    leeway: Duration,
) -> Rotation {
    Rotation {
        session: session.id,
        user: session.user,
        presented,
        epoch: session.epoch,
        successor: token(now),
        address: None,
        now,
        leeway,
    }
}
