//! The sessions with curl in README.md and in the guides, run as written.

use std::process::{Command, Stdio};

use crate::support::process::Program;

const README: &str = include_str!("../../../README.md");
const FIRST_SESSION: &str = include_str!("../../guide/first-session.md");
const KEYS: &str = include_str!("../../guide/keys.md");
const MAIL: &str = include_str!("../../guide/mail.md");

/// Runs the first shell block of a document against a new server. Returns the status of each request
/// and the bodies.
fn run(document: &str) -> (Vec<String>, String) {
    let program = Program::new();
    let (_server, address) = program.serve();
    let (_, rest) = document.split_once("```sh\n").expect("a shell block");
    let (session, _) = rest.split_once("```").expect("its end");
    let session = session.replace("127.0.0.1:8080", &address.to_string());
    // Each curl writes its status to standard error, apart from what the session does with the body.
    let script =
        format!("curl() {{ command curl -w '%{{stderr}}%{{http_code}}\\n' \"$@\"; }}\n{session}");
    let output = Command::new("bash")
        .arg("-c")
        .arg(script)
        .current_dir(program.path(""))
        .stdin(Stdio::null())
        .output()
        .expect("bash runs");
    let statuses = String::from_utf8(output.stderr).expect("text");
    let bodies = String::from_utf8(output.stdout).expect("text");
    (statuses.lines().map(str::to_owned).collect(), bodies)
}

#[test]
fn session_of_the_readme_works_as_written() {
    let (statuses, bodies) = run(README);
    assert_eq!(
        statuses,
        ["201", "200", "200", "204", "401"],
        "sign up, sign in, get the user, sign out, rejected:\n{bodies}"
    );
    assert!(bodies.contains(r#""code":"session-revoked""#), "{bodies}");
}

#[test]
fn first_session_of_the_guide_works_as_written() {
    let (statuses, bodies) = run(FIRST_SESSION);
    assert_eq!(
        statuses,
        ["201", "200", "200", "200", "403", "200", "201", "200", "204", "401"],
        "sign up, sign in, get the user, refresh, forbidden, sign in as the administrator, grant, \
         list users, sign out, rejected:\n{bodies}"
    );
    assert!(bodies.contains(r#""code":"session-revoked""#), "{bodies}");
}

/// K2: the key calls, manages no keys, and revokes itself.
#[test]
fn session_of_the_guide_to_keys_works_as_written() {
    let (statuses, bodies) = run(KEYS);
    assert_eq!(
        statuses,
        ["201", "200", "201", "200", "403", "200", "200", "401"],
        "sign up, sign in, create, use, refused, list, revoke, rejected:\n{bodies}"
    );
    assert!(bodies.contains(r#""code":"session-required""#), "{bodies}");
}

/// M1, M3, M7
#[test]
fn session_of_the_guide_to_mail_works_as_written() {
    let (statuses, printed) = run(MAIL);
    assert_eq!(
        statuses,
        ["201", "202", "202", "200", "400", "200"],
        "sign up, ask, ask for nobody, set the password, used, sign in:\n{printed}"
    );
    assert!(printed.contains(r#""code":"invalid-challenge""#), "{printed}");
    assert!(printed.contains("Subject: Your password at localhost was changed"), "{printed}");
}
