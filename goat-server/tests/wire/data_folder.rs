//! The data folder: whose it is, and what happens where two want it, or one was not meant to.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::thread;

use crate::harness::{ADMIN, ADMIN_PASSWORD, PASSWORD, Server, UNLIMITED, folder};
use crate::support::process::prepare;

fn modes(folder: &Path) -> BTreeMap<String, u32> {
    let entries = fs::read_dir(folder).expect("a directory").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| {
            let mode = entry.metadata().expect("it is there").permissions().mode() & 0o777;
            (entry.file_name().to_string_lossy().into_owned(), mode)
        })
        .collect()
}

/// Starts a server to which the system leaves every mode as it asks for it.
fn start_unmasked(folder: &Path, settings: &[(&str, &str)]) -> Server {
    let script = "umask 000; exec \"$0\" serve";
    let program = env!("CARGO_BIN_EXE_goat-server");
    Server::run(Command::new("/bin/sh").args(["-c", script, program]), folder, settings)
}

/// L1: whatever the umask, and whosever the directory, secrets and accounts are the owner's alone.
#[test]
fn files_are_private_under_every_umask_and_in_an_open_directory() {
    for is_open in [false, true] {
        let folder = folder();
        let data = folder.path().join("data");
        if is_open {
            fs::create_dir(&data).expect("made");
            fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).expect("it is ours");
        }
        let mut settings = UNLIMITED.to_vec();
        settings.retain(|(name, _)| *name != "GOAT_ADMIN_PASSWORD");
        let server = start_unmasked(folder.path(), &settings);
        let password = fs::read_to_string(data.join("admin-password")).expect("a password");
        server.sign_in(ADMIN, password.trim());
        let found = modes(&data);
        for name in
            ["admin-password", "goat.db", "goat.db-shm", "goat.db-wal", "jwt-key.pem", "pepper"]
        {
            assert_eq!(found.get(name), Some(&0o600), "{name} of {found:?}");
        }
        assert_eq!(found.len(), 6, "{found:?}");
        let own = fs::metadata(&data).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(own, if is_open { 0o777 } else { 0o700 });
        server.stop();
    }
}

/// A1: of servers that begin at once in one folder, all agree on the keys and on one administrator.
#[test]
fn servers_that_begin_at_once_in_one_folder_are_one() {
    let folder = folder();
    let mut settings = UNLIMITED.to_vec();
    settings.retain(|(name, _)| *name != "GOAT_ADMIN_PASSWORD");
    let servers: Vec<Server> = thread::scope(|scope| {
        let starts: Vec<_> =
            (0..4).map(|_| scope.spawn(|| Server::start(folder.path(), &settings))).collect();
        starts.into_iter().map(|start| start.join().expect("it starts")).collect()
    });
    let password =
        fs::read_to_string(folder.path().join("data/admin-password")).expect("a password");
    for server in &servers {
        let tokens = server.sign_in(ADMIN, password.trim());
        for other in &servers {
            let response = other.get("/api/v1/user/list", &tokens.access);
            assert_eq!(response.status, 200, "{response:?}");
            assert_eq!(response.body["meta"]["total"].as_u64().unwrap_or(1), 1, "{response:?}");
        }
    }
    // What one is told, the others go by: at the latest when their short memory has passed.
    let admin = servers[0].sign_in(ADMIN, password.trim()).access;
    let id = servers[1].make(&admin, "ann@example.org", "client");
    let ann = servers[2].sign_in("ann@example.org", PASSWORD);
    let path = format!("/api/v1/user/{id}");
    let gone = servers[3].json("DELETE", &path, &admin, &serde_json::Value::Null);
    assert_eq!(gone.status, 204);
    let body = serde_json::json!({ "refresh_token": ann.refresh });
    for server in &servers {
        let response = server.json("POST", "/api/v1/auth/refresh", "", &body);
        assert_eq!(response.failure(), (401, "session-revoked"));
    }
}

/// What a start says that is refused.
fn refusal(folder: &Path, settings: &[(&str, &str)]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_goat-server"));
    prepare(command.arg("serve"), folder).envs(settings.iter().copied());
    let output = command.output().expect("it runs");
    assert!(!output.status.success());
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// J6: a name in the data folder that leads elsewhere is neither followed into being nor overwritten.
#[test]
fn a_link_in_the_data_folder_makes_and_empties_no_file_elsewhere() {
    for name in ["pepper", "jwt-key.pem"] {
        let folder = folder();
        let data = folder.path().join("data");
        fs::create_dir(&data).expect("made");
        let target = folder.path().join("elsewhere");
        symlink(&target, data.join(name)).expect("a link");
        let said = refusal(folder.path(), &UNLIMITED);
        assert!(said.contains(name), "{said}");
        assert!(!target.exists(), "{name}");
        // One that leads to what others may read is as open as that.
        fs::write(&target, "a text that everybody may read, and that is long enough")
            .expect("written");
        fs::set_permissions(&target, fs::Permissions::from_mode(0o644)).expect("it is ours");
        let said = refusal(folder.path(), &UNLIMITED);
        assert!(said.contains("other users can access") && !said.contains("long enough"), "{said}");
    }
}

/// A2: the name of the first administrator makes nobody one: neither who signs up under it, nor who
/// has signed up under what it is changed to.
#[test]
fn an_address_that_was_taken_in_time_makes_nobody_an_administrator() {
    let folder = folder();
    let server = Server::start(folder.path(), &UNLIMITED);
    let sign_up = |server: &Server, email: &str| {
        let body = serde_json::json!({ "email": email, "password": PASSWORD });
        server.json("POST", "/api/v1/auth/signup", "", &body).status
    };
    assert_eq!(sign_up(&server, ADMIN), 409, "the administrator is there before the first request");
    assert_eq!(sign_up(&server, "next@goat.local"), 201);
    server.stop();
    // Another address: there is an administrator, so nobody is made or raised.
    let moved = [&UNLIMITED[..], &[("GOAT_ADMIN_EMAIL", "next@goat.local")]].concat();
    let server = Server::start(folder.path(), &moved);
    let squatter = server.sign_in("next@goat.local", PASSWORD);
    assert_eq!(server.get("/api/v1/user", &squatter.access).body["data"]["role"], "client");
    assert_eq!(server.login("next@goat.local", ADMIN_PASSWORD).status, 401);
    server.sign_in(ADMIN, ADMIN_PASSWORD);
}
