//! Settings reader: reads each setting and collects the errors, so that all are reported at once.
//!
//! An invalid value is replaced by the default while reading continues; since the settings are
//! returned only if there was no error, the replacement is never used.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use goat_core::Quota;

use super::LogFormat;
use super::problem::{Invalid, Problem, Warning, quote};
use super::sources::Gathered;
use super::table::{Exposure, Fallback, Kind, Setting, TABLE};
use super::values::{self, Complaint, Parsed};

/// The default has no sources: every setting has its default.
#[derive(Default)]
pub(super) struct Reader {
    gathered: Gathered,
    /// The invalid settings, about which nothing more is reported.
    wrong: BTreeSet<&'static str>,
}

impl Reader {
    pub(super) fn new(gathered: Gathered) -> Self {
        let wrong =
            gathered.given.iter().filter(|(_, given)| given.is_none()).map(|(name, _)| *name);
        Self { wrong: wrong.collect(), gathered }
    }

    /// Whether any source has the setting, valid or not.
    pub(super) fn is_given(&self, setting: &Setting) -> bool {
        self.gathered.given.contains_key(setting.name)
    }

    /// Whether all of these are valid.
    pub(super) fn are_sound(&self, settings: &[&Setting]) -> bool {
        settings.iter().all(|setting| !self.wrong.contains(setting.name))
    }

    /// Reads a setting without a default.
    pub(super) fn optional<T>(
        &mut self,
        setting: &'static Setting,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Option<T> {
        let given = self.gathered.given.get(setting.name)?.as_ref()?;
        let parsed =
            if given.text.trim().is_empty() { Err("is empty".into()) } else { parse(&given.text) };
        parsed.map_err(|complaint: Complaint| self.refuse(setting, &complaint)).ok()
    }

    /// Reads a setting with a default.
    pub(super) fn required<T>(
        &mut self,
        setting: &'static Setting,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> T {
        self.optional(setting, &parse).unwrap_or_else(|| match setting.default {
            Fallback::Text(text) => match parse(text) {
                Ok(value) => value,
                Err(complaint) => unreachable!("the default of {} {complaint}", setting.name),
            },
            _ => unreachable!("{} has no default text", setting.name),
        })
    }

    /// Reads a duration within its bounds.
    pub(super) fn duration(&mut self, setting: &'static Setting) -> Duration {
        self.required(setting, |text| {
            let value = values::duration(text)?;
            match setting.kind {
                Kind::Duration(from, to) if (from..=to).contains(&value) => Ok(value),
                _ => Err("is out of range".into()),
            }
        })
    }

    /// Reads a duration within its bounds; `None` is `off`.
    pub(super) fn duration_or_off(&mut self, setting: &'static Setting) -> Option<Duration> {
        self.required(setting, |text| {
            if text == "off" {
                return Ok(None);
            }
            let value = values::duration(text)?;
            match setting.kind {
                Kind::DurationOrOff(from, to) if (from..=to).contains(&value) => Ok(Some(value)),
                _ => Err("is out of range".into()),
            }
        })
    }

    /// Reads a number within its bounds.
    pub(super) fn count<T: TryFrom<u64>>(&mut self, setting: &'static Setting) -> T {
        self.required(setting, |text| bounded(setting, text))
    }

    /// Reads a number within its bounds, without a default.
    pub(super) fn optional_count<T: TryFrom<u64>>(
        &mut self,
        setting: &'static Setting,
    ) -> Option<T> {
        self.optional(setting, |text| bounded(setting, text))
    }

    /// Reads a rate limit; `None` is `off`.
    pub(super) fn quota(&mut self, setting: &'static Setting) -> Option<Quota> {
        self.required(setting, values::quota)
    }

    /// Reads one of several words.
    pub(super) fn choice<T: Copy>(&mut self, setting: &'static Setting, words: &[(&str, T)]) -> T {
        self.required(setting, |text| one_of(text, words))
    }

    /// Reads one of several words, without a default.
    pub(super) fn optional_choice<T: Copy>(
        &mut self,
        setting: &'static Setting,
        words: &[(&str, T)],
    ) -> Option<T> {
        self.optional(setting, |text| one_of(text, words))
    }

    /// Rejects a value; the complaint follows it in the message.
    pub(super) fn refuse(&mut self, setting: &'static Setting, complaint: &str) {
        self.refuse_and_ask(setting, complaint, &setting.kind);
    }

    /// Rejects a value with bounds that depend on another setting.
    pub(super) fn refuse_and_ask(
        &mut self,
        setting: &'static Setting,
        complaint: &str,
        may_be: &dyn fmt::Display,
    ) {
        let given = self.gathered.given.get(setting.name).and_then(Option::as_ref);
        let (subject, origin): (Cow<'_, str>, &str) = match (given, setting.default) {
            (Some(given), _) if setting.exposure == Exposure::Public => {
                (format!("{} ", quote(&given.text)).into(), &given.origin)
            }
            (Some(given), _) => ("the value ".into(), &given.origin),
            (None, Fallback::Text(text)) => (format!("{} ", quote(text)).into(), " (default)"),
            (None, _) => ("".into(), ""),
        };
        let message = format!("{subject}{complaint}; expected {may_be}");
        self.gathered.problems.push(Problem::new(setting.name, origin, message));
        self.wrong.insert(setting.name);
    }

    /// Returns the settings whose files others can read or change, with their modes.
    pub(super) fn open_files(&self) -> Vec<(&'static Setting, u32)> {
        let mode = |setting: &Setting| self.gathered.given.get(setting.name)?.as_ref()?.open_mode;
        TABLE.iter().filter_map(|setting| Some((*setting, mode(setting)?))).collect()
    }

    /// Rejects the file of a setting.
    pub(super) fn refuse_file(&mut self, setting: &'static Setting, message: String) {
        let variable = setting.file_variable().unwrap_or_else(|| setting.name.to_owned());
        self.gathered.problems.push(Problem::new(variable, "", message));
        self.wrong.insert(setting.name);
    }

    /// Adds a warning about the file of a setting.
    pub(super) fn warn_of_file(&mut self, setting: &Setting, message: &str) {
        let variable = setting.file_variable().unwrap_or_else(|| setting.name.to_owned());
        self.gathered.warnings.push(Warning::new(format!("{variable}: {message}")));
    }

    /// Adds a warning for the operator.
    pub(super) fn warn(&mut self, setting: &Setting, complaint: &str) {
        let message = format!("{}: the value {complaint}", setting.name);
        self.gathered.warnings.push(Warning::new(message));
    }

    /// Returns the settings if there was no error.
    pub(super) fn finish<T>(
        self,
        settings: T,
        log_format: Option<LogFormat>,
    ) -> Result<(T, Vec<Warning>), Invalid> {
        let Gathered { mut problems, warnings, .. } = self.gathered;
        if problems.is_empty() {
            return Ok((settings, warnings));
        }
        problems.sort_by_key(|problem| {
            let variable = problem.variable();
            let place = |name: &str| TABLE.iter().position(|setting| setting.name == name);
            place(variable).or_else(|| place(variable.trim_end_matches("_FILE")))
        });
        Err(Invalid { problems, warnings, log_format })
    }
}

fn bounded<T: TryFrom<u64>>(setting: &Setting, text: &str) -> Parsed<T> {
    let value = values::count(text)?;
    match setting.kind {
        Kind::Count(from, to) if (from..=to).contains(&value) => T::try_from(value).ok(),
        _ => None,
    }
    .ok_or("is out of range".into())
}

fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Parsed<T> {
    words
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, value)| *value)
        .ok_or("is not one of the accepted values".into())
}
