//! Addresses of Redis, from the URLs of the options to what the driver takes.
//!
//! Invariant: neither an error nor `Debug` shows any part of a URL.

use std::fmt;
use std::time::Duration;

use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, TlsCertificates};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};

use super::super::failure::{Failure, FailureKind};
use super::super::options::RedisOptions;
use crate::error::{Error, Result};

/// A silent peer is asked for a sign of life after this long.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// And given up if none comes, or sent data is not received, for this long.
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// One address with everything that signing in there takes.
#[derive(Clone)]
pub(super) struct Endpoint {
    info: ConnectionInfo,
    authority: Option<Vec<u8>>,
}

/// What the URLs of the options say.
pub(super) struct Endpoints {
    pub(super) all: Vec<Endpoint>,
    /// The name of the master to ask sentinels for.
    pub(super) master: Option<String>,
}

impl Endpoints {
    /// Reads the URLs.
    pub(super) fn parse(options: &RedisOptions) -> Result<Self> {
        if options.authority.as_deref().is_some_and(|pem| !holds_certificates(pem)) {
            return Err(Error::configuration("the authority of Redis holds no certificate in PEM"));
        }
        let text = options.urls.expose().trim();
        let mut endpoints = Self { all: Vec::new(), master: None };
        let mut database = 0;
        let mut start = String::new();
        for part in text.split(',').map(str::trim) {
            let url = if part.contains("://") { part.to_owned() } else { format!("{start}{part}") };
            if start.is_empty() {
                start = url[..authority_at(&url)].to_owned();
            }
            let info = endpoints.read(&url).ok_or_else(unreadable)?;
            if info.redis_settings().db() != 0 {
                database = info.redis_settings().db();
            }
            endpoints.all.push(Endpoint { info, authority: options.authority.clone() });
        }
        for endpoint in &mut endpoints.all {
            *endpoint = endpoint.in_database(database);
            endpoint.client().map_err(|_| unreadable())?;
        }
        Ok(endpoints)
    }

    fn read(&mut self, url: &str) -> Option<ConnectionInfo> {
        let parsed = redis::parse_redis_url(url)?;
        let is_network = parsed.has_host();
        for (name, value) in parsed.query_pairs() {
            match &*name {
                "master" => self.master = Some(value.into_owned()),
                // What a socket's URL has no other place for.
                "db" | "user" | "pass" if !is_network => {}
                _ => return None,
            }
        }
        let info = parsed.into_connection_info().ok()?;
        let is_insecure = matches!(info.addr(), ConnectionAddr::TcpTls { insecure: true, .. });
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3);
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(USER_TIMEOUT);
        let redis = info.redis_settings().clone().set_skip_set_lib_name();
        (!is_insecure).then(|| info.set_tcp_settings(tcp).set_redis_settings(redis))
    }
}

/// Where the host begins: what stands before it counts for every part.
fn authority_at(url: &str) -> usize {
    let scheme = url.find("://").map_or(0, |at| at + 3);
    let end = url[scheme..].find(['/', '?', '#']).map_or(url.len(), |at| scheme + at);
    url[scheme..end].rfind('@').map_or(scheme, |at| scheme + at + 1)
}

/// Whether there is somebody to trust. The driver takes an empty text for trust in nobody.
fn holds_certificates(pem: &[u8]) -> bool {
    let mut trusted = RootCertStore::empty();
    let is_good = |one: Result<CertificateDer<'_>, pem::Error>| {
        one.is_ok_and(|certificate| trusted.add(certificate).is_ok())
    };
    CertificateDer::pem_slice_iter(pem).all(is_good) && !trusted.is_empty()
}

fn unreadable() -> Error {
    Error::configuration(
        "the URL of Redis is not one: redis://[user:password@]host[:port][/database], rediss: for \
         TLS; several with commas between; ?master=NAME for sentinels",
    )
}

impl Endpoint {
    /// The same system at another address, `host:port`.
    pub(super) fn at(&self, address: &str) -> Option<Self> {
        let (host, port) = address.rsplit_once(':')?;
        let port = port.parse().ok()?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let addr = match self.info.addr() {
            // A node that does not know its own name is where it was asked.
            ConnectionAddr::Tcp(known, _) => {
                ConnectionAddr::Tcp(if host.is_empty() { known.clone() } else { host }, port)
            }
            ConnectionAddr::TcpTls { host: known, tls_params, .. } => ConnectionAddr::TcpTls {
                host: if host.is_empty() { known.clone() } else { host },
                port,
                insecure: false,
                tls_params: tls_params.clone(),
            },
            _ => ConnectionAddr::Tcp(host, port),
        };
        let tcp = self.info.tcp_settings().clone();
        let redis = self.info.redis_settings().clone();
        let info = addr.into_connection_info().ok()?;
        let info = info.set_tcp_settings(tcp).set_redis_settings(redis);
        Some(Self { info, authority: self.authority.clone() })
    }

    /// `host:port`, to tell addresses apart; never shown.
    pub(super) fn address(&self) -> String {
        self.info.addr().to_string()
    }

    /// As one signs in at a sentinel: there are no databases.
    pub(super) fn in_database(&self, database: i64) -> Self {
        let redis = self.info.redis_settings().clone().set_db(database);
        Self {
            info: self.info.clone().set_redis_settings(redis),
            authority: self.authority.clone(),
        }
    }

    /// As one signs in where nobody has a password.
    pub(super) fn without_credentials(&self) -> Self {
        let known = self.info.redis_settings();
        let mut redis = redis::RedisConnectionInfo::default();
        redis = redis.set_db(known.db()).set_protocol(known.protocol()).set_skip_set_lib_name();
        Self {
            info: self.info.clone().set_redis_settings(redis),
            authority: self.authority.clone(),
        }
    }

    /// The driver for this address. Does no I/O.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        if !matches!(self.info.addr(), ConnectionAddr::TcpTls { .. }) {
            return Ok(Client::open(self.info.clone())?);
        }
        // The driver takes its cryptography from a slot of the process, and panics where nobody has
        // filled it and the build holds more than one. Whoever filled it before chose for the process.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let certificates = TlsCertificates { client_tls: None, root_cert: self.authority.clone() };
        Client::build_with_tls(self.info.clone(), certificates).map_err(|_| {
            Failure::new(FailureKind::Rejected, "the authority's certificates are not PEM")
        })
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Endpoint")
    }
}
