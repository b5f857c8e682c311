//! Configuration errors, one line each.
//!
//! No line holds a secret or a line break, for any value.

use std::borrow::Cow;
use std::fmt;

use super::LogFormat;

/// Exit status of an invalid configuration: `EX_CONFIG` of BSD's `sysexits.h`.
pub const EXIT_STATUS: u8 = 78;

/// An invalid variable: its name, its value if it may be shown, and the allowed values.
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

    /// Returns the environment variable, or the file if the variable is unknown.
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

/// A warning for the operator that does not prevent the start.
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

/// An invalid configuration, with every error at once.
#[derive(Clone, Debug)]
pub struct Invalid {
    /// The invalid variables, in the order of `--help`. Never empty.
    pub problems: Vec<Problem>,
    /// Warnings: a misspelled name often explains why another variable is missing.
    pub warnings: Vec<Warning>,
    /// The configured log format, if it is valid, so that the errors can be written in it.
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

/// Formats a value for a message: quoted, on one line, and shortened.
pub(super) fn quote(value: &str) -> String {
    const SHOWN: usize = 80;
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}
