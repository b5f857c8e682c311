//! `UserStore` over the application's table of people.
//!
//! Invariant: each write is one serialized transaction (`BEGIN IMMEDIATE`), so the snapshot that
//! `decide` sees still holds at the commit. A database with concurrent writers must lock the rows
//! of the snapshot, and one guard row in every write that changes the set of administrators.

use async_trait::async_trait;
use goat_core::session::{SessionEpoch, TokenReplacement};
use goat_core::store::{
    Rehashed, UserChange, UserSnapshot, UserStore, UserWrite, UserWriteOutcome,
};
use goat_core::user::{Account, UserPage, UserQuery, UserState};
use goat_core::{Email, ErrorKind, Role, SessionId, Status, StoreError, Timestamp, User, UserId};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection, SqlitePool};

use super::list;

/// The role of people with the flag `is_admin`.
pub(crate) const ADMIN: &str = "admin";

/// The store, over the view `goat_people` and its table.
#[derive(Debug)]
pub(crate) struct People {
    pool: SqlitePool,
}

impl People {
    pub(crate) fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    async fn write_in_transaction(&self, write: &UserWrite<'_>) -> sqlx::Result<UserWriteOutcome> {
        // Dropping the transaction before its commit rolls it back.
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let actor = match write.actor {
            Some(id) => find(&mut transaction, id).await?,
            None => None,
        };
        let others = "SELECT EXISTS (SELECT 1 FROM goat_people \
                      WHERE role = $1 AND status = 'active' AND id <> $2)";
        let snapshot = UserSnapshot {
            actor: actor.map(state),
            // This store has no roles; with `None`, goat reads its own role table.
            grants: None,
            target: find(&mut transaction, write.target).await?,
            others_administer: sqlx::query_scalar(others)
                .bind(write.top_role.as_str())
                .bind(write.target.to_string())
                .fetch_one(&mut *transaction)
                .await?,
        };
        let written = match ((write.decide)(&snapshot), snapshot.target) {
            (Err(kind), _) => return Ok(UserWriteOutcome::Refused(kind)),
            (Ok(UserChange::Nothing), Some(account)) => {
                return Ok(UserWriteOutcome::Unchanged(account));
            }
            (Ok(UserChange::Nothing | UserChange::Delete), None) => {
                return Ok(UserWriteOutcome::Refused(ErrorKind::NotFound));
            }
            (Ok(UserChange::Put(mut after)), before) => {
                after.revision = before.as_ref().map_or(0, |before| before.revision) + 1;
                match save(&mut transaction, &after).await {
                    // The only other unique column is the id, which is the target's; so the address
                    // is taken.
                    Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                        return Ok(UserWriteOutcome::EmailTaken);
                    }
                    saved => saved?,
                }
                UserWriteOutcome::Changed { before, after }
            }
            (Ok(UserChange::Delete), Some(before)) => {
                let delete = "DELETE FROM people WHERE goat_id = $1";
                let delete = sqlx::query(delete).bind(write.target.to_string());
                delete.execute(&mut *transaction).await?;
                UserWriteOutcome::Deleted(before)
            }
        };
        transaction.commit().await?;
        Ok(written)
    }
}

/// Writes the columns that goat manages and keeps the others; in a new row those have their
/// defaults.
async fn save(connection: &mut SqliteConnection, account: &Account) -> sqlx::Result<()> {
    const QUERY: &str = "INSERT INTO people \
            (goat_id, mail, mail_canonical, pass_hash, position, is_admin, confirmed, blocked, \
             joined_at, changed_at, last_seen_at, session_epoch, kept_session, revision, \
             token_replacement) \
        VALUES ($1, $2, $3, $4, coalesce($5, 'reader'), $6, $7, $8, $9, $10, $11, $12, $13, $14, \
                $15) \
        ON CONFLICT (goat_id) DO UPDATE SET \
            mail = $2, mail_canonical = $3, pass_hash = $4, position = coalesce($5, position), \
            is_admin = $6, confirmed = $7, blocked = $8, joined_at = $9, changed_at = $10, \
            last_seen_at = $11, session_epoch = $12, kept_session = $13, revision = $14, \
            token_replacement = $15";
    let Account { user, password_hash, epoch, replacement, revision } = account;
    let is_admin = user.role.as_str() == ADMIN;
    sqlx::query(QUERY)
        .bind(user.id.to_string())
        .bind(user.email.as_str())
        .bind(user.email.canonical())
        .bind(password_hash.expose().as_str())
        .bind((!is_admin).then(|| user.role.as_str()))
        .bind(is_admin)
        .bind(user.status != Status::Inactive)
        .bind(user.status == Status::Suspended)
        .bind(user.created_at.as_millis())
        .bind(user.updated_at.as_millis())
        .bind(user.last_login_at.map(Timestamp::as_millis))
        .bind(epoch.number.cast_signed())
        .bind(epoch.kept.map(|session| session.to_string()))
        .bind(revision.cast_signed())
        .bind(replacement.as_ref().map(ToString::to_string))
        .execute(connection)
        .await?;
    Ok(())
}

async fn find(connection: &mut SqliteConnection, id: UserId) -> sqlx::Result<Option<Account>> {
    let query = sqlx::query("SELECT * FROM goat_people WHERE id = $1").bind(id.to_string());
    query.fetch_optional(connection).await?.as_ref().map(account).transpose()
}

