//! Arguments, their commands, and the help.

use super::*;

fn parse(arguments: &[&str]) -> Result<Invocation, NotRun> {
    Invocation::parse(["goat-server"].iter().chain(arguments))
}

#[test]
fn definition_is_consistent() {
    definition().debug_assert();
}

#[test]
fn each_command_is_parsed() {
    let user = Command::User;
    let email = || "a@b.example".to_owned();
    for (line, expected) in [
        ("", Command::Serve),
        ("serve", Command::Serve),
        ("migrate", Command::Migrate { adopt: false }),
        ("migrate --adopt", Command::Migrate { adopt: true }),
        ("check", Command::Check { strict: false }),
        ("check --strict", Command::Check { strict: true }),
        ("backup goat.backup", Command::Backup("goat.backup".into())),
        ("restore goat.backup", Command::Restore("goat.backup".into())),
        ("health", Command::Health),
        ("openapi", Command::OpenApi),
        ("user list", user(UserCommand::List)),
        (
            "user create a@b.example",
            user(UserCommand::Create {
                email: email(),
                role: "client".into(),
                status: "active".into(),
            }),
        ),
        (
            "user create --role admin --status inactive a@b.example",
            user(UserCommand::Create {
                email: email(),
                role: "admin".into(),
                status: "inactive".into(),
            }),
        ),
        (
            "user create --service backup --role operator",
            user(UserCommand::CreateService { name: "backup".into(), role: "operator".into() }),
        ),
        (
            "user set-role a@b.example operator",
            user(UserCommand::SetRole { email: email(), role: "operator".into() }),
        ),
        (
            "user set-role --all-of team-a client",
            user(UserCommand::SetRoleOfAll { from: "team-a".into(), to: "client".into() }),
        ),
        (
            "key create backup nightly --scope user:read --scope user:list --expires-in 720h",
            Command::Key(KeyCommand::Create {
                owner: "backup".into(),
                name: "nightly".into(),
                scopes: vec!["user:read".into(), "user:list".into()],
                expires_in: Some("720h".into()),
            }),
        ),
        (
            "key create backup nightly --scope *",
            Command::Key(KeyCommand::Create {
                owner: "backup".into(),
                name: "nightly".into(),
                scopes: vec!["*".into()],
                expires_in: None,
            }),
        ),
        ("key list a@b.example", Command::Key(KeyCommand::List { owner: email() })),
        (
            "key revoke 01KDWMBY00C8X0F4ZCV7J3T9QH",
            Command::Key(KeyCommand::Revoke(RevokedKeys::One("01KDWMBY00C8X0F4ZCV7J3T9QH".into()))),
        ),
        ("key revoke --all", Command::Key(KeyCommand::Revoke(RevokedKeys::All))),
        ("role list", Command::Role(RoleCommand::List)),
        (
            "role create support --rank 300 --permission a:b --permission a:c",
            Command::Role(RoleCommand::Create {
                name: "support".into(),
                rank: 300,
                permissions: vec!["a:b".into(), "a:c".into()],
            }),
        ),
        (
            "role set-rank support 0",
            Command::Role(RoleCommand::SetRank { name: "support".into(), rank: 0 }),
        ),
        ("role delete support", Command::Role(RoleCommand::Delete { name: "support".into() })),
        ("permission list", Command::Permission(PermissionCommand::List { role: None })),
        (
            "permission list support",
            Command::Permission(PermissionCommand::List { role: Some("support".into()) }),
        ),
        (
            "permission grant support a:b",
            Command::Permission(PermissionCommand::Grant {
                role: "support".into(),
                permission: "a:b".into(),
            }),
        ),
        (
            "permission revoke support a:b",
            Command::Permission(PermissionCommand::Revoke {
                role: "support".into(),
                permission: "a:b".into(),
            }),
        ),
        (
            "user set-status a@b.example suspended",
            user(UserCommand::SetStatus { email: email(), status: "suspended".into() }),
        ),
        ("user reset-password a@b.example", user(UserCommand::ResetPassword { email: email() })),
        (
            "user revoke-sessions a@b.example",
            user(UserCommand::RevokeSessions(RevokeTarget::User(email()))),
        ),
        ("user revoke-sessions --all", user(UserCommand::RevokeSessions(RevokeTarget::Everyone))),
    ] {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(parse(&arguments).expect(line).command, expected, "{line}");
    }
}

