//! Building a goat from settings, and rejected databases and peppers.

use std::fs;
use std::path::Path;

use goat_core::event::NoObserver;
use goat_core::limit::LimitKey;
use goat_core::store::{UserChange, UserSnapshot, UserWrite};
use goat_core::user::NewUser;
use goat_core::{Actor, Email, Quota, Status};

use super::*;
use crate::start::settings::{EXIT_STATUS, Flags};
use crate::start::{AdoptForeign, SecretFile, database, keys, redis};

const PEPPER: &str = "Xr6HdT3VqzS9nKc1yLfBw8GmJp5Ae2Du";
const SERVER_KEY: &str = "Qe7Zt2MwXk5RbVn9CyJp4LsGf8HdUa3T";
const TOKEN_SECRET: &str = "kT9vQ2xLr7ZpWc4NfYb8HsJd3MgRu6Ea";

fn settings(folder: &Path, variables: &[(&str, &str)]) -> Settings {
    let data = folder.join("data").display().to_string();
    let mut all = vec![("GOAT_DATA_DIR", data.as_str())];
    all.extend(variables);
    let environment = all.iter().map(|(name, value)| (name.into(), value.into()));
    let file = folder.join("there-is-no.env");
    Settings::load(environment, &Flags::default(), &file).expect("valid settings").0
}

async fn wire(folder: &Path, variables: &[(&str, &str)]) -> Result<Started, Failure> {
    build(&settings(folder, variables), Arc::new(NoObserver)).await
}

async fn refused(folder: &Path, variables: &[(&str, &str)]) -> String {
    let failure = wire(folder, variables).await.expect_err("a refusal");
    assert_eq!(failure.exit_status(), EXIT_STATUS);
    failure.to_string()
}

/// Returns a folder with a database that has a user with a password.
async fn in_use(variables: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let started = wire(folder.path(), variables).await.expect("a goat");
    let new = NewUser {
        email: Email::parse("ann@example.org").expect("an address"),
        password: Some("seven lamps over the quay".into()),
        role: started.goat.roles().get("client").expect("a role"),
        status: Status::Active,
    };
    started.goat.users().create(Actor::system("test"), new).await.expect("a user");
    started.storage.close().await;
    folder
}

