//! Example `own_users`: an existing table of people, with UUIDs and the hashes of two libraries.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tokio::runtime::Runtime;

use crate::program::{Program, Response};

const PASSWORD: &str = "a long walk on a short pier";
const GRACE: &str = "grace@example.org";
/// A different spelling of the table's `ann@bücher.example`.
const ANN: &str = "Ann@xn--bcher-kva.example";
const ANN_ID: &str = "5b1d3f7e-8c55-4d02-b1b9-7a3f9e2c4d22";

/// The application's older programs, which write the database without goat.
struct OlderProgram {
    runtime: Runtime,
    pool: SqlitePool,
}

impl OlderProgram {
    fn open(path: &Path) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let pool = runtime.block_on(SqlitePool::connect_with(options)).expect("a database");
        Self { runtime, pool }
    }

    fn run(&self, statement: &'static str) {
        self.runtime.block_on(sqlx::raw_sql(statement).execute(&self.pool)).expect("written");
    }

    fn one<T>(&self, query: &'static str) -> T
    where
        T: Send + Unpin + for<'row> sqlx::Decode<'row, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        let query = sqlx::query_scalar(query);
        self.runtime.block_on(query.fetch_one(&self.pool)).expect("a value")
    }
}

fn sign_in(library: &Program, mail: &str) -> Response {
    library.post("/login", "", json!({ "mail": mail, "password": PASSWORD }))
}

fn token(library: &Program, mail: &str) -> String {
    sign_in(library, mail).text("access_token")
}

/// Starts the example on the original table of `people.sql`.
fn library() -> (tempfile::TempDir, OlderProgram, Program) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("library.db");
    let older = OlderProgram::open(&path);
    older.run(include_str!("../../src/bin/own_users/people.sql"));
    let library = Program::run(Command::new(env!("CARGO_BIN_EXE_own_users")).arg(&path));
    (folder, older, library)
}

#[test]
fn existing_people_sign_in_and_keep_their_data() {
    let (_folder, older, library) = library();
    let hash = "SELECT pass_hash FROM people WHERE mail LIKE 'ann%'";
    assert!(older.one::<String>(hash).starts_with("$2b$12$"));
    let wrong = json!({ "mail": ANN, "password": "another" });
    assert_eq!(library.post("/login", "", wrong).outcome(), (401, "invalid-credentials"));

    let ann = token(&library, ANN);
    // P6: the login has rehashed the password with goat's parameters.
    assert!(older.one::<String>(hash).starts_with("$argon2id$v=19$m=19456,"));
    let me = |is_verified: bool| {
        let (name, books) = ("Ann O'Hara", 3);
        json!({ "person": ANN_ID, "name": name, "books": books, "mail_verified": is_verified })
    };
    assert_eq!(library.get("/me", &ann).json, me(false));
    // The library knows that the address is Ann's.
    older.run("UPDATE people SET goat_email_verified_at = 1767225600000 WHERE mail LIKE 'ann%'");
    assert_eq!(library.get("/me", &ann).json, me(true));
    assert_eq!(library.get("/me", "").outcome(), (401, "unauthenticated"));
    // A role that the library does not know has no permissions.
    older.run("UPDATE people SET position = 'guest' WHERE mail LIKE 'grace%'");
    assert_eq!(library.get("/me", &token(&library, GRACE)).outcome(), (403, "forbidden"));
}

/// A person exists with the library's own row, or not at all.
#[test]
fn a_sign_up_creates_both_rows() {
    let (_folder, older, library) = library();
    let sign_up = |mail, name: Option<&str>| {
        library.post("/signup", "", json!({ "mail": mail, "name": name, "password": PASSWORD }))
    };
    assert_eq!(sign_up(ANN, Some("Ann")).outcome(), (409, "email-taken"));
    // The library's row needs a name.
    assert_eq!(sign_up("zoe@example.org", None).outcome(), (500, "internal"));
    assert_eq!(sign_in(&library, "zoe@example.org").outcome(), (401, "invalid-credentials"));
    assert_eq!(sign_up("zoe@example.org", Some("Zoe")).status, 201);
    let me = library.get("/me", &token(&library, "zoe@example.org"));
    let id: String = older.one("SELECT person FROM readers WHERE name = 'Zoe'");
    assert_eq!(me.json, json!({ "person": id, "name": "Zoe", "books": 0, "mail_verified": false }));
    assert_eq!(older.one::<i64>("SELECT count(*) FROM readers"), 3);
}

#[test]
fn people_without_a_valid_hash_cannot_sign_in_and_do_not_block_startup() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("library.db");
    let older = OlderProgram::open(&path);
    older.run(include_str!("../../src/bin/own_users/people.sql"));
    for statement in [
        "UPDATE people SET pass_hash = '!' WHERE mail LIKE 'ann%'",
        "UPDATE people SET pass_hash = NULL WHERE mail LIKE 'ann%'",
    ] {
        older.run(statement);
        let library = Program::run(Command::new(env!("CARGO_BIN_EXE_own_users")).arg(&path));
        assert_eq!(sign_in(&library, ANN).outcome(), (401, "invalid-credentials"));
        assert_eq!(sign_in(&library, "nobody@example.org").outcome(), (401, "invalid-credentials"));
        token(&library, GRACE);
    }
}
