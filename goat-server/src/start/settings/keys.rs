//! Settings of API keys.

use std::time::Duration;

use goat_core::key::KeyPrefix;

use super::reader::Reader;
use super::table;
use super::types::BOOLEAN;
use super::values::Parsed;

/// API keys: whether there are any, and their form, life and number.
#[derive(Clone, Debug)]
pub struct KeySettings {
    /// `GOAT_KEYS`: whether keys are accepted.
    pub enabled: bool,
    /// `GOAT_KEY_PREFIX`.
    pub prefix: KeyPrefix,
    /// `GOAT_KEY_TTL`: the longest life; `None`: keys may have no end.
    pub ttl: Option<Duration>,
    /// `GOAT_KEYS_PER_USER`.
    pub per_user: u32,
}

impl KeySettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            enabled: reader.choice(&table::KEYS, &BOOLEAN),
            prefix: reader.required(&table::KEY_PREFIX, prefix),
            ttl: reader.duration_or_off(&table::KEY_TTL),
            per_user: reader.count(&table::KEYS_PER_USER),
        }
    }
}

fn prefix(text: &str) -> Parsed<KeyPrefix> {
    KeyPrefix::parse(text).map_err(|_| "is not a prefix of keys".into())
}
