//! `user …`: what whoever has the machine can do about users.

use crate::support::process::Site;

const PASSWORD: &str = "seven lamps over the quay\n";
const OTHER_PASSWORD: &str = "a long walk on a short pier\n";

fn refused(site: &Site, arguments: &[&str], input: &str) -> String {
    let ended = site.run_with_input(arguments, input);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
    assert_eq!(ended.out, "", "{ended:?}");
    ended.err
}

#[test]
fn users_are_made_listed_and_changed() {
    let site = Site::new();
    let said = site.run_well(&["user", "create", "ann@example.org"], PASSWORD);
    assert_eq!(said, "created ann@example.org with the role client and the status active\n");
    let create = ["user", "create", "bo@example.org", "--role", "admin", "--status", "inactive"];
    assert_eq!(
        site.run_well(&create, PASSWORD),
        "created bo@example.org with the role admin and the status inactive\n"
    );
    let listed = site.run_well(&["user", "list"], "");
    let words = |line: &str| line.split_whitespace().take(3).map(str::to_owned).collect::<Vec<_>>();
    let rows: Vec<_> = listed.lines().map(words).collect();
    assert_eq!(rows[0], ["E-MAIL", "ROLE", "STATUS"]);
    assert_eq!(rows[1], ["bo@example.org", "admin", "inactive"]);
    assert_eq!(rows[2], ["ann@example.org", "client", "active"]);
    assert!(listed.lines().skip(1).all(|line| line.ends_with("Z  never")), "{listed}");

    let said = site.run_well(&["user", "set-role", "ANN@example.org", "operator"], "");
    assert_eq!(said, "ann@example.org now has the role operator\n");
    let said = site.run_well(&["user", "set-status", "bo@example.org", "active"], "");
    assert_eq!(said, "bo@example.org now has the status active\n");
    let said = site.run_well(&["user", "reset-password", "ann@example.org"], OTHER_PASSWORD);
    assert_eq!(said, "ann@example.org has a new password; all sessions are revoked\n");
    let said = site.run_well(&["user", "revoke-sessions", "ann@example.org"], "");
    assert_eq!(said, "revoked 0 sessions of ann@example.org\n");
    let said = site.run_well(&["user", "revoke-sessions", "--all"], "");
    assert_eq!(said, "revoked 0 sessions of 2 users\n");
}

#[test]
fn what_cannot_be_done_is_one_sentence() {
    let site = Site::new();
    site.run_well(&["user", "create", "ann@example.org", "--role", "admin"], PASSWORD);
    for (arguments, input, expected) in [
        (&["user", "create", "ann@example.org"][..], PASSWORD, "another user has this"),
        (&["user", "create", "nobody"], PASSWORD, "the e-mail address must have the form"),
        (&["user", "create", "bo@example.org"], "short\n", "the password must"),
        (&["user", "create", "bo@example.org"], "", "no password given"),
        (
            &["user", "create", "bo@example.org", "--role", "king"],
            PASSWORD,
            "one of client, operator, admin",
        ),
        (&["user", "set-role", "bo@example.org", "admin"], "", "no user has this"),
        (&["user", "set-role", "ann@example.org", "king"], "", "one of client, operator, admin"),
        // A3.
        (&["user", "set-role", "ann@example.org", "client"], "", "no active administrator"),
        (&["user", "set-status", "ann@example.org", "suspended"], "", "no active administrator"),
        (&["user", "set-status", "ann@example.org", "inactive"], "", "cannot change this way"),
        (&["user", "reset-password", "ann@example.org"], "ann@example.org\n", "the password must"),
        (&["user", "revoke-sessions", "bo@example.org"], "", "no user has this"),
    ] {
        let said = refused(&site, arguments, input);
        assert!(said.contains(expected), "{arguments:?}: {said}");
        assert!(input.is_empty() || !said.contains(input.trim()) || input.contains('@'), "{said}");
    }
}

/// Whoever has locked themselves out and has the machine gets in again.
#[test]
fn a_user_is_made_an_administrator_while_the_server_runs() {
    let site = Site::new();
    let (server, _) = site.serve();
    site.run_well(&["user", "create", "ann@example.org"], PASSWORD);
    site.run_well(&["user", "set-role", "ann@example.org", "admin"], "");
    site.run_well(&["user", "set-status", "admin@goat.local", "suspended"], "");
    site.run_well(&["user", "set-status", "admin@goat.local", "active"], "");
    server.stop();
}
