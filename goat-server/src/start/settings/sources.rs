//! Sources of settings: flags, then the process environment, then `.env`.
//!
//! Within one source, a secret is given either directly or as the path of a file. A source takes
//! precedence over the next one in both forms.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use super::dotenv;
use super::problem::{Problem, Warning};
use super::table::{Setting, TABLE};

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

/// Looks up every setting in its sources, and every `GOAT_*` name of the sources in the table.
pub(super) fn gather(
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
    let from_environment: Source = environment
        .into_iter()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), (value, String::new())))
        .collect();
    let from_file = read_file(file, &mut gathered);
    warn_of_unknown(from_environment.keys().chain(from_file.keys()), &mut gathered.warnings);

    let sources = [from_flags, from_environment, from_file];
    for setting in TABLE.iter().copied() {
        match sources.iter().find_map(|source| look_up(setting, source)) {
            Some(Ok(given)) => {
                gathered.given.insert(setting.name, Some(given));
            }
            Some(Err(problem)) => {
                gathered.given.insert(setting.name, None);
                gathered.problems.push(problem);
            }
            None => {}
        }
    }
    gathered
}

/// Reads the variables of `.env`, and rejects duplicate settings.
fn read_file(path: &Path, gathered: &mut Gathered) -> Source {
    let (lines, problems) = dotenv::read(path);
    gathered.problems.extend(problems);
    let mut source = Source::new();
    for line in lines {
        let origin = format!(" ({} line {})", path.display(), line.number);
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
        (Some((value, origin)), None) => Some(match value.to_str() {
            Some(text) => Ok(Given { text: text.to_owned(), origin: origin.clone() }),
            None => Err(Problem::new(setting.name, origin, "is not valid UTF-8")),
        }),
        (None, Some(((path, origin), name))) => Some(match read_secret(Path::new(path)) {
            Ok(text) => Ok(Given { text, origin: format!(" (from the file of {name})") }),
            Err(message) => Err(Problem::new(name, origin, message)),
        }),
        (Some(_), Some(((_, origin), name))) => {
            let message = format!("{name} is set too; set only one of the two");
            Some(Err(Problem::new(setting.name, origin, message)))
        }
    }
}

/// Reads the file of a secret, without the line break that editors append.
///
/// The path is not shown: it may be a secret that was given as a path by mistake.
fn read_secret(path: &Path) -> Result<String, String> {
    if path.as_os_str().is_empty() {
        return Err("is empty; expected the path of a file".to_owned());
    }
    let bytes = std::fs::read(path)
        .map_err(|error| format!("names a file that cannot be read ({error})"))?;
    let mut text =
        String::from_utf8(bytes).map_err(|_| "names a file that is not valid UTF-8".to_owned())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// Warns about each name that starts like a setting and is none.
fn warn_of_unknown<'a>(names: impl Iterator<Item = &'a String>, warnings: &mut Vec<Warning>) {
    let unknown: BTreeSet<&String> =
        names.filter(|name| name.starts_with("GOAT_") && !is_known(name)).collect();
    for name in unknown {
        let nearest = known().min_by_key(|known| distance(name, known)).unwrap_or_default();
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
fn distance(left: &str, right: &str) -> usize {
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
