//! `goat-server backup` and `goat-server restore`: a consistent copy of an SQLite database with the secrets
//! of the data folder in one file, and the way back.

use std::path::{Path, PathBuf};

use goat_core::store::sql::{SqliteDatabase, SqliteOptions};

use crate::failure::Failure;
use crate::observe::audit;
use crate::start::settings::{Database, Settings};
use crate::start::{
    DataDir, DatabaseLock, SecretFile, StoredSecret, check_file_access, no_database,
};

use super::console::answer;

/// The suffixes of the files that SQLite keeps beside a database.
const COMPANIONS: [&str; 2] = ["-wal", "-journal"];

/// Copies the database, which a server may use meanwhile, and the secrets.
pub(super) async fn back_up(settings: &Settings, file: &Path) -> Result<(), Failure> {
    let path = database(settings)?;
    if !path.exists() {
        return Err(no_database(path));
    }
    let data = DataDir::new(&settings.storage.data_dir);
    let (mut secrets, mut names, mut missing) = (Vec::new(), String::new(), String::new());
    for secret in SecretFile::ALL {
        match data.read(secret)? {
            Some(content) => {
                names.push_str(&format!(", {}", secret.name()));
                secrets.push((secret.name().to_owned(), content));
            }
            None => missing.push_str(without(secret)),
        }
    }
    let database = SqliteDatabase::open(SqliteOptions::new(path)).await?;
    let copied = database.back_up(file, &secrets).await;
    database.close().await;
    copied?;
    answer(&format!("{}: goat.db{names}\n{missing}", file.display()))
}

/// Returns the line about a secret that is not in the data folder.
fn without(secret: SecretFile) -> &'static str {
    match secret {
        SecretFile::TokenKey => {
            "without the token keys, which are settings: GOAT_JWT_SECRET or GOAT_JWT_PRIVATE_KEY\n"
        }
        SecretFile::Pepper => "without the pepper, which is a setting: GOAT_PASSWORD_PEPPER\n",
        // Without mail there is none, and a lost one costs the codes that are on their way.
        SecretFile::ServerKey => "",
        // Removed once the password has changed.
        SecretFile::AdminPassword => "",
    }
}

/// Brings the database and the secrets back, and ends all sessions. Overwrites nothing.
pub(super) async fn restore(settings: &Settings, file: &Path) -> Result<(), Failure> {
    let path = database(settings)?;
    let data = DataDir::new(&settings.storage.data_dir);
    check_file_access(settings, &data)?;
    // Held until the end, so that no server starts meanwhile.
    let _lock = DatabaseLock::acquire(&settings.storage, &data)?;
    let companions = COMPANIONS.map(|suffix| {
        let mut name = path.clone().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    });
    let mut paths = std::iter::once(path).chain(&companions);
    if let Some(present) = paths.find(|path| path.exists()) {
        return Err(Failure::configuration(format!(
            "{} exists: move the database away before a restore, with the files beside it",
            present.display()
        )));
    }
    let restore = SqliteDatabase::prepare_restore(file, path).await?;
    let sessions = restore.sessions();
    let mut names = String::new();
    // ATOMIC: the secrets before the database, which cannot be used without them.
    for secret in SecretFile::ALL {
        let Some((_, content)) =
            restore.attachments().iter().find(|(name, _)| name == secret.name())
        else {
            continue;
        };
        let StoredSecret { value, .. } = data.read_or_create(secret, || content.clone())?;
        if !value.is_same_as(content) {
            return Err(Failure::configuration(format!(
                "{} exists and differs from the backup: move it away before a restore",
                data.path_of(secret).display()
            )));
        }
        names.push_str(&format!(", {}", secret.name()));
    }
    restore.put(path)?;
    audit::restored(sessions);
    answer(&format!("restored goat.db{names}\nall sessions are ended: {sessions}\n"))
}

fn database(settings: &Settings) -> Result<&PathBuf, Failure> {
    match &settings.storage.database {
        Database::Sqlite(path) => Ok(path),
        Database::Postgres(_) => Err(Failure::configuration(
            "DATABASE_URL: backup and restore copy an SQLite database; for PostgreSQL use its own tools \
             (pg_dump), keep the settings with the secrets, and run goat-server user revoke-sessions --all \
             after a restore",
        )),
    }
}
