//! `goat-server check`: reports whether `serve` would start, without changing anything.
//!
//! One line per check: successes on standard output, failures on standard error. No line shows a
//! secret. In production, each limit that is off is a warning. `--strict` fails on warnings.

use std::sync::Arc;

use goat_core::event::{NoObserver, Observer};
use goat_core::password::{NewPassword, check_sample};
use goat_core::token::TokenKeys;
use goat_core::{Clock, Email, Goat, Stores, SystemClock};

use crate::failure::Failure;
use crate::mail::check_templates;
use crate::start::settings::{Database, Environment, Settings, SigningKeys};
use crate::start::{self, AdoptForeign, DataDir, KeySource, SchemaState, SecretFile, Storage};

use super::console::{Console, answer};

/// The results so far.
#[derive(Default)]
struct Findings {
    well: String,
    wrong: Vec<Failure>,
}

impl Findings {
    /// Records a result.
    fn note(&mut self, subject: &str, finding: Result<String, Failure>) {
        match finding {
            Ok(text) => self.well.push_str(&format!("{subject}: {text}\n")),
            Err(failure) => self.wrong.push(failure),
        }
    }

    /// Records the result of an optional check.
    fn note_some(&mut self, subject: &str, finding: Result<Option<String>, Failure>) {
        if let Some(finding) = finding.transpose() {
            self.note(subject, finding);
        }
    }
}

/// Whether warnings fail the check, and how many the settings gave already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strictness {
    pub(super) strict: bool,
    pub(super) warnings: usize,
}

pub(super) async fn run(
    settings: &Settings,
    console: &Console,
    strictness: Strictness,
) -> Result<(), Failure> {
    let mut warnings = strictness.warnings;
    let mut warn = |sentence: &str| {
        warnings += 1;
        console.warn(sentence);
    };
    if settings.environment == Environment::Production {
        for name in settings.limits.off() {
            warn(&format!("{name} is off: requests of this kind are not limited"));
        }
        if !settings.http.step_up_admin {
            warn(
                "GOAT_STEP_UP_ADMIN is off: a stolen session of an administrator can change other users",
            );
        }
    }
    let data = DataDir::new(&settings.storage.data_dir);
    let mut findings = Findings::default();
    findings.note("settings", rules(settings));
    match start::check_file_access(settings, &data) {
        Ok(faults) => faults
            .iter()
            .for_each(|fault| warn(&format!("{fault}; production would refuse to start"))),
        Err(failure) => findings.wrong.push(failure),
    }
    findings.note("token keys", token_keys(settings, &data));
    findings.note_some("breached passwords", breached(settings));
    findings.note_some("mail", mail(settings, &data));
    let opened = open(settings, &data).await;
    let redis = redis(settings, &mut warn).await;
    match opened {
        Ok(Some(Opened { storage, database, schema, is_current })) => {
            let (observer, clock): (Arc<dyn Observer>, Arc<dyn Clock>) =
                (Arc::new(NoObserver), Arc::new(SystemClock::start()));
            let stores = storage.read_only_stores(settings, observer, clock);
            findings.note("database", Ok(format!("{database}, {schema}")));
            findings.note_some("redis", redis);
            findings.note("pepper", pepper(settings, &data, Some(&stores)).await);
            let stored = if is_current { stores.clone() } else { Stores::memory() };
            findings.note_some("roles", roles(settings, stored).await);
            findings.note("administrator", administrator(settings, Some(stores)).await);
            storage.close().await;
        }
        Ok(None) => {
            findings.note("database", Ok("does not exist yet; created on start".to_owned()));
            findings.note_some("redis", redis);
            findings.note("pepper", pepper(settings, &data, None).await);
            findings.note_some("roles", roles(settings, Stores::memory()).await);
            findings.note("administrator", administrator(settings, None).await);
        }
        Err(failure) => {
            findings.note("database", Err(failure));
            findings.note_some("redis", redis);
            findings.note("pepper", pepper(settings, &data, None).await);
        }
    }
    answer(&findings.well)?;
    if strictness.strict && warnings > 0 {
        let plural = if warnings == 1 { "warning" } else { "warnings" };
        findings.wrong.push(Failure::configuration(format!("{warnings} {plural}, and --strict")));
    }
    Failure::all(findings.wrong)
}

/// Checks the rules from the settings alone.
fn rules(settings: &Settings) -> Result<String, Failure> {
    Goat::builder(Stores::memory(), TokenKeys::generate())
        .tokens(start::token_settings(settings)?)
        .settings(start::rules(settings)?)
        .stored_roles()
        .build()?;
    Ok(match settings.environment {
        Environment::Development => "valid for development".to_owned(),
        Environment::Production => "valid for production".to_owned(),
    })
}

fn token_keys(settings: &Settings, data: &DataDir) -> Result<String, Failure> {
    let path = data.path_of(SecretFile::TokenKey);
    let show = |keys: &TokenKeys, place: &str| {
        format!("{}, signing key {}, {place}", keys.algorithm(), keys.signing_key())
    };
    match &settings.tokens.keys {
        SigningKeys::Generated => match data.read(SecretFile::TokenKey)? {
            None => Ok(format!("EdDSA, generated on start into {}", path.display())),
            Some(pem) => {
                let keys = start::stored_token_key(&pem, data)?;
                Ok(show(&keys, &format!("from {}", path.display())))
            }
        },
        given => Ok(show(&start::token_keys(given, data)?.0, "given")),
    }
}

/// Checks the list of breached passwords; silent without one.
fn breached(settings: &Settings) -> Result<Option<String>, Failure> {
    Ok(start::breached_file(settings)?.map(|list| list.to_string()))
}

