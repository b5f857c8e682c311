//! Command line of the program.

use std::path::{Path, PathBuf};

const USAGE: &str = "usage: bench-http [OPTIONS]

  --engines                 measure with PostgreSQL and Redis too; starts private instances
  --before BINARY           an earlier goat-server, measured in the same turns
  --before-reference BINARY an earlier bench-reference
  --rounds N                rounds of the comparisons (default 5)
  --seconds N               duration of each turn (default 2)
  --only PART[,PART]        run only these parts
  --dry-run                 write no file

The servers are the binaries goat-server and bench-reference beside this program.";

/// The core of the server and of the load generator.
pub(crate) const SERVER_CORE: usize = 0;
pub(crate) const LOAD_CORE: usize = 1;

pub(crate) struct Options {
    pub(crate) engines: bool,
    pub(crate) before: Option<PathBuf>,
    pub(crate) before_reference: Option<PathBuf>,
    pub(crate) rounds: usize,
    pub(crate) seconds: u32,
    pub(crate) dry_run: bool,
    only: Vec<String>,
    programs: PathBuf,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut options = Self {
            engines: false,
            before: None,
            before_reference: None,
            rounds: 5,
            seconds: 2,
            dry_run: false,
            only: Vec::new(),
            programs: program.parent().unwrap_or(Path::new(".")).to_owned(),
        };
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().ok_or(format!("{argument} needs a value\n\n{USAGE}"));
            let number =
                |text: String| text.parse::<u32>().map_err(|_| format!("{text}: not a number"));
            match argument.as_str() {
                "--engines" => options.engines = true,
                "--dry-run" => options.dry_run = true,
                "--before" => options.before = Some(existing(&value()?)?),
                "--before-reference" => options.before_reference = Some(existing(&value()?)?),
                "--rounds" => options.rounds = number(value()?)?.max(1) as usize,
                "--seconds" => options.seconds = number(value()?)?.max(1),
                "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
                _ => return Err(USAGE.to_owned()),
            }
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if cores < 2 {
            return Err("two cores are needed: one for the server, one for the load".to_owned());
        }
        existing(options.goat_server())?;
        existing(options.reference())?;
        Ok(options)
    }

    /// Whether to run a part.
    pub(crate) fn includes(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == part)
    }

    pub(crate) fn goat_server(&self) -> PathBuf {
        self.programs.join("goat-server")
    }

    pub(crate) fn reference(&self) -> PathBuf {
        self.programs.join("bench-reference")
    }
}

fn existing(path: impl AsRef<Path>) -> Result<PathBuf, String> {
    let path = path.as_ref();
    std::fs::canonicalize(path).map_err(|error| format!("{}: {error}", path.display()))
}
