//! What sees to it that this run is what it says: all of the tests, and on engines.

use std::collections::BTreeSet;
use std::path::Path;

use goat_engines::{Postgres, Redis};
use serde_json::json;

use crate::common::{PASSWORD, TestApp};

/// Every test of it breaks stores of its own, in memory.
const NOT_HERE: [&str; 1] = ["dependency_down"];

#[test]
fn every_file_of_tests_of_the_api_is_run_here_too() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut files = BTreeSet::new();
    for entry in folder.read_dir().expect("the folder is there") {
        let path = entry.expect("an entry").path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".rs"))
        else {
            continue;
        };
        let text = std::fs::read_to_string(&path).expect("a text");
        if text.lines().any(|line| line == "mod common;") && !NOT_HERE.contains(&name) {
            files.insert(name.to_owned());
        }
    }
    let paths = include_str!("main.rs").lines().filter_map(|line| {
        let file = line.strip_prefix("#[path = \"../")?.strip_suffix(".rs\"]")?;
        (file != "common/mod").then(|| file.to_owned())
    });
    assert_eq!(paths.collect::<BTreeSet<_>>(), files);
}

#[tokio::test]
async fn what_the_api_is_told_lies_in_postgresql_and_redis() {
    let app = TestApp::new().await;
    let body = json!({"email": "ann@example.org", "password": PASSWORD});
    assert_eq!(app.post("/api/v1/auth/signup").json(&body).send().await.status, 201);
    let database = app.ground.database_name().expect("a database");
    let users = Postgres::shared().psql(database, "SELECT email FROM goat_users");
    assert_eq!(users, "ann@example.org");
    let answer = app.post("/api/v1/auth/login").json(&body).send().await;
    let token = answer.data()["access_token"].as_str().expect("a token");
    let seen = app.get("/api/v1/user").bearer(token).send().await;
    assert_eq!(seen.status, 200);
    let prefix = app.ground.prefix().expect("a prefix");
    let lying = |key: String| Redis::shared().cli(&["EXISTS", &format!("{prefix}:{key}")]) == "1";
    let id = seen.data()["id"].as_str().expect("an id");
    assert!(lying(format!("{{{id}}}:s")), "sessions");
    assert!(lying("{roles}:r".to_owned()), "what is remembered together");
    let limits = Redis::shared().cli(&["KEYS", &format!("{prefix}:*:*/*")]);
    assert!(!limits.is_empty(), "limits");
    let sessions = Postgres::shared().psql(database, "SELECT count(*) FROM goat_sessions");
    assert_eq!(sessions, "0");
}
