//! SQL user store.

use async_trait::async_trait;
use sqlx::Row as _;

use crate::access::Role;
use crate::clock::Timestamp;
use crate::error::{ErrorKind, StoreError};
use crate::id::UserId;
use crate::store::sql::failure::Failure;
use crate::store::users::operation;
use crate::store::{
    Rehashed, StoreTransaction, UserChange, UserSnapshot, UserStore, UserWrite, UserWriteOutcome,
};
use crate::user::{Account, Status, UserPage, UserQuery, UserState};

use super::connection::Connection;
use super::database::{Pools, UniqueViolation};
use super::dialect::{self, DriverConnection, for_update};
use super::keys;
use super::list::Lists;
use super::roles;
use super::rows::{self, account_columns, state_columns};

/// The users of a database.
#[derive(Debug)]
pub(super) struct SqlUsers {
    pools: Pools,
    pub(super) lists: Lists,
}

/// The result of one attempt to write.
#[expect(clippy::large_enum_variant, reason = "made once a write and consumed at once")]
enum Attempt {
    Done(UserWriteOutcome),
    /// The write changes the administrators, and did not hold the guard.
    NeedsGuard,
    /// A concurrent write created the target.
    Conflict,
    /// Another user has the e-mail address; or a concurrent write created the target, of which the
    /// constraints of an application's table may report the address first.
    Taken,
}

/// What the attempts of one write have shown.
#[derive(Clone, Copy, Debug)]
struct Attempts {
    /// Whether the next one holds the guard.
    are_guarded: bool,
    was_taken: bool,
}

impl Attempts {
    fn new(are_guarded: bool) -> Self {
        Self { are_guarded, was_taken: false }
    }

    /// Returns the outcome, unless the write is to be attempted again.
    fn outcome(&mut self, attempt: Attempt) -> Option<UserWriteOutcome> {
        match attempt {
            Attempt::Done(outcome) => return Some(outcome),
            Attempt::NeedsGuard => self.are_guarded = true,
            Attempt::Conflict => {}
            Attempt::Taken if self.was_taken => return Some(UserWriteOutcome::EmailTaken),
            Attempt::Taken => self.was_taken = true,
        }
        None
    }
}

impl SqlUsers {
    pub(super) fn new(pools: Pools) -> Self {
        Self { pools, lists: Lists::default() }
    }

    /// Writes within a transaction of the application, up to its commit.
    async fn write_joined(
        &self,
        transaction: &mut DriverConnection,
        write: &UserWrite<'_>,
    ) -> Result<UserWriteOutcome, Failure> {
        let mut attempts = Attempts::new(write.actor.is_some());
        loop {
            let mut connection = self.pools.join(transaction).await?;
            dialect::enter(&self.pools, &mut connection).await?;
            let attempt = attempt(connection, write, attempts.are_guarded).await?;
            if let Some(outcome) = attempts.outcome(attempt) {
                return Ok(outcome);
            }
        }
    }
}

/// Decides and saves, and ends the transaction.
async fn attempt(
    mut connection: Connection<'_>,
    write: &UserWrite<'_>,
    is_guarded: bool,
) -> Result<Attempt, Failure> {
    let attempt = decide_and_save(&mut connection, write, is_guarded).await?;
    match attempt {
        Attempt::Done(UserWriteOutcome::Changed { .. } | UserWriteOutcome::Deleted(_)) => {
            connection.commit().await?;
        }
        _ => connection.rollback().await?,
    }
    Ok(attempt)
}

#[async_trait]
impl UserStore for SqlUsers {
    async fn by_email(&self, canonical: &str) -> Result<Option<Account>, StoreError> {
        const QUERY: &str =
            concat!("SELECT ", account_columns!(), " FROM goat_users WHERE email_canonical = $1");
        // PostgreSQL text cannot contain NUL, and no address does.
        if canonical.contains('\0') {
            return Ok(None);
        }
        self.pools
            .run(operation::BY_EMAIL, || async {
                let mut connection = self.pools.read().await?;
                let row = connection.optional(sqlx::query(QUERY).bind(canonical)).await?;
                row.as_ref().map(rows::account).transpose()
            })
            .await
    }