#[test]
fn wrong_arguments_are_a_usage_error() {
    for line in [
        "dance",
        "backup",
        "restore",
        "user",
        "user create",
        "user set-role a@b.example",
        "user set-status a@b.example asleep",
        "user revoke-sessions",
        "user revoke-sessions --all a@b.example",
        "user create a@b.example --status suspended",
        "user set-role --all-of client",
        "key",
        "key create backup nightly",
        "key create backup --scope *",
        "key list",
        "key revoke",
        "key revoke --all 01KDWMBY00C8X0F4ZCV7J3T9QH",
        "role",
        "role create support",
        "role create support --rank 1000",
        "role set-rank support -1",
        "permission",
        "permission grant support",
        "serve --adopt",
        "serve --strict",
        "--goat-listen",
        "--goat-litsen 127.0.0.1:80",
        "--goat-listen 127.0.0.1:80 --goat-listen 127.0.0.1:81",
    ] {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(parse(&arguments).expect_err(line).exit_status(), 2, "{line}");
    }
}

#[test]
fn misspelled_flag_gets_a_suggestion() {
    let error = parse(&["serve", "--goat-litsen=x"]).expect_err("a misspelt flag").text();
    assert!(error.contains("'--goat-listen'"), "{error}");
}

#[test]
fn secret_has_no_flag_and_is_not_shown() {
    for flag in ["--goat-jwt-secret", "--goat-password-pepper", "--goat-admin-password"] {
        for arguments in [vec![format!("{flag}=canary")], vec![flag.into(), "canary".into()]] {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let error = parse(&arguments).expect_err("a secret on the command line");
            assert_eq!(error.exit_status(), 2);
            assert!(!error.text().contains("canary"), "{}", error.text());
        }
    }
}

#[test]
fn debug_output_hides_flag_values() {
    let invocation =
        parse(&["--database-url", "postgres://u:canary@db/g"]).expect("valid arguments");
    let shown = format!("{invocation:?}");
    assert!(shown.contains("DATABASE_URL") && !shown.contains("canary"), "{shown}");
}

#[test]
fn every_command_has_help() {
    for command in [
        "",
        "serve",
        "migrate",
        "check",
        "backup",
        "restore",
        "health",
        "openapi",
        "user",
        "user create",
        "user list",
        "user set-role",
        "user set-status",
        "user reset-password",
        "user revoke-sessions",
        "key",
        "key create",
        "key list",
        "key revoke",
        "role",
        "role create",
        "role set-rank",
        "role delete",
        "permission",
        "permission list",
        "permission grant",
        "permission revoke",
    ] {
        for option in ["--help", "-h"] {
            let mut arguments: Vec<&str> = command.split_whitespace().collect();
            arguments.push(option);
            let answer = parse(&arguments).expect_err("an answer in place of a command");
            assert_eq!(answer.exit_status(), 0, "{command} {option}");
            assert!(!answer.text().is_empty(), "{command} {option}");
        }
    }
}

#[test]
fn version_is_printed() {
    let answer = parse(&["--version"]).expect_err("an answer in place of a command");
    assert_eq!(answer.exit_status(), 0);
    assert_eq!(answer.text(), format!("goat-server {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn help_of_every_command_lists_every_setting_with_its_default_and_bounds() {
    fn flat(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
    for command in ["", "serve", "migrate", "check", "openapi", "user", "user set-role"] {
        let mut arguments: Vec<&str> = command.split_whitespace().collect();
        arguments.push("--help");
        let help = flat(&parse(&arguments).expect_err("help").text());
        for setting in table::TABLE {
            let entry = flat(&format!(
                "{} {}Accepts {}. Default: {}.",
                setting.help,
                if setting.flag().is_none() { "Secret. " } else { "" },
                setting.kind,
                setting.default
            ));
            let start = help.find(&format!(" {}", setting.name)).expect(setting.name);
            assert!(help[start..].contains(&entry), "{command}: {}", setting.name);
            let flag = setting.flag().map(|flag| format!("--{flag} <VALUE>"));
            assert!(flag.is_none_or(|flag| help[start..].contains(&flag)), "{}", setting.name);
        }
    }
}
