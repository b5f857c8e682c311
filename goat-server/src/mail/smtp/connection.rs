//! One connection to the mail server.

use std::time::Duration;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Mechanism;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use tokio::time::timeout;

use super::super::carrier::{Fault, Mail, Outcome};
use super::encryption::Encryption;
use super::{Server, Stage, reply};

/// Timeout for a `QUIT`: its reply changes nothing.
const QUIT_WITHIN: Duration = Duration::from_secs(2);

/// The mechanisms for signing in, best first. The connection is encrypted, or it stays on this machine.
const MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];

/// An open connection, after `EHLO` and sign-in.
pub(super) struct Connection(AsyncSmtpConnection);

/// The connection is lost: it was closed, or the server is about to close it (421).
pub(super) struct Lost(pub(super) Fault);

impl Connection {
    /// Connects, encrypts and signs in.
    pub(super) async fn open(
        server: &Server,
        within: Duration,
        stage: &Stage,
    ) -> Result<Self, Outcome> {
        stage.set(Stage::CONNECT);
        let tls = match &server.encryption {
            Encryption::Tls(parameters) => Some(parameters.clone()),
            Encryption::StartTls(_) | Encryption::None => None,
        };
        // A name may have several addresses: one that does not respond leaves time for the next.
        let within = Some(within / 3);
        let address = (server.host.as_str(), server.port);
        let opened =
            AsyncSmtpConnection::connect_tokio1(address, within, &server.client, tls, None).await;
        let mut connection = opened.map_err(|error| deferred(stage, &error))?;
        if let Encryption::StartTls(parameters) = &server.encryption {
            stage.set(Stage::STARTTLS);
            let encrypted = connection.starttls(parameters.clone(), &server.client).await;
            encrypted.map_err(|error| deferred(stage, &error))?;
        }
        let mut connection = Self(connection);
        if let Some(credentials) = &server.credentials {
            stage.set(Stage::AUTH);
            if let Err(error) = connection.0.auth(&MECHANISMS, credentials).await {
                let outcome = refused(stage, &error);
                if outcome.is_some() {
                    connection.quit().await;
                }
                return Err(outcome.unwrap_or_else(|| deferred(stage, &error)));
            }
        }
        Ok(connection)
    }

    /// Sends a letter: `MAIL`, `RCPT`, `DATA`, the content, and its end.
    pub(super) async fn send(&mut self, mail: &Mail, stage: &Stage) -> Result<Outcome, Lost> {
        match self.run(mail, stage).await {
            Ok(()) => Ok(Outcome::Delivered),
            Err(error) => {
                refused(stage, &error).ok_or_else(|| Lost(stage.fault(reply::cause(&error))))
            }
        }
    }

    async fn run(&mut self, mail: &Mail, stage: &Stage) -> Result<(), Error> {
        stage.set(Stage::MAIL);
        self.0.command(MailFrom::new(Some(mail.from.clone()), vec![])).await?;
        stage.set(Stage::RCPT);
        self.0.command(Rcpt::new(mail.to.clone(), vec![])).await?;
        stage.set(Stage::DATA);
        self.0.command(Data).await?;
        stage.set(Stage::CONTENT);
        let content = Content { rest: Some(&mail.content), stage };
        self.0.message_iter(content).await?;
        Ok(())
    }

    /// Closes the connection politely.
    pub(super) async fn quit(mut self) {
        let _ = timeout(QUIT_WITHIN, self.0.quit()).await;
    }
}

/// The content of a letter. lettre writes each part, asks for the next, and after the last one writes the end of
/// the data.
struct Content<'a> {
    rest: Option<&'a [u8]>,
    stage: &'a Stage,
}

impl<'a> Iterator for Content<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let part = self.rest.take();
        if part.is_none() {
            self.stage.set(Stage::END);
        }
        part
    }
}

/// Returns the outcome that a reply of the server gives; `None` if the connection failed or ends.
fn refused(stage: &Stage, error: &Error) -> Option<Outcome> {
    let code = error.status()?;
    let fault = stage.fault(reply::cause(error));
    if error.is_permanent() {
        return Some(Outcome::Rejected(fault));
    }
    // 421: the server closes the connection, at any command (RFC 5321 §3.8).
    let ends = u16::from(code) == 421 && !stage.is_past_end();
    (!ends).then_some(Outcome::Deferred(fault))
}

/// Returns the outcome of an error before the first command about the letter: also a 5xx there concerns
/// the connection.
fn deferred(stage: &Stage, error: &Error) -> Outcome {
    Outcome::Deferred(stage.fault(reply::cause(error)))
}
