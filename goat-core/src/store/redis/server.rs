//! The server, as a start meets it: whether it lets goat in, is new enough, and keeps what it is given.

use redis::Value;

use crate::error::{Error, Result};

use super::RedisDatabase;
use super::client::Retry;
use super::failure::Failure;

/// The oldest version that goat is made for.
const OLDEST: u32 = 6;

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisServer {
    /// Its name and version, such as `Redis 7.0.15` or `Valkey 8.1.0`.
    pub version: String,
    /// Whether it is a node of a cluster.
    pub is_cluster: bool,
    /// What it does when its memory is full, `maxmemory_policy`, where it says so. Anything but
    /// `noeviction` throws sessions and limits away.
    pub eviction: Option<String>,
}

impl RedisDatabase {
    /// Connects, and asks the server what it is. A program that wants to fail at its start rather than
    /// at somebody's request asks this first. Of a cluster, one node is asked.
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) where another try would not help: the
    /// server refuses the credentials, or is older than 6.0;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if it does not answer.
    pub async fn server(&self) -> Result<RedisServer> {
        const OPERATION: &str = "redis.server";
        let asked = async {
            self.context.ping(OPERATION).await?;
            let key = format!("{}:ping", self.context.prefix);
            let command = redis::cmd("INFO");
            self.context.client.command(OPERATION, key.as_bytes(), &command, Retry::Yes).await
        };
        let answer = asked.await.map_err(|error| {
            let is_refusal = std::error::Error::source(&error)
                .and_then(|source| source.downcast_ref::<Failure>())
                .is_some_and(Failure::refuses_credentials);
            if is_refusal {
                return Error::configuration("the server refuses the user or the password");
            }
            Error::from(error)
        })?;
        let Value::BulkString(text) = &answer else {
            return Err(Error::configuration("the server does not say what it is"));
        };
        read(&String::from_utf8_lossy(text))
    }
}

/// Reads the answer to `INFO`.
fn read(text: &str) -> Result<RedisServer> {
    let field = |name: &str| {
        let mut lines = text.lines().map(str::trim);
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    };
    // Valkey tells under this name which Redis it is like.
    let like = field("redis_version").unwrap_or_default();
    let version = match field("valkey_version") {
        Some(version) => format!("Valkey {version}"),
        None => format!("Redis {like}"),
    };
    let major = like.split('.').next().and_then(|major| major.parse::<u32>().ok());
    // One that does not tell its version is something else that speaks the protocol.
    if major.is_some_and(|major| major < OLDEST) {
        return Err(Error::configuration(format!(
            "the server is {version}, and goat needs Redis {OLDEST}.0 or later"
        )));
    }
    let mode = field("redis_mode").or_else(|| field("server_mode"));
    Ok(RedisServer {
        version,
        is_cluster: mode == Some("cluster"),
        eviction: field("maxmemory_policy").map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_of_itself_is_read() {
        let redis = "# Server\r\nredis_version:6.0.16\r\nredis_mode:standalone\r\n\
                     # Memory\r\nmaxmemory_policy:allkeys-lru\r\n";
        let found = read(redis).expect("it is new enough");
        assert_eq!((&*found.version, found.is_cluster), ("Redis 6.0.16", false));
        assert_eq!(found.eviction.as_deref(), Some("allkeys-lru"));

        let valkey = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.0\r\n\
                      server_mode:cluster\r\n";
        let found = read(valkey).expect("it is new enough");
        assert_eq!((&*found.version, found.is_cluster), ("Valkey 8.1.0", true));
        assert_eq!(found.eviction, None);
    }

    #[test]
    fn a_server_that_is_too_old_is_refused() {
        for version in ["5.0.14", "2.8.24"] {
            let error = read(&format!("redis_version:{version}\r\n")).expect_err("it is too old");
            assert_eq!(error.kind(), crate::ErrorKind::Configuration);
            assert!(error.to_string().contains(version), "{error}");
        }
        for version in ["6.0.0", "10.1.0"] {
            read(&format!("redis_version:{version}\r\n")).expect("it is new enough");
        }
    }
}
