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
const CREDENTIALS: &str = "the server rejects the credentials";
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

/// A failed call.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    kind: FailureKind,
    text: Cow<'static, str>,
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
        Self { kind, text: text.into(), redirect: None }
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
        let code = self.text.strip_prefix(SERVER_ERROR).map(str::trim_start);
        self.text == CREDENTIALS || matches!(code, Some("NOAUTH" | "WRONGPASS" | "NOPERM"))
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
        // An error code is one word in capitals; other text may come from a script and is dropped.
        let is_code = code.bytes().all(|byte| byte.is_ascii_uppercase());
        let text =
            if is_code { format!("{SERVER_ERROR} {code}").into() } else { SERVER_ERROR.into() };
        Self { kind, text, redirect }
    }
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