    async fn by_id(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        const QUERY: &str =
            concat!("SELECT ", account_columns!(), " FROM goat_users WHERE id = $1");
        self.pools
            .run(operation::BY_ID, || async {
                let mut connection = self.pools.read().await?;
                let row = connection.optional(sqlx::query(QUERY).bind(id.to_string())).await?;
                row.as_ref().map(rows::account).transpose()
            })
            .await
    }

    async fn state(&self, id: UserId) -> Result<Option<UserState>, StoreError> {
        const QUERY: &str = concat!("SELECT ", state_columns!(), " FROM goat_users WHERE id = $1");
        self.pools
            .run(operation::STATE, || async {
                let mut connection = self.pools.read().await?;
                let row = connection.optional(sqlx::query(QUERY).bind(id.to_string())).await?;
                row.as_ref().map(|row| rows::state(row, id)).transpose()
            })
            .await
    }

    async fn list(&self, query: &UserQuery) -> Result<UserPage, StoreError> {
        self.pools.run(operation::LIST, || self.lists.page(&self.pools, query)).await
    }

    async fn write(&self, write: UserWrite<'_>) -> Result<UserWriteOutcome, StoreError> {
        self.pools
            .run(operation::WRITE, || async {
                // Writes by an actor are rare and hold the guard from the start. Sign-ups, and users'
                // changes to their own accounts, are frequent and run concurrently.
                let mut attempts = Attempts::new(dialect::SINGLE_WRITER || write.actor.is_some());
                loop {
                    let connection = self.pools.begin().await?;
                    let attempt = attempt(connection, &write, attempts.are_guarded).await?;
                    if let Some(outcome) = attempts.outcome(attempt) {
                        return Ok(outcome);
                    }
                }
            })
            .await
    }

    async fn write_in(
        &self,
        transaction: &mut StoreTransaction<'_>,
        write: UserWrite<'_>,
    ) -> Result<UserWriteOutcome, StoreError> {
        let Some(connection) = transaction.connection::<DriverConnection>() else {
            let cause = "the transaction is of another database than the user store";
            return Err(StoreError::broken(operation::WRITE_IN).with_source(cause));
        };
        let written = self.write_joined(connection, &write).await;
        written.map_err(dialect::store_error(operation::WRITE_IN))
    }

    async fn signed_in(
        &self,
        id: UserId,
        at: Timestamp,
        rehashed: Option<Rehashed<'_>>,
    ) -> Result<Option<UserState>, StoreError> {
        const QUERY: &str = concat!(
            "UPDATE goat_users SET revision = revision + 1, \
             last_login_at = CASE WHEN last_login_at < $2 THEN $2 ELSE last_login_at END, \
             password_hash = CASE WHEN password_hash = $3 THEN $4 ELSE password_hash END \
             WHERE id = $1 RETURNING ",
            state_columns!()
        );
        self.pools
            .run(operation::SIGNED_IN, || async {
                let query = sqlx::query(QUERY)
                    .bind(id.to_string())
                    .bind(at.as_millis())
                    .bind(rehashed.map(|rehashed| rehashed.old))
                    .bind(rehashed.map(|rehashed| rehashed.new));
                let mut connection = self.pools.begin().await?;
                if connection.has_mapped_users() {
                    // ATOMIC: a view writes every column as it was read, so that the row is locked before.
                    lock_account(&mut connection, id).await?;
                }
                let row = connection.optional(query).await?;
                connection.commit().await?;
                row.as_ref().map(|row| rows::state(row, id)).transpose()
            })
            .await
    }

