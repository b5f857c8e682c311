//! Lookup of the engines' programs. A missing program fails the test with the package to install;
//! tests are never skipped.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Searched after PATH.
const USUAL: [&str; 4] = ["/usr/bin", "/usr/local/bin", "/usr/sbin", "/opt/homebrew/bin"];

/// Returns the first of the names that is found.
///
/// # Panics
/// If none is, with the `package` to install.
pub(crate) fn program(names: &[&str], package: &str) -> PathBuf {
    let folders: Vec<PathBuf> = folders().collect();
    first_working(names, &folders).unwrap_or_else(|| missing(names[0], package))
}

fn first_working(names: &[&str], folders: &[PathBuf]) -> Option<PathBuf> {
    names
        .iter()
        .find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|path| works(path)))
}

/// The folder of PostgreSQL's own programs, where `postgres` and `initdb` are side by side.
///
/// # Panics
/// If there is none, with the package to install.
pub(crate) fn postgres_folder() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        folders()
            // Resolve links: Debian's own folder has only a link or a wrapper.
            .filter_map(|folder| folder.join("postgres").canonicalize().ok())
            .filter_map(|program| program.parent().map(Path::to_owned))
            .chain(debian_versions())
            .find(|folder| {
                ["postgres", "initdb", "psql"].iter().all(|name| works(&folder.join(name)))
            })
            .unwrap_or_else(|| missing("postgres", "postgresql"))
    })
}

/// Debian keeps each version in a folder outside PATH; the highest comes first.
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

/// Runs `--version`, since a file may be a stub or a broken link.
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
        "`{program}` is required by this test but not installed: \
         install the package `{package}`, or run `make test`, which installs what is missing"
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::supervisor::Supervisor;

    fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
        std::fs::create_dir_all(folder).expect("a folder");
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("permissions");
        path
    }

    #[test]
    fn stubs_and_broken_links_are_skipped() {
        let supervisor = Supervisor::start("KILL", None);
        let folders = ["link", "stub", "good"].map(|name| supervisor.folder().join(name));
        script(&folders[1], "engine", "#!/bin/sh\nexit 1\n");
        let good = script(&folders[2], "engine", "#!/bin/sh\nexit 0\n");
        std::fs::create_dir_all(&folders[0]).expect("a folder");
        std::os::unix::fs::symlink("/nowhere", folders[0].join("engine")).expect("a link");
        assert_eq!(first_working(&["engine"], &folders), Some(good.clone()));
        assert_eq!(first_working(&["other", "engine"], &folders), Some(good));
        assert_eq!(first_working(&["engine"], &folders[..2]), None);
    }

    #[test]
    #[should_panic(expected = "install the package `some-package`, or run `make test`")]
    fn a_missing_program_names_its_package() {
        program(&["no-such-engine"], "some-package");
    }

    #[test]
    fn the_postgresql_folder_has_its_own_programs() {
        let folder = postgres_folder();
        for name in ["postgres", "initdb", "psql"] {
            let path = folder.join(name).canonicalize().expect("it is there");
            assert_eq!(path.parent(), Some(folder), "no wrapper: {}", path.display());
        }
    }
}
