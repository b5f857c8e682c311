//! The data directory: generated secrets, kept from one start to the next.
//!
//! Invariants: a file appears with its whole content or not at all, and is never overwritten; if
//! several processes create it at once, one succeeds, and all read the same content. Every file is
//! created with access for its owner only; the check of file permissions examines existing ones.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use goat_core::Secret;

use crate::failure::Failure;
use crate::start::text::decode;

/// Maximum size of a file. The largest generated one has a few hundred bytes.
const LONGEST: u64 = 64 * 1024;

/// A file in the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretFile {
    /// The key that signs tokens, as PKCS#8 PEM.
    TokenKey,
    /// The password pepper, as text.
    Pepper,
    /// The key under which codes in messages are stored, as text.
    ServerKey,
    /// The first administrator's password.
    AdminPassword,
}

impl SecretFile {
    /// All files.
    pub const ALL: [Self; 4] = [Self::TokenKey, Self::Pepper, Self::ServerKey, Self::AdminPassword];

    /// Returns its file name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TokenKey => "jwt-key.pem",
            Self::Pepper => "pepper",
            Self::ServerKey => "server-key",
            Self::AdminPassword => "admin-password",
        }
    }
}

/// The content of a file.
#[derive(Clone, Debug)]
pub struct StoredSecret {
    /// The content, without the line break at its end.
    pub value: Secret<String>,
    /// Whether this process created the file.
    pub is_new: bool,
}

/// The data directory. It is created with its first file.
#[derive(Clone, Debug)]
pub struct DataDir {
    path: PathBuf,
}

impl DataDir {
    /// Refers to the directory at this path, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Returns its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of a file, whether it exists or not.
    #[must_use]
    pub fn path_of(&self, file: SecretFile) -> PathBuf {
        self.path.join(file.name())
    }

    /// Creates the directory, private to its owner, if it does not exist. The mode of an existing
    /// directory stays: it may be a volume with rules of its own, and its files are private by
    /// themselves.
    ///
    /// # Errors
    ///
    /// If it cannot be created, or is not a directory.
    pub fn create(&self) -> Result<(), Failure> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path).map_err(|error| {
            let path = self.path.display();
            Failure::configuration(match error.kind() {
                io::ErrorKind::AlreadyExists => format!("GOAT_DATA_DIR: {path} is not a directory"),
                _ => format!("GOAT_DATA_DIR: cannot create the directory {path} ({error})"),
            })
        })
    }

    /// Reads a file, if it exists.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is empty, or is not text.
    pub fn read(&self, file: SecretFile) -> Result<Option<Secret<String>>, Failure> {
        let path = self.path_of(file);
        let shown = path.display();
        let opened = match File::open(&path) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(Failure::configuration(format!("cannot read {shown} ({error})")));
            }
        };
        let unreadable =
            |error: io::Error| Failure::configuration(format!("cannot read {shown} ({error})"));
        let text = text_of(opened).map_err(unreadable)?;
        if text.expose().is_empty() {
            return Err(Failure::configuration(format!(
                "{shown} is empty: restore it from a backup"
            )));
        }
        Ok(Some(text))
    }

    /// Reads a file, or creates it with the content that `generate` returns.
    ///
    /// ```
    /// use goat_server::start::{DataDir, SecretFile};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let data = DataDir::new(folder.path().join("data"));
    /// let made = data.read_or_create(SecretFile::Pepper, || "one".into())?;
    /// let read = data.read_or_create(SecretFile::Pepper, || "another".into())?;
    /// assert!(made.is_new && !read.is_new);
    /// assert_eq!(read.value.expose(), "one");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`DataDir::read`], or if the file cannot be created.
    pub fn read_or_create(
        &self,
        file: SecretFile,
        generate: impl FnOnce() -> Secret<String>,
    ) -> Result<StoredSecret, Failure> {
        if let Some(value) = self.read(file)? {
            return Ok(StoredSecret { value, is_new: false });
        }
        self.create()?;
        let value = generate();
        let path = self.path_of(file);
        let failed = |error: io::Error| {
            Failure::configuration(format!("cannot create {} ({error})", path.display()))
        };
        if put(&path, value.expose()).map_err(failed)? {
            return Ok(StoredSecret { value, is_new: true });
        }
        // Another process was faster: its content counts.
        match self.read(file)? {
            Some(value) => Ok(StoredSecret { value, is_new: false }),
            None => Err(failed(io::ErrorKind::NotFound.into())),
        }
    }
}

