//! The commands `user …`.

use crate::support::process::Program;

const PASSWORD: &str = "seven lamps over the quay\n";
const OTHER_PASSWORD: &str = "a long walk on a short pier\n";

/// A program with a database and a pepper, which commands do not create.
fn migrated() -> Program {
    let program = Program::new().with("GOAT_PASSWORD_PEPPER", "p4Wz1uYc7nQe9sKd2mXf6tBh8vRj3gLa");
    program.run_ok(&["migrate"], "");
    program
}

fn refused(program: &Program, arguments: &[&str], input: &str) -> String {
    let exit = program.run_with_input(arguments, input);
    assert_eq!(exit.status, Some(1), "{exit:?}");
    assert_eq!(exit.err.lines().count(), 1, "{exit:?}");
    assert_eq!(exit.out, "", "{exit:?}");
    exit.err
}

#[test]
fn users_are_created_listed_and_changed() {
    let program = migrated();
    let output = program.run_ok(&["user", "create", "ann@example.org"], PASSWORD);
    assert_eq!(output, "created ann@example.org with the role client and the status active\n");
    let create = ["user", "create", "bo@example.org", "--role", "admin", "--status", "inactive"];
    assert_eq!(
        program.run_ok(&create, PASSWORD),
        "created bo@example.org with the role admin and the status inactive\n"
    );
    let listed = program.run_ok(&["user", "list"], "");
    let words = |line: &str| line.split_whitespace().take(3).map(str::to_owned).collect::<Vec<_>>();
    let rows: Vec<_> = listed.lines().map(words).collect();
    assert_eq!(rows[0], ["E-MAIL", "ROLE", "STATUS"]);
    assert_eq!(rows[1], ["bo@example.org", "admin", "inactive"]);
    assert_eq!(rows[2], ["ann@example.org", "client", "active"]);
    assert!(listed.lines().skip(1).all(|line| line.ends_with("Z  never")), "{listed}");

    let output = program.run_ok(&["user", "set-role", "ANN@example.org", "operator"], "");
    assert_eq!(output, "ann@example.org now has the role operator\n");
    let output = program.run_ok(&["user", "set-status", "bo@example.org", "active"], "");
    assert_eq!(output, "bo@example.org now has the status active\n");
    let output = program.run_ok(&["user", "reset-password", "ann@example.org"], OTHER_PASSWORD);
    assert_eq!(output, "ann@example.org has a new password; all sessions are revoked\n");
    let output = program.run_ok(&["user", "revoke-sessions", "ann@example.org"], "");
    assert_eq!(output, "revoked 0 sessions of ann@example.org\n");
    let output = program.run_ok(&["user", "revoke-sessions", "--all"], "");
    assert_eq!(output, "revoked 0 sessions of 2 users\n");
}

#[test]
fn failed_command_is_one_message() {
    let program = migrated();
    program.run_ok(&["user", "create", "ann@example.org", "--role", "admin"], PASSWORD);
    for (arguments, input, expected) in [
        (&["user", "create", "ann@example.org"][..], PASSWORD, "another user has this"),
        (&["user", "create", "unknown"], PASSWORD, "the e-mail address must have the form"),
        (&["user", "create", "bo@example.org"], "short\n", "the password must"),
        (&["user", "create", "bo@example.org"], "", "no password given"),
        (
            &["user", "create", "bo@example.org", "--role", "king"],
            PASSWORD,
            "one of client, operator, admin",
        ),
        (&["user", "set-role", "bo@example.org", "admin"], "", "no user has this"),
        (&["user", "set-role", "ann@example.org", "king"], "", "one of client, operator, admin"),
        (&["user", "set-status", "ann@example.org", "inactive"], "", "cannot change this way"),
        (&["user", "reset-password", "ann@example.org"], "ann@example.org\n", "the password must"),
        (&["user", "revoke-sessions", "bo@example.org"], "", "no user has this"),
    ] {
        let output = refused(&program, arguments, input);
        assert!(output.contains(expected), "{arguments:?}: {output}");
        assert!(
            input.is_empty() || !output.contains(input.trim()) || input.contains('@'),
            "{output}"
        );
    }
}

#[test]
fn service_account_is_created_without_a_password() {
    let program = migrated();
    let output =
        program.run_ok(&["user", "create", "--service", "backup", "--role", "operator"], "");
    assert_eq!(output, "created backup@service.invalid with the role operator\n");
    let listed = program.run_ok(&["user", "list"], "");
    assert!(listed.contains("backup@service.invalid"), "{listed}");
    for (arguments, input, expected) in [
        (&["user", "create", "--service", "backup"][..], "", "another user has this"),
        (&["user", "create", "--service", "a b"], "", "the name of a service account must be"),
        (&["user", "create", "bo@service.invalid"], PASSWORD, "must not be in service.invalid"),
        (&["user", "reset-password", "backup@service.invalid"], PASSWORD, "cannot sign in"),
    ] {
        let output = refused(&program, arguments, input);
        assert!(output.contains(expected), "{arguments:?}: {output}");
    }
}

/// A3
#[test]
fn last_administrator_is_neither_demoted_nor_suspended() {
    let program = migrated();
    program.run_ok(&["user", "create", "ann@example.org", "--role", "admin"], PASSWORD);
    let demote = &["user", "set-role", "ann@example.org", "client"];
    for command in [demote, &["user", "set-status", "ann@example.org", "suspended"]] {
        let output = refused(&program, command, "");
        assert!(output.contains("no active administrator"), "{command:?}: {output}");
    }
    // With another administrator, the first one can be demoted.
    program.run_ok(&["user", "create", "bo@example.org", "--role", "admin"], PASSWORD);
    program.run_ok(demote, "");
}

/// Recovers a system without an accessible administrator.
#[test]
fn user_is_promoted_while_the_server_runs() {
    let program = Program::new();
    let (server, _) = program.serve();
    program.run_ok(&["user", "create", "ann@example.org"], PASSWORD);
    program.run_ok(&["user", "set-role", "ann@example.org", "admin"], "");
    program.run_ok(&["user", "set-status", "admin@goat.local", "suspended"], "");
    program.run_ok(&["user", "set-status", "admin@goat.local", "active"], "");
    server.stop();
}
