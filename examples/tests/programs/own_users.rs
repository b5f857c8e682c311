//! Example `own_users`: an existing table of people that other programs write too.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tokio::runtime::Runtime;

use crate::program::{Program, Response};

const PASSWORD: &str = "a long walk on a short pier";
const GRACE: &str = "grace@example.org";
/// A different spelling of the table's `ann@bücher.example`.
const ANN: &str = "Ann@xn--bcher-kva.example";

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
    let hash = "SELECT pass_hash FROM people WHERE person_id = 2";
    assert!(older.one::<String>(hash).starts_with("$2b$12$"));
    let wrong = json!({ "mail": ANN, "password": "another" });
    assert_eq!(library.post("/login", "", wrong).outcome(), (401, "invalid-credentials"));

    let ann = token(&library, ANN);
    // P6: the login has rehashed the password with goat's parameters.
    assert!(older.one::<String>(hash).starts_with("$argon2id$v=19$m=19456,"));
    let me = library.get("/me", &ann);
    assert_eq!(me.json, json!({ "person": 2, "name": "Ann O'Hara", "books_lent": 3 }));
    assert_eq!(library.post("/loans", &ann, Value::Null).status, 204);
    assert_eq!(library.get("/me", &ann).json["books_lent"], 4);
    assert_eq!(library.get("/people", &ann).outcome(), (403, "forbidden"));
    assert_eq!(library.get("/people", "").outcome(), (401, "unauthenticated"));

    let sign_up = |mail| json!({ "mail": mail, "full_name": "Zoe", "password": PASSWORD });
    assert_eq!(library.post("/signup", "", sign_up(ANN)).outcome(), (409, "email-taken"));
    assert_eq!(library.post("/signup", "", sign_up("zoe@example.org")).status, 201);
    let zoe = token(&library, "zoe@example.org");
    let me = library.get("/me", &zoe);
    assert_eq!(me.json, json!({ "person": 3, "name": "Zoe", "books_lent": 0 }));
}

#[test]
fn external_writes_take_effect_on_the_next_request() {
    let (_folder, older, library) = library();
    let ann = token(&library, ANN);
    assert_eq!(library.get("/me", &ann).status, 200);

    older.run("UPDATE people SET position = 'librarian' WHERE person_id = 2");
    assert_eq!(library.get("/people", &ann).json[1]["name"], "Ann O'Hara");
    older.run("UPDATE people SET blocked = 1 WHERE person_id = 2");
    assert_eq!(library.get("/me", &ann).outcome(), (401, "session-revoked"));
    assert_eq!(sign_in(&library, ANN).outcome(), (403, "account-suspended"));

    // Blocking ended Ann's sessions; after unblocking she signs in again.
    older.run("UPDATE people SET blocked = 0 WHERE person_id = 2");
    assert_eq!(library.get("/me", &ann).outcome(), (401, "session-revoked"));
    let ann = token(&library, ANN);
    assert_eq!(library.get("/me", &ann).status, 200);
    older.run("DELETE FROM people WHERE person_id = 2");
    assert_eq!(library.get("/me", &ann).outcome(), (401, "session-revoked"));
    assert_eq!(sign_in(&library, ANN).outcome(), (401, "invalid-credentials"));
}

#[test]
fn blocking_follows_the_rank_rules() {
    let (_folder, older, library) = library();
    let (ann, grace) = (token(&library, ANN), token(&library, GRACE));
    let block =
        |token: &str, person| library.post(&format!("/people/{person}/block"), token, Value::Null);
    assert_eq!(block(&ann, 1).outcome(), (403, "forbidden"));
    older.run("UPDATE people SET position = 'librarian' WHERE person_id = 2");
    assert_eq!(block(&ann, 1).outcome(), (403, "outranked"));
    assert_eq!(block(&grace, 1).outcome(), (403, "outranked"));
    assert_eq!(block(&grace, 9).outcome(), (404, "not-found"));

    assert_eq!(block(&grace, 2).status, 204);
    assert_eq!(library.get("/me", &ann).outcome(), (401, "session-revoked"));
    assert!(older.one::<bool>("SELECT blocked FROM people WHERE person_id = 2"));
    assert_eq!(library.get("/people", &grace).json[1]["blocked"], true);
}

/// Administrators are in the library's table, and goat's own user table is empty.
#[test]
fn an_administrator_can_grant_permissions() {
    let (_folder, _older, library) = library();
    let (ann, grace) = (token(&library, ANN), token(&library, GRACE));
    assert_eq!(library.get("/people", &ann).outcome(), (403, "forbidden"));
    let path = "/roles/reader/permissions/people:read";
    let allow = |token: &str| library.post(path, token, Value::Null);
    assert_eq!(allow(&ann).outcome(), (403, "forbidden"));
    assert_eq!(allow(&grace).status, 204);
    assert_eq!(library.get("/people", &ann).status, 200);
    assert_eq!(allow(&grace).outcome(), (409, "permission-exists"));
}

#[test]
fn people_without_a_valid_hash_cannot_sign_in_and_do_not_block_startup() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("library.db");
    let older = OlderProgram::open(&path);
    older.run(include_str!("../../src/bin/own_users/people.sql"));
    older.run("UPDATE people SET pass_hash = '!' WHERE person_id = 2");
    let library = Program::run(Command::new(env!("CARGO_BIN_EXE_own_users")).arg(&path));
    assert_eq!(sign_in(&library, ANN).outcome(), (401, "invalid-credentials"));
    assert_eq!(sign_in(&library, "nobody@example.org").outcome(), (401, "invalid-credentials"));
    token(&library, GRACE);
}
