//! Closing of the longest idle connections while many are open (W5).
//!
//! Connections do not report that they become idle, which would be a lock shared by all requests.
//! Instead all of them are searched when one has to close, for many at once.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::activity::Activity;

/// How many connections one search finds.
const FOUND: usize = 256;

/// Time between two searches of which the first found nothing.
const BACKOFF: Duration = Duration::from_millis(50);

/// The open connections.
#[derive(Debug, Default)]
pub(super) struct IdleConnections {
    all: Vec<Weak<Activity>>,
    /// The size at which closed connections are removed from `all`.
    sweep_at: usize,
    /// Connections that a search found, the longest idle first, with the start of their idle time.
    found: VecDeque<(Instant, Weak<Activity>)>,
    /// When the next search may begin.
    search_at: Option<Instant>,
}

impl IdleConnections {
    /// Adds a connection.
    pub(super) fn add(&mut self, activity: &Arc<Activity>) {
        if self.all.len() >= self.sweep_at {
            self.all.retain(|activity| activity.strong_count() > 0);
            self.sweep_at = self.all.len() * 2 + FOUND;
        }
        self.all.push(Arc::downgrade(activity));
    }

    /// Closes the longest idle connection, if one is idle.
    pub(super) fn close_longest(&mut self) {
        loop {
            while let Some((since, activity)) = self.found.pop_front() {
                if activity.upgrade().is_some_and(|activity| activity.close_if_idle(since)) {
                    return;
                }
            }
            let now = Instant::now();
            if self.search_at.is_some_and(|at| now < at) {
                return;
            }
            self.search();
            if self.found.is_empty() {
                self.search_at = Some(now + BACKOFF);
                return;
            }
        }
    }

    fn search(&mut self) {
        let idle = self.all.iter().filter_map(|activity| {
            let since = activity.upgrade()?.idle_since()?;
            Some((since, Weak::clone(activity)))
        });
        let mut idle: Vec<_> = idle.collect();
        if idle.len() > FOUND {
            idle.select_nth_unstable_by_key(FOUND, |(since, _)| *since);
            idle.truncate(FOUND);
        }
        idle.sort_unstable_by_key(|(since, _)| *since);
        self.found = idle.into();
    }
}