/// Reads the text of a file.
fn text_of(file: File) -> io::Result<Secret<String>> {
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::other("the file is too large"));
    }
    decode(bytes).map(Secret::new).map_err(|complaint| io::Error::other(format!("it {complaint}")))
}

/// Creates a file with its whole content, synced to the disk, unless it exists; returns whether it
/// was created.
fn put(path: &Path, content: &str) -> io::Result<bool> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = directory.join(format!(".{name}.{:016x}", getrandom::u64()?));
    let written = write(&draft, content).and_then(|()| {
        // ATOMIC: a hard link is created if the name is free and fails otherwise, in one step; a
        // rename would overwrite.
        match fs::hard_link(&draft, path) {
            Ok(()) => {
                File::open(directory)?.sync_all()?;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    });
    let removed = fs::remove_file(&draft);
    let put = written?;
    removed?;
    Ok(put)
}

fn write(path: &Path, content: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content.as_bytes())?;
    if !content.ends_with('\n') {
        file.write_all(b"\n")?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::thread;

    use super::*;

    fn folder() -> (tempfile::TempDir, DataDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let data = DataDir::new(folder.path().join("deep/data"));
        (folder, data)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    fn names(data: &DataDir) -> Vec<String> {
        let entries = fs::read_dir(data.path()).expect("a directory");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into()).collect()
    }

    #[test]
    fn directory_and_files_are_private_to_their_owner() {
        let (_folder, data) = folder();
        assert!(data.read(SecretFile::Pepper).expect("nothing is wrong").is_none());
        assert!(!data.path().exists());
        data.read_or_create(SecretFile::Pepper, || "text".into()).expect("it is made");
        assert_eq!(mode(data.path()), 0o700);
        assert_eq!(mode(&data.path_of(SecretFile::Pepper)), 0o600);
        assert_eq!(names(&data), ["pepper"], "no draft is left");
    }

    #[test]
    fn concurrent_starts_agree_on_one_secret() {
        for _ in 0..20 {
            let (_folder, data) = folder();
            let kept: Vec<StoredSecret> = thread::scope(|scope| {
                let threads: Vec<_> = (0..8)
                    .map(|number| {
                        let data = &data;
                        scope.spawn(move || {
                            data.read_or_create(SecretFile::TokenKey, || {
                                format!("key {number}").into()
                            })
                        })
                    })
                    .collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().expect("no panic").expect("a secret"))
                    .collect()
            });
            assert_eq!(kept.iter().filter(|kept| kept.is_new).count(), 1);
            assert!(kept.iter().all(|one| one.value.expose() == kept[0].value.expose()));
            assert_eq!(names(&data), ["jwt-key.pem"]);
        }
    }

    #[test]
    fn empty_file_is_neither_used_nor_replaced() {
        let (_folder, data) = folder();
        data.create().expect("a directory");
        let path = data.path_of(SecretFile::TokenKey);
        write(&path, "\n").expect("it is ours");
        let made = data.read_or_create(SecretFile::TokenKey, || "key".into());
        assert!(made.expect_err("it is empty").to_string().contains("is empty"));
        assert_eq!(fs::read_to_string(path).expect("it is there"), "\n");
    }

    #[test]
    fn trailing_line_break_is_ignored() {
        let (_folder, data) = folder();
        data.create().expect("a directory");
        write(&data.path_of(SecretFile::AdminPassword), "a pass phrase\r\n").expect("it is ours");
        let read =
            data.read(SecretFile::AdminPassword).expect("it is private").expect("it is there");
        assert_eq!(read.expose(), "a pass phrase");
    }
}
