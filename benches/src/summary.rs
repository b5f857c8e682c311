//! Summary of a run of `cargo bench`: each benchmark records its ratios, and the last one prints all
//! of them as one table.
//!
//! The benchmarks are separate processes. Those of one run have the same parent, cargo.

use std::fs;
use std::os::unix::process::parent_id;
use std::path::PathBuf;

/// The recorded rows of one benchmark.
pub struct Summary {
    benchmark: &'static str,
    rows: Vec<String>,
}

impl Summary {
    /// Starts the record of a benchmark.
    #[must_use]
    pub fn of(benchmark: &'static str) -> Self {
        Self { benchmark, rows: Vec::new() }
    }

    /// Records the ratio of a measurement to its baseline.
    pub fn row(&mut self, name: &str, ratio: f64, measured: &str, baseline: &str) {
        let Self { benchmark, rows } = self;
        rows.push(format!("| {ratio:.2} | {measured} | {baseline} | {benchmark}: {name} |"));
    }

    /// Writes the record for [`print()`].
    ///
    /// # Panics
    /// If the folder of the build cannot be written.
    pub fn write(self) {
        let folder = folder();
        fs::create_dir_all(&folder).expect("the folder of the build can be written");
        let text = format!("{}\n{}\n", parent_id(), self.rows.join("\n"));
        fs::write(folder.join(self.benchmark), text).expect("the folder can be written");
    }
}

/// Prints the records of this run as one table.
pub fn print() {
    let mut files: Vec<_> =
        fs::read_dir(folder()).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    println!("| ratio | measured | baseline | benchmark |");
    println!("|---|---|---|---|");
    for file in files {
        let text = fs::read_to_string(file).unwrap_or_default();
        if let Some((run, rows)) = text.split_once('\n')
            && run == parent_id().to_string()
        {
            print!("{rows}");
        }
    }
}

/// The folder of the records, beside the build.
fn folder() -> PathBuf {
    let program = std::env::current_exe().expect("this program");
    let build = program.parent().and_then(|folder| folder.parent()).expect("a folder of the build");
    build.join("bench-summary")
}
