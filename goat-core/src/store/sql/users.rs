//! Users.

use async_trait::async_trait;
use sqlx::Row as _;

use crate::access::Role;
use crate::clock::Timestamp;
use crate::error::{ErrorKind, StoreError};
use crate::id::UserId;
use crate::store::sql::failure::Failure;
use crate::user::{
    Account, ActorView, Rehashed, Status, User, UserChange, UserPage, UserQuery, UserSnapshot,
    UserState, UserStore, UserWrite, UserWriteOutcome,
};

use super::connection::Connection;
use super::database::{Pools, UniqueViolation};
use super::dialect::{self, for_update, store_error};
use super::list;
use super::rows::{self, account_columns, state_columns, user_columns};

/// The users of a database.
#[derive(Debug)]
pub(super) struct Users {
    pools: Pools,
}

/// How a try to write ended.
#[expect(clippy::large_enum_variant, reason = "made once a write and consumed at once")]
enum Attempt {
    Done(UserWriteOutcome),
    /// The write changes who administers, and did not hold the guard.
    NeedsGuard,
    /// Somebody made the target in the meantime.
    Overtaken,
}

impl Users {
    pub(super) fn new(pools: Pools) -> Self {
        Self { pools }
    }

    async fn find_by_email(&self, canonical: &str) -> Result<Option<Account>, Failure> {
        // PostgreSQL has no text with this character. No address has it either.
        if canonical.contains('\0') {
            return Ok(None);
        }
        const QUERY: &str =
            concat!("SELECT ", account_columns!(), " FROM goat_users WHERE email_canonical = $1");
        let mut connection = self.pools.read().await?;
        let row = connection.optional(sqlx::query(QUERY).bind(canonical)).await?;
        row.as_ref().map(rows::account).transpose()
    }

    async fn find_by_id(&self, id: UserId) -> Result<Option<Account>, Failure> {
        const QUERY: &str =
            concat!("SELECT ", account_columns!(), " FROM goat_users WHERE id = $1");
        let mut connection = self.pools.read().await?;
        let row = connection.optional(sqlx::query(QUERY).bind(id.to_string())).await?;
        row.as_ref().map(rows::account).transpose()
    }

    async fn find_state(&self, id: UserId) -> Result<Option<UserState>, Failure> {
        const QUERY: &str = concat!("SELECT ", state_columns!(), " FROM goat_users WHERE id = $1");
        let mut connection = self.pools.read().await?;
        let row = connection.optional(sqlx::query(QUERY).bind(id.to_string())).await?;
        row.as_ref().map(rows::state).transpose()
    }

    async fn carry_out(&self, write: &UserWrite<'_>) -> Result<UserWriteOutcome, Failure> {
        // Who acts on somebody else is rare and holds the guard from the start. Signing up and
        // looking after oneself are not, and go on side by side.
        let mut is_guarded = dialect::SINGLE_WRITER || write.actor.is_some();
        loop {
            match self.attempt(write, is_guarded).await? {
                Attempt::Done(written) => return Ok(written),
                Attempt::NeedsGuard => is_guarded = true,
                Attempt::Overtaken => {}
            }
        }
    }

    async fn attempt(&self, write: &UserWrite<'_>, is_guarded: bool) -> Result<Attempt, Failure> {
        let mut connection = self.pools.begin().await?;
        let attempt = decide_and_save(&mut connection, write, is_guarded).await?;
        if let Attempt::Done(UserWriteOutcome::Changed { .. } | UserWriteOutcome::Deleted(_)) =
            attempt
        {
            connection.commit().await?;
        } else {
            connection.rollback().await?;
        }
        Ok(attempt)
    }

    async fn note_sign_in(
        &self,
        id: UserId,
        at: Timestamp,
        rehashed: Option<Rehashed<'_>>,
    ) -> Result<Option<User>, Failure> {
        const QUERY: &str = concat!(
            "UPDATE goat_users SET \
             last_login_at = CASE WHEN last_login_at < $2 THEN $2 ELSE last_login_at END, \
             password_hash = CASE WHEN password_hash = $3 THEN $4 ELSE password_hash END \
             WHERE id = $1 RETURNING ",
            user_columns!()
        );
        // All rows and not the first: SQLite commits when it has no more to give, and only who
        // waits for that hears that it could not.
        let query = sqlx::query(QUERY)
            .bind(id.to_string())
            .bind(at.as_millis())
            .bind(rehashed.map(|rehashed| rehashed.old))
            .bind(rehashed.map(|rehashed| rehashed.new));
        let mut connection = self.pools.write().await?;
        let rows = connection.all(query).await?;
        connection.commit().await?;
        rows.first().map(rows::user).transpose()
    }

