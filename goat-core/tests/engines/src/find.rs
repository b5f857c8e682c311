//! Where the programs lie. One that is missing ends the test with a sentence that says what to
//! install: a test that skips itself shows nothing.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Looked through after PATH.
const USUAL: [&str; 4] = ["/usr/bin", "/usr/local/bin", "/usr/sbin", "/opt/homebrew/bin"];

/// The first of the names that is found.
///
/// # Panics
/// Where none is, naming `package` as what to install.
pub(crate) fn program(names: &[&str], package: &str) -> PathBuf {
    let folders: Vec<PathBuf> = folders().collect();
    first_that_works(names, &folders).unwrap_or_else(|| missing(names[0], package))
}

fn first_that_works(names: &[&str], folders: &[PathBuf]) -> Option<PathBuf> {
    names
        .iter()
        .find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|path| works(path)))
}

/// The folder of PostgreSQL's own programs: `postgres` works there and `initdb` lies beside it.
///
/// # Panics
/// Where there is none, naming what to install.
pub(crate) fn postgres_folder() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        folders()
            // Debian's own folder has a link or a wrapper at most; what counts is where it leads.
            .filter_map(|folder| folder.join("postgres").canonicalize().ok())
            .filter_map(|program| program.parent().map(Path::to_owned))
            .chain(debian_versions())
            .find(|folder| {
                ["postgres", "initdb", "psql"].iter().all(|name| works(&folder.join(name)))
            })
            .unwrap_or_else(|| missing("postgres", "postgresql"))
    })
}

/// Debian keeps each version in a folder of its own, outside PATH; the highest comes first.
fn debian_versions() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir("/usr/lib/postgresql") else { return Vec::new() };
    let mut versions: Vec<u32> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable_by(|one, other| other.cmp(one));
    let folder = |version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"));
    versions.into_iter().map(folder).collect()
}

fn folders() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let named: Vec<PathBuf> = std::env::split_paths(&path).collect();
    named.into_iter().chain(USUAL.map(PathBuf::from)).filter(|folder| folder.is_absolute())
}

/// A file may be there and still be a stub or a link to nowhere, so it is asked for its version.
fn works(program: &Path) -> bool {
    let word =
        if program.file_name() == Some(OsStr::new("openssl")) { "version" } else { "--version" };
    Command::new(program)
        .arg(word)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn missing(program: &str, package: &str) -> ! {
    panic!(
        "`{program}` is needed by this test and is not on this machine: \
         install the package `{package}`, or run `make test`, which installs what is missing"
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::keeper::Keeper;

    fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
        std::fs::create_dir_all(folder).expect("a folder");
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("permissions");
        path
    }

    #[test]
    fn a_stub_and_a_broken_link_are_passed_over() {
        let keeper = Keeper::start("KILL", None);
        let folders = ["link", "stub", "good"].map(|name| keeper.folder().join(name));
        script(&folders[1], "engine", "#!/bin/sh\nexit 1\n");
        let good = script(&folders[2], "engine", "#!/bin/sh\nexit 0\n");
        std::fs::create_dir_all(&folders[0]).expect("a folder");
        std::os::unix::fs::symlink("/nowhere", folders[0].join("engine")).expect("a link");
        assert_eq!(first_that_works(&["engine"], &folders), Some(good.clone()));
        assert_eq!(first_that_works(&["other", "engine"], &folders), Some(good));
        assert_eq!(first_that_works(&["engine"], &folders[..2]), None);
    }

    #[test]
    #[should_panic(expected = "install the package `some-package`, or run `make test`")]
    fn what_is_missing_is_named_with_what_to_install() {
        program(&["no-such-engine"], "some-package");
    }

    #[test]
    fn the_folder_of_postgresql_is_where_its_own_programs_lie() {
        let folder = postgres_folder();
        for name in ["postgres", "initdb", "psql"] {
            let path = folder.join(name).canonicalize().expect("it is there");
            assert_eq!(path.parent(), Some(folder), "no wrapper: {}", path.display());
        }
    }
}
