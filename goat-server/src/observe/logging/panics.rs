//! Panic hook: logs the place in the code, never the message, which may hold any value that the
//! code was working on (L1).

use std::panic::PanicHookInfo;

/// Logs every panic of any thread as one line with its place in the code; nothing goes to standard
/// error.
///
/// The hook is process-wide: a program should install it, not a library inside another program.
pub fn log_panics() {
    std::panic::set_hook(Box::new(log));
}

fn log(info: &PanicHookInfo<'_>) {
    let location = info.location().map(tracing::field::display);
    tracing::error!(location, "task panicked; this is a bug");
}
