//! What goes wrong between goat and Redis, and what of it may be told.
//!
//! Invariant: no driver's error leaves this module. A server quotes keys and arguments in its
//! messages, and an address may stand in an error of the network; so a code or a kind is all that
//! is kept.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use redis::RedisError;

use crate::error::StoreError;

/// What is told where signing in did not succeed.
const CREDENTIALS: &str = "the server refuses the credentials";
/// What is told of a server's error, before its code.
const SERVER_ERROR: &str = "server error";

/// What a failure means for the connection, and for the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The connection is no more. Whether the call was done, nobody knows.
    Lost,
    /// There is no connection now; nothing was sent.
    Unreachable,
    /// No answer came in time. Whether the call was done, nobody knows.
    TimedOut,
    /// The server lives, but is not the one to ask: no longer the master, or not yet ready. Nothing
    /// was done.
    WrongServer,
    /// The keys of the call are on their way to another node; in a moment they are there. Nothing
    /// was done.
    SlotMigrating,
    /// The server refuses for now.
    Rejected,
    /// It does not know the script. Nothing was done.
    NoScript,
    /// What it holds or says cannot be read.
    Malformed,
}

/// Why a call to Redis gave nothing.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    kind: FailureKind,
    text: Cow<'static, str>,
    /// Where a cluster says that the slot is.
    redirect: Option<Redirect>,
}

/// Another node of the cluster, as a node names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Redirect {
    pub(super) address: String,
    /// The slot is moving: only this one call goes there.
    pub(super) is_once: bool,
}

impl Failure {
    pub(super) fn new(kind: FailureKind, text: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, text: text.into(), redirect: None }
    }

    /// What Redis holds or says cannot be read.
    pub(super) fn broken(text: &'static str) -> Self {
        Self::new(FailureKind::Malformed, text)
    }

    pub(super) fn kind(&self) -> FailureKind {
        self.kind
    }

    pub(super) fn redirect(&self) -> Option<&Redirect> {
        self.redirect.as_ref()
    }

    /// Whether it is the user or the password that the server does not take.
    pub(super) fn refuses_credentials(&self) -> bool {
        let code = self.text.strip_prefix(SERVER_ERROR).map(str::trim_start);
        self.text == CREDENTIALS || matches!(code, Some("NOAUTH" | "WRONGPASS" | "NOPERM"))
    }

    /// The same failure for callers who only waited for a connection: nothing of theirs was sent.
    pub(super) fn while_connecting(self) -> Self {
        Self { kind: FailureKind::Unreachable, ..self }
    }

    /// The failure as a store's error.
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
                let cause = StdError::source(&error).and_then(beneath);
                Self::new(
                    FailureKind::Lost,
                    cause.map_or(Cow::Borrowed("connection lost"), network),
                )
            }
            AuthenticationFailed => Self::new(FailureKind::Rejected, CREDENTIALS),
            Parse => {
                Self::new(FailureKind::Lost, "the server does not speak the protocol of Redis")
            }
            Client => Self::new(FailureKind::Lost, "the connection ended"),
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
            .map(|(address, _)| Redirect { address: address.to_owned(), is_once: code == "ASK" });
        // A code is one word in capitals; anything else was made by somebody's script.
        let is_code = code.bytes().all(|byte| byte.is_ascii_uppercase());
        let text =
            if is_code { format!("{SERVER_ERROR} {code}").into() } else { SERVER_ERROR.into() };
        Self { kind, text, redirect }
    }
}

/// The code of what a command in a script was answered. Before Redis 7 it stands within the text:
/// `ERR Error running script (call to f_…): @user_script:1: @user_script: 1: -READONLY You can't …`,
/// and without the first part where the script answers it by itself.
fn within_script<'a>(code: &str, detail: Option<&'a str>) -> Option<&'a str> {
    const SCRIPT: &str = "user_script:";
    let told = match code {
        "@user_script:" => detail?,
        "ERR" => detail?.strip_prefix("Error running script")?.rsplit_once(SCRIPT)?.1,
        _ => return None,
    };
    // The line comes first, and then what was answered.
    let (_, told) = told.split_once(": ")?;
    let (code, _) = told.trim_start_matches('-').split_once(' ')?;
    (code.len() > 2 && code.bytes().all(|byte| byte.is_ascii_uppercase())).then_some(code)
}

/// The network's error in the driver's, which wraps it once more.
fn beneath<'a>(source: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    match source.downcast_ref::<Arc<dyn StdError + Send + Sync>>() {
        Some(shared) => shared.downcast_ref(),
        None => source.downcast_ref(),
    }
}

/// What may be told of the network's failure: its kind, which names no address.
fn network(error: &io::Error) -> Cow<'static, str> {
    let beneath = error.get_ref().and_then(|beneath| beneath.downcast_ref::<rustls::Error>());
    match beneath {
        Some(rustls::Error::InvalidCertificate(_)) => {
            Cow::Borrowed("the server's certificate is not to be trusted")
        }
        Some(_) => Cow::Borrowed("no connection by TLS"),
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
    fn what_a_command_in_a_script_was_answered_is_found_in_the_text_of_older_servers() {
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
        let answered = Some("4: -READONLY You can't write against a read only replica.");
        assert_eq!(within_script("@user_script:", answered), Some("READONLY"));
        assert_eq!(within_script("ERR", answered), None);
        assert_eq!(within_script("ERR", None), None);
    }
}