    async fn some_hashes(&self, limit: u32) -> Result<Vec<String>, Failure> {
        let query = "SELECT password_hash FROM goat_users ORDER BY id LIMIT $1";
        let mut connection = self.pools.read().await?;
        let rows = connection.all(sqlx::query(query).bind(i64::from(limit))).await?;
        Ok(rows.iter().map(|row| row.try_get("password_hash")).collect::<Result<_, _>>()?)
    }
}

/// What a write does within its transaction, up to the commit.
async fn decide_and_save(
    connection: &mut Connection,
    write: &UserWrite<'_>,
    is_guarded: bool,
) -> Result<Attempt, Failure> {
    // ATOMIC: what is locked stays as it was read until the commit; the guard comes first, as
    // everywhere.
    if is_guarded {
        dialect::lock_guard(connection).await?;
    }
    let target = lock_account(connection, write.target).await?;
    let actor = match write.actor {
        Some(id) => lock_actor(connection, id).await?,
        None => None,
    };
    let others_administer =
        is_anyone_active(connection, write.top_role, Some(write.target)).await?;
    let snapshot = UserSnapshot { actor, target, others_administer };
    let mut change = (write.decide)(&snapshot);
    if let Ok(UserChange::Put(after)) = &mut change {
        after.revision = snapshot.target.as_ref().map_or(0, |before| before.revision) + 1;
    }

    let written = match (change, snapshot.target) {
        (Err(kind), _) => UserWriteOutcome::Refused(kind),
        (Ok(UserChange::Nothing), Some(account)) => UserWriteOutcome::Unchanged(account),
        (Ok(UserChange::Nothing | UserChange::Delete), None) => {
            UserWriteOutcome::Refused(ErrorKind::NotFound)
        }
        (Ok(UserChange::Put(after)), before) => UserWriteOutcome::Changed { before, after },
        (Ok(UserChange::Delete), Some(before)) => UserWriteOutcome::Deleted(before),
    };
    let (before, after) = match &written {
        UserWriteOutcome::Changed { before, after } => (before.as_ref(), Some(after)),
        UserWriteOutcome::Deleted(before) => (Some(before), None),
        _ => return Ok(Attempt::Done(written)),
    };
    let administers = |account: Option<&Account>| {
        account.is_some_and(|Account { user, .. }| {
            user.role == *write.top_role && user.status == Status::Active
        })
    };
    if !is_guarded && administers(before) != administers(after) {
        return Ok(Attempt::NeedsGuard);
    }
    let saved = match (before, after) {
        (None, Some(after)) => insert(connection, after).await,
        (Some(_), Some(after)) => update(connection, after).await,
        (_, None) => delete(connection, write.target).await,
    };
    match saved.as_ref().err().and_then(dialect::unique_violation) {
        Some(UniqueViolation::Email) => return Ok(Attempt::Done(UserWriteOutcome::EmailTaken)),
        Some(UniqueViolation::Id) => return Ok(Attempt::Overtaken),
        None => saved?,
    }
    Ok(Attempt::Done(written))
}

/// What a write reads of the user who acts; it stays so until the transaction ends. Permissions
/// stay so where the guard is held.
pub(super) async fn lock_actor(
    connection: &mut Connection,
    id: UserId,
) -> Result<Option<ActorView>, Failure> {
    const QUERY: &str =
        concat!("SELECT ", state_columns!(), " FROM goat_users WHERE id = $1", for_update!());
    let row = connection.optional(sqlx::query(QUERY).bind(id.to_string())).await?;
    let Some(row) = row else { return Ok(None) };
    let state = rows::state(&row)?;
    let query = "SELECT permission FROM goat_permissions WHERE role = $1";
    let permissions = connection.all(sqlx::query(query).bind(state.role.as_str())).await?;
    let permissions = permissions.iter().map(rows::permission).collect::<Result<_, _>>()?;
    Ok(Some(ActorView { state, permissions: Some(permissions) }))
}

