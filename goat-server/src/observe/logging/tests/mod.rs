#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod forging;
mod levels;
mod queue;
mod requests;
mod secrets;

use std::io;
use std::sync::{Arc, LazyLock, Mutex};

use serde_json::{Map, Value};
use tracing::Dispatch;
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing_subscriber::fmt::MakeWriter;

use super::{Look, subscriber};

/// The written bytes.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Logs on this thread, until the guard is dropped.
    fn begin(directives: &str, look: Look) -> (Self, DefaultGuard) {
        // With a single subscriber, tracing caches a callsite's interest from the first thread that
        // reaches it, which may belong to another test. A second dispatcher prevents that.
        static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));
        LazyLock::force(&SECOND);
        let log = Self::default();
        let subscriber = subscriber(directives, look, log.clone()).unwrap();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// As `begin`, for tests of other modules.
    pub(crate) fn capture(directives: &str) -> (Self, DefaultGuard) {
        Self::begin(directives, Look::Json)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Parses every line as an object.
    fn objects(&self) -> Vec<Map<String, Value>> {
        self.text().lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Log {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}
