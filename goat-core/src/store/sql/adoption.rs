//! Adoption of the application's table of users: adds goat's columns, maps the table to goat's users, and
//! completes its rows.
//!
//! Invariant: one transaction, so that a row that cannot be a user leaves the table as it was.

use std::fmt;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, Row as _};

use crate::access::Role;
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::error::{Error, Result};
use crate::id::UserId;
use crate::store::sql::failure::Failure;
use crate::store::sql::schema::SchemaState;
use crate::store::sql::user_table::{
    Column, DEFINITION, IdKind, Mapping, OWN, UserTable, checksum, note_definition, quoted,
};
use crate::user::{Email, Status};

use super::Database;
use super::connection::Connection;
use super::database::{UniqueViolation, write_error};
use super::dialect::{self, Row, TABLES, store_error};
use super::{rows, user_view};

/// The rows that are completed between two reads.
const BATCH: i64 = 1000;

/// The mapping of users to a table of the application, for the connections of its database.
#[derive(Debug)]
pub(super) struct MappedUsers {
    /// The unique constraints of the application that contain the id or the e-mail address.
    pub(super) constraints: Vec<(String, UniqueViolation)>,
}

/// The changes to the application's table, to be shown and applied.
///
/// `Display` shows the SQL statements that [`Adoption::apply`] will execute, and the number of rows that
/// it completes: none if the table is as goat needs it.
#[derive(Debug)]
#[must_use = "the table is not changed before `apply`"]
pub struct Adoption {
    database: Database,
    table: UserTable,
    statements: Vec<String>,
    incomplete: u64,
}

impl fmt::Display for Adoption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for statement in &self.statements {
            writeln!(formatter, "{statement};")?;
        }
        let name = self.table.name;
        write!(formatter, "-- {} rows of {name} to be completed", self.incomplete)
    }
}

impl Adoption {
    /// Whether the table is as goat needs it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty() && self.incomplete == 0
    }

    /// Changes the table in one transaction, and completes the rows that goat did not write: their id, the
    /// canonical spelling of the e-mail address, the status active. Returns the database whose users are
    /// the rows of the table.
    ///
    /// Concurrent calls apply the changes once. A call at each start completes rows that other programs
    /// have inserted since.
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) if a row cannot be a user, which the error names
    /// by its id: an invalid e-mail address, one that another row has in another spelling, an invalid
    /// role, or an id that is not a UUID in a column of UUIDs; or if the table or a column is missing.
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the database does not respond.
    pub async fn apply(self) -> Result<Database> {
        let Self { database, table, .. } = self;
        let failed = write_error("adopt");
        let mut connection = database.pools.begin_migration().await.map_err(&failed)?;
        // ATOMIC: under the lock, no other process adopts the table before the commit.
        dialect::lock_migrations(&mut connection).await.map_err(&failed)?;
        let plan = plan(&mut connection, &table).await?;
        for statement in plan.statements {
            let statement = AssertSqlSafe(statement);
            connection.run(statement).await.map_err(Failure::from).map_err(&failed)?;
        }
        complete(&mut connection, &table, &plan.ids).await?;
        let constraints = user_view::constraints(&mut connection, &table).await.map_err(&failed)?;
        connection.commit().await.map_err(&failed)?;
        Ok(database.with_users_in(MappedUsers { constraints }))
    }
}

