//! What is wrong with a configuration, one line each.
//!
//! No line holds the value of a secret, and none holds a line break, whatever was given.

use std::borrow::Cow;
use std::fmt;

use super::LogFormat;

/// The exit status of a start that its configuration stops: `EX_CONFIG` of BSD's `sysexits.h`.
pub const EXIT_STATUS: u8 = 78;

/// One variable that is wrong: its name, what it was, and what it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    variable: Cow<'static, str>,
    origin: String,
    message: String,
}

impl Problem {
    pub(super) fn new(
        variable: impl Into<Cow<'static, str>>,
        origin: impl fmt::Display,
        message: impl Into<String>,
    ) -> Self {
        Self { variable: variable.into(), origin: origin.to_string(), message: message.into() }
    }

    /// The environment variable, or the file where no variable could be told.
    #[must_use]
    pub fn variable(&self) -> &str {
        &self.variable
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}: {}", self.variable, self.origin, self.message)
    }
}

/// Something that does not stop the start and that the operator should see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(String);

impl Warning {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A configuration that cannot be started with: everything that is wrong with it, at once.
#[derive(Clone, Debug)]
pub struct Invalid {
    /// The variables that are wrong, in the order of `--help`. Never empty.
    pub problems: Vec<Problem>,
    /// The warnings beside them: a misspelt name is often why another variable is missing.
    pub warnings: Vec<Warning>,
    /// How the log was to be written, as far as that could be read, so that the refusal can be
    /// written in the same form.
    pub log_format: Option<LogFormat>,
}

impl fmt::Display for Invalid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

/// A value as a message shows it: quoted, on one line, and not endless.
pub(super) fn quote(value: &str) -> String {
    const SHOWN: usize = 80;
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}
