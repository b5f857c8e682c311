//! Failures of the program: messages for the operator, and an exit status for the process that
//! started it.
//!
//! No message holds a secret, and no message that can reach a log holds an e-mail address (L1).

use std::error::Error as StdError;
use std::fmt;

use goat_core::ErrorKind;

use crate::start::settings::{EXIT_STATUS, Invalid, Problem};

/// Exit status of a failure that a retry may resolve.
const FAILED: u8 = 1;

/// A start that was refused, or a command that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    sentences: Vec<String>,
    kind: Kind,
}

/// The kind of a failure, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// The database or Redis does not respond: a retry is likely to resolve it.
    Unavailable,
    /// A retry may resolve it.
    Failed,
    /// No retry resolves it.
    Configuration,
}

impl Failure {
    /// Creates a failure that a retry may resolve. Exit status 1.
    #[must_use]
    pub fn new(sentence: impl Into<String>) -> Self {
        Self { sentences: vec![sentence.into()], kind: Kind::Failed }
    }

    /// Creates a failure of a database or Redis that does not respond. Exit status 1.
    #[must_use]
    pub fn unavailable(sentence: impl Into<String>) -> Self {
        Self { sentences: vec![sentence.into()], kind: Kind::Unavailable }
    }

    /// Creates a failure of the configuration that no retry resolves. Exit status [`EXIT_STATUS`].
    #[must_use]
    pub fn configuration(sentence: impl Into<String>) -> Self {
        Self { sentences: vec![sentence.into()], kind: Kind::Configuration }
    }

    /// Combines several failures into one; succeeds if there are none.
    ///
    /// # Errors
    ///
    /// If there is a failure. It is a configuration failure if any of them is one, since a retry must
    /// resolve all of them.
    pub fn all(failures: Vec<Self>) -> Result<(), Self> {
        let kind = failures.iter().map(|failure| failure.kind).max();
        let sentences = failures.into_iter().flat_map(|failure| failure.sentences).collect();
        kind.map_or(Ok(()), |kind| Err(Self { sentences, kind }))
    }

    /// Returns the messages. Never empty.
    #[must_use]
    pub fn sentences(&self) -> &[String] {
        &self.sentences
    }

    /// Returns the exit status.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self.kind {
            Kind::Unavailable | Kind::Failed => FAILED,
            Kind::Configuration => EXIT_STATUS,
        }
    }

    /// Whether a database or Redis does not respond, and nothing else is wrong.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.kind == Kind::Unavailable
    }

    /// Appends advice to the last message.
    #[must_use]
    pub fn with_advice(mut self, advice: &str) -> Self {
        if let Some(last) = self.sentences.last_mut() {
            last.push_str("; ");
            last.push_str(advice);
        }
        self
    }
}

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "redis"))]
impl Failure {
    /// Prefixes each message with its subject.
    #[must_use]
    pub(crate) fn after(mut self, subject: &str) -> Self {
        for sentence in &mut self.sentences {
            *sentence = format!("{subject}: {sentence}");
        }
        self
    }
}

impl From<&[Problem]> for Failure {
    fn from(problems: &[Problem]) -> Self {
        let sentences = problems.iter().map(ToString::to_string).collect();
        Self { sentences, kind: Kind::Configuration }
    }
}

impl From<&Invalid> for Failure {
    fn from(invalid: &Invalid) -> Self {
        Self::from(invalid.problems.as_slice())
    }
}

impl From<goat_core::Error> for Failure {
    fn from(error: goat_core::Error) -> Self {
        let text = error.to_string();
        // The exit status already classifies it as a configuration failure.
        let sentence = text.strip_prefix("configuration: ").unwrap_or(&text);
        let sentence = chain(sentence, error.source());
        match error.kind() {
            ErrorKind::Configuration => Self::configuration(sentence),
            ErrorKind::Unavailable => Self::unavailable(sentence),
            _ => Self::new(sentence),
        }
    }
}

impl From<goat_core::StoreError> for Failure {
    fn from(error: goat_core::StoreError) -> Self {
        Self::from(goat_core::Error::from(error))
    }
}

/// Joins a message and its sources, each once.
fn chain(sentence: &str, mut source: Option<&(dyn StdError + 'static)>) -> String {
    let mut text = sentence.to_owned();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Returns the root cause of an error: the message of the system or server.
#[cfg(any(feature = "postgres", feature = "redis"))]
pub(crate) fn deepest(error: &(dyn StdError + 'static)) -> String {
    let mut deepest = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    deepest.to_string()
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.sentences.join("\n"))
    }
}

impl StdError for Failure {}

#[cfg(test)]
mod tests {
    use super::*;
    use goat_core::Error;

    #[test]
    fn worst_of_several_failures_decides() {
        let all = |failures: &[&Failure]| {
            let failures = failures.iter().map(|failure| (*failure).clone()).collect();
            Failure::all(failures).expect_err("there is a failure")
        };
        let down = Failure::unavailable("down");
        assert!(all(&[&down, &down]).is_unavailable());
        let failed = Failure::new("failed");
        assert_eq!(all(&[&failed, &down]).exit_status(), FAILED);
        assert!(!all(&[&failed, &down]).is_unavailable());
        let wrong = Failure::configuration("wrong");
        assert_eq!(all(&[&down, &wrong]).exit_status(), EXIT_STATUS);
        assert_eq!(all(&[&down, &wrong]).sentences(), ["down", "wrong"]);
        assert_eq!(Failure::all(Vec::new()), Ok(()));
    }

    #[test]
    fn configuration_errors_differ_from_transient_ones() {
        let error = Error::configuration("the key is none").with_source("it is empty");
        let failure = Failure::from(error);
        assert_eq!(failure.sentences(), ["the key is none: it is empty"]);
        assert_eq!(failure.exit_status(), EXIT_STATUS);

        let failure = Failure::from(goat_core::StoreError::unavailable("users.ping"));
        assert_eq!(failure.exit_status(), FAILED);
        assert!(failure.is_unavailable());
        assert!(failure.to_string().contains("users.ping"), "{failure}");
    }
}