    async fn has_active_user_in(&self, role: &Role) -> Result<bool, StoreError> {
        self.pools
            .run(operation::HAS_ACTIVE_USER_IN, || async {
                is_any_active(&mut self.pools.read().await?, role, None).await
            })
            .await
    }

    async fn sample_hashes(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        const QUERY: &str = "SELECT password_hash FROM goat_users ORDER BY id LIMIT $1";
        self.pools
            .run(operation::SAMPLE_HASHES, || async {
                let mut connection = self.pools.read().await?;
                let rows = connection.all(sqlx::query(QUERY).bind(i64::from(limit))).await?;
                Ok(rows.iter().map(|row| row.try_get("password_hash")).collect::<Result<_, _>>()?)
            })
            .await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.pools.run(operation::PING, || self.pools.ping()).await
    }
}

/// Performs a write within its transaction, up to the commit.
async fn decide_and_save(
    connection: &mut Connection<'_>,
    write: &UserWrite<'_>,
    is_guarded: bool,
) -> Result<Attempt, Failure> {
    // ATOMIC: locked rows stay as read until the commit. The guard is always locked first, then the
    // assigned role, then users, then the API key.
    if is_guarded {
        dialect::lock_guard(connection).await?;
    }
    let has_assigned_role = match write.assigns {
        Some(role) => Some(roles::exists(connection, role).await?),
        None => None,
    };
    let target = lock_account(connection, write.target).await?;
    let (actor, roles) = match write.actor {
        // A write by an actor holds the guard, which locks the roles and grants too.
        Some(id) => (lock_actor(connection, id).await?, Some(roles::all(connection).await?)),
        None => (None, None),
    };
    let has_key = match write.key {
        Some(key) => Some(keys::lock(connection, key).await?),
        None => None,
    };
    let others_administer = is_any_active(connection, write.top_role, Some(write.target)).await?;
    let snapshot =
        UserSnapshot { actor, has_key, roles, has_assigned_role, target, others_administer };
    let mut change = (write.decide)(&snapshot);
    if let Ok(UserChange::Put(after)) = &mut change {
        after.revision = snapshot.target.as_ref().map_or(0, |before| before.revision) + 1;
    }

    let outcome = match (change, snapshot.target) {
        (Err(kind), _) => UserWriteOutcome::Refused(kind),
        (Ok(UserChange::Nothing), Some(account)) => UserWriteOutcome::Unchanged(account),
        (Ok(UserChange::Nothing | UserChange::Delete), None) => {
            UserWriteOutcome::Refused(ErrorKind::NotFound)
        }
        (Ok(UserChange::Put(after)), before) => UserWriteOutcome::Changed { before, after },
        (Ok(UserChange::Delete), Some(before)) => UserWriteOutcome::Deleted(before),
    };
    let (before, after) = match &outcome {
        UserWriteOutcome::Changed { before, after } => (before.as_ref(), Some(after)),
        UserWriteOutcome::Deleted(before) => (Some(before), None),
        _ => return Ok(Attempt::Done(outcome)),
    };
    let administers = |account: Option<&Account>| {
        account.is_some_and(|account| account.user.administers(write.top_role))
    };
    if !is_guarded && administers(before) != administers(after) {
        return Ok(Attempt::NeedsGuard);
    }
    let saved = match (before, after) {
        (None, Some(after)) => insert(connection, after).await,
        (Some(before), Some(after)) => update(connection, before, after).await,
        (_, None) => delete(connection, write.target).await,
    };
    match saved.as_ref().err().and_then(|error| connection.unique_violation(error)) {
        Some(UniqueViolation::Email) if before.is_none() && connection.has_mapped_users() => {
            return Ok(Attempt::Taken);
        }
        Some(UniqueViolation::Email) => return Ok(Attempt::Done(UserWriteOutcome::EmailTaken)),
        Some(UniqueViolation::Id) => return Ok(Attempt::Conflict),
        None => saved?,
    }
    Ok(Attempt::Done(outcome))
}