async fn lock_account(connection: &mut Connection, id: UserId) -> Result<Option<Account>, Failure> {
    const QUERY: &str =
        concat!("SELECT ", account_columns!(), " FROM goat_users WHERE id = $1", for_update!());
    let row = connection.optional(sqlx::query(QUERY).bind(id.to_string())).await?;
    row.as_ref().map(rows::account).transpose()
}

async fn is_anyone_active(
    connection: &mut Connection,
    role: &Role,
    except: Option<UserId>,
) -> Result<bool, Failure> {
    // The order is that of the index, so that no plan passes over everybody else to find one: a plan
    // for unknown values would take every role for a common one.
    let query = "SELECT id FROM goat_users WHERE role = $1 AND status = $2 AND id <> $3 \
                 ORDER BY created_at, id LIMIT 1";
    let query = sqlx::query(query)
        .bind(role.as_str())
        .bind(Status::Active.as_str())
        .bind(except.map(|id| id.to_string()).unwrap_or_default());
    Ok(connection.optional(query).await?.is_some())
}

async fn insert(connection: &mut Connection, account: &Account) -> Result<(), sqlx::Error> {
    let query = "INSERT INTO goat_users (id, email, email_canonical, email_domain, role, status, \
                 password_hash, created_at, updated_at, last_login_at, session_epoch, kept_session, \
                 revision) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    save(connection, query, account).await
}

async fn update(connection: &mut Connection, account: &Account) -> Result<(), sqlx::Error> {
    let query = "UPDATE goat_users SET email = $2, email_canonical = $3, email_domain = $4, \
                 role = $5, status = $6, password_hash = $7, created_at = $8, updated_at = $9, \
                 last_login_at = $10, session_epoch = $11, kept_session = $12, revision = $13 \
                 WHERE id = $1";
    save(connection, query, account).await
}

async fn save(
    connection: &mut Connection,
    query: &'static str,
    account: &Account,
) -> Result<(), sqlx::Error> {
    let Account { user, password_hash, epoch, revision } = account;
    let query = sqlx::query(query)
        .bind(user.id.to_string())
        .bind(user.email.as_str())
        .bind(user.email.canonical())
        .bind(user.email.domain())
        .bind(user.role.as_str())
        .bind(user.status.as_str())
        .bind(password_hash.expose().as_str())
        .bind(user.created_at.as_millis())
        .bind(user.updated_at.as_millis())
        .bind(user.last_login_at.unwrap_or_default().as_millis())
        .bind(rows::signed(epoch.number))
        .bind(epoch.kept.map(|session| session.to_string()))
        .bind(rows::signed(*revision));
    connection.execute(query).await?;
    Ok(())
}

async fn delete(connection: &mut Connection, id: UserId) -> Result<(), sqlx::Error> {
    let query = "DELETE FROM goat_users WHERE id = $1";
    connection.execute(sqlx::query(query).bind(id.to_string())).await?;
    Ok(())
}

#[async_trait]
impl UserStore for Users {
    async fn by_email(&self, canonical: &str) -> Result<Option<Account>, StoreError> {
        self.find_by_email(canonical).await.map_err(store_error("users.by_email"))
    }

    async fn by_id(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        self.find_by_id(id).await.map_err(store_error("users.by_id"))
    }

    async fn state(&self, id: UserId) -> Result<Option<UserState>, StoreError> {
        self.find_state(id).await.map_err(store_error("users.state"))
    }

    async fn list(&self, query: &UserQuery) -> Result<UserPage, StoreError> {
        list::page(&self.pools, query).await.map_err(store_error("users.list"))
    }

    async fn write(&self, write: UserWrite<'_>) -> Result<UserWriteOutcome, StoreError> {
        self.carry_out(&write).await.map_err(store_error("users.write"))
    }

    async fn signed_in(
        &self,
        id: UserId,
        now: Timestamp,
        rehashed: Option<Rehashed<'_>>,
    ) -> Result<Option<User>, StoreError> {
        self.note_sign_in(id, now, rehashed).await.map_err(store_error("users.signed_in"))
    }

    async fn has_active_user_in(&self, role: &Role) -> Result<bool, StoreError> {
        let found = async { is_anyone_active(&mut self.pools.read().await?, role, None).await };
        found.await.map_err(store_error("users.has_active_user_in"))
    }

    async fn sample_hashes(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        self.some_hashes(limit).await.map_err(store_error("users.sample_hashes"))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.pools.ping().await.map_err(store_error("users.ping"))
    }
}
