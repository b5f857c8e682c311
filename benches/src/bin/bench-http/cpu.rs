//! CPU time and memory of processes, from `/proc`.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// CPU time of each thread of some processes at one time.
pub(crate) struct CpuTimes(HashMap<(u32, u32), u64>);

impl CpuTimes {
    /// Reads the CPU times of processes and of their child processes.
    ///
    /// # Panics
    /// If the kernel does not account them.
    pub(crate) fn of(processes: &[u32]) -> Self {
        let children = processes.iter().flat_map(|process| {
            let path = format!("/proc/{process}/task/{process}/children");
            let text = fs::read_to_string(path).expect("the kernel lists child processes");
            text.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>()
        });
        let mut times = HashMap::new();
        for process in processes.iter().copied().chain(children) {
            for thread in threads(process) {
                let path = format!("/proc/{process}/task/{thread}/schedstat");
                // A thread may end in between.
                let Ok(text) = fs::read_to_string(path) else { continue };
                let nanoseconds = text.split(' ').next().and_then(|word| word.parse().ok());
                times.insert((process, thread), nanoseconds.expect("a number"));
            }
        }
        assert!(!times.is_empty(), "no CPU times of {processes:?}");
        Self(times)
    }

    /// The CPU time since an earlier reading. That of threads that have ended since is not included.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let spent = |(thread, now): (&(u32, u32), &u64)| {
            now.saturating_sub(earlier.0.get(thread).copied().unwrap_or(0))
        };
        Duration::from_nanos(self.0.iter().map(spent).sum())
    }
}

fn threads(process: u32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Resident memory of a process in bytes: now, and its highest value.
pub(crate) fn resident(process: u32) -> (f64, f64) {
    let text = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
        let kilobytes: f64 = line.trim_end_matches("kB").trim().parse().expect("a number");
        kilobytes * 1024.0
    };
    (field("VmRSS:"), field("VmHWM:"))
}
