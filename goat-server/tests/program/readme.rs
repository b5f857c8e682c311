//! The front door's session, run as it would be pasted.

use std::process::{Command, Stdio};

use crate::support::process::Site;

const README: &str = include_str!("../../../README.md");

#[test]
fn the_session_of_the_readme_works_as_pasted() {
    let site = Site::new();
    let (_server, address) = site.serve();
    let (_, rest) = README.split_once("```sh\n").expect("a session");
    let (session, _) = rest.split_once("```").expect("its end");
    let session = session.replace("127.0.0.1:8080", &address.to_string());
    // Each call of curl tells its status beside what the session itself makes of the response.
    let script =
        format!("curl() {{ command curl -w '%{{stderr}}%{{http_code}}\\n' \"$@\"; }}\n{session}");
    let output = Command::new("bash")
        .arg("-c")
        .arg(script)
        .current_dir(site.path(""))
        .stdin(Stdio::null())
        .output()
        .expect("bash runs");
    let printed = String::from_utf8(output.stdout).expect("text");
    let told = String::from_utf8(output.stderr).expect("text");
    let statuses: Vec<&str> = told.lines().collect();
    assert_eq!(
        statuses,
        ["201", "200", "200", "200", "403", "200", "201", "200", "204", "401"],
        "sign up, sign in, profile, refresh, refused, the administrator signs in and grants, let in, \
         logged out, refused:\n{printed}"
    );
    assert!(printed.contains(r#""code":"session-revoked""#), "{printed}");
}