#[test]
fn each_setting_reaches_its_component() {
    let folder = tempfile::tempdir().expect("a folder");
    let handed_on = |variables: &[(&str, &str)]| {
        let settings = settings(folder.path(), variables);
        let (rules, tokens) = (rules(&settings), token_settings(&settings));
        let (gate, cost) = (bulkhead_limits(&settings), keys::cost(&settings.passwords));
        let sqlite = database::sqlite::options(&settings.storage, Path::new("goat.db"));
        let url = "postgres://goat@db/goat".into();
        let postgres = database::postgres::options(&settings.storage, &url);
        let redis = redis::client::options(&settings.storage, &"redis://sessions".into());
        format!("{rules:?} {tokens:?} {gate:?} {cost:?} {sqlite:?} {postgres:?} {redis:?}")
    };
    let shipped = handed_on(&[]);
    for (variable, value, expected) in [
        ("GOAT_DATABASE_MAX_CONNECTIONS", "7", "readers: 6,"),
        ("GOAT_DATABASE_MAX_CONNECTIONS", "7", "connections: 7,"),
        ("GOAT_STORE_TIMEOUT", "3s", "busy_timeout: 3s"),
        // Shorter than the call's timeout, so that the error names the exhausted pool.
        ("GOAT_STORE_TIMEOUT", "3s", "acquire_timeout: 2.7s"),
        ("GOAT_STORE_TIMEOUT", "3s", "statement_timeout: 3s"),
        ("GOAT_STORE_TIMEOUT", "3s", " timeout: 2.7s"),
        ("GOAT_ISSUER", "https://id.example", "issuer: \"https://id.example\""),
        ("GOAT_AUDIENCE", "shop", "audience: \"shop\""),
        ("GOAT_CLIENT_ID", "web", "client_id: \"web\""),
        ("GOAT_ACCESS_TOKEN_TTL", "10m", "access_ttl: 600s"),
        ("GOAT_ACCESS_TOKEN_PERMISSIONS", "true", "access_token_permissions: true"),
        ("GOAT_TOKEN_ATTRIBUTES", "plan", r#"token_attributes: ["plan"]"#),
        ("GOAT_REFRESH_TOKEN_TTL", "2h", "refresh_ttl: 7200s"),
        ("GOAT_SESSION_TTL", "200h", "session_ttl: 720000s"),
        ("GOAT_REFRESH_LEEWAY", "20s", "refresh_leeway: 20s"),
        ("GOAT_CLOCK_LEEWAY", "9s", "clock_leeway: 9s"),
        ("GOAT_RECENT", "7m", "recent: 420s"),
        ("GOAT_SESSIONS_PER_USER", "3", "sessions_per_user: 3,"),
        ("GOAT_KEYS", "false", " keys: false,"),
        ("GOAT_KEY_PREFIX", "acme", r#"key_prefix: KeyPrefix("acme")"#),
        ("GOAT_KEY_TTL", "720h", "key_ttl: Some(2592000s)"),
        ("GOAT_KEY_TTL", "off", "key_ttl: None"),
        ("GOAT_KEYS_PER_USER", "3", "keys_per_user: 3,"),
        ("GOAT_SESSION_CACHE_STALENESS", "0", "cache_staleness: 0ns"),
        ("GOAT_PASSWORD_MIN_LENGTH", "20", "minimum: 20,"),
        ("GOAT_PASSWORD_MAX_LENGTH", "99", "maximum: 99,"),
        ("GOAT_ARGON2_MEMORY", "20480", "cost: Cost { memory: 20480, passes: 2, lanes: 1 }"),
        ("GOAT_ARGON2_ITERATIONS", "3", "cost: Cost { memory: 19456, passes: 3, lanes: 1 }"),
        ("GOAT_ARGON2_PARALLELISM", "4", "cost: Cost { memory: 19456, passes: 2, lanes: 4 }"),
        ("GOAT_HASH_CONCURRENCY", "17", "running: 17"),
        ("GOAT_HASH_QUEUE", "5", "waiting: 5 "),
        ("GOAT_SIGNUP", "closed", "signup: Closed"),
        ("GOAT_SIGNUP", "inactive", "signup: Inactive"),
        ("GOAT_SIGNUP", "confirmed", "signup: Confirmed"),
        ("GOAT_ATTRIBUTES_SELF", "locale,theme", r#"self_attributes: ["locale", "theme"]"#),
        ("GOAT_RATE_LIMIT_AUTH", "off", "account_quota: None"),
        ("GOAT_RATE_LIMIT_AUTH", "off", "account_day_quota: None"),
        ("GOAT_RATE_LIMIT_AUTH", "off", "change_email_quota: None"),
        ("GOAT_RATE_LIMIT_ACCOUNT", "off", "account_quota: None"),
        ("GOAT_RATE_LIMIT_ACCOUNT_DAY", "off", "account_day_quota: None"),
        ("GOAT_RATE_LIMIT_PASSWORD_CHECK", "off", "password_check_quota: None"),
        ("GOAT_RATE_LIMIT_MAIL", "off", "mail_quota: None"),
        ("GOAT_CONFIRM_TTL", "2h", "confirm_ttl: 7200s"),
        ("GOAT_RECOVERY_TTL", "10m", "recovery_ttl: 600s"),
        ("GOAT_INVITE_TTL", "168h", "invite_ttl: 604800s"),
        ("GOAT_EMAIL_SIGN_IN", "true", "email_sign_in: true"),
    ] {
        assert!(!shipped.contains(expected), "{expected} in {shipped}");
        let changed = handed_on(&[(variable, value)]);
        assert!(changed.contains(expected), "{variable}: no {expected} in {changed}");
    }
}

#[tokio::test]
async fn number_of_limit_keys_is_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    let started = wire(folder.path(), &[("GOAT_RATE_LIMIT_KEYS", "1000")]).await.expect("a goat");
    for number in 0..2000 {
        let key = LimitKey::text("export", &number.to_string());
        started
            .goat
            .limits()
            .acquire("export", key, Quota::per_minute(1))
            .await
            .expect("it is kept");
    }
    let load = started.goat.limits().load().expect("limits in memory");
    assert!(load.keys <= 1000 && load.overflowed > 0, "{load:?}");
}

#[tokio::test]
async fn configured_secrets_are_not_generated() {
    let folder = tempfile::tempdir().expect("a folder");
    let given = [
        ("GOAT_JWT_SECRET", TOKEN_SECRET),
        ("GOAT_PASSWORD_PEPPER", PEPPER),
        ("GOAT_SERVER_KEY", SERVER_KEY),
    ];
    let started = wire(folder.path(), &given).await.expect("a goat");
    for file in SecretFile::ALL {
        assert!(!started.data.path_of(file).exists(), "{file:?}");
    }
    let keys: Vec<&[u8]> = started.server_keys.iter().map(|key| key.expose().as_slice()).collect();
    assert_eq!(keys, [SERVER_KEY.as_bytes()]);
}

/// M3: with mail, a key that is not set is generated once.
#[tokio::test]
async fn server_key_is_generated_once_and_only_with_mail() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut seen = Vec::new();
    for _ in 0..2 {
        let started = wire(folder.path(), &[]).await.expect("a goat");
        let [key] = started.server_keys.as_slice() else { panic!("one key") };
        let kept = fs::read_to_string(started.data.path_of(SecretFile::ServerKey)).expect("a file");
        assert_eq!(kept.trim_end().as_bytes(), key.expose());
        assert!(kept.trim_end().len() >= 32);
        seen.push(kept);
        started.storage.close().await;
    }
    assert_eq!(seen[0], seen[1]);
    let data = DataDir::new(folder.path().join("other"));
    let mut mail = settings(folder.path(), &[]).mail;
    mail.delivery = None;
    assert!(server_keys(&mail, &data).expect("no file is used").is_empty());
    assert!(!data.path().exists());
}

/// P5.
#[tokio::test]
async fn lost_pepper_refuses_the_start_without_generating_one() {
    let folder = in_use(&[]).await;
    let pepper = folder.path().join("data/pepper");
    let kept = fs::read(&pepper).expect("it is there");
    fs::remove_file(&pepper).expect("it is ours");
    for _ in 0..2 {
        let sentence = refused(folder.path(), &[]).await;
        assert!(sentence.contains("data/pepper is missing"), "{sentence}");
        assert!(!pepper.exists());
    }
    // The file, configured as the setting, is the same pepper.
    let text = String::from_utf8(kept).expect("text");
    let given = [("GOAT_PASSWORD_PEPPER", text.trim_end())];
    wire(folder.path(), &given).await.expect("the pepper is back");
}

/// P5: stored texts that are no hashes neither block a start nor hide a lost pepper.
#[tokio::test]
async fn users_without_a_password_neither_block_a_start_nor_hide_a_lost_pepper() {
    let folder = in_use(&[]).await;
    let started = wire(folder.path(), &[]).await.expect("a goat");
    let role = started.goat.roles().lowest();
    let users = Arc::clone(&started.users);
    let hash = users.sample_hashes(1).await.expect("a database").remove(0);
    let ann = Email::parse("ann@example.org").expect("an address");
    let ann = users.by_email(ann.canonical()).await.expect("a database").expect("Ann");
    for number in 0..150 {
        // The account with a password is listed last.
        let mut account = ann.clone();
        account.user.id = goat_core::UserId::generate(goat_core::Timestamp::from_seconds(number));
        account.user.email =
            Email::parse(&format!("user-{number}@example.org")).expect("an address");
        account.password_hash = "!".into();
        let decide = |_: &UserSnapshot| Ok(UserChange::Put(account.clone()));
        let target = account.user.id;
        let write = UserWrite {
            actor: None,
            key: None,
            target,
            top_role: &role,
            assigns: None,
            decide: &decide,
        };
        users.write(write).await.expect("a database");
    }
    let first = users.sample_hashes(100).await.expect("a database");
    assert!(!first.contains(&hash), "a hundred are not enough to meet a hash");
    started.storage.close().await;
    wire(folder.path(), &[]).await.expect("nothing is lost").storage.close().await;

    let pepper = folder.path().join("data/pepper");
    fs::remove_file(&pepper).expect("it is ours");
    let sentence = refused(folder.path(), &[]).await;
    assert!(sentence.contains("data/pepper is missing"), "{sentence}");
    assert!(!pepper.exists());
}

/// P5.
#[tokio::test]
async fn wrong_pepper_is_rejected() {
    let folder = in_use(&[]).await;
    let sentence = refused(folder.path(), &[("GOAT_PASSWORD_PEPPER", PEPPER)]).await;
    assert!(sentence.starts_with("GOAT_PASSWORD_PEPPER: "), "{sentence}");
    assert!(sentence.contains("the file pepper"), "{sentence}");
    assert!(!sentence.contains(PEPPER), "{sentence}");

    let data = DataDir::new(folder.path().join("data"));
    fs::remove_file(data.path_of(SecretFile::Pepper)).expect("it is ours");
    data.read_or_create(SecretFile::Pepper, || PEPPER.into()).expect("it is made");
    let sentence = refused(folder.path(), &[]).await;
    assert!(sentence.contains("data/pepper: ") && !sentence.contains(PEPPER), "{sentence}");
}

/// P6: a hash of an allowed cost stays valid when the cost is lowered.
#[tokio::test]
async fn hashes_of_any_allowed_cost_are_verified() {
    let folder = in_use(&[("GOAT_ARGON2_ITERATIONS", "11")]).await;
    wire(folder.path(), &[]).await.expect("the stored passwords can be verified");
}

/// J7.
#[tokio::test]
async fn malformed_token_key_is_rejected_and_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = DataDir::new(folder.path().join("data"));
    data.read_or_create(SecretFile::TokenKey, || "not a key".into()).expect("it is made");
    let sentence = refused(folder.path(), &[]).await;
    assert!(sentence.contains("jwt-key.pem: token key 1 "), "{sentence}");
    assert!(!sentence.contains("not a key"), "{sentence}");
    let kept = data.read(SecretFile::TokenKey).expect("it is private").expect("it is there");
    assert_eq!(kept.expose(), "not a key");
}

#[tokio::test]
async fn missing_schema_is_rejected_without_migration() {
    let folder = tempfile::tempdir().expect("a folder");
    let sentence = refused(folder.path(), &[("GOAT_MIGRATE_ON_START", "false")]).await;
    assert!(sentence.contains("goat-server migrate"), "{sentence}");
    let settings = settings(folder.path(), &[]);
    let data = DataDir::new(&settings.storage.data_dir);
    let storage = Storage::open(&settings.storage, &data).await.expect("a database");
    assert_ne!(storage.migrate(AdoptForeign::Refuse).await.expect("a schema").len(), 0);
    assert_eq!(storage.migrate(AdoptForeign::Refuse).await.expect("a schema").len(), 0);
    wire(folder.path(), &[("GOAT_MIGRATE_ON_START", "false")]).await.expect("a goat");
}
