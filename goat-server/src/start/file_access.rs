//! File permissions: owner and mode of the data folder, the database, and the files of secrets (L5).
//!
//! In production a fault refuses the start; in development it is a warning. The group may have access,
//! since container platforms open a mounted volume to a group on purpose. A symbolic link counts as the
//! file that it leads to: Kubernetes mounts secrets as links.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::start::settings::{Database, Environment, Settings, SigningKeys};
use crate::start::{DataDir, SecretFile};

/// The suffixes of the files that SQLite creates beside a database.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The permission bits of users that are neither the owner nor in the group.
const OTHERS: u32 = 0o007;

/// The bit that lets them write.
const OTHERS_WRITE: u32 = 0o002;

/// The user that can change every file.
const ROOT: u32 = 0;

/// The content of a file or folder. It decides on the access that others may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// A folder: others must not write.
    Folder,
    /// A database: others must not write.
    Database,
    /// A secret: others must neither read nor write.
    Secret,
}

/// Checks the files that exist before a start uses them. Returns warnings in development.
///
/// # Errors
///
/// In production, every fault; or if a file cannot be examined.
pub(crate) fn check_file_access(
    settings: &Settings,
    data: &DataDir,
) -> Result<Vec<String>, Failure> {
    let user = rustix::process::geteuid().as_raw();
    let mut faults = Vec::new();
    for (path, content) in files(settings, data) {
        match fs::metadata(&path) {
            Ok(metadata) => faults.extend(fault(&path, content, &metadata, user)),
            // A missing folder is reported where it is used.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) => {}
            Err(error) => {
                let path = path.display();
                return Err(Failure::configuration(format!("cannot examine {path} ({error})")));
            }
        }
    }
    if settings.environment == Environment::Development {
        return Ok(faults);
    }
    Failure::all(faults.into_iter().map(Failure::configuration).collect())?;
    Ok(Vec::new())
}

/// Returns the files and folders that a start with these settings uses, whether they exist or not. A
/// folder comes before its files.
fn files(settings: &Settings, data: &DataDir) -> Vec<(PathBuf, Content)> {
    let mut files = Vec::new();
    let database = match &settings.storage.database {
        Database::Sqlite(path) => Some(path),
        Database::Postgres(_) => None,
    };
    if database.is_some() || generates_secrets(settings) {
        files.push((data.path().to_owned(), Content::Folder));
        files.extend(SecretFile::ALL.map(|file| (data.path_of(file), Content::Secret)));
    }
    if let Some(path) = database {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if folder != data.path() {
            files.push((folder.to_owned(), Content::Folder));
        }
        files.push((path.clone(), Content::Database));
        files.extend(COMPANIONS.map(|suffix| {
            let mut name = path.clone().into_os_string();
            name.push(suffix);
            (name.into(), Content::Database)
        }));
    }
    files
}

/// Whether a secret may be read from the data folder or generated into it.
fn generates_secrets(settings: &Settings) -> bool {
    matches!(settings.tokens.keys, SigningKeys::Generated)
        || settings.passwords.peppers.is_none()
        || settings.mail.delivery.is_some() && settings.mail.server_keys.is_none()
        || settings.accounts.generates_admin_password && settings.accounts.admin_password.is_none()
}

