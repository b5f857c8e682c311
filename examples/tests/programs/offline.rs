//! Example `offline`: a service that knows an issuer's public keys, with and without the issuer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use goat_core::auth::Assurance;
use goat_core::token::{AccessClaims, TokenKeys, TokenSettings, Tokens};
use goat_core::user::{Attributes, Revisions};
use goat_core::{SessionId, Timestamp, TokenId, UserId};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::Program;

/// The example, with a key file that the test writes.
struct Offline {
    path: PathBuf,
    service: Program,
    _folder: TempDir,
}

impl Offline {
    fn start(jwks: &Value) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("jwks.json");
        publish(&path, jwks);
        let service = Program::run(&mut command(&path));
        Self { path, service, _folder: folder }
    }
}

fn command(path: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offline"));
    command.arg(path);
    command
}

/// Replaces the key file atomically.
fn publish(path: &Path, jwks: &Value) {
    let fresh = path.with_extension("fresh");
    fs::write(&fresh, jwks.to_string()).expect("written");
    fs::rename(fresh, path).expect("in its place");
}

/// Signs a user up and in at the issuer; returns the access token.
fn sign_in(issuer: &Program) -> String {
    let form = json!({ "email": "ann@example.org", "password": "a long walk on a short pier" });
    issuer.post("/signup", "", form.clone());
    issuer.post("/login", "", form).text("access_token")
}

fn jwks(issuer: &Program) -> Value {
    issuer.get("/.well-known/jwks.json", "").json
}

/// Creates an access token with the permission to read reports, issued `seconds_ago` and valid for
/// five minutes.
fn token(keys: &TokenKeys, seconds_ago: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let issued_at = Timestamp::from_seconds(now.cast_signed() - seconds_ago);
    let claims = AccessClaims {
        user: UserId::generate(issued_at),
        session: SessionId::generate(issued_at),
        id: TokenId::generate(issued_at),
        issued_at,
        expires_at: issued_at + Duration::from_secs(300),
        client_id: "goat".into(),
        authenticated_at: issued_at,
        amr: vec!["pwd".to_owned()],
        acr: Some(Assurance::Single),
        revisions: Revisions::default(),
        epoch: 0,
        permissions: Some(vec!["report:read".into()]),
        attributes: Attributes::default(),
    };
    Tokens::new(keys.clone(), TokenSettings::default()).sign_access(&claims).expect("a token")
}

#[test]
fn tokens_are_verified_without_the_issuer() {
    let issuer = Program::start(env!("CARGO_BIN_EXE_axum"));
    let ann = sign_in(&issuer);
    let Offline { service, _folder, .. } = Offline::start(&jwks(&issuer));

    assert_eq!(service.get("/figures", "").outcome(), (401, "unauthenticated"));
    let allowed = service.get("/figures", &ann);
    assert_eq!(allowed.status, 200);
    assert!(allowed.head.contains("\ncache-control: no-store"), "{}", allowed.head);
    assert_eq!(allowed.json["for"], issuer.get("/reports", &ann).json["for"]);
    assert_eq!(service.get("/audit", &ann).outcome(), (403, "forbidden"));
    assert_eq!(service.get("/", "").status, 200);
    for _ in 0..5 {
        assert_eq!(service.post("/drawings", &ann, Value::Null).status, 200);
    }
    assert_eq!(service.post("/drawings", &ann, Value::Null).outcome(), (429, "rate-limited"));

    // After a logout the issuer rejects the token, but the service accepts it until it expires.
    assert_eq!(issuer.post("/logout", &ann, Value::Null).status, 204);
    assert_eq!(issuer.get("/reports", &ann).outcome(), (401, "session-revoked"));
    assert_eq!(service.get("/figures", &ann).status, 200);
    // The service also works while the issuer is down.
    drop(issuer);
    assert_eq!(service.get("/figures", &ann).status, 200);
}

/// J5, J7: expired tokens and tokens signed by foreign keys are rejected.
#[test]
fn expired_and_foreign_tokens_are_rejected() {
    let keys = TokenKeys::generate();
    let Offline { service, _folder, .. } = Offline::start(&keys.jwks());
    assert_eq!(service.get("/figures", &token(&keys, 0)).status, 200);
    // Five minutes and five seconds of leeway, less a minute for slow machines.
    assert_eq!(service.get("/figures", &token(&keys, 240)).status, 200);
    assert_eq!(service.get("/figures", &token(&keys, 305)).outcome(), (401, "token-expired"));
    let foreign = token(&TokenKeys::generate(), 0);
    for path in ["/figures", "/"] {
        assert_eq!(service.get(path, &foreign).outcome(), (401, "invalid-token"), "{path}");
    }
}

/// J7: the first token with an unknown key id triggers a reload and is accepted soon after.
#[test]
fn an_unknown_key_id_reloads_the_keys() {
    let (old, new) = (TokenKeys::generate(), TokenKeys::generate());
    let Offline { path, service, _folder } = Offline::start(&old.jwks());
    let (of_old, of_new) = (token(&old, 0), token(&new, 0));
    assert_eq!(service.get("/figures", &of_old).status, 200);
    publish(&path, &new.jwks());
    assert_eq!(service.get("/figures", &of_old).status, 200, "not reloaded yet");

    let started = Instant::now();
    while service.get("/figures", &of_new).status != 200 {
        assert!(started.elapsed() < Duration::from_secs(30), "the keys were not read again");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(service.get("/figures", &of_old).outcome(), (401, "invalid-token"));
}

#[test]
fn the_service_does_not_start_without_usable_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("jwks.json");
    let error = Program::fail(&mut command(&path));
    assert!(error.contains("jwks.json"), "{error}");
    publish(&path, &json!({ "keys": [] }));
    let error = Program::fail(&mut command(&path));
    assert!(error.contains("HS256"), "{error}");
}
