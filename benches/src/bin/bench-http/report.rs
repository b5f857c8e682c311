//! Writes results: sections between markers in Markdown files, and charts.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::options::Options;

/// The Markdown files with sections.
const FILES: [&str; 2] = ["benches/README.md", "goat-server/guide/capacity.md"];

pub(crate) struct Report {
    root: PathBuf,
    dry_run: bool,
}

impl Report {
    pub(crate) fn new(options: &Options) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        Self { root, dry_run: options.dry_run }
    }

    /// Replaces the text of a section, in the file that has its markers, and prints it.
    ///
    /// # Panics
    /// If no file has them.
    pub(crate) fn section(&self, name: &str, text: &str) {
        let text = format!("{}\n", text.trim());
        println!("{text}");
        if self.dry_run {
            return;
        }
        for file in FILES {
            let path = self.root.join(file);
            let Ok(old) = fs::read_to_string(&path) else { continue };
            if let Some(new) = replaced(&old, name, &text) {
                return fs::write(&path, new).expect("the file can be written");
            }
        }
        panic!("no file has the markers of {name}");
    }

    /// Writes a chart.
    ///
    /// # Panics
    /// If it cannot be written.
    pub(crate) fn chart(&self, name: &str, svg: &str) {
        if !self.dry_run {
            let folder = self.root.join("benches/charts");
            let path = folder.join(format!("{name}.svg"));
            fs::create_dir_all(folder).expect("the folder can be created");
            fs::write(path, svg).expect("the chart can be written");
        }
    }
}

/// Replaces the text between the markers of a section.
fn replaced(text: &str, name: &str, section: &str) -> Option<String> {
    let (begin, end) =
        (format!("<!-- bench-http: {name} -->\n"), format!("<!-- /bench-http: {name} -->"));
    let from = text.find(&begin)? + begin.len();
    let to = from + text[from..].find(&end)?;
    Some(format!("{}{section}{}", &text[..from], &text[to..]))
}

/// Describes the machine.
pub(crate) fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{cores} cores, {model}")
}

/// Describes the machine, and a comparison in turns.
pub(crate) fn turns(options: &Options) -> String {
    let (machine, Options { rounds, seconds, .. }) = (machine(), options);
    format!("{machine}; medians of {rounds} rounds of {seconds} s.")
}

/// A Markdown table.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        writeln!(text, "| {} |", row.join(" | ")).expect("a text grows");
    }
    text
}
