//! Sentinel: looks up the address of the master.

use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use super::super::failure::{Failure, FailureKind};
use super::connection::Connection;
use super::endpoint::Endpoint;

/// Connects to a server that may be a sentinel: database 0, and without credentials if it rejects
/// those of the data servers.
pub(super) async fn open(endpoint: &Endpoint, timeout: Duration) -> Result<Connection, Failure> {
    let endpoint = endpoint.in_database(0);
    match Connection::open(&endpoint, timeout).await {
        Err(rejected) if rejected.kind() == FailureKind::Rejected => {
            let connection = Connection::open(&endpoint.without_credentials(), timeout).await?;
            let deadline = Instant::now() + timeout;
            let ping = connection.send(&redis::cmd("PING"), false, deadline).await;
            ping.map(|_| connection).map_err(|_| rejected)
        }
        opened => opened,
    }
}

/// Returns the address of the master of this name, or of the only master.
pub(super) async fn master(
    sentinel: &Endpoint,
    name: Option<&str>,
    timeout: Duration,
) -> Result<String, Failure> {
    let deadline = Instant::now() + timeout;
    let connection = open(sentinel, timeout).await?;
    let name = match name {
        Some(name) => name.as_bytes().to_vec(),
        None => {
            let mut command = redis::cmd("SENTINEL");
            command.arg("MASTERS");
            only_master(&connection.send(&command, false, deadline).await?)?
        }
    };
    let mut command = redis::cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    let reply = connection.send(&command, false, deadline).await?;
    if reply == Value::Nil {
        return Err(Failure::new(
            FailureKind::Rejected,
            "the sentinels do not know a master of this name",
        ));
    }
    let unreadable = |_| Failure::malformed("a sentinel returned an invalid address");
    let (host, port): (String, u16) = redis::from_redis_value(reply).map_err(unreadable)?;
    Ok(format!("{host}:{port}"))
}

/// Returns the name of the only master.
fn only_master(reply: &Value) -> Result<Vec<u8>, Failure> {
    let Value::Array(masters) = reply else {
        return Err(Failure::malformed("a sentinel returned no masters"));
    };
    let [Value::Array(fields)] = masters.as_slice() else {
        let text = "the sentinels monitor several masters or none: name one with ?master=NAME";
        return Err(Failure::new(FailureKind::Rejected, text));
    };
    let mut pairs = fields.chunks_exact(2);
    let name = pairs.find_map(|pair| match pair {
        [Value::BulkString(field), Value::BulkString(name)] if field == b"name" => {
            Some(name.clone())
        }
        _ => None,
    });
    name.ok_or_else(|| Failure::malformed("a sentinel returned no masters"))
}
