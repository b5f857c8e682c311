//! The goat-server program: arguments and environment in, an exit status out.

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    goat_server::commands::run(env::args_os(), env::vars_os())
}
