//! Server check at startup: credentials, version, topology and eviction policy.

use redis::Value;

use crate::error::{Error, Result};

use super::RedisDatabase;
use super::client::Retry;
use super::failure::Failure;

/// The oldest supported major version.
const OLDEST: u32 = 6;

/// Properties that the server reports.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisServer {
    /// The name and version, such as `Redis 7.0.15` or `Valkey 8.1.0`.
    pub version: String,
    /// Whether the server is a node of a cluster.
    pub is_cluster: bool,
    /// The `maxmemory_policy`, if the server reports it. Any policy but `noeviction` may evict sessions
    /// and limits.
    pub eviction: Option<String>,
}

impl RedisDatabase {
    /// Connects, and returns the properties of the server, of one node in a cluster. A program calls
    /// this at startup, so that a wrong configuration does not surface at the first request.
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) where a retry would not help: the server
    /// rejects the credentials, or is older than 6.0;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the server does not respond.
    pub async fn server(&self) -> Result<RedisServer> {
        const OPERATION: &str = "redis.server";
        let info = async {
            self.context.ping(OPERATION).await?;
            let key = format!("{}:ping", self.context.prefix);
            let command = redis::cmd("INFO");
            self.context.client.command(OPERATION, key.as_bytes(), &command, Retry::Yes).await
        };
        let reply = info.await.map_err(|error| {
            let is_rejected = std::error::Error::source(&error)
                .and_then(|source| source.downcast_ref::<Failure>())
                .is_some_and(Failure::rejects_credentials);
            if is_rejected {
                return Error::configuration("the Redis server rejects the user or the password");
            }
            Error::from(error)
        })?;
        let Value::BulkString(text) = &reply else {
            return Err(Error::configuration("the Redis server sent an invalid reply to INFO"));
        };
        parse(&String::from_utf8_lossy(text))
    }
}

/// Parses the reply to `INFO`.
fn parse(text: &str) -> Result<RedisServer> {
    let field = |name: &str| {
        let mut lines = text.lines().map(str::trim);
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    };
    // Valkey reports the Redis version that it is compatible with under this name.
    let compatible = field("redis_version").unwrap_or_default();
    let version = match field("valkey_version") {
        Some(version) => format!("Valkey {version}"),
        None => format!("Redis {compatible}"),
    };
    let major = compatible.split('.').next().and_then(|major| major.parse::<u32>().ok());
    // A server without a version is another product that speaks the protocol.
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
    fn server_properties_are_parsed() {
        let redis = "# Server\r\nredis_version:6.0.16\r\nredis_mode:standalone\r\n\
                     # Memory\r\nmaxmemory_policy:allkeys-lru\r\n";
        let found = parse(redis).expect("a supported version");
        assert_eq!((&*found.version, found.is_cluster), ("Redis 6.0.16", false));
        assert_eq!(found.eviction.as_deref(), Some("allkeys-lru"));

        let valkey = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.0\r\n\
                      server_mode:cluster\r\n";
        let found = parse(valkey).expect("a supported version");
        assert_eq!((&*found.version, found.is_cluster), ("Valkey 8.1.0", true));
        assert_eq!(found.eviction, None);
    }

    #[test]
    fn server_that_is_too_old_is_rejected() {
        for version in ["5.0.14", "2.8.24"] {
            let error =
                parse(&format!("redis_version:{version}\r\n")).expect_err("an unsupported version");
            assert_eq!(error.kind(), crate::ErrorKind::Configuration);
            assert!(error.to_string().contains(version), "{error}");
        }
        for version in ["6.0.0", "10.1.0"] {
            parse(&format!("redis_version:{version}\r\n")).expect("a supported version");
        }
    }
}
