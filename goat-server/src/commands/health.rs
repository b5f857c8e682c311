//! `goat-server health`: asks the server of these settings whether it runs, for the health check of a
//! container. Liveness only: a restart does not help if the database is down.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::failure::Failure;
use crate::start::settings::Settings;

/// Timeout of each step.
const TIMEOUT: Duration = Duration::from_secs(2);

const REQUEST: &[u8] = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

const OK: &[u8] = b"HTTP/1.1 200 ";

pub(super) fn run(settings: &Settings) -> Result<(), Failure> {
    let address = reachable(settings.http.listen);
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(format!("the server at {address} does not respond ({error})"))
    };
    let status = ask(address).map_err(|error| failed(&error))?;
    if status == OK { Ok(()) } else { Err(failed(&"not with status 200")) }
}

/// Returns the beginning of the response.
fn ask(address: SocketAddr) -> io::Result<[u8; OK.len()]> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(REQUEST)?;
    let mut status = [0; OK.len()];
    stream.read_exact(&mut status)?;
    Ok(status)
}

/// Returns an address that reaches a listener on this machine: loopback for one on all addresses.
fn reachable(listens: SocketAddr) -> SocketAddr {
    let ip = match listens.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listens.port())
}
