//! Settings of mail: where messages go, their sender, and the links and codes in them.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use goat_core::{Email, Secret};
use http::uri::Authority;

use super::reader::Reader;
use super::types::BOOLEAN;
use super::values::{self, Complaint, Parsed};
use super::{Environment, HttpSettings, secrets, table};

/// The sender of messages that are written to files, unless one is set.
const FILE_SENDER: &str = "goat <noreply@goat.local>";

/// Mail: where messages go, and the links and codes in them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MailSettings {
    /// `GOAT_MAIL_URL`; `None`: there is no mail.
    pub delivery: Option<MailDelivery>,
    /// `GOAT_MAIL_FROM`. Without a mail server it has a default.
    pub from: MailFrom,
    /// `GOAT_MAIL_TEMPLATES`: a folder.
    pub templates: Option<PathBuf>,
    /// `GOAT_LINK_URL`, or `/api/link` below `GOAT_PUBLIC_URL`; `None` without both, and then there is no
    /// mail. The secret follows after a `#`.
    pub link_url: Option<String>,
    /// `GOAT_MAIL_QUEUE`: maximum number of waiting messages.
    pub queue: usize,
    /// `GOAT_MAIL_TIMEOUT`: time for one whole delivery.
    pub timeout: Duration,
    /// `GOAT_SERVER_KEY`: the first makes, all verify; `None`: generated into the data directory.
    pub server_keys: Option<Vec<Secret<Vec<u8>>>>,
    /// `GOAT_RECOVERY_TTL`.
    pub recovery_ttl: Duration,
    /// `GOAT_CONFIRM_TTL`.
    pub confirm_ttl: Duration,
    /// `GOAT_INVITE_TTL`.
    pub invite_ttl: Duration,
    /// `GOAT_EMAIL_SIGN_IN`: whether a code in a message is a first proof.
    pub email_sign_in: bool,
}

/// `GOAT_MAIL_URL`: where messages go. `Display` shows no credentials.
#[derive(Clone, Debug)]
pub enum MailDelivery {
    /// A file each, in this folder.
    Files(PathBuf),
    /// A mail server.
    Smtp(SmtpSettings),
}

/// A mail server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SmtpSettings {
    /// The name or the address of the server; IPv6 without brackets.
    pub host: String,
    /// The port: by default 465 with TLS from the start, 25 on loopback, else 587 (RFC 8314; RFC 6409).
    pub port: u16,
    /// The encryption.
    pub tls: MailTls,
    /// The user and the password, if the server asks for them.
    pub credentials: Option<MailCredentials>,
}

/// The encryption of a connection to a mail server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// `smtps:`: TLS from the start (RFC 8314).
    Implicit,
    /// `smtp:`: STARTTLS, without which nothing is sent (RFC 3207).
    StartTls,
    /// `smtp:` on loopback: none.
    Off,
}

/// The user and the password at a mail server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MailCredentials {
    /// The user.
    pub user: Secret<String>,
    /// The password.
    pub password: Secret<String>,
}

/// `GOAT_MAIL_FROM`: the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailFrom {
    /// The name that mail programs show.
    pub name: Option<String>,
    /// The address.
    pub address: Email,
}

impl fmt::Display for MailDelivery {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(folder) => write!(formatter, "files in {}", folder.display()),
            Self::Smtp(SmtpSettings { host, port, tls, credentials }) => {
                let (scheme, how) = match tls {
                    MailTls::Implicit => ("smtps", "TLS"),
                    MailTls::StartTls => ("smtp", "STARTTLS"),
                    MailTls::Off => ("smtp", "no TLS"),
                };
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                let user = if credentials.is_some() { ", with a password" } else { "" };
                write!(formatter, "{scheme}://{host}:{port} ({how}{user})")
            }
        }
    }
}

