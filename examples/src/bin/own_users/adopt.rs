//! Opens the application's database and adds goat's columns to the table of people, in one
//! transaction.

use std::error::Error;
use std::path::Path;

use goat_core::{Email, Timestamp, UserId};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};

pub(crate) async fn open(path: &Path) -> Result<SqlitePool, Box<dyn Error>> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePool::connect_with(options).await?;
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info('people')")
        .fetch_all(&mut *transaction)
        .await?;
    if columns.is_empty() {
        sqlx::raw_sql(include_str!("people.sql")).execute(&mut *transaction).await?;
    }
    if !columns.iter().any(|name| name == "goat_id") {
        sqlx::raw_sql(include_str!("adopt.sql")).execute(&mut *transaction).await?;
    }
    let unadopted: Vec<(i64, String, i64)> =
        sqlx::query_as("SELECT person_id, mail, joined_at FROM people WHERE goat_id IS NULL")
            .fetch_all(&mut *transaction)
            .await?;
    for (person, mail, joined_at) in unadopted {
        // Needs a manual decision: two spellings of one address may be two people, or one person
        // with two accounts.
        let email = Email::parse(&mail)
            .map_err(|error| format!("the mail address of person {person} {error}"))?;
        // Ids sort by their timestamp, and lists paginate by id.
        let id = UserId::generate(Timestamp::from_millis(joined_at));
        sqlx::query("UPDATE people SET goat_id = $2, mail_canonical = $3 WHERE person_id = $1")
            .bind(person)
            .bind(id.to_string())
            .bind(email.canonical())
            .execute(&mut *transaction)
            .await
            .map_err(|error| format!("person {person} shares a mail address: {error}"))?;
    }
    transaction.commit().await?;
    Ok(pool)
}
