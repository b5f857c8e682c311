//! The library that had people before goat came, and other programs that write its table.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tokio::runtime::Runtime;

use crate::program::{Answer, Program};

const PASSWORD: &str = "a long walk on a short pier";
const GRACE: &str = "grace@example.org";
/// In another spelling than the table has it: `ann@bücher.example`.
const ANN: &str = "Ann@xn--bcher-kva.example";

/// The application's database, as its older programs use it: without goat.
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

fn sign_in(library: &Program, mail: &str) -> Answer {
    library.post("/login", "", json!({ "mail": mail, "password": PASSWORD }))
}

fn token(library: &Program, mail: &str) -> String {
    sign_in(library, mail).text("access_token")
}

/// A library whose table is as old as `people.sql`, until goat starts on it.
fn library() -> (tempfile::TempDir, OlderProgram, Program) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("library.db");
    let older = OlderProgram::open(&path);
    older.run(include_str!("../../src/bin/own_users/people.sql"));
    let library = Program::run(Command::new(env!("CARGO_BIN_EXE_own_users")).arg(&path));
    (folder, older, library)
}

#[test]
fn who_was_there_before_goat_signs_in_as_ever_and_keeps_everything() {
    let (_folder, older, library) = library();
    let hash = "SELECT pass_hash FROM people WHERE person_id = 2";
    assert!(older.one::<String>(hash).starts_with("$argon2id$v=19$m=65536,"));
    let wrong = json!({ "mail": ANN, "password": "another" });
    assert_eq!(library.post("/login", "", wrong).outcome(), (401, "invalid-credentials"));

    let ann = token(&library, ANN);
    // P6: the sign-in has written the password's hash anew, as goat makes them.
    assert!(older.one::<String>(hash).starts_with("$argon2id$v=19$m=19456,"));
    let me = library.get("/me", &ann);
    assert_eq!(me.json, json!({ "person": 2, "name": "Ann O'Hara", "books_lent": 3 }));
    assert_eq!(library.post("/loans", &ann, Value::Null).status, 204);
    assert_eq!(library.get("/me", &ann).json["books_lent"], 4);
    assert_eq!(library.get("/people", &ann).outcome(), (403, "forbidden"));
    assert_eq!(library.get("/people", "").outcome(), (401, "unauthenticated"));

    let newcomer = |mail| json!({ "mail": mail, "full_name": "Zoe", "password": PASSWORD });
    assert_eq!(library.post("/signup", "", newcomer(ANN)).outcome(), (409, "email-taken"));
    assert_eq!(library.post("/signup", "", newcomer("zoe@example.org")).status, 201);
    let zoe = token(&library, "zoe@example.org");
    let me = library.get("/me", &zoe);
    assert_eq!(me.json, json!({ "person": 3, "name": "Zoe", "books_lent": 0 }));
}

#[test]
fn what_older_programs_write_counts_with_the_next_request() {
    let (_folder, older, library) = library();
    let ann = token(&library, ANN);
    assert_eq!(library.get("/me", &ann).status, 200);

    older.run("UPDATE people SET position = 'librarian' WHERE person_id = 2");
    assert_eq!(library.get("/people", &ann).json[1]["name"], "Ann O'Hara");
    older.run("UPDATE people SET blocked = 1 WHERE person_id = 2");
    assert_eq!(library.get("/me", &ann).outcome(), (401, "session-revoked"));
    assert_eq!(sign_in(&library, ANN).outcome(), (403, "account-suspended"));

    // Let in again, Ann signs in anew: her sessions ended when she was blocked.
    older.run("UPDATE people SET blocked = 0 WHERE person_id = 2");
    assert_eq!(library.get("/me", &ann).outcome(), (401, "session-revoked"));
    let ann = token(&library, ANN);
    assert_eq!(library.get("/me", &ann).status, 200);
    older.run("DELETE FROM people WHERE person_id = 2");
    assert_eq!(library.get("/me", &ann).outcome(), (401, "session-revoked"));
    assert_eq!(sign_in(&library, ANN).outcome(), (401, "invalid-credentials"));
}

#[test]
fn the_library_blocks_people_by_the_rules_of_goat() {
    let (_folder, older, library) = library();
    let (ann, grace) = (token(&library, ANN), token(&library, GRACE));
    let block =
        |who: &str, person| library.post(&format!("/people/{person}/block"), who, Value::Null);
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

/// Whoever administers is among the library's people, and goat's own table of users is empty.
#[test]
fn an_administrator_of_the_library_changes_what_roles_may_do() {
    let (_folder, _older, library) = library();
    let (ann, grace) = (token(&library, ANN), token(&library, GRACE));
    assert_eq!(library.get("/people", &ann).outcome(), (403, "forbidden"));
    let path = "/roles/reader/permissions/people:read";
    let allow = |who: &str| library.post(path, who, Value::Null);
    assert_eq!(allow(&ann).outcome(), (403, "forbidden"));
    assert_eq!(allow(&grace).status, 204);
    assert_eq!(library.get("/people", &ann).status, 200);
    assert_eq!(allow(&grace).outcome(), (409, "permission-exists"));
}

#[test]
fn people_without_a_password_are_refused_like_strangers_and_stop_no_start() {
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
