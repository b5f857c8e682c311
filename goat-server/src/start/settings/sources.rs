//! Sources of settings: flags, then the process environment, then `.env`.
//!
//! Within one source, a secret is given either directly or as the path of a file. A source takes
//! precedence over the next one in both forms.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::start::text::decode;

use super::problem::{Problem, Warning};
use super::table::{Exposure, Setting, TABLE};
use super::{UsedSecrets, dotenv, table, values};

/// The settings given on the command line.
///
/// Its `Debug` output shows names only.
#[derive(Clone, Default)]
pub struct Flags(BTreeMap<&'static str, String>);

impl Flags {
    pub(crate) fn set(&mut self, setting: &'static Setting, value: String) {
        self.0.insert(setting.name, value);
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

/// A value and its source.
pub(super) struct Given {
    pub(super) text: String,
    /// The source, shown after the variable's name.
    pub(super) origin: String,
    /// The mode of its file, if others can read or change it.
    pub(super) open_mode: Option<u32>,
}

/// All values that were given.
#[derive(Default)]
pub(super) struct Gathered {
    /// By the setting's name. `None`: given but unreadable, and reported among the problems.
    pub(super) given: BTreeMap<&'static str, Option<Given>>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
}

/// One source: the raw value and the origin by variable name.
type Source = BTreeMap<String, (OsString, String)>;

/// Looks up every setting in its sources, except secrets that are not used, and every name of the sources
/// in the table.
pub(super) fn gather(
    used: UsedSecrets,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    flags: &Flags,
    file: &Path,
) -> Gathered {
    let mut gathered = Gathered::default();
    let from_flags: Source = TABLE
        .iter()
        .filter_map(|setting| {
            let value = flags.0.get(setting.name)?;
            let origin = format!(" (--{})", setting.flag()?);
            Some((setting.name.to_owned(), (value.into(), origin)))
        })
        .collect();
    let from_environment = by_name(environment);
    let mut unreadable = None;
    let from_file = match dotenv::read(file) {
        Ok(dotenv) => read_dotenv(file, dotenv, &from_environment, &mut gathered),
        Err(problem) => {
            unreadable = Some(problem);
            Source::new()
        }
    };
    warn_of_unknown(from_environment.keys().chain(from_file.keys()), &mut gathered.warnings);

    let sources = [from_flags, from_environment, from_file];
    gathered.look_up(&sources, |setting| used.include(setting));
    match unreadable {
        Some(problem) if is_complete(&gathered, used) => {
            let complete = "the settings come from elsewhere";
            gathered.warnings.push(Warning::new(format!("{problem}; {complete}")));
        }
        Some(problem) => gathered.problems.push(problem),
        None => {}
    }
    gathered
}

/// Looks up the settings without secrets in the environment alone.
pub(super) fn gather_public(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Gathered {
    let mut gathered = Gathered::default();
    let environment = by_name(environment);
    warn_of_unknown(environment.keys(), &mut gathered.warnings);
    gathered.look_up(&[environment], |setting| setting.exposure == Exposure::Public);
    gathered
}

fn by_name(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Source {
    let named = |(name, value): (OsString, OsString)| {
        (name.to_string_lossy().into_owned(), (value, String::new()))
    };
    environment.into_iter().map(named).collect()
}

impl Gathered {
    /// Adds the value of each setting from the first source that has it.
    fn look_up(&mut self, sources: &[Source], includes: impl Fn(&Setting) -> bool) {
        for setting in TABLE.iter().copied().filter(|setting| includes(setting)) {
            match sources.iter().find_map(|source| look_up(setting, source)) {
                Some(Ok(given)) => {
                    self.given.insert(setting.name, Some(given));
                }
                Some(Err(problem)) => {
                    self.given.insert(setting.name, None);
                    self.problems.push(problem);
                }
                None => {}
            }
        }
    }
}

/// Whether no setting is missing that by default creates data or secrets: a file that may hold these
/// settings must not be skipped, or the server would start on an empty database.
fn is_complete(gathered: &Gathered, used: UsedSecrets) -> bool {
    let is_given =
        |setting: &&Setting| gathered.given.contains_key(setting.name) || !used.include(setting);
    [
        &[&table::DATABASE_URL, &table::DATA_DIR][..],
        &[&table::JWT_SECRET, &table::JWT_PRIVATE_KEY],
        &[&table::PASSWORD_PEPPER],
    ]
    .iter()
    .all(|alternatives| alternatives.iter().any(is_given))
}

/// Returns the variables of `.env`, rejects duplicate settings, and warns of a `$` that expands to
/// nothing.
fn read_dotenv(
    path: &Path,
    dotenv: dotenv::File,
    environment: &Source,
    gathered: &mut Gathered,
) -> Source {
    gathered.problems.extend(dotenv.problems);
    let mut source = Source::new();
    for line in dotenv.lines {
        let origin = format!(" ({} line {})", path.display(), line.number);
        let has_value = |name: &str| {
            let found = environment.get(name).or_else(|| source.get(name));
            found.is_some_and(|(value, _)| !value.is_empty())
        };
        // The name after the $ is not shown: it may be a part of a secret.
        if is_known(&line.name) && !line.substitutions.iter().all(|name| has_value(name)) {
            gathered.warnings.push(Warning::new(format!(
                "{}{origin}: a $ in the value expands to nothing; put the value in 'single quotes' to \
                 keep it unchanged",
                line.name
            )));
        }
        if is_known(&line.name)
            && let Some((_, first)) = source.get(&line.name)
        {
            let message = format!("is already set{first}; set it only once");
            gathered.problems.push(Problem::new(line.name, origin, message));
        } else {
            source.insert(line.name, (line.value.into(), origin));
        }
    }
    source
}

/// Looks up one setting in one source.
fn look_up(setting: &'static Setting, source: &Source) -> Option<Result<Given, Problem>> {
    let direct = source.get(setting.name);
    let file = setting.file_variable().and_then(|name| Some((source.get(&name)?, name)));
    match (direct, file) {
        (None, None) => None,
        (Some((value, origin)), None) => Some(match decode(value.as_bytes().to_vec()) {
            Ok(text) => Ok(Given { text, origin: origin.clone(), open_mode: None }),
            Err(complaint) => Err(Problem::new(setting.name, origin, complaint)),
        }),
        (None, Some(((path, origin), name))) => Some(match read_secret(path) {
            Ok((text, open_mode)) => {
                Ok(Given { text, origin: format!(" (from the file of {name})"), open_mode })
            }
            Err(message) => Err(Problem::new(name, origin, message)),
        }),
        (Some(_), Some(((_, origin), name))) => {
            let message = format!("{name} is set too; set only one of the two");
            Some(Err(Problem::new(setting.name, origin, message)))
        }
    }
}

/// The largest file of a secret: several keys in PEM have a few kilobytes.
const LONGEST: u64 = 1024 * 1024;

/// Reads the file of a secret; returns its mode too if others can read or change it (L5).
///
/// The path is not shown: it may be a secret that was given as a path by mistake.
fn read_secret(path: &OsStr) -> Result<(String, Option<u32>), String> {
    const OTHERS_READ_OR_WRITE: u32 = 0o006;
    let unreadable = |error: io::Error| format!("names a file that cannot be read ({error})");
    let path = match path.to_str() {
        Some(text) if text.trim().is_empty() => {
            return Err("is empty; expected the path of a file".to_owned());
        }
        Some(text) => values::path(text)?,
        None => PathBuf::from(path),
    };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST {
        return Err("names a file of more than 1 MiB".to_owned());
    }
    let text = decode(bytes).map_err(|complaint| format!("names a file that {complaint}"))?;
    Ok((text, (mode & OTHERS_READ_OR_WRITE != 0).then_some(mode)))
}

/// Edits by which a name without goat's prefix may differ from a setting to count as misspelt: one, or two
/// in a long name. Other programs have variables such as `GO_ENV`.
const EDITS: usize = 2;

/// The shortest name that may have two edits.
const LONG_NAME: usize = 9;

/// Warns about each name that is like a setting and is none: it has goat's prefix, or it is a setting but
/// for its case and a few letters, such as `DATABASE_URI`.
fn warn_of_unknown<'a>(names: impl Iterator<Item = &'a String>, warnings: &mut Vec<Warning>) {
    let unknown: BTreeSet<&String> = names.filter(|name| !is_known(name)).collect();
    for name in unknown {
        let upper = name.to_uppercase();
        let nearest = known().map(|known| (distance(&upper, &known), known)).min();
        let Some((edits, nearest)) = nearest else { continue };
        let most = if nearest.len() < LONG_NAME { EDITS - 1 } else { EDITS };
        if !name.starts_with("GOAT_") && edits > most {
            continue;
        }
        warnings.push(Warning::new(format!(
            "{} is not a known setting; did you mean {nearest}?",
            name.escape_debug()
        )));
    }
}

fn is_known(name: &str) -> bool {
    known().any(|known| known == name)
}

/// Returns every known variable.
fn known() -> impl Iterator<Item = String> {
    TABLE
        .iter()
        .flat_map(|setting| std::iter::once(setting.name.to_owned()).chain(setting.file_variable()))
}

/// Returns the edit distance of two texts (Levenshtein).
pub(super) fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, b) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = substituted.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        for (left, right, edits) in [
            ("", "", 0),
            ("GOAT", "", 4),
            ("", "GOAT", 4),
            ("LISTEN", "LITSEN", 2),
            ("LOG", "LOGS", 1),
        ] {
            assert_eq!(distance(left, right), edits, "{left} {right}");
        }
    }
}
