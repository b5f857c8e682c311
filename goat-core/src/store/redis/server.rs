//! Server check at startup: credentials, version, topology, eviction policy, rights and writes.

use redis::{Cmd, Value};

use crate::error::{Error, Result, StoreError};

use super::RedisDatabase;
use super::client::Retry;
use super::failure::{Denied, Failure, FailureKind};

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

const OPERATION: &str = "redis.server";

/// The commands that the stores use on strings and on hashes, directly and in scripts, in an order and
/// with arguments that leave nothing behind. Should a right be missing, the keys expire.
const COMMANDS: [&[(&str, &[&str])]; 2] = [
    &[
        ("GET", &[]),
        ("SET", &["", "PX", "10000"]),
        ("GETRANGE", &["0", "0"]),
        ("STRLEN", &[]),
        ("APPEND", &[""]),
        ("SETRANGE", &["0", ""]),
        ("DEL", &[]),
    ],
    &[
        ("HSET", &["field", ""]),
        ("PEXPIRE", &["10000"]),
        ("PTTL", &[]),
        ("HGET", &["field"]),
        ("HMGET", &["field"]),
        ("HGETALL", &[]),
        ("HLEN", &[]),
        ("HDEL", &["field"]),
    ],
];

impl RedisDatabase {
    /// Connects, and returns the properties of the server, of one node in a cluster. A program calls
    /// this at startup, so that a wrong configuration does not surface at the first request.
    ///
    /// The check calls each command that the stores use, on keys of its own that it removes again.
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) where a retry would not help: the server
    /// rejects the credentials, is older than 6.0, or denies the user a command, goat's keys or goat's
    /// channel; [`Unavailable`](crate::ErrorKind::Unavailable) if the server does not respond, or
    /// refuses writes.
    pub async fn server(&self) -> Result<RedisServer> {
        let reply = self.probe(redis::cmd("INFO")).await.map_err(|error| {
            let failure = Failure::of(&error);
            if failure.is_some_and(Failure::rejects_credentials) {
                return Error::configuration("the Redis server rejects the user or the password");
            }
            if failure.and_then(Failure::denied).is_some() {
                return Error::configuration(
                    "the Redis user may not connect: it needs the commands PING, INFO, ROLE, SELECT \
                     and CLUSTER",
                );
            }
            Error::from(error)
        })?;
        let Value::BulkString(text) = &reply else {
            return Err(Error::configuration("the Redis server sent an invalid reply to INFO"));
        };
        let server = parse(&String::from_utf8_lossy(text))?;
        self.check_rights().await?;
        Ok(server)
    }

    /// Calls each command once, writes included.
    async fn check_rights(&self) -> Result<()> {
        let (key, channel) = (self.check_key(), self.context.channel());
        let mut missing = Missing::default();
        for (commands, kind) in COMMANDS.into_iter().zip(["string", "hash"]) {
            for (name, arguments) in commands {
                let mut command = redis::cmd(name);
                command.arg(format!("{key}:{kind}")).arg(*arguments);
                missing.note(name, self.probe(command).await)?;
            }
        }
        missing.note("TIME", self.probe(redis::cmd("TIME")).await)?;
        let mut command = redis::cmd("EVAL");
        command.arg("return 1").arg(1).arg(&key);
        missing.note("EVAL", self.probe(command).await)?;
        let mut command = redis::cmd("EVALSHA");
        // No script has this hash.
        command.arg("0".repeat(40)).arg(1).arg(&key);
        let unknown = self.probe(command).await;
        let is_unknown = |failure: &Failure| failure.kind() == FailureKind::NoScript;
        if !unknown.as_ref().is_err_and(|error| Failure::of(error).is_some_and(is_unknown)) {
            missing.note("EVALSHA", unknown)?;
        }
        let mut command = redis::cmd("PUBLISH");
        command.arg(format!("{channel}:check")).arg("");
        missing.note("PUBLISH", self.probe(command).await)?;
        missing.note("SUBSCRIBE", self.check_subscription(&channel).await)?;
        missing.refuse()
    }

    async fn check_subscription(&self, channel: &str) -> Result<(), StoreError> {
        let mut pubsub = self.context.client.pubsub(OPERATION, channel.as_bytes()).await?;
        let subscribed = pubsub.subscribe(channel).await;
        subscribed.map_err(|error| Failure::from(error).in_operation(OPERATION))
    }

    fn check_key(&self) -> String {
        format!("{}:{{check}}", self.context.prefix)
    }

    async fn probe(&self, command: Cmd) -> Result<Value, StoreError> {
        let key = self.check_key();
        self.context.client.command(OPERATION, key.as_bytes(), &command, Retry::Yes).await
    }
}

/// The rights that the user lacks.
#[derive(Debug, Default)]
struct Missing {
    commands: Vec<String>,
    keys: bool,
    channel: bool,
}

impl Missing {
    /// Records the right that a call lacked. Returns any other failure.
    fn note<T>(&mut self, command: &str, outcome: Result<T, StoreError>) -> Result<()> {
        let Err(error) = outcome else { return Ok(()) };
        match Failure::of(&error).and_then(Failure::denied) {
            Some(Denied::Command) => self.commands.push(command.to_owned()),
            Some(Denied::Key) => self.keys = true,
            Some(Denied::Channel) => self.channel = true,
            None => return Err(error.into()),
        }
        Ok(())
    }

    /// Returns an error that names the missing rights.
    fn refuse(self) -> Result<()> {
        let mut rights = Vec::new();
        if !self.commands.is_empty() {
            rights.push(format!("the commands {}", self.commands.join(", ")));
        }
        if self.keys {
            rights.push("its keys".to_owned());
        }
        if self.channel {
            rights.push("its channels".to_owned());
        }
        if rights.is_empty() {
            return Ok(());
        }
        Err(Error::configuration(format!(
            "the Redis user lacks rights that goat needs: {}; grant them with ACL SETUSER",
            rights.join("; ")
        )))
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
