//! SMTP: delivers letters to one mail server, which relays them (RFC 5321, RFC 6409).
//!
//! lettre writes the commands and parses the replies. Connections are kept here and not in lettre's pool,
//! because only the sequence of commands tells whether a letter may have arrived, and because that pool takes
//! a connection back on which a reply is still due.
//!
//! At most once: an error before the end of the data means that the server does not have the letter, and a
//! reply after it says whether it does. If the connection is lost or the time is up in between, the outcome is
//! unknown and the letter is not sent again.
//!
//! A server may close an idle connection at any time. If a kept one turns out to be closed, the letter goes out
//! on a new one at once, within the same timeout.

mod connection;
mod encryption;
mod idle;
mod reply;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::extension::ClientId;
use tokio::time::timeout;

use super::carrier::{Carrier, Fault, Mail, Outcome};
use connection::{Connection, Lost};
use encryption::Encryption;
use idle::IdleConnections;

use crate::failure::Failure;
use crate::start::settings::{MailCredentials, SmtpSettings};

/// A mail server, and the connections to it.
pub(super) struct Smtp {
    server: Server,
    timeout: Duration,
    idle: IdleConnections,
}

/// The address of a mail server, and how to connect to it.
pub(super) struct Server {
    host: String,
    port: u16,
    encryption: Encryption,
    credentials: Option<Credentials>,
    /// The name of this client in `EHLO`.
    client: ClientId,
}

/// Without credentials.
impl fmt::Debug for Smtp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Smtp");
        debug.field("host", &self.server.host).field("port", &self.server.port);
        debug.field("encryption", &self.server.encryption).finish_non_exhaustive()
    }
}

impl Server {
    /// Takes the settings of a server, and the name of this site.
    ///
    /// # Errors
    ///
    /// The TLS library rejects its parameters.
    pub(super) fn new(settings: &SmtpSettings, site: &str) -> Result<Self, Failure> {
        let encryption = Encryption::new(settings.tls, &settings.host)
            .map_err(|error| Failure::configuration(format!("GOAT_MAIL_URL: {error}")))?;
        let credentials =
            settings.credentials.as_ref().map(|MailCredentials { user, password }| {
                Credentials::new(user.expose().clone(), password.expose().clone())
            });
        Ok(Self {
            host: settings.host.clone(),
            port: settings.port,
            encryption,
            credentials,
            client: client(site),
        })
    }
}

/// Returns the name of this client for `EHLO`.
fn client(site: &str) -> ClientId {
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    match site.parse() {
        Ok(IpAddr::V4(address)) => ClientId::Ipv4(address),
        Ok(IpAddr::V6(address)) => ClientId::Ipv6(address),
        Err(_) if !site.is_empty() && site.bytes().all(is_host) => {
            ClientId::Domain(site.to_owned())
        }
        Err(_) => ClientId::default(),
    }
}

impl Smtp {
    /// Delivers to a server, each letter within `timeout`.
    pub(super) fn new(server: Server, timeout: Duration) -> Self {
        Self { server, timeout, idle: IdleConnections::default() }
    }

    async fn send(&self, mail: &Mail, stage: &Stage) -> Outcome {
        if let Some(connection) = self.idle.take() {
            match self.send_on(connection, mail, stage).await {
                Err(Lost(_)) if !stage.is_past_end() => stage.set(Stage::CONNECT),
                Err(Lost(fault)) => return Outcome::Unknown(fault),
                Ok(outcome) => return outcome,
            }
        }
        let connection = match Connection::open(&self.server, self.timeout, stage).await {
            Ok(connection) => connection,
            Err(outcome) => return outcome,
        };
        match self.send_on(connection, mail, stage).await {
            Ok(outcome) => outcome,
            Err(Lost(fault)) => stage.failed(fault.cause),
        }
    }

    async fn send_on(
        &self,
        mut connection: Connection,
        mail: &Mail,
        stage: &Stage,
    ) -> Result<Outcome, Lost> {
        let outcome = connection.send(mail, stage).await?;
        if outcome == Outcome::Delivered {
            self.idle.put(connection);
        } else {
            connection.quit().await;
        }
        Ok(outcome)
    }
}

#[async_trait]
impl Carrier for Smtp {
    async fn deliver(&self, mail: &Mail) -> Outcome {
        let stage = Stage::default();
        // lettre's own timeout bounds connecting only.
        match timeout(self.timeout, self.send(mail, &stage)).await {
            Ok(outcome) => outcome,
            Err(_) => stage.failed("no reply within GOAT_MAIL_TIMEOUT".into()),
        }
    }

    async fn close_idle(&self) {
        self.idle.close_old().await;
    }

    async fn close(&self) {
        self.idle.close_all().await;
    }
}

/// How far a delivery is. It outlives a delivery that timed out.
#[derive(Debug, Default)]
struct Stage(AtomicU8);

impl Stage {
    const CONNECT: u8 = 0;
    const STARTTLS: u8 = 1;
    const AUTH: u8 = 2;
    const MAIL: u8 = 3;
    const RCPT: u8 = 4;
    const DATA: u8 = 5;
    const CONTENT: u8 = 6;
    /// The end of the data is sent, or on its way: the server may have the letter.
    const END: u8 = 7;

    fn set(&self, stage: u8) {
        self.0.store(stage, Ordering::Relaxed);
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    fn is_past_end(&self) -> bool {
        self.get() == Self::END
    }

    fn name(&self) -> &'static str {
        match self.get() {
            Self::CONNECT => "connect",
            Self::STARTTLS => "STARTTLS",
            Self::AUTH => "AUTH",
            Self::MAIL => "MAIL",
            Self::RCPT => "RCPT",
            Self::DATA => "DATA",
            Self::CONTENT => "content",
            _ => "end of data",
        }
    }

    fn fault(&self, cause: String) -> Fault {
        Fault { stage: self.name(), cause }
    }

    /// Returns the outcome of a delivery that failed without a reply.
    fn failed(&self, cause: String) -> Outcome {
        let fault = self.fault(cause);
        if self.is_past_end() { Outcome::Unknown(fault) } else { Outcome::Deferred(fault) }
    }
}
