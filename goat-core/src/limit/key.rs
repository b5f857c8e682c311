//! Rate-limit keys: the name of the limit and its subject, hashed to 16 bytes.
//!
//! Invariants: limits of different names never share a counter, nor do an address, a user, a
//! session and a text with the same bytes. A composed key differs from each of its parts, from
//! every other composition, and from the same parts in another order.
//!
//! The first bytes of a key are its *group*: a store keeps the counters of one group together, so
//! that one call can acquire from two of them. All /64 networks of an IPv6 /48 are one group, and so
//! are the same compositions of them.

use std::net::{IpAddr, Ipv6Addr};

use sha2::{Digest, Sha256};

use super::canonical_address;
use crate::id::{KeyId, SessionId, UserId};

/// Length of the group, in bytes. Enough to spread groups evenly over the slots of a store, and few
/// enough that the other bytes tell the keys of one group apart.
const GROUP: usize = 6;

/// Identifies one counter of one limit. Small, so that a million of them are cheap.
///
/// Built from an address, a user, a session, any text, or [several](LimitKey::and) of these. The
/// input is hashed, so that no account name or token is stored and a long input takes no extra
/// memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LimitKey([u8; 16]);

impl LimitKey {
    /// Counts by client address: IPv6 by its /64 prefix, the unit that providers assign to one
    /// customer, and an IPv4-mapped or NAT64 IPv6 address as IPv4: see [`canonical_address`].
    ///
    /// A client can have many /64 networks, so count its [network](Self::network) as well.
    #[must_use]
    pub fn address(limit: &str, address: IpAddr) -> Self {
        match canonical_address(address) {
            IpAddr::V4(address) => Self::hash(limit, b"4", &address.octets()),
            IpAddr::V6(address) => {
                Self::network_of(limit, address).sibling(&address.octets()[6..8])
            }
        }
    }

    /// Counts by the network of a client address: IPv6 by its /48 prefix, the largest that providers
    /// usually assign to one customer; `None` for IPv4. In the [group](Self::sibling) of the address.
    #[must_use]
    pub fn network(limit: &str, address: IpAddr) -> Option<Self> {
        match canonical_address(address) {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(Self::network_of(limit, address)),
        }
    }

    fn network_of(limit: &str, address: Ipv6Addr) -> Self {
        Self::hash(limit, b"6", &address.octets()[..6])
    }

    /// Counts by user.
    #[must_use]
    pub fn user(limit: &str, user: UserId) -> Self {
        Self::hash(limit, b"u", &user.as_u128().to_be_bytes())
    }

    /// Counts by session. One that replaces another (a step-up) continues its counters, so that it gives no
    /// attempt back.
    #[must_use]
    pub fn session(limit: &str, session: SessionId) -> Self {
        Self::hash(limit, b"s", &session.lineage().to_be_bytes())
    }

    /// Counts by API key.
    #[must_use]
    pub fn api_key(limit: &str, key: KeyId) -> Self {
        Self::hash(limit, b"k", &key.as_u128().to_be_bytes())
    }

    /// Counts by an arbitrary text, byte for byte. Normalize it first, or each spelling has a
    /// counter of its own.
    #[must_use]
    pub fn text(limit: &str, text: &str) -> Self {
        Self::hash(limit, b"t", text.as_bytes())
    }

