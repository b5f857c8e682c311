//! Fills a database with users and sessions by SQL: copies of the administrator and its session.
//!
//! The columns are read from the database, so that a later migration does not break the benchmark.

use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use goat_engines::Postgres;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use crate::server::ADMIN;

/// Rows of one statement.
const CHUNK: usize = 100_000;

/// A stopped server's database.
pub(crate) enum Database<'a> {
    Sqlite(PathBuf),
    /// An instance, and the URL of a database.
    Postgres(&'a Postgres, &'a str),
}

/// How long filling one size may take.
const TIMEOUT: Duration = Duration::from_secs(180);

/// Columns with values of their own; `n.i` is the number of the row, `{pad}` stands for its 23 digits
/// and `{digits}` for seven.
const USER: [(&str, &str); 8] = [
    ("id", "'01J' || {pad}"),
    ("email", "'user' || {digits} || '@' || {domain}"),
    ("email_canonical", "'user' || {digits} || '@' || {domain}"),
    ("email_domain", "{domain}"),
    ("role", "'client'"),
    ("status", "'active'"),
    ("created_at", "base.created_at - n.i"),
    ("last_login_at", "base.last_login_at - n.i"),
];
const SESSION: [(&str, &str); 4] = [
    ("id", "'01K' || {pad}"),
    ("user_id", "'01J' || {pad}"),
    ("created_at", "base.created_at - n.i"),
    ("current_id", "'01K' || {pad}"),
];
/// A third of the users.
const DOMAIN: &str = "CASE n.i % 3 WHEN 0 THEN 'corp.example' ELSE 'example.org' END";

/// Adds users and a session each.
///
/// # Panics
/// If the database refuses, or takes too long.
pub(crate) fn fill(database: &Database<'_>, rows: Range<usize>) {
    let started = Instant::now();
    for begin in rows.clone().step_by(CHUNK) {
        assert!(started.elapsed() < TIMEOUT, "filling takes too long, at row {begin}");
        let chunk = begin..rows.end.min(begin + CHUNK);
        let one = "SELECT id FROM goat_users WHERE email_canonical = '{admin}'";
        let base = format!("base.email_canonical = '{ADMIN}'");
        database.insert("goat_users", &USER, &base, &chunk);
        let one = one.replace("{admin}", ADMIN);
        let base = format!("base.id = (SELECT min(id) FROM goat_sessions WHERE user_id = ({one}))");
        database.insert("goat_sessions", &SESSION, &base, &chunk);
    }
    database.run("ANALYZE");
}

impl Database<'_> {
    fn insert(&self, table: &str, own: &[(&str, &str)], base: &str, rows: &Range<usize>) {
        let (pad, columns) = match self {
            Self::Sqlite(_) => ("printf('%0{}d', n.i)", "SELECT name FROM pragma_table_info('{}')"),
            Self::Postgres(..) => (
                "lpad(CAST(n.i AS TEXT), {}, '0')",
                "SELECT column_name FROM information_schema.columns WHERE table_name = '{}'
                 AND is_generated = 'NEVER'",
            ),
        };
        let columns = self.run(&columns.replace("{}", table));
        let values: Vec<String> = columns
            .iter()
            .map(|column| match own.iter().find(|(name, _)| name == column) {
                Some((_, value)) => value
                    .replace("{pad}", &pad.replace("{}", "23"))
                    .replace("{digits}", &pad.replace("{}", "7"))
                    .replace("{domain}", DOMAIN),
                None => format!("base.{column}"),
            })
            .collect();
        let Range { start, end } = rows;
        self.run(&format!(
            "INSERT INTO {table} ({}) WITH RECURSIVE n (i) AS
             (SELECT {start} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {end})
             SELECT {} FROM n CROSS JOIN {table} base WHERE {base}",
            columns.join(", "),
            values.join(", "),
        ));
    }

    /// Runs a statement; returns the first column.
    pub(crate) fn run(&self, sql: &str) -> Vec<String> {
        match self {
            Self::Postgres(postgres, url) => {
                let name = url.rsplit('/').next().expect("a database");
                postgres.psql(name, sql).lines().map(str::to_owned).collect()
            }
            Self::Sqlite(path) => {
                let runtime = tokio::runtime::Runtime::new().expect("a runtime");
                runtime.block_on(async {
                    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
                    // Filling needs no durability, but a cache for the indexes.
                    let options =
                        options.pragma("synchronous", "OFF").pragma("cache_size", "-262144");
                    let mut connection: SqliteConnection =
                        options.connect().await.expect("a database");
                    let query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned()));
                    let rows = query.fetch_all(&mut connection).await.expect("valid SQL");
                    connection.close().await.expect("it closes");
                    rows
                })
            }
        }
    }
}
