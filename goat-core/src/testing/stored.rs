//! Codecs of values in Redis, for fuzzing: each function decodes a value and encodes the result again.
//! A value that is not decoded gives `None`.

/// A session.
#[cfg(feature = "redis")]
#[must_use]
pub fn session(value: &[u8]) -> Option<Vec<u8>> {
    crate::store::redis::session_encoded_again(value)
}

/// A user state in the shared cache.
#[must_use]
pub fn user_state(text: &str) -> Option<String> {
    crate::store::shared_cache::user_state_encoded_again(text)
}

/// The permissions of all roles in the shared cache.
#[must_use]
pub fn role_rows(text: &str) -> Option<String> {
    crate::store::shared_cache::role_rows_encoded_again(text)
}
