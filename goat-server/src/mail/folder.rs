//! Folder: one file for each letter instead of a delivery, for development.
//!
//! Invariants: a file appears with its whole content; the folder and its files are private to their owner,
//! because the letters hold links that sign in.

use std::fmt::{self, Write as _};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use goat_core::Clock;

use super::carrier::{Carrier, Fault, Mail, Outcome};

type Printer = Box<dyn Fn(&str) + Send + Sync>;

/// A developer's terminal, if there is one. Not the log: the lines hold links. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Terminal(Arc<OnceLock<Printer>>);

impl fmt::Debug for Terminal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Terminal")
    }
}

impl Terminal {
    /// Prints by a function from now on. Only the first call counts.
    pub(super) fn set(&self, printer: impl Fn(&str) + Send + Sync + 'static) {
        // Later calls change nothing.
        let _ = self.0.set(Box::new(printer));
    }
}

/// A folder of letters.
pub(super) struct Folder {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    /// Orders letters of one millisecond.
    count: AtomicU64,
    terminal: Terminal,
}

impl fmt::Debug for Folder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Folder").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Folder {
    pub(super) fn new(path: PathBuf, clock: Arc<dyn Clock>, terminal: Terminal) -> Self {
        Self { path, clock, count: AtomicU64::new(0), terminal }
    }

    /// Returns the next file name. Names sort by time.
    fn name(&self, mail: &Mail) -> String {
        let now = jiff::Timestamp::from_millisecond(self.clock.now().as_millis());
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let time: String = format!("{:.3}", now.unwrap_or_default())
            .chars()
            .filter(|c| *c != '-' && *c != ':')
            .collect();
        format!("{time}-{count:06}-{}.eml", mail.message)
    }
}

#[async_trait]
impl Carrier for Folder {
    async fn deliver(&self, mail: &Mail) -> Outcome {
        let path = self.path.join(self.name(mail));
        let written = {
            let (path, content) = (path.clone(), mail.content.clone());
            tokio::task::spawn_blocking(move || write(&path, &content)).await
        };
        match written.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(()) => {}
            Err(error) => {
                return Outcome::Deferred(Fault { stage: "file", cause: error.to_string() });
            }
        }
        let shown = path.display();
        tracing::info!(letter = mail.message, file = %shown, "letter written");
        if let Some(print) = self.terminal.0.get() {
            let mut lines = format!("\n  {:18}{shown}\n", "letter");
            if let Some(link) = &mail.link {
                // Writing to a `String` does not fail.
                let _ = writeln!(lines, "  {:18}{}", "link", link.expose());
            }
            print(&lines);
        }
        Outcome::Delivered
    }
}

/// Creates a file with its whole content.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = folder.join(format!(".{name}.{:016x}", getrandom::u64()?));
    let written = write_draft(&draft, content).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        // There may be none.
        let _ = fs::remove_file(&draft);
    }
    written
}

fn write_draft(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Mutex;
    use std::time::Duration;

    use goat_core::testing::ManualClock;

    use super::*;

    fn mail(message: &'static str, link: Option<&str>) -> Mail {
        Mail {
            message,
            from: "goat@example.org".parse().expect("an address"),
            to: "ann@example.com".parse().expect("an address"),
            content: b"Subject: a test\r\n\r\ntext\r\n".to_vec(),
            link: link.map(|link| link.to_owned().into()),
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn letters_are_private_files_in_the_order_of_time() {
        let parent = tempfile::tempdir().expect("a folder");
        let path = parent.path().join("data/mail");
        let clock = ManualClock::default();
        let folder = Folder::new(path.clone(), Arc::new(clock.clone()), Terminal::default());
        for message in ["verify-email", "account-exists"] {
            assert_eq!(folder.deliver(&mail(message, None)).await, Outcome::Delivered);
        }
        clock.advance(Duration::from_millis(1500));
        assert_eq!(folder.deliver(&mail("invitation", None)).await, Outcome::Delivered);
        assert_eq!(
            names(&path),
            [
                "20260101T000000.000Z-000000-verify-email.eml",
                "20260101T000000.000Z-000001-account-exists.eml",
                "20260101T000001.500Z-000002-invitation.eml",
            ]
        );
        assert_eq!(mode(&path), 0o700);
        for name in names(&path) {
            assert_eq!(mode(&path.join(&name)), 0o600);
            let content = fs::read(path.join(&name)).expect("a file");
            assert_eq!(content, mail("any", None).content);
        }
    }

    #[tokio::test]
    async fn path_and_link_are_printed_on_a_terminal() {
        let parent = tempfile::tempdir().expect("a folder");
        let terminal = Terminal::default();
        let printed = Arc::new(Mutex::new(String::new()));
        terminal.set({
            let printed = Arc::clone(&printed);
            move |lines| printed.lock().expect("no panic").push_str(lines)
        });
        let clock = Arc::new(ManualClock::default());
        let folder = Folder::new(parent.path().to_owned(), clock, terminal);
        folder.deliver(&mail("verify-email", Some("http://localhost/#a=b"))).await;
        folder.deliver(&mail("account-exists", None)).await;
        let path = parent.path().display();
        assert_eq!(
            *printed.lock().expect("no panic"),
            format!(
                "\n  letter            {path}/20260101T000000.000Z-000000-verify-email.eml\n  \
                 link              http://localhost/#a=b\n\n  \
                 letter            {path}/20260101T000000.000Z-000001-account-exists.eml\n"
            )
        );
    }

    #[tokio::test]
    async fn folder_that_cannot_be_written_defers_the_letter() {
        let parent = tempfile::tempdir().expect("a folder");
        let path = parent.path().join("mail");
        fs::write(&path, "a file").expect("a file");
        let clock = Arc::new(ManualClock::default());
        let folder = Folder::new(path.clone(), clock, Terminal::default());
        let outcome = folder.deliver(&mail("verify-email", None)).await;
        assert!(matches!(outcome, Outcome::Deferred(_)), "{outcome:?}");
        fs::remove_file(&path).expect("it is ours");
        assert_eq!(folder.deliver(&mail("verify-email", None)).await, Outcome::Delivered);
        assert_eq!(names(&path).len(), 1, "no draft is left");
    }
}