/// Returns the fault of a file or folder for a server of this user, and its remedy.
fn fault(path: &Path, content: Content, metadata: &Metadata, user: u32) -> Option<String> {
    let (owner, mode) = (metadata.uid(), metadata.permissions().mode() & 0o7777);
    let shown = path.display();
    if owner != user && owner != ROOT {
        return Some(format!(
            "{shown} belongs to user {owner}, but the server runs as user {user}, so another user can \
             change it: run chown {user} on it, or run the server as user {owner}"
        ));
    }
    match content {
        Content::Folder if mode & OTHERS_WRITE != 0 => Some(format!(
            "{shown} is writable by every user (mode {mode:03o}), so others can replace the files in it: run \
             chmod o-w on it, or use a folder inside it that does not exist yet, which the server \
             creates for itself"
        )),
        Content::Database if mode & OTHERS_WRITE != 0 => Some(format!(
            "{shown} is writable by every user (mode {mode:03o}): run chmod o-w on it, and check its \
             content if others may have changed it"
        )),
        Content::Secret if mode & OTHERS != 0 => Some(format!(
            "{shown} contains a secret, but every user can access it (mode {mode:03o}): run chmod 600 \
             on it, and replace the secret if others may have read it"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::start::settings::Flags;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let environment = variables.iter().map(|(name, value)| (name.into(), value.into()));
        let file = Path::new("there-is-no.env");
        Settings::load(environment, &Flags::default(), file).expect("valid settings").0
    }

    const PRODUCTION: [(&str, &str); 4] = [
        ("GOAT_ENV", "production"),
        ("GOAT_JWT_SECRET", "kT9vQ2xLr7ZpWc4NfYb8HsJd3MgUe6Aa"),
        ("GOAT_PASSWORD_PEPPER", "Bv6Jx0DgTn4WqMz8RkLc2YpHf5UsAe7i"),
        ("GOAT_ADMIN_PASSWORD", "seven brown bottles stand"),
    ];

    fn names(variables: &[(&str, &str)]) -> Vec<String> {
        let settings = settings(variables);
        let data = DataDir::new(&settings.storage.data_dir);
        let found = files(&settings, &data).into_iter();
        found.map(|(path, _)| path.display().to_string()).collect()
    }

    /// L5: a file belongs to the server's user or to root, and to no other.
    #[test]
    fn file_of_another_user_is_a_fault() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let metadata = file.as_file().metadata().expect("it is there");
        let owner = metadata.uid();
        for content in [Content::Folder, Content::Database, Content::Secret] {
            let fault = |user| fault(file.path(), content, &metadata, user);
            assert_eq!(fault(owner), None);
            let as_another = fault(owner + 1);
            // Root's files are sound for every user.
            assert_eq!(as_another.is_some(), owner != ROOT, "{as_another:?}");
        }
    }

    /// L5.
    #[test]
    fn modes_that_open_a_file_to_others_are_faults() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        fs::write(&path, "x").expect("it is ours");
        for (mode, changes, reads) in [
            (0o600, false, false),
            (0o660, false, false),
            (0o2770, false, false),
            (0o644, false, true),
            (0o664, false, true),
            (0o602, true, true),
            (0o666, true, true),
            (0o1777, true, true),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
            let metadata = fs::metadata(&path).expect("it is there");
            let is_fault = |content| fault(&path, content, &metadata, metadata.uid()).is_some();
            assert_eq!(is_fault(Content::Folder), changes, "{mode:o}");
            assert_eq!(is_fault(Content::Database), changes, "{mode:o}");
            assert_eq!(is_fault(Content::Secret), reads, "{mode:o}");
        }
    }

    #[test]
    fn every_file_that_a_start_uses_is_checked() {
        assert_eq!(
            names(&[]),
            [
                "./data",
                "./data/jwt-key.pem",
                "./data/pepper",
                "./data/server-key",
                "./data/admin-password",
                "./data/goat.db",
                "./data/goat.db-wal",
                "./data/goat.db-shm",
                "./data/goat.db-journal",
            ]
        );
        let elsewhere = names(&[("DATABASE_URL", "sqlite:/var/lib/x.db")]);
        assert_eq!(elsewhere[0], "./data");
        assert_eq!(elsewhere[5..7], ["/var/lib", "/var/lib/x.db"]);
        assert_eq!(names(&[("DATABASE_URL", "sqlite:x.db")])[5..7], [".", "x.db"]);
        // With PostgreSQL and all secrets set, no file is used.
        let postgres = ("DATABASE_URL", "postgres://u@db/g");
        assert_eq!(names(&[&PRODUCTION[..], &[postgres]].concat()), [""; 0]);
        assert_eq!(names(&[postgres])[0], "./data");
    }
}
