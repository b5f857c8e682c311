//! What a limit counts by: its own name and whoever is counted, in a few bytes.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

use crate::id::UserId;

/// One counter: the limit and the one who is counted. Small, so that a million of them are cheap.
///
/// Built from an address, a user or any text. A text is hashed, so that an account's name is not
/// kept and a long one costs no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LimitKey([u8; 16]);

impl LimitKey {
    /// Counts by client address: IPv6 by its /64, since that is what one customer gets, and an
    /// IPv4-mapped IPv6 address as the IPv4 address it is.
    #[must_use]
    pub fn address(limit: &str, address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::hash(limit, b"4", &address.octets()),
            IpAddr::V6(address) => Self::hash(limit, b"6", &address.octets()[..8]),
        }
    }

    /// Counts by user.
    #[must_use]
    pub fn user(limit: &str, user: UserId) -> Self {
        Self::hash(limit, b"u", &user.as_u128().to_be_bytes())
    }

    /// Counts by a text of the caller's choice.
    #[must_use]
    pub fn text(limit: &str, text: &str) -> Self {
        Self::hash(limit, b"t", text.as_bytes())
    }

    /// The bytes that stand for this key in a store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn hash(limit: &str, kind: &[u8; 1], subject: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        // The length goes first, so that no limit's name can run over into a subject.
        hasher.update((limit.len() as u64).to_le_bytes());
        hasher.update(limit.as_bytes());
        hasher.update(kind);
        hasher.update(subject);
        let mut key = [0; 16];
        key.copy_from_slice(&hasher.finalize()[..16]);
        Self(key)
    }
}
