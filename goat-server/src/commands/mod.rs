//! The program's commands, one file each, and their common entry point.
//!
//! Invariant: every failure is reported in messages for the operator, the exit status tells whether
//! a retry may help, and `serve` under `json` writes only JSON.

#[cfg(feature = "sqlite")]
mod backup;
mod check;
mod console;
mod health;
mod key;
mod migrate;
mod observer;
mod openapi;
mod password;
mod permission;
mod role;
mod serve;
mod table;
mod user;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use check::Strictness;
use console::Console;

use crate::cli::{Command, Invocation};
use crate::failure::Failure;
use crate::observe::logging;
use crate::serve::fail_writes_over_the_file_limit;
#[cfg(not(feature = "sqlite"))]
use crate::start::settings::Engine;
use crate::start::settings::{DOTENV, Settings};

/// Timeout for writing the last lines of the log.
const FLUSH_WITHIN: Duration = Duration::from_secs(5);

/// Runs the command of the arguments with the settings of the flags, the environment and `.env`,
/// and returns the exit status.
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
            // If the stream is closed, there is no place to report it.
            let _ = not_run.print();
            return ExitCode::from(not_run.exit_status());
        }
    };
    if command == Command::OpenApi {
        return end(&Console::plain(), openapi::run());
    }
    let is_serve = command == Command::Serve;
    let console = |format| if is_serve { Console::of_serve(format) } else { Console::plain() };
    let loaded = Settings::load_for(command.secrets(), environment, &flags, Path::new(DOTENV));
    let (settings, warnings) = match loaded {
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
        fail_writes_over_the_file_limit()
            .map_err(|error| Failure::new(format!("cannot install signal handlers ({error})")))?;
        match command {
            // Boxed: the future of the whole server is nested too deeply for the compiler's type
            // length limit.
            Command::Serve => Box::pin(serve::run(&settings, &warnings, &console)).await,
            Command::Migrate { adopt } if settings.accounts.roles_file.is_some() => {
                logged(&settings, migrate::run(&settings, adopt)).await
            }
            Command::Migrate { adopt } => migrate::run(&settings, adopt).await,
            Command::Check { strict } => {
                check::run(&settings, &console, Strictness { strict, warnings: warnings.len() })
                    .await
            }
            #[cfg(feature = "sqlite")]
            Command::Backup(file) => backup::back_up(&settings, &file).await,
            #[cfg(feature = "sqlite")]
            Command::Restore(file) => logged(&settings, backup::restore(&settings, &file)).await,
            #[cfg(not(feature = "sqlite"))]
            Command::Backup(_) | Command::Restore(_) => {
                let absence = Engine::Sqlite.absence();
                Err(Failure::configuration(format!("backup and restore: {absence}")))
            }
            Command::Health => health::run(&settings),
            Command::User(command) => logged(&settings, user::run(&settings, command)).await,
            Command::Key(command) => logged(&settings, key::run(&settings, command)).await,
            Command::Role(command) => logged(&settings, role::run(&settings, command)).await,
            Command::Permission(command) => {
                logged(&settings, permission::run(&settings, command)).await
            }
            // Handled before the settings are read.
            Command::OpenApi => Ok(()),
        }
    };
    end(&console, block_on(done))
}

/// Runs a command with its log on standard error, where its changes are audit events.
async fn logged(
    settings: &Settings,
    command: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let log = logging::init_for_command(&settings.log)
        .map_err(|error| Failure::new(format!("failed to initialize logging ({error})")))?;
    let done = command.await;
    log.flush(FLUSH_WITHIN);
    done
}

/// Runs a command to its end, without waiting for background work such as an abandoned hash.
fn block_on(done: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start worker threads ({error})")))?;
    let result = runtime.block_on(done);
    runtime.shutdown_background();
    result
}

/// Reports a command's result, and returns the exit status.
fn end(console: &Console, result: Result<(), Failure>) -> ExitCode {
    let status = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.sentences().iter().for_each(|sentence| console.error(sentence));
            ExitCode::from(failure.exit_status())
        }
    };
    console.flush();
    status
}
