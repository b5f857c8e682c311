//! What a limit counts by: its own name and whoever is counted, in a few bytes.
//!
//! Invariants: limits of different names never share a counter, nor do an address, a user and a
//! text that happen to read alike.

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

    /// Counts by a text of the caller's choice, byte for byte: bring it to its one canonical form
    /// first, or each spelling has a counter of its own.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn address(text: &str) -> LimitKey {
        LimitKey::address("auth", text.parse().expect("an address"))
    }

    /// B6
    #[test]
    fn ipv6_is_counted_by_its_64() {
        assert_eq!(address("2001:db8:1:2::1"), address("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(address("2001:db8:1:2::1"), address("2001:db8:1:3::1"));
    }

    /// B6
    #[test]
    fn an_ipv4_mapped_address_is_the_ipv4_address() {
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
        assert_ne!(address("::ffff:192.0.2.1"), address("::ffff:192.0.2.2"));
        assert_ne!(address("::ffff:192.0.2.1"), address("::"));
    }

    #[test]
    fn limits_of_different_names_do_not_share_a_counter() {
        let user = UserId::generate(Timestamp::from_millis(0));
        assert_ne!(LimitKey::user("auth", user), LimitKey::user("refresh", user));
        assert_ne!(LimitKey::text("auth", "x"), LimitKey::text("refresh", "x"));
        // The end of a name cannot pass for the beginning of a subject.
        assert_ne!(LimitKey::text("a", "tb"), LimitKey::text("at", "b"));
        assert_ne!(LimitKey::text("", "tt"), LimitKey::text("t", "t"));
    }

    #[test]
    fn an_address_a_user_and_a_text_do_not_share_a_counter() {
        let user = UserId::generate(Timestamp::from_millis(0));
        assert_ne!(LimitKey::user("auth", user), LimitKey::text("auth", &user.to_string()));
        assert_ne!(address("192.0.2.1"), LimitKey::text("auth", "192.0.2.1"));
        assert_ne!(address("97.98.99.100"), LimitKey::text("auth", "abcd"));
    }

    /// B1: a spelling is what the caller makes of it, and nothing is folded here.
    #[test]
    fn a_text_counts_as_it_is_spelt() {
        assert_eq!(LimitKey::text("login", "a@b.example"), LimitKey::text("login", "a@b.example"));
        assert_ne!(LimitKey::text("login", "a@b.example"), LimitKey::text("login", "A@b.example"));
    }
}
