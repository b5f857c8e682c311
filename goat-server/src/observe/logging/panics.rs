//! What a panic says in the log: the place in the code, never the message, which may hold anything
//! that the code had in hand (L1).

use std::panic::PanicHookInfo;

/// From now on a panic of any thread is one line of the log that names the place in the code, and
/// nothing goes to standard error.
///
/// Process-wide, and so for the program to call, not for a library that is part of another one.
pub fn log_panics() {
    std::panic::set_hook(Box::new(log));
}

fn log(info: &PanicHookInfo<'_>) {
    let location = info.location().map(tracing::field::display);
    tracing::error!(location, "task panicked; this is a bug");
}
