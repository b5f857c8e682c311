//! Encryption of the connection.

use std::fmt;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::client::{CertificateStore, TlsParameters};

use crate::start::settings::MailTls;

/// How the connection is encrypted. The server's certificate must be valid for its host name, by an
/// authority of Mozilla's list.
pub(super) enum Encryption {
    /// TLS from the start (RFC 8314).
    Tls(TlsParameters),
    /// `STARTTLS`, without which nothing is sent.
    StartTls(TlsParameters),
    /// None: the server is on this machine.
    None,
}

impl fmt::Debug for Encryption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tls(_) => "Tls",
            Self::StartTls(_) => "StartTls",
            Self::None => "None",
        })
    }
}

impl Encryption {
    /// Prepares the encryption of the settings.
    ///
    /// # Errors
    ///
    /// The TLS library rejects its parameters.
    pub(super) fn new(tls: MailTls, host: &str) -> Result<Self, Error> {
        let parameters = || {
            let builder = TlsParameters::builder(host.to_owned());
            builder.certificate_store(CertificateStore::WebpkiRoots).build()
        };
        Ok(match tls {
            MailTls::Implicit => Self::Tls(parameters()?),
            MailTls::StartTls => Self::StartTls(parameters()?),
            MailTls::Off => Self::None,
        })
    }
}