impl Database {
    /// Inspects a table of the application that is to hold goat's users. Changes nothing: the result shows
    /// the changes, and [`apply`](Adoption::apply) makes them.
    ///
    /// goat adds its columns to the table, under names that begin with `goat_`; a view, which maps the
    /// table to goat's users; and triggers. One of them rejects a change of an e-mail address that goat
    /// does not make, since its canonical spelling would be wrong. After other changes without goat, call
    /// [`Users::invalidate`](crate::Users::invalidate).
    ///
    /// ```no_run
    /// # #[cfg(feature = "sqlite")] {
    /// use goat_core::store::sql::{MigrateOptions, SqliteDatabase, UserTable};
    ///
    /// # async fn example(pool: sqlx::SqlitePool) -> goat_core::Result<()> {
    /// let database = SqliteDatabase::from_pool(pool).await?;
    /// database.migrate(MigrateOptions { adopt_foreign: true }).await?;
    /// let table = UserTable {
    ///     name: "people",
    ///     id: "id",
    ///     email: "mail",
    ///     password_hash: "pass_hash",
    ///     role: "position",
    /// };
    /// let adoption = database.adopt(table).await?;
    /// println!("{adoption}");
    /// let database = adoption.apply().await?;
    /// # let _ = database;
    /// # Ok(())
    /// # }
    /// # let _ = example;
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) if the table or a column is missing, or goat's
    /// own schema is not current; [`Unavailable`](crate::ErrorKind::Unavailable) if the database does not
    /// respond.
    pub async fn adopt(&self, table: UserTable) -> Result<Adoption> {
        table.check()?;
        if self.schema_state().await? != SchemaState::Current {
            return Err(Error::configuration(
                "goat's own tables are not current; call `migrate` before the adoption of a table",
            ));
        }
        let failed = write_error("adopt");
        let mut connection = self.pools.read().await.map_err(&failed)?;
        let Plan { statements, .. } = plan(&mut connection, &table).await?;
        let has_id = !statements.iter().any(|statement| statement.starts_with("ALTER"));
        let incomplete = incomplete(&mut connection, &table, has_id).await;
        let incomplete = incomplete.map_err(&failed)?;
        Ok(Adoption { database: self.clone(), table, statements, incomplete })
    }

    fn with_users_in(&self, mapped: MappedUsers) -> Self {
        let mut pools = self.pools.clone();
        pools.mode.mapped_users = Some(Arc::new(mapped));
        Self { pools }
    }
}

struct Plan {
    statements: Vec<String>,
    ids: Ids,
}

/// The ids of the application's rows.
struct Ids {
    kind: IdKind,
    /// The expression of a row's id as text.
    key: String,
    /// The expression of a bound text as an id.
    given_key: String,
}

/// Decides on the statements that make the table one of users.
async fn plan(connection: &mut Connection<'_>, table: &UserTable) -> Result<Plan> {
    let failed = store_error("adopt");
    let own = user_view::columns(connection, OWN).await.map_err(&failed)?;
    let application = user_view::columns(connection, table.name).await.map_err(&failed)?;
    if application.is_empty() {
        return Err(Error::configuration(format!(
            "the database has no table {} in the schema of goat's tables",
            table.name
        )));
    }
    for name in [table.id, table.email, table.password_hash, table.role] {
        if !application.iter().any(|column: &Column| column.name == name) {
            return Err(Error::configuration(format!(
                "the table {} has no column {name}",
                table.name
            )));
        }
    }
    let mut mapping =
        Mapping { table, ids: IdKind::Assigned, own: &own, application: &application };
    mapping.ids = user_view::id_kind(mapping.kind(table.id));
    let mut statements = mapping.added_columns();
    let definition = user_view::definition(&mapping);
    // A view of an earlier version of goat lacks its later columns.
    let found = found_definition(connection).await.map_err(&failed)?;
    let checksum = checksum(&definition);
    if !statements.is_empty() || found.as_deref() != Some(&checksum) {
        statements.extend(definition);
        statements.push(note_definition(&checksum));
    }
    let (key, given_key) = user_view::key(table, mapping.ids, mapping.kind(table.id));
    Ok(Plan { statements, ids: Ids { kind: mapping.ids, key, given_key } })
}

/// Returns the checksum of the definition that was applied last.
async fn found_definition(connection: &mut Connection<'_>) -> Result<Option<String>, Failure> {
    let tables = connection.all(sqlx::query(TABLES)).await?;
    let is_there = |row: &Row| row.try_get::<&str, _>("name").is_ok_and(|name| name == DEFINITION);
    if !tables.iter().any(is_there) {
        return Ok(None);
    }
    let query = "SELECT definition FROM goat_application WHERE id = 1";
    let row = connection.optional(sqlx::query(query)).await?;
    Ok(row.map(|row| row.try_get("definition")).transpose()?)
}