    /// Counts by a sequence of byte strings, such as a header's name and its value. Two different
    /// sequences never share a counter.
    #[must_use]
    pub fn sequence(limit: &str, parts: &[&[u8]]) -> Self {
        let mut hasher = Self::begin(limit, b"q");
        for part in parts {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self::end(hasher)
    }

    /// Returns another key of the same group: one call can acquire from both, and a store keeps both
    /// in one place.
    #[must_use]
    pub fn sibling(self, subject: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        // As in `and`, a length that no limit's name has.
        hasher.update((u64::MAX - 1).to_le_bytes());
        hasher.update(self.0);
        hasher.update(subject);
        let mut key = Self::end(hasher);
        key.0[..GROUP].copy_from_slice(&self.0[..GROUP]);
        key
    }

    /// Counts by both keys together, for example by user and route. The order matters.
    ///
    /// ```
    /// use goat_core::limit::LimitKey;
    ///
    /// let address = LimitKey::address("export", [192, 0, 2, 7].into());
    /// let here = address.and(LimitKey::text("export", "/reports"));
    /// let there = address.and(LimitKey::text("export", "/invoices"));
    /// assert_ne!(here, there);
    /// ```
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let mut hasher = Sha256::new();
        // The other kinds start with the length of the limit's name, which is never `u64::MAX`.
        hasher.update(u64::MAX.to_le_bytes());
        hasher.update(self.0);
        hasher.update(other.0);
        let mut key = Self::end(hasher);
        // The same for all keys of the two groups.
        for (byte, (one, two)) in key.0.iter_mut().zip(self.0.iter().zip(other.0)).take(GROUP) {
            *byte = one.rotate_left(1) ^ two;
        }
        key
    }

    /// Whether one call can acquire from both keys.
    #[must_use]
    pub fn is_sibling(&self, other: &Self) -> bool {
        self.group() == other.group()
    }

    /// The bytes that the keys of one group have in common.
    pub(crate) fn group(&self) -> &[u8] {
        &self.0[..GROUP]
    }

    /// The bytes that tell the keys of one group apart.
    #[cfg(feature = "redis")]
    pub(crate) fn member(&self) -> &[u8] {
        &self.0[GROUP..]
    }

