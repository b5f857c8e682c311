//! Redis errors: classified for retries, and reduced to text that is safe to log.
//!
//! Invariant: no redis-rs error leaves this module. A server quotes keys and arguments in its error
//! messages, and a network error may contain an address; so only an error code or kind is kept.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use redis::RedisError;

use crate::error::StoreError;

/// The message for failed authentication.
const CREDENTIALS: &str = "the server rejects the user or the password";
/// The message for an error reply, followed by its code.
const SERVER_ERROR: &str = "server error";

/// The class of a failure, which decides about the connection and about retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The connection broke. The outcome of the call is unknown.
    Lost,
    /// There is no connection. Nothing was sent.
    Unreachable,
    /// No reply arrived in time. The outcome of the call is unknown.
    TimedOut,
    /// The server is not the master, does not own the slot, or is not ready. The call was not executed.
    WrongServer,
    /// The slot is being migrated to another node. The call was not executed.
    SlotMigrating,
    /// The server rejected the call, perhaps temporarily.
    Rejected,
    /// The server does not have the script. The call was not executed.
    NoScript,
    /// Stored data or a reply has an unexpected form.
    Malformed,
}

/// A right that the server denies to the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    Command,
    Key,
    Channel,
}

/// A failed call.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    kind: FailureKind,
    text: Cow<'static, str>,
    denied: Option<Denied>,
    /// The node that a `MOVED` or `ASK` error points to.
    redirect: Option<Redirect>,
}

/// A redirection to another node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Redirect {
    pub(super) address: String,
    /// An `ASK` redirection, which is valid for this call only.
    pub(super) is_ask: bool,
}

impl Failure {
    pub(super) fn new(kind: FailureKind, text: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, text: text.into(), denied: None, redirect: None }
    }

    /// Stored data or a reply has an unexpected form.
    pub(super) fn malformed(text: &'static str) -> Self {
        Self::new(FailureKind::Malformed, text)
    }

    pub(super) fn kind(&self) -> FailureKind {
        self.kind
    }

    pub(super) fn redirect(&self) -> Option<&Redirect> {
        self.redirect.as_ref()
    }

    /// Whether the server rejects the user or the password.
    pub(super) fn rejects_credentials(&self) -> bool {
        self.text == CREDENTIALS
    }

    /// Returns the right that the user lacks.
    pub(super) fn denied(&self) -> Option<Denied> {
        self.denied
    }

    /// Returns the failure that an error of a store was made from.
    pub(super) fn of(error: &StoreError) -> Option<&Self> {
        StdError::source(error)?.downcast_ref()
    }

    /// Returns the failure for callers that waited for the connection and have sent nothing.
    pub(super) fn while_connecting(self) -> Self {
        Self { kind: FailureKind::Unreachable, ..self }
    }

    /// Converts the failure into a [`StoreError`].
    pub(super) fn in_operation(self, operation: &'static str) -> StoreError {
        let error = match self.kind {
            FailureKind::Malformed => StoreError::broken(operation),
            _ => StoreError::unavailable(operation),
        };
        error.with_source(self)
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        use redis::ErrorKind::{AuthenticationFailed, Client, Io, Parse};

        if let Some(code) = error.code() {
            let code = within_script(code, error.detail()).unwrap_or(code);
            return Self::from_server(code, &error);
        }
        match error.kind() {
            Io => {
                let cause = StdError::source(&error).and_then(io_error);
                Self::new(
                    FailureKind::Lost,
                    cause.map_or(Cow::Borrowed("connection lost"), describe_io),
                )
            }
            AuthenticationFailed => Self::new(FailureKind::Rejected, CREDENTIALS),
            Parse => Self::new(FailureKind::Lost, "the server does not speak the Redis protocol"),
            Client => Self::new(FailureKind::Lost, "connection closed"),
            kind => Self::new(FailureKind::Rejected, format!("driver error {kind:?}")),
        }
    }
}

impl Failure {
    fn from_server(code: &str, error: &RedisError) -> Self {
        let kind = match code {
            "NOSCRIPT" => FailureKind::NoScript,
            "TRYAGAIN" => FailureKind::SlotMigrating,
            "WRONGTYPE" | "CROSSSLOT" => FailureKind::Malformed,
            "READONLY" | "MASTERDOWN" | "LOADING" | "CLUSTERDOWN" | "MOVED" | "ASK" => {
                FailureKind::WrongServer
            }
            _ => FailureKind::Rejected,
        };
        let redirect = error
            .redirect_node()
            .map(|(address, _)| Redirect { address: address.to_owned(), is_ask: code == "ASK" });
        let denied = (code == "NOPERM").then(|| Denied::by(error.detail().unwrap_or_default()));
        let text = match denied {
            Some(denied) => denied.describe().into(),
            None => describe(code),
        };
        Self { kind, text, denied, redirect }
    }
}

