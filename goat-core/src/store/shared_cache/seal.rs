//! Seal: the MAC of a cache entry, so that write access to the cache server gives no role, status or
//! permission (S1).
//!
//! The MAC covers the name of the key with its prefix, the revision, the read time and the value. So an
//! entry is valid for its own user or the roles of its own deployment only, and as long as the staleness
//! after it was read: an entry that was replaced may be written back, and is then served until that
//! time, as after a lost invalidation.

use crate::token::MacKeys;

use super::{CacheEntry, ServerTime};

/// Separates these MACs from all others under the same keys.
const DOMAIN: &[u8] = b"goat shared cache entry v1";

/// Signs and verifies the entries of one cache.
#[derive(Clone, Debug)]
pub(super) struct Seal {
    keys: MacKeys,
}

impl Seal {
    pub(super) fn new(keys: MacKeys) -> Self {
        Self { keys }
    }

    /// Returns the entry of an encoded value under the key of this name; none if the provider fails.
    pub(super) fn seal(
        &self,
        name: &str,
        revision: u64,
        read_at: ServerTime,
        text: &str,
    ) -> Option<CacheEntry> {
        let mac = self.keys.sign(&message(name, revision, read_at, text))?;
        Some(CacheEntry { revision, read_at, value: format!("{mac} {text}") })
    }

    /// Returns the encoded value of an entry under the key of this name; none if its MAC is wrong.
    pub(super) fn open<'a>(&self, name: &str, entry: &'a CacheEntry) -> Option<&'a str> {
        let (mac, text) = entry.value.split_once(' ')?;
        let message = message(name, entry.revision, entry.read_at, text);
        self.keys.verify(&message, mac).then_some(text)
    }
}

/// The signed bytes. Each part but the last has a fixed length or its length in front, so that no two
/// entries have the same bytes.
fn message(name: &str, revision: u64, read_at: ServerTime, text: &str) -> Vec<u8> {
    let mut message = Vec::with_capacity(DOMAIN.len() + name.len() + text.len() + 24);
    message.extend(DOMAIN);
    message.extend((name.len() as u64).to_be_bytes());
    message.extend(name.as_bytes());
    message.extend(revision.to_be_bytes());
    message.extend(read_at.0.to_be_bytes());
    message.extend(text.as_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use crate::token::TokenKeys;

    const NAME: &str = "goat:{roles}:r";
    const AT: ServerTime = ServerTime(1_767_225_600_000);

    fn secret(byte: u8) -> Secret<Vec<u8>> {
        Secret::new((byte..byte + 32).collect())
    }

    fn seal(secrets: &[u8]) -> Seal {
        let secrets = secrets.iter().copied().map(secret).collect();
        Seal::new(TokenKeys::hs256(secrets).expect("keys").macs())
    }

    /// S1: each change of an entry, and each move to another key, is detected.
    #[test]
    fn changed_or_moved_entry_is_not_opened() {
        let seal = seal(&[1]);
        let good = seal.seal(NAME, 7, AT, "1\nrow").expect("a MAC");
        assert_eq!(seal.open(NAME, &good), Some("1\nrow"));
        for name in ["goat:{roles}:", "goat:{roles}:r1", "shop:{roles}:r", ""] {
            assert_eq!(seal.open(name, &good), None, "{name}");
        }
        let revision = CacheEntry { revision: 8, ..good.clone() };
        let read_at = CacheEntry { read_at: ServerTime(AT.0 + 1), ..good.clone() };
        let no_mac = CacheEntry { value: "1\nrow".to_owned(), ..good.clone() };
        for changed in [revision, read_at, no_mac] {
            assert_eq!(seal.open(NAME, &changed), None, "{changed:?}");
        }
        for place in 0..good.value.len() {
            let mut bytes = good.value.clone().into_bytes();
            bytes[place] ^= 1;
            let value = String::from_utf8(bytes).expect("ASCII");
            assert_eq!(seal.open(NAME, &CacheEntry { value, ..good.clone() }), None, "{place}");
            let value = good.value[..place].to_owned();
            assert_eq!(seal.open(NAME, &CacheEntry { value, ..good.clone() }), None, "{place}");
        }
    }

    /// S1: as for tokens, the first key signs and all verify.
    #[test]
    fn entry_by_any_key_of_the_ring_is_opened() {
        let (old, both, new) = (seal(&[1]), seal(&[2, 1]), seal(&[2]));
        let by_old = old.seal(NAME, 7, AT, "1").expect("a MAC");
        let by_both = both.seal(NAME, 7, AT, "1").expect("a MAC");
        assert!(both.open(NAME, &by_old).is_some() && both.open(NAME, &by_both).is_some());
        assert_eq!(old.open(NAME, &by_both), None);
        assert!(new.open(NAME, &by_both).is_some());
        assert_eq!(new.open(NAME, &by_old), None);
    }

    /// The derived key depends on the key alone, not on the form of its document.
    #[test]
    fn private_key_makes_a_mac_and_a_public_key_verifies_none() {
        let pem = TokenKeys::generate_pem();
        let ring = || TokenKeys::eddsa(std::slice::from_ref(&pem)).expect("a key");
        let entry = Seal::new(ring().macs()).seal(NAME, 7, AT, "1").expect("a MAC");
        assert!(Seal::new(ring().macs()).open(NAME, &entry).is_some());
        let another = TokenKeys::generate();
        assert_eq!(Seal::new(another.macs()).open(NAME, &entry), None);
    }
}