    /// The bytes that identify this key in a store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn hash(limit: &str, kind: &[u8; 1], subject: &[u8]) -> Self {
        let mut hasher = Self::begin(limit, kind);
        hasher.update(subject);
        Self::end(hasher)
    }

    fn begin(limit: &str, kind: &[u8; 1]) -> Sha256 {
        let mut hasher = Sha256::new();
        // The length comes first, so that the name of a limit cannot run into the subject.
        hasher.update((limit.len() as u64).to_le_bytes());
        hasher.update(limit.as_bytes());
        hasher.update(kind);
        hasher
    }

    fn end(hasher: Sha256) -> Self {
        let mut key = [0; 16];
        key.copy_from_slice(&hasher.finalize()[..16]);
        Self(key)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::clock::Timestamp;

    fn address(text: &str) -> LimitKey {
        LimitKey::address("auth", text.parse().expect("an address"))
    }

    /// B6
    #[test]
    fn ipv6_addresses_of_one_64_share_a_counter() {
        assert_eq!(address("2001:db8:1:2::1"), address("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(address("2001:db8:1:2::1"), address("2001:db8:1:3::1"));
    }

    /// B9: the /48 of an IPv6 address has a counter of its own, in the group of all its /64 networks,
    /// also in a composed key.
    #[test]
    fn ipv6_networks_of_one_48_share_a_counter_and_a_group() {
        let network = |text: &str| LimitKey::network("auth", text.parse().expect("an address"));
        let one = network("2001:db8:1:2::1").expect("IPv6 has a network");
        assert_eq!(network("2001:db8:1:ffff::9"), Some(one));
        assert_ne!(network("2001:db8:2:2::1"), Some(one));
        assert_eq!(network("192.0.2.1"), None);
        assert_eq!(network("::ffff:192.0.2.1"), None);
        for text in ["2001:db8:1::", "2001:db8:1:2::1", "2001:db8:1:ffff::"] {
            assert!(address(text).is_sibling(&one), "{text}");
            assert_ne!(address(text), one, "{text}");
            let path = LimitKey::text("auth", "/reports");
            assert!(address(text).and(path).is_sibling(&one.and(path)), "{text}");
            assert!(path.and(address(text)).is_sibling(&path.and(one)), "{text}");
        }
        assert!(!address("2001:db8:2:2::1").is_sibling(&one));
    }

    #[test]
    fn siblings_do_not_share_a_counter() {
        let [a, b] = ["a", "b"].map(|text| LimitKey::text("auth", text));
        let keys = [a, b, a.sibling(b""), a.sibling(b"day"), a.sibling(b"hour"), b.sibling(b"day")];
        assert_eq!(HashSet::from(keys).len(), keys.len());
        assert!(a.sibling(b"day").is_sibling(&a));
        assert!(!a.sibling(b"day").is_sibling(&b));
    }

    /// B6
    #[test]
    fn an_ipv4_mapped_address_is_the_ipv4_address() {
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
        assert_ne!(address("::ffff:192.0.2.1"), address("::ffff:192.0.2.2"));
        assert_ne!(address("::ffff:192.0.2.1"), address("::"));
        assert_eq!(address("64:ff9b::192.0.2.1"), address("192.0.2.1"));
        assert_ne!(address("64:ff9b::192.0.2.1"), address("64:ff9b::192.0.2.2"));
    }

    #[test]
    fn limits_of_different_names_do_not_share_a_counter() {
        let user = UserId::generate(Timestamp::from_millis(0));
        assert_ne!(LimitKey::user("auth", user), LimitKey::user("refresh", user));
        assert_ne!(LimitKey::text("auth", "x"), LimitKey::text("refresh", "x"));
        // A name's last bytes cannot be moved into the subject.
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

    #[test]
    fn a_user_and_a_session_with_the_same_id_do_not_share_a_counter() {
        let user = UserId::generate(Timestamp::from_millis(0));
        let session = user.to_string().parse().expect("a number is a number");
        assert_ne!(LimitKey::user("auth", user), LimitKey::session("auth", session));
        assert_ne!(LimitKey::session("auth", session), LimitKey::session("refresh", session));
    }

    #[test]
    fn different_sequences_do_not_share_a_counter() {
        let sequences: [&[&[u8]]; 8] = [
            &[],
            &[b""],
            &[b"", b""],
            &[b"ab"],
            &[b"a", b"b"],
            &[b"b", b"a"],
            &[b"ab", b""],
            &[b"", b"ab"],
        ];
        let keys: HashSet<_> = sequences.map(|parts| LimitKey::sequence("auth", parts)).into();
        assert_eq!(keys.len(), sequences.len());
        assert!(!keys.contains(&LimitKey::text("auth", "ab")));
        assert!(!keys.contains(&LimitKey::sequence("refresh", &[b"ab"])));
    }

    #[test]
    fn different_compositions_do_not_share_a_counter() {
        let [a, b, c] = ["a", "b", "c"].map(|text| LimitKey::text("auth", text));
        let keys = [
            a,
            b,
            c,
            a.and(a),
            a.and(b),
            b.and(a),
            a.and(b).and(c),
            a.and(b.and(c)),
            a.and(c).and(b),
            LimitKey::text("other", "a").and(b),
            a.and(LimitKey::text("other", "b")),
        ];
        assert_eq!(HashSet::from(keys).len(), keys.len());
        assert_eq!(a.and(b), LimitKey::text("auth", "a").and(LimitKey::text("auth", "b")));
        // Nor with a sequence of the same bytes.
        let both = [a.as_bytes().as_slice(), b.as_bytes()].concat();
        assert_ne!(a.and(b), LimitKey::sequence("auth", &[&both]));
        assert_ne!(a.and(b), LimitKey::sequence("", &[a.as_bytes(), b.as_bytes()]));
    }

    /// B1: texts are compared as they are; normalization is the caller's task.
    #[test]
    fn texts_are_not_normalized() {
        assert_eq!(LimitKey::text("login", "a@b.example"), LimitKey::text("login", "a@b.example"));
        assert_ne!(LimitKey::text("login", "a@b.example"), LimitKey::text("login", "A@b.example"));
    }
}
