//! Observer of the commands: writes the audit log, and removes the file with the generated password once it
//! is false.

use goat_core::event::{Event, Observer};

use crate::observe::audit::audit;
use crate::start::AdminPasswordFile;

/// The observer of a command that changes users.
#[derive(Debug)]
pub(super) struct CommandObserver {
    pub(super) password_file: AdminPasswordFile,
}

impl Observer for CommandObserver {
    fn observe(&self, event: &Event) {
        audit(event);
        self.password_file.observe(event);
    }
}
