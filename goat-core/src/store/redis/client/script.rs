//! A script of goat, known to servers by its hash.

use redis::Cmd;

/// A script. Servers forget scripts, so its text is kept.
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

    /// Calls it by its hash, which is all that is sent as long as the server knows it.
    pub(super) fn by_hash(&self, key: &[u8], arguments: &[&[u8]]) -> Cmd {
        call("EVALSHA", &self.hash, key, arguments)
    }

    /// Calls it by its text, after which the server knows it.
    pub(super) fn by_text(&self, key: &[u8], arguments: &[&[u8]]) -> Cmd {
        call("EVAL", &self.source, key, arguments)
    }
}

fn call(name: &str, script: &str, key: &[u8], arguments: &[&[u8]]) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(1).arg(key);
    for argument in arguments {
        command.arg(*argument);
    }
    command
}
