//! Why the program ends without having done what it was asked: sentences for the operator, and an
//! exit status for whatever started it.
//!
//! No sentence holds a secret, and none of those that end up in a log holds an e-mail address (L1).

use std::error::Error as StdError;
use std::fmt;

use goat_core::ErrorKind;

use crate::start::settings::{EXIT_STATUS, Invalid, Problem};

/// The exit status of what may go better if it is tried again.
const FAILED: u8 = 1;

/// A start that is refused, or a command that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    sentences: Vec<String>,
    exit_status: u8,
}

impl Failure {
    /// Something failed that may go better next time. Exit status 1.
    #[must_use]
    pub fn new(sentence: impl Into<String>) -> Self {
        Self { sentences: vec![sentence.into()], exit_status: FAILED }
    }

    /// The configuration, or what it leads to, cannot be started with, however often it is tried.
    /// Exit status [`EXIT_STATUS`].
    #[must_use]
    pub fn configuration(sentence: impl Into<String>) -> Self {
        Self { sentences: vec![sentence.into()], exit_status: EXIT_STATUS }
    }

    /// One failure with the sentences of all, or none where there are none.
    ///
    /// # Errors
    ///
    /// If there are any. Trying again helps only where it helps with each, so the exit status is
    /// that of a configuration if one of them has it.
    pub fn all(failures: Vec<Self>) -> Result<(), Self> {
        let exit_status = failures.iter().map(|failure| failure.exit_status).max();
        let sentences = failures.into_iter().flat_map(|failure| failure.sentences).collect();
        exit_status.map_or(Ok(()), |exit_status| Err(Self { sentences, exit_status }))
    }

    /// What went wrong, one sentence each. Never empty.
    #[must_use]
    pub fn sentences(&self) -> &[String] {
        &self.sentences
    }

    /// What the process ends with.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        self.exit_status
    }

    /// Adds what to do about it to the last sentence.
    #[must_use]
    pub fn with_advice(mut self, advice: &str) -> Self {
        if let Some(last) = self.sentences.last_mut() {
            last.push_str("; ");
            last.push_str(advice);
        }
        self
    }
}

impl Failure {
    /// The same after the name of what it is about.
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
        Self { sentences, exit_status: EXIT_STATUS }
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
        // The exit status says already that it is the configuration.
        let sentence = text.strip_prefix("configuration: ").unwrap_or(&text);
        let sentence = chain(sentence, error.source());
        match error.kind() {
            ErrorKind::Configuration => Self::configuration(sentence),
            _ => Self::new(sentence),
        }
    }
}

impl From<goat_core::StoreError> for Failure {
    fn from(error: goat_core::StoreError) -> Self {
        Self::from(goat_core::Error::from(error))
    }
}

/// A sentence and what lies beneath it, each cause once.
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

/// What lies beneath all of an error's causes: the words of the machine or of the other side.
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
    fn a_configuration_error_is_told_from_one_that_may_pass() {
        let error = Error::configuration("the key is none").with_source("it is empty");
        let failure = Failure::from(error);
        assert_eq!(failure.sentences(), ["the key is none: it is empty"]);
        assert_eq!(failure.exit_status(), EXIT_STATUS);

        let failure = Failure::from(goat_core::StoreError::unavailable("users.ping"));
        assert_eq!(failure.exit_status(), FAILED);
        assert!(failure.to_string().contains("users.ping"), "{failure}");
    }
}