/// Reads and locks the actor until the end of the transaction.
pub(super) async fn lock_actor(
    connection: &mut Connection<'_>,
    id: UserId,
) -> Result<Option<UserState>, Failure> {
    const QUERY: &str =
        concat!("SELECT ", state_columns!(), " FROM goat_users WHERE id = $1", for_update!());
    let row = connection.optional(sqlx::query(QUERY).bind(id.to_string())).await?;
    row.as_ref().map(|row| rows::state(row, id)).transpose()
}

async fn lock_account(
    connection: &mut Connection<'_>,
    id: UserId,
) -> Result<Option<Account>, Failure> {
    const QUERY: &str =
        concat!("SELECT ", account_columns!(), " FROM goat_users WHERE id = $1", for_update!());
    let row = connection.optional(sqlx::query(QUERY).bind(id.to_string())).await?;
    row.as_ref().map(rows::account).transpose()
}

async fn is_any_active(
    connection: &mut Connection<'_>,
    role: &Role,
    except: Option<UserId>,
) -> Result<bool, Failure> {
    // In index order, so that no plan scans all users to find one: a generic plan assumes that every
    // role is common. The index contains the domain too.
    let query = "SELECT id FROM goat_users WHERE role = $1 AND status = $2 AND id <> $3 \
                 AND email_domain <> 'service.invalid' ORDER BY created_at, id LIMIT 1";
    let query = sqlx::query(query)
        .bind(role.as_str())
        .bind(Status::Active.as_str())
        .bind(except.map(|id| id.to_string()).unwrap_or_default());
    Ok(connection.optional(query).await?.is_some())
}

async fn insert(connection: &mut Connection<'_>, account: &Account) -> Result<(), sqlx::Error> {
    let query = "INSERT INTO goat_users (id, email, email_canonical, email_domain, role, status, \
                 password_hash, created_at, updated_at, last_login_at, session_epoch, kept_session, \
                 revision, token_replacement, attributes, email_verified_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
    save(connection, query, account).await
}

async fn update(
    connection: &mut Connection<'_>,
    before: &Account,
    account: &Account,
) -> Result<(), sqlx::Error> {
    let verified_at = account.user.email_verified_at;
    let has_moved = account.user.email != before.user.email;
    if has_moved && verified_at.is_some() && verified_at == before.user.email_verified_at {
        // The trigger on a changed address takes this time for one that the write leaves as it was.
        let query = "UPDATE goat_users SET email_verified_at = NULL WHERE id = $1";
        connection.execute(sqlx::query(query).bind(account.user.id.to_string())).await?;
    }
    let query = "UPDATE goat_users SET email = $2, email_canonical = $3, email_domain = $4, \
                 role = $5, status = $6, password_hash = $7, created_at = $8, updated_at = $9, \
                 last_login_at = $10, session_epoch = $11, kept_session = $12, revision = $13, \
                 token_replacement = $14, attributes = $15, email_verified_at = $16 WHERE id = $1";
    save(connection, query, account).await
}

async fn save(
    connection: &mut Connection<'_>,
    query: &'static str,
    account: &Account,
) -> Result<(), sqlx::Error> {
    let Account { user, password_hash, epoch, replacement, revision } = account;
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
        .bind(rows::signed(*revision))
        .bind(replacement.as_ref().map(ToString::to_string))
        .bind(user.attributes.stored())
        .bind(user.email_verified_at.map(Timestamp::as_millis));
    connection.execute(query).await?;
    Ok(())
}

/// Deletes a user, and its challenges and keys with it.
async fn delete(connection: &mut Connection<'_>, id: UserId) -> Result<(), sqlx::Error> {
    keys::delete_of(connection, id).await?;
    for query in
        ["DELETE FROM goat_challenges WHERE user_id = $1", "DELETE FROM goat_users WHERE id = $1"]
    {
        connection.execute(sqlx::query(query).bind(id.to_string())).await?;
    }
    Ok(())
}
