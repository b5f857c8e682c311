//! Backup of a SQLite database: a consistent copy of the whole database in one file, with the secrets
//! that belong to it, and the way back.
//!
//! Invariants: a backup is complete at its path or absent, and readable by its owner only; a restored
//! database has no session, and no access token issued before the backup is valid in it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqliteConnection};

use crate::error::{Error, Result};
use crate::secret::{Secret, random};
use crate::store::sql::schema::{MigrateOptions, SchemaState};

use super::{SqliteDatabase, SqliteOptions, cannot_open, create_file};

/// The table of a backup that holds the secrets. It is no table of a restored database.
const CREATE: &str = "CREATE TABLE goat_backup (name TEXT PRIMARY KEY, content TEXT NOT NULL)";

/// A named text in a backup, such as a key.
pub type Attachment = (String, Secret<String>);

impl SqliteDatabase {
    /// Writes a consistent copy of the database, while others read and write it, with some secrets into
    /// a new file.
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) if the file exists or cannot be created;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the database does not respond, or the disk is
    /// full.
    pub async fn back_up(&self, file: &Path, attachments: &[Attachment]) -> Result<()> {
        if file.exists() {
            return Err(cannot_write(file, &"it exists"));
        }
        let draft = Draft::beside(file)?;
        let copied = async {
            let mut connection = self.pools.write.acquire().await?;
            copy(&mut connection, &draft.path).await?;
            let mut copy = connect(&draft.path, false).await?;
            sqlx::query(CREATE).execute(&mut copy).await?;
            for (name, content) in attachments {
                sqlx::query("INSERT INTO goat_backup (name, content) VALUES ($1, $2)")
                    .bind(name)
                    .bind(content.expose().as_str())
                    .execute(&mut copy)
                    .await?;
            }
            copy.close().await
        };
        copied.await.map_err(|error| cannot_write(file, &error))?;
        draft.publish(file).map_err(|error| cannot_write(file, &error))
    }

    /// Prepares the database of a backup in a new file beside `to`, migrated to this version and without
    /// sessions, and returns the secrets of the backup.
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) if `backup` is no backup or is of a newer
    /// version, or if the file cannot be created.
    pub async fn prepare_restore(backup: &Path, to: &Path) -> Result<Restore> {
        if !backup.is_file() {
            return Err(cannot_open(backup, &"there is no such file"));
        }
        let draft = Draft::beside(to)?;
        let read = async {
            let mut source = connect(backup, true).await?;
            let rows = sqlx::query("SELECT name, content FROM goat_backup ORDER BY name")
                .fetch_all(&mut source)
                .await?;
            copy(&mut source, &draft.path).await?;
            source.close().await?;
            let attachments = rows.iter().map(|row| {
                Ok((row.try_get("name")?, Secret::new(row.try_get::<String, _>("content")?)))
            });
            let attachments = attachments.collect::<sqlx::Result<Vec<Attachment>>>()?;
            let mut restored = connect(&draft.path, false).await?;
            // The secrets are overwritten, not only unlinked.
            sqlx::query("PRAGMA secure_delete = ON").execute(&mut restored).await?;
            sqlx::query("DROP TABLE goat_backup").execute(&mut restored).await?;
            restored.close().await?;
            Ok::<_, sqlx::Error>(attachments)
        };
        let attachments = read.await.map_err(|error| {
            cannot_open(backup, &format!("it is not a backup of goat ({error})"))
        })?;
        let database = Self::open(SqliteOptions::new(&draft.path)).await?;
        if database.schema_state().await? == SchemaState::Empty {
            return Err(cannot_open(backup, &"it has no tables of goat"));
        }
        database.migrate(MigrateOptions::default()).await?;
        let sessions = database.end_all_sessions().await?;
        database.close().await;
        Ok(Restore { draft, attachments, sessions })
    }

    /// Ends all sessions of all users in one transaction: raises every session epoch and removes the
    /// sessions; returns their number.
    async fn end_all_sessions(&self) -> Result<u64> {
        const RAISE: &str = "UPDATE goat_users SET session_epoch = session_epoch + 1, \
            kept_session = NULL, token_replacement = NULL, revision = revision + 1";
        let ended = self.pools.run("end_all_sessions", || async {
            let mut connection = self.pools.begin().await?;
            connection.execute(sqlx::query(RAISE)).await?;
            let ended = connection.execute(sqlx::query("DELETE FROM goat_sessions")).await?;
            connection.commit().await?;
            Ok(ended)
        });
        Ok(ended.await?)
    }
}

/// A database that is ready to be put in place. Dropped before that, it leaves nothing.
#[derive(Debug)]
pub struct Restore {
    draft: Draft,
    attachments: Vec<Attachment>,
    sessions: u64,
}

impl Restore {
    /// The secrets of the backup.
    #[must_use]
    pub fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }

    /// The number of sessions that were ended.
    #[must_use]
    pub fn sessions(&self) -> u64 {
        self.sessions
    }

    /// Puts the database in place.
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) if a file exists there, or the folder cannot be
    /// written.
    pub fn put(self, to: &Path) -> Result<()> {
        self.draft.publish(to).map_err(|error| cannot_write(to, &error))
    }
}

/// A file beside its destination, removed on drop.
#[derive(Debug)]
struct Draft {
    path: PathBuf,
}

impl Draft {
    /// Creates an empty file with access for its owner only.
    fn beside(destination: &Path) -> Result<Self> {
        let name = destination.file_name().unwrap_or_default().to_string_lossy();
        let number = u64::from_ne_bytes(random());
        let path = destination.with_file_name(format!(".{name}.{number:016x}"));
        create_file(&path)?;
        Ok(Self { path })
    }

    /// Gives the file its name, unless a file has it, and syncs both to the disk.
    fn publish(self, destination: &Path) -> io::Result<()> {
        File::open(&self.path)?.sync_all()?;
        // ATOMIC: a hard link is created if the name is free and fails otherwise.
        fs::hard_link(&self.path, destination)?;
        let folder = destination.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let mut path = self.path.clone().into_os_string();
            path.push(suffix);
            // Most of them do not exist.
            let _ = fs::remove_file(path);
        }
    }
}

/// Copies the database of a connection into an empty file, as of one point in time.
async fn copy(connection: &mut SqliteConnection, to: &Path) -> sqlx::Result<()> {
    let to = to.to_string_lossy().into_owned();
    sqlx::query("VACUUM INTO $1").bind(to).execute(connection).await.map(|_| ())
}

/// Connects to a file that no other process uses.
async fn connect(path: &Path, read_only: bool) -> sqlx::Result<SqliteConnection> {
    let options = SqliteConnectOptions::new().filename(path).read_only(read_only);
    if read_only {
        return options.connect().await;
    }
    options.journal_mode(SqliteJournalMode::Delete).connect().await
}

fn cannot_write(path: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error::configuration(format!("cannot write {}: {reason}", path.display()))
}