/// Parses a row of the view. Invalid values are errors, never defaults.
pub(crate) fn user(row: &SqliteRow) -> sqlx::Result<User> {
    let last_login_at = Timestamp::from_millis(row.try_get("last_login_at")?);
    Ok(User {
        id: parsed(row, "id", |text| UserId::parse(text).ok())?,
        email: Email::from_stored(row.try_get("email")?, row.try_get("email_canonical")?),
        role: parsed(row, "role", |text| Role::parse(text).ok())?,
        status: parsed(row, "status", Status::parse)?,
        created_at: Timestamp::from_millis(row.try_get("created_at")?),
        updated_at: Timestamp::from_millis(row.try_get("updated_at")?),
        last_login_at: (last_login_at != Timestamp::default()).then_some(last_login_at),
    })
}

fn account(row: &SqliteRow) -> sqlx::Result<Account> {
    let kept: Option<&str> = row.try_get("kept_session")?;
    let kept = kept.map(|_| parsed(row, "kept_session", |text| SessionId::parse(text).ok()));
    let replacement: Option<&str> = row.try_get("token_replacement")?;
    let replacement =
        replacement.map(|_| parsed(row, "token_replacement", TokenReplacement::parse));
    Ok(Account {
        user: user(row)?,
        password_hash: row.try_get::<String, _>("password_hash")?.into(),
        epoch: SessionEpoch { number: row.try_get("session_epoch")?, kept: kept.transpose()? },
        replacement: replacement.transpose()?,
        revision: row.try_get("revision")?,
    })
}

fn state(account: Account) -> UserState {
    let Account { user, epoch, revision, .. } = account;
    UserState { user, epoch, roles_revision: None, revision }
}

fn parsed<T>(
    row: &SqliteRow,
    column: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> sqlx::Result<T> {
    parse(row.try_get(column)?).ok_or_else(|| sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: "invalid value".into(),
    })
}

/// Maps errors: an invalid row is permanent, all others may be transient. SQLite's messages contain
/// names of tables and columns but no values, so they are safe to log.
fn store_error(operation: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| {
        let is_invalid = matches!(error, sqlx::Error::ColumnDecode { .. });
        let new = if is_invalid { StoreError::broken } else { StoreError::unavailable };
        new(operation).with_source(error)
    }
}

#[async_trait]
impl UserStore for People {
    async fn by_email(&self, canonical: &str) -> Result<Option<Account>, StoreError> {
        let query = "SELECT * FROM goat_people WHERE email_canonical = $1";
        let row = sqlx::query(query).bind(canonical).fetch_optional(&self.pool).await;
        row.and_then(|row| row.as_ref().map(account).transpose())
            .map_err(store_error("people.by_email"))
    }

    async fn by_id(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        let found = async { find(&mut *self.pool.acquire().await?, id).await };
        found.await.map_err(store_error("people.by_id"))
    }

    async fn state(&self, id: UserId) -> Result<Option<UserState>, StoreError> {
        Ok(self.by_id(id).await?.map(state))
    }

    async fn list(&self, query: &UserQuery) -> Result<UserPage, StoreError> {
        list::page(&self.pool, query).await.map_err(store_error("people.list"))
    }

    async fn write(&self, write: UserWrite<'_>) -> Result<UserWriteOutcome, StoreError> {
        self.write_in_transaction(&write).await.map_err(store_error("people.write"))
    }

    async fn signed_in(
        &self,
        id: UserId,
        at: Timestamp,
        rehashed: Option<Rehashed<'_>>,
    ) -> Result<Option<UserState>, StoreError> {
        // A single statement, so it needs no transaction. The revision stays unchanged, because a
        // login changes no cached data.
        const QUERY: &str = "UPDATE people SET \
            last_seen_at = max(coalesce(last_seen_at, 0), $2), \
            pass_hash = CASE WHEN pass_hash = $3 THEN $4 ELSE pass_hash END, \
            revision = revision + 1 \
            WHERE goat_id = $1";
        let noted = sqlx::query(QUERY)
            .bind(id.to_string())
            .bind(at.as_millis())
            .bind(rehashed.map(|rehashed| rehashed.old))
            .bind(rehashed.map(|rehashed| rehashed.new))
            .execute(&self.pool);
        noted.await.map_err(store_error("people.signed_in"))?;
        self.state(id).await
    }

    async fn has_active_user_in(&self, role: &Role) -> Result<bool, StoreError> {
        let query =
            "SELECT EXISTS (SELECT 1 FROM goat_people WHERE role = $1 AND status = 'active')";
        let found = sqlx::query_scalar(query).bind(role.as_str()).fetch_one(&self.pool);
        found.await.map_err(store_error("people.has_active_user_in"))
    }

    async fn sample_hashes(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        let query = "SELECT password_hash FROM goat_people LIMIT $1";
        let hashes = sqlx::query_scalar(query).bind(limit).fetch_all(&self.pool);
        hashes.await.map_err(store_error("people.sample_hashes"))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let answered = sqlx::query("SELECT 1").execute(&self.pool);
        answered.await.map(|_| ()).map_err(store_error("people.ping"))
    }
}
