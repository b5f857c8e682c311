//! The observer of a running server: metrics and audit log, and the file with the generated password.

use std::sync::Arc;
use std::time::Duration;

use goat_core::event::{Event, Observer};

use crate::observe::ServerObserver;
use crate::start::AdminPasswordFile;

/// Forwards events to both.
#[derive(Debug)]
pub(super) struct ServeObserver {
    pub(super) server: Arc<ServerObserver>,
    pub(super) password_file: AdminPasswordFile,
}

impl Observer for ServeObserver {
    fn observe(&self, event: &Event) {
        self.server.observe(event);
        self.password_file.observe(event);
    }

    fn store_called(&self, operation: &'static str, took: Duration, failed: bool) {
        self.server.store_called(operation, took, failed);
    }
}
