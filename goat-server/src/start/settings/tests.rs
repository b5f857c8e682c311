//! Settings from their sources, and the errors of invalid ones.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::cli::Invocation;

mod contradictions;
mod defaults;
mod engines;
mod mail;
mod problems;
mod secrets;
mod sources;
mod table;
mod values;

/// Strong secrets, all different.
const TOKEN_SECRET: &str = "kT9vQ2xLr7ZpWc4NfYb8HsJd3MgUe6Aa";
const OLD_TOKEN_SECRET: &str = "Zq5RmX1tVw8KyCn3LbPj7FhGd2SsEo9u";
const PEPPER: &str = "Bv6Jx0DgTn4WqMz8RkLc2YpHf5UsAe7i";
const PASSWORD: &str = "seven brown bottles stand";
const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----\nbm90IGEga2V5\n-----END PRIVATE KEY-----";
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\nbm90IGEga2V5\n-----END PUBLIC KEY-----";

/// Sources of settings: a directory with an optional `.env`, an environment, arguments.
struct Sources {
    directory: TempDir,
    environment: Vec<(OsString, OsString)>,
    arguments: Vec<String>,
}

/// An empty environment.
fn sources() -> Sources {
    let directory = tempfile::tempdir().expect("a directory");
    Sources { directory, environment: Vec::new(), arguments: vec!["goat-server".to_owned()] }
}

/// An environment with these variables.
fn environment(variables: &[(&str, &str)]) -> Sources {
    let mut sources = sources();
    sources.environment =
        variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
    sources
}

/// A valid production environment, overridden by these variables.
fn production(variables: &[(&str, &str)]) -> Sources {
    let mut all = vec![
        ("GOAT_ENV", "production"),
        ("GOAT_JWT_SECRET", TOKEN_SECRET),
        ("GOAT_PASSWORD_PEPPER", PEPPER),
        ("GOAT_ADMIN_PASSWORD", PASSWORD),
    ];
    all.retain(|(name, _)| !variables.iter().any(|(other, _)| name == other));
    all.extend(variables.iter().filter(|(_, value)| *value != "-"));
    environment(&all)
}

impl Sources {
    fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    fn dotenv(self, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.path(".env"), content).expect("a file is written");
        self
    }

    /// A file that only its owner can read.
    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("a file is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn load(&self) -> Result<(Settings, Vec<Warning>), Invalid> {
        let invocation = Invocation::parse(&self.arguments).expect("valid arguments");
        Settings::load(self.environment.clone(), &invocation.flags, &self.path(".env"))
    }

    fn settings(&self) -> Settings {
        self.load().expect("valid settings").0
    }

    fn warnings(&self) -> Vec<String> {
        self.load().expect("valid settings").1.iter().map(Warning::to_string).collect()
    }

    fn problems(&self) -> Vec<String> {
        let invalid = self.load().expect_err("settings that are wrong");
        let lines: Vec<String> = invalid.problems.iter().map(Problem::to_string).collect();
        assert!(lines.iter().all(|line| line.lines().count() == 1), "{lines:?}");
        assert_eq!(invalid.to_string(), lines.join("\n"));
        lines
    }

    /// Returns the only problem.
    fn problem(&self) -> String {
        let problems = self.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems.into_iter().next().expect("one")
    }
}
