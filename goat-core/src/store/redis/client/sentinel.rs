//! What sentinels are asked: who the master is.

use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use super::super::failure::{Failure, FailureKind};
use super::connection::Connection;
use super::endpoint::Endpoint;

/// Connects where there are no databases, and perhaps no password though the data has one.
pub(super) async fn open(endpoint: &Endpoint, timeout: Duration) -> Result<Connection, Failure> {
    let endpoint = endpoint.in_database(0);
    match Connection::open(&endpoint, timeout).await {
        Err(refused) if refused.kind() == FailureKind::Rejected => {
            let connection = Connection::open(&endpoint.without_credentials(), timeout).await?;
            let deadline = Instant::now() + timeout;
            let greeted = connection.send(&redis::cmd("PING"), false, deadline).await;
            greeted.map(|_| connection).map_err(|_| refused)
        }
        opened => opened,
    }
}

/// The address of the master of this name, or of the only one.
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
            only(&connection.send(&command, false, deadline).await?)?
        }
    };
    let mut command = redis::cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    let answer = connection.send(&command, false, deadline).await?;
    if answer == Value::Nil {
        return Err(Failure::new(
            FailureKind::Rejected,
            "the sentinels know no master of this name",
        ));
    }
    let unreadable = |_| Failure::broken("a sentinel named no address");
    let (host, port): (String, u16) = redis::from_redis_value(answer).map_err(unreadable)?;
    Ok(format!("{host}:{port}"))
}

/// The name of the only master.
fn only(answer: &Value) -> Result<Vec<u8>, Failure> {
    let Value::Array(masters) = answer else {
        return Err(Failure::broken("a sentinel named no masters"));
    };
    let [Value::Array(fields)] = masters.as_slice() else {
        let text = "the sentinels watch several masters or none: say which with ?master=NAME";
        return Err(Failure::new(FailureKind::Rejected, text));
    };
    let mut pairs = fields.chunks_exact(2);
    let name = pairs.find_map(|pair| match pair {
        [Value::BulkString(field), Value::BulkString(name)] if field == b"name" => {
            Some(name.clone())
        }
        _ => None,
    });
    name.ok_or_else(|| Failure::broken("a sentinel named no masters"))
}
