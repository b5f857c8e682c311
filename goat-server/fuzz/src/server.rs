//! Parsers of goat-server and of the values in Redis.

use std::path::Path;

use goat_core::testing::stored;
use goat_server::api::extract::{Malformed, Object, Page, Parameters, path_is_canonical};
use goat_server::start::settings::{Flags, Settings};

/// A request body.
pub fn json(data: &[u8]) {
    let parsed = Object::parse(data);
    let reference = serde_json::from_slice::<serde_json::Value>(data);
    match (&parsed, reference) {
        (Ok(_), reference) => assert!(reference.is_ok_and(|value| value.is_object())),
        (Err(Malformed::NotJson { line, column }), reference) => {
            assert!(reference.is_err(), "line {line}, column {column}");
        }
        (Err(Malformed::NotAnObject), reference) => assert!(!reference.expect("JSON").is_object()),
        (Err(_), _) => {}
    }
    if let Err(error) = parsed {
        let text = error.to_string();
        assert!(text.len() < 300 && !text.contains(char::is_control), "L2: {text:?}");
    }
}

/// A path and a query, separated by a question mark.
pub fn query(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (path, query) =
        text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    if path_is_canonical(path) {
        assert!(!path.contains("//") && !path.to_ascii_lowercase().contains("%2e"), "A5: {path}");
    }
    let mut parameters = Parameters::parse(query);
    let page = parameters.page();
    match parameters.finish::<Page>(page) {
        Ok(_) => {}
        Err(violations) => {
            assert!(!violations.is_empty());
            for violation in violations.iter() {
                let shown = format!("{}: {}", violation.field, violation.message);
                assert!(!shown.contains(char::is_control), "L2: {shown:?}");
            }
        }
    }
}

/// The settings that [`setting`] gives values to.
const NAMES: [&str; 24] = [
    "GOAT_ENV",
    "GOAT_LISTEN",
    "GOAT_METRICS_LISTEN",
    "GOAT_DATA_DIR",
    "DATABASE_URL",
    "REDIS_URL",
    "GOAT_JWT_SECRET",
    "GOAT_JWT_PRIVATE_KEY",
    "GOAT_ISSUER",
    "GOAT_ACCESS_TOKEN_TTL",
    "GOAT_REFRESH_LEEWAY",
    "GOAT_PASSWORD_PEPPER",
    "GOAT_PASSWORD_MIN_LENGTH",
    "GOAT_ARGON2_MEMORY",
    "GOAT_SIGNUP",
    "GOAT_ADMIN_EMAIL",
    "GOAT_RATE_LIMIT_AUTH",
    "GOAT_TRUSTED_PROXIES",
    "GOAT_CORS_ORIGINS",
    "GOAT_LOG",
    "GOAT_MAIL_URL",
    "GOAT_MAIL_FROM",
    "GOAT_LINK_URL",
    "GOAT_SERVER_KEY",
];

/// The value of a setting; the first byte chooses it.
pub fn setting(data: &[u8]) {
    let Some((first, value)) = data.split_first() else { return };
    let Ok(value) = str::from_utf8(value) else { return };
    let name = NAMES[usize::from(*first) % NAMES.len()];
    let is_secret =
        ["SECRET", "PEPPER", "PRIVATE", "SERVER_KEY"].iter().any(|part| name.contains(part));
    let environment = [(name.into(), value.into())];
    let shown = match Settings::load(environment, &Flags::default(), Path::new("there-is-no.env")) {
        Ok((settings, warnings)) => {
            let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
            assert!(!warnings.iter().any(|line| line.contains('\n')));
            format!("{settings:?} {warnings:?}")
        }
        Err(invalid) => invalid.to_string(),
    };
    // A short value occurs by chance.
    assert!(!is_secret || value.len() < 24 || !shown.contains(value), "L1: {name}");
}

/// A value in Redis: a session, a user state or the permissions of roles.
pub fn redis_value(data: &[u8]) {
    if let Some(again) = stored::session(data) {
        assert_eq!(again, data, "one value for one session");
    }
    let Ok(text) = str::from_utf8(data) else { return };
    for decode in [stored::user_state, stored::role_rows] {
        if let Some(again) = decode(text) {
            // Numbers have several spellings, such as `+1` and `01`; the encoded one is stable.
            assert_eq!(decode(&again).as_deref(), Some(again.as_str()));
        }
    }
}