impl Denied {
    /// Returns the right that the text after the code `NOPERM` names.
    fn by(detail: &str) -> Self {
        match detail.split_once("to access") {
            Some((_, what)) if what.contains("channel") => Self::Channel,
            Some((_, what)) if what.contains("key") => Self::Key,
            _ => Self::Command,
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Command => "the Redis user may not run a command that goat needs (NOPERM)",
            Self::Key => "the Redis user may not use goat's keys (NOPERM)",
            Self::Channel => "the Redis user may not use goat's channel (NOPERM)",
        }
    }
}

/// Describes an error reply by its code.
fn describe(code: &str) -> Cow<'static, str> {
    let known = match code {
        "NOAUTH" | "WRONGPASS" => CREDENTIALS,
        "READONLY" => "the server is a read-only replica (READONLY)",
        "MASTERDOWN" => "the server is a replica whose master is down (MASTERDOWN)",
        "LOADING" => "the server is loading its data (LOADING)",
        "CLUSTERDOWN" => "the cluster is down (CLUSTERDOWN)",
        "OOM" => "the server's memory is full (OOM)",
        "MISCONF" => "the server refuses writes, since it cannot save its data (MISCONF)",
        "NOREPLICAS" => "the server refuses writes without enough replicas (NOREPLICAS)",
        // An error code is one word in capitals; other text may come from a script and is dropped.
        _ if code.bytes().all(|byte| byte.is_ascii_uppercase()) => {
            return format!("{SERVER_ERROR} {code}").into();
        }
        _ => SERVER_ERROR,
    };
    Cow::Borrowed(known)
}

/// Returns the error code of a command that failed inside a script. Before Redis 7 it is part of the
/// text: `ERR Error running script (call to f_…): @user_script:1: @user_script: 1: -READONLY You
/// can't …`, or starts at the second part if the script returned the error.
fn within_script<'a>(code: &str, detail: Option<&'a str>) -> Option<&'a str> {
    const SCRIPT: &str = "user_script:";
    let text = match code {
        "@user_script:" => detail?,
        "ERR" => detail?.strip_prefix("Error running script")?.rsplit_once(SCRIPT)?.1,
        _ => return None,
    };
    // The line number precedes the error.
    let (_, text) = text.split_once(": ")?;
    let (code, _) = text.trim_start_matches('-').split_once(' ')?;
    (code.len() > 2 && code.bytes().all(|byte| byte.is_ascii_uppercase())).then_some(code)
}

/// Returns the I/O error inside a redis-rs error.
fn io_error<'a>(source: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    match source.downcast_ref::<Arc<dyn StdError + Send + Sync>>() {
        Some(shared) => shared.downcast_ref(),
        None => source.downcast_ref(),
    }
}

/// Describes a network error by its kind, which contains no address.
fn describe_io(error: &io::Error) -> Cow<'static, str> {
    let source = error.get_ref().and_then(|source| source.downcast_ref::<rustls::Error>());
    match source {
        Some(rustls::Error::InvalidCertificate(_)) => {
            Cow::Borrowed("the server's certificate is not trusted")
        }
        Some(_) => Cow::Borrowed("TLS handshake failed"),
        None => Cow::Owned(format!("connection lost: {}", error.kind())),
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl StdError for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts of Redis 6.0, 6.2 and 7.
    #[test]
    fn denied_right_is_recognized() {
        for (detail, denied) in [
            ("this user has no permissions to run the 'eval' command or its subcommand", 1),
            ("User key has no permissions to run the 'publish' command", 1),
            ("The user executing the script can't run this command or subcommand", 1),
            ("this user has no permissions to access one of the keys used as arguments", 2),
            ("No permissions to access a key", 2),
            ("this user has no permissions to access one of the channels used as arguments", 3),
            ("No permissions to access a channel", 3),
        ] {
            let rights = [Denied::Command, Denied::Key, Denied::Channel];
            assert_eq!(Denied::by(detail), rights[denied - 1], "{detail}");
        }
    }

    #[test]
    fn error_code_is_found_in_script_errors_of_older_servers() {
        for (detail, code) in [
            (
                "Error running script (call to f_1f8f4c): @user_script:1: @user_script: 1: \
                 -READONLY You can't write against a read only replica.",
                Some("READONLY"),
            ),
            (
                "Error running script (call to f_37fd01): @user_script:2: WRONGTYPE Operation \
                 against a key holding the wrong kind of value",
                Some("WRONGTYPE"),
            ),
            (
                "Error running script (call to f_fb8130): @user_script:1: @user_script: 1: Wrong \
                 number of args calling Redis command From Lua script",
                None,
            ),
            ("unknown command", None),
        ] {
            assert_eq!(within_script("ERR", Some(detail)), code, "{detail}");
            assert_eq!(within_script("OOM", Some(detail)), None);
        }
        let reply = Some("4: -READONLY You can't write against a read only replica.");
        assert_eq!(within_script("@user_script:", reply), Some("READONLY"));
        assert_eq!(within_script("ERR", reply), None);
        assert_eq!(within_script("ERR", None), None);
    }
}
