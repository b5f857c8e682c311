//! The data folder: file modes, concurrent starts, and symbolic links.

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

/// Starts a server with the umask 000.
fn start_unmasked(folder: &Path, settings: &[(&str, &str)]) -> Server {
    let script = "umask 000; exec \"$0\" serve";
    let program = env!("CARGO_BIN_EXE_goat-server");
    Server::run(Command::new("/bin/sh").args(["-c", script, program]), folder, settings)
}

/// L1: under any umask, and in an open directory, only the owner can read the files.
#[test]
fn files_are_private_under_any_umask() {
    for is_open in [false, true] {
        let folder = folder();
        let data = folder.path().join("data");
        if is_open {
            fs::create_dir(&data).expect("made");
            fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).expect("the owner");
        }
        let mut settings = UNLIMITED.to_vec();
        settings.retain(|(name, _)| *name != "GOAT_ADMIN_PASSWORD");
        let server = start_unmasked(folder.path(), &settings);
        let password = fs::read_to_string(data.join("admin-password")).expect("a password");
        server.sign_in(ADMIN, password.trim());
        let found = modes(&data);
        for name in [
            "admin-password",
            "goat.db",
            "goat.db-shm",
            "goat.db-wal",
            "goat.db.lock",
            "jwt-key.pem",
            "pepper",
            "server-key",
        ] {
            assert_eq!(found.get(name), Some(&0o600), "{name} of {found:?}");
        }
        assert_eq!(found.len(), 8, "{found:?}");
        let own = fs::metadata(&data).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(own, if is_open { 0o777 } else { 0o700 });
        server.stop();
    }
}

/// A7, B4: a server keeps its caches and limits in its process, so that a second one on the same file is
/// refused; until the first one ends, in any way.
#[test]
fn second_server_on_one_database_is_refused() {
    let folder = folder();
    let mut server = Server::start(folder.path(), &UNLIMITED);
    for is_killed in [false, true] {
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let lines = refusal(folder.path(), &UNLIMITED);
                    assert!(lines.contains("another server uses the database"), "{lines}");
                    assert!(lines.contains("goat.db"), "{lines}");
                });
            }
        });
        server.sign_in(ADMIN, ADMIN_PASSWORD);
        if is_killed {
            drop(server);
        } else {
            server.stop();
        }
        server = Server::start(folder.path(), &UNLIMITED);
    }
}

/// The output of a refused start.
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

/// L5: the target of a symbolic link is neither created nor overwritten.
#[test]
fn symbolic_links_in_the_data_folder_are_not_followed_for_writing() {
    for name in ["pepper", "jwt-key.pem", "server-key"] {
        let folder = folder();
        let data = folder.path().join("data");
        fs::create_dir(&data).expect("made");
        let target = folder.path().join("elsewhere");
        symlink(&target, data.join(name)).expect("a link");
        let lines = refusal(folder.path(), &UNLIMITED);
        assert!(lines.contains(name), "{lines}");
        assert!(!target.exists(), "{name}");
    }
}

/// A2: nobody becomes administrator by signing up with the administrator's address, neither the present
/// one nor a later one.
#[test]
fn signup_with_the_administrator_address_grants_nothing() {
    let folder = folder();
    let server = Server::start(folder.path(), &UNLIMITED);
    let sign_up = |server: &Server, email: &str| {
        let body = serde_json::json!({ "email": email, "password": PASSWORD });
        server.json("POST", "/api/v1/auth/signup", "", &body).status
    };
    assert_eq!(sign_up(&server, ADMIN), 409, "the administrator is there before the first request");
    assert_eq!(sign_up(&server, "next@goat.local"), 201);
    server.stop();
    // An administrator exists, so another address has no effect.
    let moved = [&UNLIMITED[..], &[("GOAT_ADMIN_EMAIL", "next@goat.local")]].concat();
    let server = Server::start(folder.path(), &moved);
    let squatter = server.sign_in("next@goat.local", PASSWORD);
    assert_eq!(server.get("/api/v1/user", &squatter.access).body["data"]["role"], "client");
    assert_eq!(server.login("next@goat.local", ADMIN_PASSWORD).status, 401);
    server.sign_in(ADMIN, ADMIN_PASSWORD);
}
