//! The process table, as far as killing a whole engine needs it.

use std::process::Command;

pub(crate) struct Process {
    pub(crate) id: u32,
    parent: u32,
    state: char,
}

impl Process {
    pub(crate) fn is_stopped(&self) -> bool {
        self.state == 'T'
    }

    /// Exited, though its parent may not have reaped it.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// Returns the process; `None` if it does not exist.
pub(crate) fn find(id: u32) -> Option<Process> {
    all().into_iter().find(|process| process.id == id)
}

pub(crate) fn children_of(id: u32) -> Vec<u32> {
    all().iter().filter(|process| process.parent == id).map(|process| process.id).collect()
}

fn all() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return all_by_ps() };
    let stats = entries.filter_map(|entry| {
        let id = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name in parentheses may contain anything, so parse after the last one.
        let mut rest = stat.rsplit_once(") ")?.1.split(' ');
        let state = rest.next()?.chars().next()?;
        Some(Process { id, state, parent: rest.next()?.parse().ok()? })
    });
    stats.collect()
}

/// For systems without /proc.
fn all_by_ps() -> Vec<Process> {
    let output = Command::new("ps").args(["-A", "-o", "pid=,ppid=,state="]).output();
    let text = output.expect("`ps` can be run").stdout;
    let lines = String::from_utf8_lossy(&text).into_owned();
    let processes = lines.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (id, parent) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Process { id, parent, state: words.next()?.chars().next()? })
    });
    processes.collect()
}
