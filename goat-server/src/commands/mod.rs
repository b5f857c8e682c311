//! What the program can be asked to do: one file a command, and here what is common to all.
//!
//! Invariant: whatever happens, the operator reads it in sentences, the process ends with a status
//! that says whether trying again may help, and `serve` under `json` writes nothing but JSON.

mod check;
mod console;
mod migrate;
mod openapi;
mod password;
mod serve;
mod user;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use console::Console;

use crate::cli::{Command, Invocation};
use crate::failure::Failure;
use crate::start::settings::{DOTENV, Settings};

/// Does what the arguments say, under the settings of the flags, the environment and `.env`, and
/// answers what the process ends with.
pub fn run<A>(
    arguments: impl IntoIterator<Item = A>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode
where
    A: Into<OsString> + Clone,
{
    let Invocation { command, flags } = match Invocation::parse(arguments) {
        Ok(invocation) => invocation,
        Err(not_run) => {
            // A stream that is closed can be told nothing.
            let _ = not_run.print();
            return ExitCode::from(not_run.exit_status());
        }
    };
    if command == Command::OpenApi {
        return end(&Console::plain(), openapi::run());
    }
    let is_serve = command == Command::Serve;
    let console = |format| if is_serve { Console::of_serve(format) } else { Console::plain() };
    let (settings, warnings) = match Settings::load(environment, &flags, Path::new(DOTENV)) {
        Ok(loaded) => loaded,
        Err(invalid) => {
            let console = console(invalid.log_format);
            invalid.warnings.iter().for_each(|warning| console.warn(&warning.to_string()));
            return end(&console, Err(Failure::from(&invalid)));
        }
    };
    let console = console(settings.log.format);
    if !is_serve {
        warnings.iter().for_each(|warning| console.warn(&warning.to_string()));
    }
    let done = async {
        match command {
            // Boxed: what a whole server awaits is nested too deep for the compiler's patience with
            // one type.
            Command::Serve => Box::pin(serve::run(&settings, &warnings, &console)).await,
            Command::Migrate { adopt } => migrate::run(&settings, adopt).await,
            Command::Check => check::run(&settings).await,
            Command::User(command) => user::run(&settings, command).await,
            // Answered before the settings were read.
            Command::OpenApi => Ok(()),
        }
    };
    end(&console, block_on(done))
}

/// Runs a command to its end. What it left behind, a hash that nobody waits for any more, is not
/// waited for.
fn block_on(done: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start worker threads ({error})")))?;
    let result = runtime.block_on(done);
    runtime.shutdown_background();
    result
}

/// Says how a command ended.
fn end(console: &Console, result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.sentences().iter().for_each(|sentence| console.error(sentence));
            ExitCode::from(failure.exit_status())
        }
    }
}
