//! Redis endpoints: parses the configured URLs into connection settings for redis-rs.
//!
//! Invariant: neither an error nor `Debug` contains any part of a URL.

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

/// Idle time after which TCP keep-alive probes begin.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Time after which a connection with unacknowledged data is closed.
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// An address with its credentials and TLS settings.
#[derive(Clone)]
pub(super) struct Endpoint {
    info: ConnectionInfo,
    authority: Option<Vec<u8>>,
}

/// The parsed URLs.
pub(super) struct Endpoints {
    pub(super) all: Vec<Endpoint>,
    /// The name of the master to look up at the sentinels.
    pub(super) master: Option<String>,
}

impl Endpoints {
    /// Parses the URLs.
    pub(super) fn parse(options: &RedisOptions) -> Result<Self> {
        if options.authority.as_deref().is_some_and(|pem| !contains_certificates(pem)) {
            return Err(Error::configuration(
                "the Redis certificate authority contains no PEM certificate",
            ));
        }
        let text = options.urls.expose().trim();
        let mut endpoints = Self { all: Vec::new(), master: None };
        let mut database = 0;
        let mut start = String::new();
        for part in text.split(',').map(str::trim) {
            let url = if part.contains("://") { part.to_owned() } else { format!("{start}{part}") };
            if start.is_empty() {
                start = url[..host_position(&url)].to_owned();
            }
            let info = endpoints.read(&url).ok_or_else(malformed)?;
            if info.redis_settings().db() != 0 {
                database = info.redis_settings().db();
            }
            endpoints.all.push(Endpoint { info, authority: options.authority.clone() });
        }
        for endpoint in &mut endpoints.all {
            *endpoint = endpoint.in_database(database);
            endpoint.client().map_err(|_| malformed())?;
        }
        Ok(endpoints)
    }

    fn read(&mut self, url: &str) -> Option<ConnectionInfo> {
        let parsed = redis::parse_redis_url(url)?;
        let is_network = parsed.has_host();
        for (name, value) in parsed.query_pairs() {
            match &*name {
                "master" => self.master = Some(value.into_owned()),
                // A Unix socket URL has no other place for these.
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

/// Returns the position of the host; the part before it applies to every address.
fn host_position(url: &str) -> usize {
    let scheme = url.find("://").map_or(0, |at| at + 3);
    let end = url[scheme..].find(['/', '?', '#']).map_or(url.len(), |at| scheme + at);
    url[scheme..end].rfind('@').map_or(scheme, |at| scheme + at + 1)
}

/// Whether the PEM contains only valid certificates, and at least one: redis-rs accepts an empty text,
/// and would then reject every server.
fn contains_certificates(pem: &[u8]) -> bool {
    let mut roots = RootCertStore::empty();
    let is_good = |one: Result<CertificateDer<'_>, pem::Error>| {
        one.is_ok_and(|certificate| roots.add(certificate).is_ok())
    };
    CertificateDer::pem_slice_iter(pem).all(is_good) && !roots.is_empty()
}

fn malformed() -> Error {
    Error::configuration(
        "the Redis URL is malformed: expected redis://[user:password@]host[:port][/database], rediss: \
         for TLS, several separated by commas, ?master=NAME for sentinels",
    )
}

impl Endpoint {
    /// Returns the same settings for another address, `host:port`.
    pub(super) fn at(&self, address: &str) -> Option<Self> {
        let (host, port) = address.rsplit_once(':')?;
        let port = port.parse().ok()?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let addr = match self.info.addr() {
            // An empty host means the node that sent the address.
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

    /// Returns `host:port`, to compare addresses; never part of an error.
    pub(super) fn address(&self) -> String {
        self.info.addr().to_string()
    }

    /// Returns the database number.
    pub(super) fn database(&self) -> i64 {
        self.info.redis_settings().db()
    }

    /// Returns the same endpoint with another database number; sentinels and clusters have only 0.
    pub(super) fn in_database(&self, database: i64) -> Self {
        let redis = self.info.redis_settings().clone().set_db(database);
        Self {
            info: self.info.clone().set_redis_settings(redis),
            authority: self.authority.clone(),
        }
    }

    /// Returns the same endpoint without user and password.
    pub(super) fn without_credentials(&self) -> Self {
        let known = self.info.redis_settings();
        let mut redis = redis::RedisConnectionInfo::default();
        redis = redis.set_db(known.db()).set_protocol(known.protocol()).set_skip_set_lib_name();
        Self {
            info: self.info.clone().set_redis_settings(redis),
            authority: self.authority.clone(),
        }
    }

    /// Creates the redis-rs client for this address. Performs no I/O.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        if !matches!(self.info.addr(), ConnectionAddr::TcpTls { .. }) {
            return Ok(Client::open(self.info.clone())?);
        }
        // redis-rs takes rustls's process-wide crypto provider, and panics if none is installed and
        // the build contains several. A provider that is already installed stays.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let certificates = TlsCertificates { client_tls: None, root_cert: self.authority.clone() };
        Client::build_with_tls(self.info.clone(), certificates).map_err(|_| {
            Failure::new(FailureKind::Rejected, "the certificate authority is not PEM")
        })
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Endpoint")
    }
}