/// Says where messages go and which key their codes have; silent without mail.
fn mail(settings: &Settings, data: &DataDir) -> Result<Option<String>, Failure> {
    let Some(delivery) = &settings.mail.delivery else { return Ok(None) };
    check_templates(settings.mail.templates.as_deref())?;
    let path = data.path_of(SecretFile::ServerKey);
    let key = match (&settings.mail.server_keys, data.read(SecretFile::ServerKey)?) {
        (Some(keys), _) => format!("{} server keys from the settings", keys.len()),
        (None, Some(_)) => format!("server key from {}", path.display()),
        (None, None) => format!("server key generated on start into {}", path.display()),
    };
    Ok(Some(format!("{delivery}, {key}")))
}

/// A readable database.
struct Opened {
    storage: Storage,
    /// Its name and version.
    database: String,
    /// The state of its schema.
    schema: &'static str,
    is_current: bool,
}

/// Opens the database if it exists, and reports the state of its schema; an empty schema counts as
/// no database.
async fn open(settings: &Settings, data: &DataDir) -> Result<Option<Opened>, Failure> {
    let migrates = settings.storage.migrate_on_start;
    let behind = || {
        Failure::configuration(
            "the database schema is older than this version: run goat-server migrate",
        )
    };
    if let Database::Sqlite(path) = &settings.storage.database
        && !path.exists()
    {
        return if migrates { Ok(None) } else { Err(behind()) };
    }
    let storage = Storage::open(&settings.storage, data).await?;
    let database = storage.probe_database().await?;
    let state = storage.schema_state().await?;
    if let Some(refusal) = storage.refusal(&state, AdoptForeign::Refuse) {
        return Err(refusal);
    }
    storage.refuse_lone_copy(data).await?;
    match state {
        SchemaState::Current => {
            let schema = "schema up to date";
            Ok(Some(Opened { storage, database, schema, is_current: true }))
        }
        SchemaState::Empty if migrates => Ok(None),
        _ if migrates => {
            let schema = "schema migrated on start";
            Ok(Some(Opened { storage, database, schema, is_current: false }))
        }
        _ => Err(behind()),
    }
}

/// Checks Redis, if configured.
async fn redis(
    settings: &Settings,
    warn: &mut impl FnMut(&str),
) -> Result<Option<String>, Failure> {
    let found = start::probe_redis(&settings.storage).await?;
    Ok(found.map(|(shown, warning)| {
        warning.iter().for_each(|warning| warn(warning));
        shown
    }))
}

async fn pepper(
    settings: &Settings,
    data: &DataDir,
    stores: Option<&Stores>,
) -> Result<String, Failure> {
    let hashes = match stores {
        Some(stores) => start::stored_hashes(stores.users.as_ref()).await?,
        None => Vec::new(),
    };
    let path = data.path_of(SecretFile::Pepper);
    let (peppers, source, place) = match &settings.passwords.peppers {
        Some(peppers) => {
            (peppers.clone(), KeySource::Configured, format!("{} from the settings", peppers.len()))
        }
        None => match data.read(SecretFile::Pepper)? {
            Some(text) => {
                let place = format!("from {}", path.display());
                (vec![start::secret_bytes(&text)], KeySource::Stored, place)
            }
            None => {
                start::refuse_without_pepper(data, &hashes)?;
                return Ok(format!("generated on start into {}", path.display()));
            }
        },
    };
    let hasher = start::hasher(&settings.passwords, peppers, source, data)?;
    let matching = start::check_hashes(&*hasher, source, data, &hashes)?;
    check_sample(&hashes, |hash| hasher.check(hash))?;
    Ok(match matching {
        0 => place,
        count => format!("{place}, matches {count} sampled password hashes"),
    })
}

/// Compares the stored roles with the roles file, one line per difference; silent without a file.
async fn roles(settings: &Settings, stores: Stores) -> Result<Option<String>, Failure> {
    let Some(path) = &settings.accounts.roles_file else { return Ok(None) };
    let goat = Goat::builder(stores, TokenKeys::generate()).stored_roles().build()?;
    let differences = start::compare_roles(&goat, path).await?;
    if differences.is_empty() {
        return Ok(Some("as in the roles file".to_owned()));
    }
    let lines = differences.iter().map(|difference| format!("\n  {difference}"));
    let count = differences.len();
    Ok(Some(format!("{count} differences from the roles file{}", lines.collect::<String>())))
}

async fn administrator(settings: &Settings, stores: Option<Stores>) -> Result<String, Failure> {
    if let Some(stores) = stores {
        // The highest role is that of the shipped set; the schema may be too old to have stored ones.
        let goat =
            Goat::builder(stores, TokenKeys::generate()).observer(Arc::new(NoObserver)).build()?;
        if goat.users().has_administrator().await? {
            return Ok("exists".to_owned());
        }
    }
    let accounts = &settings.accounts;
    let email =
        Email::parse(&accounts.admin_email).and_then(Email::of_person).map_err(|error| {
            Failure::configuration(format!("GOAT_ADMIN_EMAIL: the address {error}"))
        })?;
    let Some(password) = &accounts.admin_password else {
        if !accounts.generates_admin_password {
            return Err(Failure::configuration(start::NO_ADMIN_PASSWORD));
        }
        return Ok("created on start, with a generated password".to_owned());
    };
    let policy = start::rules(settings)?.passwords;
    match NewPassword::parse(password.expose(), &policy, Some(email.canonical())) {
        Ok(_) => Ok("created on start, with GOAT_ADMIN_PASSWORD".to_owned()),
        Err(faults) => {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            Err(Failure::configuration(format!(
                "GOAT_ADMIN_PASSWORD: the password {}",
                faults.join("; it ")
            )))
        }
    }
}