impl MailSettings {
    /// `data_dir` has the messages by default, in development.
    pub(super) fn read(
        reader: &mut Reader,
        http: &HttpSettings,
        data_dir: &Path,
        environment: Environment,
    ) -> Self {
        let delivery = reader.optional(&table::MAIL_URL, delivery).or_else(|| match environment {
            Environment::Development => Some(MailDelivery::Files(data_dir.join("mail"))),
            Environment::Production => None,
        });
        let from =
            reader.optional(&table::MAIL_FROM, from).unwrap_or_else(|| match from(FILE_SENDER) {
                Ok(from) => from,
                Err(complaint) => unreachable!("the default sender {complaint}"),
            });
        let page = |url: &http::Uri| format!("{}/api/link", url.to_string().trim_end_matches('/'));
        let link_url = reader.optional(&table::LINK_URL, values::public_url);
        Self {
            delivery,
            from,
            templates: reader.optional(&table::MAIL_TEMPLATES, values::folder),
            link_url: link_url
                .map(|url| url.to_string())
                .or_else(|| http.public_url.as_ref().map(page)),
            queue: reader.count(&table::MAIL_QUEUE),
            timeout: reader.duration(&table::MAIL_TIMEOUT),
            server_keys: reader.optional(&table::SERVER_KEY, secrets::secrets),
            recovery_ttl: reader.duration(&table::RECOVERY_TTL),
            confirm_ttl: reader.duration(&table::CONFIRM_TTL),
            invite_ttl: reader.duration(&table::INVITE_TTL),
            email_sign_in: reader.choice(&table::EMAIL_SIGN_IN, &BOOLEAN),
        }
    }
}

/// Parses where messages go. No complaint shows a part of the URL, which may contain a password.
fn delivery(text: &str) -> Parsed<MailDelivery> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix("file:") {
        return values::path(rest.strip_prefix("//").unwrap_or(rest)).map(MailDelivery::Files);
    }
    let (scheme, rest) = text.split_once("://").ok_or("is not a URL of mail")?;
    let is_implicit = match scheme {
        "smtps" => true,
        "smtp" => false,
        _ => return Err("does not begin with smtps://, smtp:// or file:".into()),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err("has a path, a query or a fragment".into());
    }
    let (user_info, server) = match rest.rsplit_once('@') {
        Some((user_info, server)) => (Some(user_info), server),
        None => (None, rest),
    };
    let authority = server.parse::<Authority>().map_err(|_| "does not name a host and a port")?;
    let port = authority.port_u16();
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    if host.is_empty() || port.is_none() && authority.host() != server || port == Some(0) {
        return Err("does not name a host and a port".into());
    }
    let is_loopback =
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let (tls, usual) = match (is_implicit, is_loopback) {
        (true, _) => (MailTls::Implicit, 465),
        (false, true) => (MailTls::Off, 25),
        (false, false) => (MailTls::StartTls, 587),
    };
    let credentials = user_info.map(credentials).transpose()?;
    Ok(MailDelivery::Smtp(SmtpSettings { host, port: port.unwrap_or(usual), tls, credentials }))
}

fn credentials(user_info: &str) -> Parsed<MailCredentials> {
    let (user, password) = user_info.split_once(':').ok_or("has a user without a password")?;
    let (user, password) = (percent_decoded(user)?, percent_decoded(password)?);
    if user.expose().is_empty() || password.expose().is_empty() {
        return Err("has an empty user or password".into());
    }
    Ok(MailCredentials { user, password })
}

/// Decodes the user or the password of a URL (RFC 3986, section 2.1).
fn percent_decoded(text: &str) -> Parsed<Secret<String>> {
    let malformed = "has a % in its user or password that is not part of a code such as %40";
    let mut decoded = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    decoded.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|d| d.is_ascii_hexdigit()));
        let byte =
            digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or(malformed)?;
        decoded.push(byte);
        decoded.extend_from_slice(&part.as_bytes()[2..]);
    }
    let text = String::from_utf8(decoded)
        .map_err(|_| Complaint::from("has a user or a password that is not valid UTF-8"))?;
    if text.chars().any(char::is_control) {
        return Err("has a user or a password with control characters".into());
    }
    Ok(Secret::new(text))
}

/// Parses a sender: `Name <address>`, or an address alone.
fn from(text: &str) -> Parsed<MailFrom> {
    let text = text.trim();
    let (name, address) = match text.strip_suffix('>').and_then(|text| text.split_once('<')) {
        Some((name, address)) => (name.trim(), address),
        None => ("", text),
    };
    let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
    if name.contains(['<', '>', '"', '\\']) || name.chars().any(char::is_control) {
        return Err("has a name with <, >, quotes, a backslash or control characters".into());
    }
    if name.chars().count() > 64 {
        return Err("has a name of more than 64 characters".into());
    }
    let address = Email::parse(address)
        .and_then(Email::of_person)
        .map_err(|error| Complaint::from(format!("has an invalid address: it {error}")))?;
    Ok(MailFrom { name: (!name.is_empty()).then(|| name.to_owned()), address })
}
