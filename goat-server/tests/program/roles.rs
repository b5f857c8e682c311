//! The commands `role …` and `permission …`, the roles file, and the role given at sign-up.

use std::fs;

use crate::support::process::Program;

const PASSWORD: &str = "seven lamps over the quay\n";

/// A program with a database and a pepper, which commands do not create.
fn migrated() -> Program {
    let program = Program::new().with("GOAT_PASSWORD_PEPPER", "p4Wz1uYc7nQe9sKd2mXf6tBh8vRj3gLa");
    program.run_ok(&["migrate"], "");
    program
}

fn refused(program: &Program, arguments: &[&str]) -> String {
    let exit = program.run(arguments);
    assert_eq!(exit.status, Some(1), "{exit:?}");
    assert_eq!((exit.err.lines().count(), exit.out.as_str()), (1, ""), "{exit:?}");
    exit.err
}

#[test]
fn roles_and_permissions_are_managed() {
    let program = migrated();
    let listed = program.run_ok(&["role", "list"], "");
    let rows: Vec<Vec<_>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["ROLE", "RANK", "PERMISSIONS"]);
    assert_eq!(rows[1], ["client", "100"]);
    assert_eq!(rows[2], ["operator", "500", "user:change_status", "user:read", "user:update"]);
    assert_eq!(rows[3], ["admin", "1000", "full_access"]);

    let create = ["role", "create", "support", "--rank", "300", "--permission", "ticket:*"];
    let output = program.run_ok(&create, "");
    assert_eq!(output, "created the role support with the rank 300\n");
    let exit = program.run(&["role", "set-rank", "support", "301"]);
    // A change is an audit event.
    assert!(exit.err.contains("role-ranked") && exit.err.contains("support"), "{exit:?}");
    let output = exit.out;
    assert_eq!(output, "support now has the rank 301\n");
    let output = program.run_ok(&["permission", "grant", "support", "a:b"], "");
    assert_eq!(output, "the role support now has the permission a:b\n");
    let output = program.run_ok(&["permission", "revoke", "support", "ticket:*"], "");
    assert_eq!(output, "the role support no longer has the permission ticket:*\n");
    let listed = program.run_ok(&["permission", "list", "support"], "");
    assert_eq!(listed, "ROLE     PERMISSION\nsupport  a:b\n");
    assert_eq!(program.run_ok(&["permission", "list"], "").lines().count(), 6);

    for name in ["ann", "bob"] {
        let email = format!("{name}@example.org");
        program.run_ok(&["user", "create", &email, "--role", "support"], PASSWORD);
    }
    let output = refused(&program, &["role", "delete", "support"]);
    assert!(output.contains("2 users have this role"), "{output}");
    let output = program.run_ok(&["user", "set-role", "--all-of", "support", "client"], "");
    assert_eq!(output, "2 users changed\n2 users now have the role client\n");
    let output = program.run_ok(&["role", "delete", "support"], "");
    assert_eq!(output, "deleted the role support\n");
}

#[test]
fn refused_change_of_roles_is_one_message() {
    let program = migrated();
    for (arguments, expected) in [
        (&["role", "create", "9lives", "--rank", "1"][..], "the name must be 1 to 32"),
        (&["role", "create", "admin", "--rank", "1"], "A role of this name exists"),
        (&["role", "create", "a", "--rank", "1", "--permission", "b"], "the permission must be"),
        (&["role", "set-rank", "ghost", "1"], "no such role exists"),
        (&["role", "set-rank", "admin", "1"], "cannot be changed"),
        (&["role", "delete", "client"], "cannot be changed"),
        (&["permission", "list", "ghost"], "no such role exists"),
        (&["permission", "grant", "ghost", "a:b"], "the role must be one of"),
        (&["permission", "grant", "client", "full_access"], "the action can be full_access only"),
        (&["permission", "revoke", "client", "a:b"], "does not have the permission"),
        (&["permission", "revoke", "admin", "full_access"], "no active administrator"),
        (&["user", "set-role", "--all-of", "client", "ghost"], "the role must be one of"),
    ] {
        let output = refused(&program, arguments);
        assert!(output.contains(expected), "{arguments:?}: {output}");
    }
}

/// A3
#[test]
fn last_administrator_keeps_the_role_when_all_are_changed() {
    let program = migrated();
    for name in ["ann", "bob"] {
        let email = format!("{name}@example.org");
        program.run_ok(&["user", "create", &email, "--role", "admin"], PASSWORD);
    }
    let exit = program.run(&["user", "set-role", "--all-of", "admin", "client"]);
    assert_eq!(exit.status, Some(1), "{exit:?}");
    assert!(exit.err.contains("no active administrator"), "{exit:?}");
    assert_eq!(program.run_ok(&["user", "list"], "").matches(" admin ").count(), 1);
}

const ROLES: &str = r#"[
    {"name": "guest", "rank": 50, "permissions": []},
    {"name": "support", "rank": 300, "permissions": ["ticket:*"]}
]"#;

#[test]
fn roles_file_is_applied_on_a_first_start_and_by_migrate_and_compared_by_check() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("roles.json");
    fs::write(&path, ROLES).expect("a file");
    let program = Program::new()
        .with("GOAT_ROLES_FILE", path.to_str().expect("UTF-8"))
        .with("GOAT_SIGNUP_ROLE", "guest");
    let checked = program.run_ok(&["check"], "");
    assert!(checked.contains("roles: 3 differences from the roles file\n"), "{checked}");
    assert!(checked.contains("\n  + role support, rank 300\n"), "{checked}");

    let (server, _) = program.serve();
    server.stop();
    let listed = program.run_ok(&["role", "list"], "");
    assert!(listed.contains("\nguest     50\n") && listed.contains("ticket:*"), "{listed}");
    assert!(program.run_ok(&["check"], "").contains("roles: as in the roles file\n"));

    // A later start leaves changes alone; `migrate` applies the file.
    program.run_ok(&["role", "set-rank", "support", "301"], "");
    let (server, _) = program.serve();
    server.stop();
    let checked = program.run_ok(&["check"], "");
    assert!(checked.contains("\n  ~ role support, rank 301 -> 300\n"), "{checked}");
    let migrated = program.run_ok(&["migrate"], "");
    let change = "roles file: ~ role support, rank 301 -> 300\n";
    assert_eq!(migrated, format!("the schema is already up to date\n{change}"));
    assert_eq!(program.run_ok(&["migrate"], ""), "the schema is already up to date\n");
}

/// A8
#[test]
fn role_given_at_sign_up_must_exist_and_have_no_full_access() {
    for (role, reason) in [("ghost", "does not exist"), ("admin", "full_access")] {
        let exit = Program::new().with("GOAT_SIGNUP_ROLE", role).run(&["serve"]);
        assert_eq!(exit.status, Some(78), "{exit:?}");
        let text = format!("{}{}", exit.err, exit.out);
        assert!(text.contains(reason), "{role}: {text}");
    }
}
