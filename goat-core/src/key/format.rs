//! Text of a key: prefix, id, secret and checksum.
//!
//! `goat_<26: id><52: 256 bits><6: checksum>`, in lower-case Crockford base 32. The checksum, the first 30
//! bits of the SHA-256 of the text before it, tells a truncated or mistyped key from an unknown one without
//! a read of the store; it is no secret.

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::crockford;
use crate::id::KeyId;
use crate::secret::{Secret, random};

use super::{KeyHash, KeyPrefix};

const ID: usize = 26;
const SECRET: usize = 52;
const CHECKSUM: usize = 6;

/// A well-formed key: its id, and its secret, which `Debug` redacts.
#[derive(Clone, Debug)]
pub struct PresentedKey {
    id: KeyId,
    secret: Secret<[u8; 32]>,
}

impl PresentedKey {
    /// Generates a key.
    pub(crate) fn generate(now: Timestamp) -> Self {
        Self { id: KeyId::generate(now), secret: Secret::new(random()) }
    }

    /// Parses the text of a key with this prefix: one spelling only, with the right checksum. Whether the
    /// key exists, only the store knows.
    ///
    /// ```
    /// use goat_core::key::{KeyPrefix, PresentedKey};
    ///
    /// assert!(PresentedKey::parse(&KeyPrefix::default(), "goat_0123").is_none());
    /// ```
    #[must_use]
    pub fn parse(prefix: &KeyPrefix, text: &str) -> Option<Self> {
        let rest = text.strip_prefix(prefix.as_str())?.strip_prefix('_')?;
        if rest.len() != ID + SECRET + CHECKSUM || !rest.is_ascii() {
            return None;
        }
        let (body, presented) = text.split_at(text.len() - CHECKSUM);
        if presented.as_bytes() != checksum(body) {
            return None;
        }
        let (id, rest) = rest.split_at(ID);
        if id.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let mut upper = [0; ID];
        upper.copy_from_slice(id.as_bytes());
        upper.make_ascii_uppercase();
        let id = KeyId::parse(str::from_utf8(&upper).ok()?).ok()?;
        let mut secret = Zeroizing::new([0; 32]);
        crockford::decode(&rest[..SECRET], secret.as_mut_slice())?;
        Some(Self { id, secret: Secret::new(*secret) })
    }

    /// Returns the text.
    pub(crate) fn text(&self, prefix: &KeyPrefix) -> Secret<String> {
        // With its whole capacity, so that no copy is left behind by an allocation that grows.
        let capacity = prefix.as_str().len() + 1 + ID + SECRET + CHECKSUM;
        let mut text = String::with_capacity(capacity);
        text.push_str(prefix.as_str());
        text.push('_');
        text.push_str(&self.id.to_string().to_ascii_lowercase());
        text.extend(crockford::encode(self.secret.expose(), SECRET).map(char::from));
        let checksum = checksum(&text);
        text.extend(checksum.map(char::from));
        Secret::new(text)
    }

    /// Returns a key of the same id with the secret of another one.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn with_secret_of(&self, other: &Self) -> Self {
        Self { id: self.id, secret: other.secret.clone() }
    }

    /// Returns the id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Returns the hash of the secret, as it is stored.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(self.secret.expose())
    }
}

pub(super) fn checksum(body: &str) -> [u8; CHECKSUM] {
    let digest = Sha256::digest(body);
    let mut encoded = crockford::encode(&digest, CHECKSUM);
    std::array::from_fn(|_| encoded.next().unwrap_or_default())
}
