//! Lua script, called by its SHA-1 hash.

use redis::Cmd;

/// A script. Its source is kept, since a server may have dropped it from its script cache.
#[derive(Debug)]
pub(in crate::store::redis) struct Script {
    source: String,
    hash: String,
}

impl Script {
    pub(in crate::store::redis) fn new(source: String) -> Self {
        let hash = redis::Script::new(&source).get_hash().to_owned();
        Self { source, hash }
    }

    /// Returns the `EVALSHA` command, which sends the hash only.
    pub(super) fn evalsha(&self, keys: &[&[u8]], arguments: &[&[u8]]) -> Cmd {
        call("EVALSHA", &self.hash, keys, arguments)
    }

    /// Returns the `EVAL` command, which also loads the script into the script cache.
    pub(super) fn eval(&self, keys: &[&[u8]], arguments: &[&[u8]]) -> Cmd {
        call("EVAL", &self.source, keys, arguments)
    }
}

fn call(name: &str, script: &str, keys: &[&[u8]], arguments: &[&[u8]]) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(keys.len());
    for argument in keys.iter().chain(arguments) {
        command.arg(*argument);
    }
    command
}
