//! The commands `key …`.

use goat_core::key::{KeyPrefix, PresentedKey};

use crate::support::process::Program;

const PASSWORD: &str = "seven lamps over the quay\n";

/// A program with a database, a service account and a person.
fn migrated() -> Program {
    let program = Program::new().with("GOAT_PASSWORD_PEPPER", "p4Wz1uYc7nQe9sKd2mXf6tBh8vRj3gLa");
    program.run_ok(&["migrate"], "");
    program.run_ok(&["user", "create", "--service", "backup", "--role", "operator"], "");
    program.run_ok(&["user", "create", "ann@example.org"], PASSWORD);
    program
}

fn refused(program: &Program, arguments: &[&str]) -> String {
    let exit = program.run(arguments);
    assert_eq!(exit.status, Some(1), "{exit:?}");
    assert_eq!((exit.err.lines().count(), exit.out.as_str()), (1, ""), "{exit:?}");
    exit.err
}

/// The rows of a list, without its heading.
fn rows(program: &Program, owner: &str) -> Vec<Vec<String>> {
    let listed = program.run_ok(&["key", "list", owner], "");
    let mut rows = Vec::new();
    for line in listed.lines().skip(1) {
        let words = line.split("  ").map(str::trim).filter(|word| !word.is_empty());
        rows.push(words.map(str::to_owned).collect());
    }
    rows
}

/// K3: the text is alone on standard output; the audit event names the key, and holds no part of its secret.
#[test]
fn keys_are_created_listed_and_revoked() {
    let program = migrated();
    let create = ["key", "create", "backup", "nightly", "--scope", "user:update"];
    let exit =
        program.run(&[&create[..], &["--scope", "user:read", "--expires-in", "1h"]].concat());
    assert_eq!(exit.status, Some(0), "{exit:?}");
    let text = exit.out.strip_suffix('\n').expect("a line");
    let key = PresentedKey::parse(&KeyPrefix::default(), text).expect("the text of a key");
    let id = key.id().to_string();
    assert!(exit.err.contains("key-created") && exit.err.contains(&id), "{exit:?}");
    assert!(!exit.err.contains(&text[31..47]), "{exit:?}");
    program.run_ok(&["key", "create", "backup@service.invalid", "all", "--scope", "*"], "");

    let listed = program.run_ok(&["key", "list", "backup"], "");
    let heading: Vec<_> = listed.lines().next().expect("a heading").split_whitespace().collect();
    assert_eq!(heading, ["ID", "NAME", "SCOPES", "CREATED", "EXPIRES", "LAST", "USED"]);
    assert!(!listed.contains(&text[31..47]), "{listed}");
    let listed = rows(&program, "backup");
    assert_eq!(listed.len(), 2);
    assert_eq!((listed[0][1].as_str(), listed[0][2].as_str()), ("all", "*"));
    let [first, name, scopes, _, expires, used] = listed[1].as_slice() else {
        panic!("{listed:?}")
    };
    assert_eq!((first, name.as_str(), scopes.as_str()), (&id, "nightly", "user:read user:update"));
    assert!(expires.ends_with('Z') && used == "never", "{listed:?}");

    let revoked = program.run(&["key", "revoke", &id]);
    assert_eq!(revoked.out, format!("revoked the key {id}\n"));
    assert!(revoked.err.contains("key-revoked") && revoked.err.contains(&id), "{revoked:?}");
    assert!(refused(&program, &["key", "revoke", &id]).contains("no key has this id"));
    assert_eq!(program.run_ok(&["key", "revoke", "--all"], ""), "revoked 1 keys\n");
    assert!(rows(&program, "backup@service.invalid").is_empty());
}

/// K5
#[test]
fn refused_key_is_one_message() {
    let program = migrated().with("GOAT_KEYS_PER_USER", "1");
    for (arguments, expected) in [
        (&["backup", "a", "--scope", "user:delete"][..], "the scopes must be permissions"),
        (&["backup", "a", "--scope", "nonsense"], "the scope nonsense must"),
        (&["backup", "a", "--scope", "*", "--scope", "user:read"], "so give no other"),
        (&["backup", "", "--scope", "*"], "the name must be 1 to 100"),
        (
            &["backup", "a", "--scope", "*", "--expires-in", "soon"],
            "--expires-in is not a duration",
        ),
        (
            &["backup", "a", "--scope", "*", "--expires-in", "9000h"],
            "the expires_in must be at most",
        ),
        (&["robot", "a", "--scope", "*"], "no service account has this name"),
        (&["a b", "a", "--scope", "*"], "the name of a service account must be"),
        (&["bo@example.org", "a", "--scope", "*"], "no user has this e-mail address"),
        (&["ann@example.org", "a", "--scope", "*"], "the user is a person"),
    ] {
        let output = refused(&program, &[&["key", "create"], arguments].concat());
        assert!(output.contains(expected), "{arguments:?}: {output}");
    }
    program.run_ok(&["key", "create", "backup", "a", "--scope", "*"], "");
    let output = refused(&program, &["key", "create", "backup", "b", "--scope", "*"]);
    assert!(output.contains("GOAT_KEYS_PER_USER"), "{output}");
    assert!(refused(&program, &["key", "revoke", "x"]).contains("the id must"));
    let off = program.with("GOAT_KEYS", "false");
    let output = refused(&off, &["key", "create", "backup", "b", "--scope", "*"]);
    assert!(output.contains("API keys are switched off"), "{output}");
}

#[test]
fn prefix_and_life_of_keys_are_settings() {
    let program = migrated().with("GOAT_KEY_PREFIX", "acme").with("GOAT_KEY_TTL", "off");
    let text = program.run_ok(&["key", "create", "backup", "a", "--scope", "*"], "");
    assert!(text.starts_with("acme_"), "{text}");
    assert_eq!(rows(&program, "backup")[0][4], "never");
}