/// Counts the rows that goat did not write.
async fn incomplete(
    connection: &mut Connection<'_>,
    table: &UserTable,
    has_id: bool,
) -> Result<u64, Failure> {
    let (name, goat_id) = (quoted(table.name), quoted(table.column("id")));
    let condition = if has_id { format!(" WHERE {goat_id} IS NULL") } else { String::new() };
    let query = AssertSqlSafe(format!("SELECT COUNT(*) AS count FROM {name}{condition}"));
    rows::count(&connection.one(sqlx::query(query)).await?, "count")
}

/// Completes the rows that goat did not write.
async fn complete(connection: &mut Connection<'_>, table: &UserTable, ids: &Ids) -> Result<()> {
    let failed = write_error("adopt");
    let Ids { kind, key, given_key } = ids;
    let (name, goat_id) = (quoted(table.name), quoted(table.column("id")));
    let read = format!(
        "SELECT {key} AS row_key, CAST({} AS TEXT) AS email, CAST({} AS TEXT) AS role FROM {name} \
         WHERE {goat_id} IS NULL LIMIT {BATCH}",
        quoted(table.email),
        quoted(table.role)
    );
    let names = ["id", "email_canonical", "email_domain", "status", "created_at", "updated_at"];
    let columns = names.map(|own| quoted(table.column(own)));
    let [id, canonical, domain, status, created_at, updated_at] = &columns;
    let write = format!(
        "UPDATE {name} SET {id} = $2, {canonical} = $3, {domain} = $4, {status} = $5, \
         {created_at} = $6, {updated_at} = $6 WHERE {} = {given_key}",
        quoted(table.id)
    );
    let clock = SystemClock::start();
    loop {
        let rows = connection.all(sqlx::query(AssertSqlSafe(read.clone()))).await;
        let rows = rows.map_err(Failure::from).map_err(&failed)?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in &rows {
            let found = Incomplete::read(row, *kind, clock.now()).map_err(&failed)?;
            let invalid = |reason: String| {
                let key = &found.key;
                Error::configuration(format!("the row {key} of {} {reason}", table.name))
            };
            let (email, id, created_at) = found.check().map_err(invalid)?;
            let query = sqlx::query(AssertSqlSafe(write.clone()))
                .bind(&found.key)
                .bind(id.to_string())
                .bind(email.canonical())
                .bind(email.domain())
                .bind(Status::Active.as_str())
                .bind(created_at.as_millis());
            if let Err(error) = connection.execute(query).await {
                if dialect::unique_violation(&error, &[]).is_some() {
                    return Err(invalid("has the e-mail address of another row".to_owned()));
                }
                return Err(failed(error.into()));
            }
        }
    }
}

/// A row that goat did not write.
struct Incomplete {
    key: String,
    email: Option<String>,
    role: Option<String>,
    ids: IdKind,
    now: Timestamp,
}

impl Incomplete {
    fn read(row: &Row, ids: IdKind, now: Timestamp) -> Result<Self, Failure> {
        let (key, email) = (row.try_get("row_key")?, row.try_get("email")?);
        Ok(Self { key, email, role: row.try_get("role")?, ids, now })
    }

    /// Returns the address, the id and the time of creation, or the reason for which the row cannot be a
    /// user.
    fn check(&self) -> Result<(Email, UserId, Timestamp), String> {
        const VERSION_7: u128 = 7;
        let email = self.email.as_deref().unwrap_or_default();
        let email =
            Email::parse(email).map_err(|error| format!("has an e-mail address that {error}"))?;
        if Role::parse(self.role.as_deref().unwrap_or_default()).is_err() {
            return Err("has an invalid role".to_owned());
        }
        if self.ids == IdKind::Assigned {
            return Ok((email, UserId::generate(self.now), self.now));
        }
        let digits = self.key.replace('-', "");
        let number = match u128::from_str_radix(&digits, 16) {
            Ok(number) if digits.len() == 32 => number,
            _ => return Err("has an id that is not a UUID".to_owned()),
        };
        let id = UserId::from_u128(number);
        // An id of version 7 begins with its time.
        let has_time = (number >> 76) & 0xf == VERSION_7;
        Ok((email, id, if has_time { id.made_at() } else { self.now }))
    }
}
