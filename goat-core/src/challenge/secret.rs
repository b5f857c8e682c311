//! Secrets of links and pending sign-ins: 256 random bits, as 52 characters of Crockford's base 32.

use sha2::{Digest, Sha256};

use crate::crockford;
use crate::secret::{Secret, random};

/// The length of the text.
pub(super) const LENGTH: usize = 52;

/// A new secret: its text for the client, and its hash for the store.
pub(crate) struct ChallengeSecret {
    pub(crate) text: Secret<String>,
    pub(crate) hash: [u8; 32],
}

impl ChallengeSecret {
    /// Generates a secret.
    pub(crate) fn generate() -> Self {
        let text = encode(&random::<[u8; 32]>());
        let hash = Self::hash(&text);
        Self { text: Secret::new(text), hash }
    }

    /// Whether a presented text is that of a stored hash, in constant time.
    pub(crate) fn matches(presented: &Secret<String>, stored: &[u8; 32]) -> bool {
        subtle::ConstantTimeEq::ct_eq(&Self::hash(presented.expose())[..], &stored[..]).into()
    }

    fn hash(text: &str) -> [u8; 32] {
        Sha256::digest(text).into()
    }
}

/// Encodes in upper case, as ids are written.
fn encode(bytes: &[u8; 32]) -> String {
    crockford::encode(bytes, LENGTH).map(|byte| char::from(byte.to_ascii_uppercase())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_has_52_characters_and_is_known_by_its_hash() {
        assert_eq!(encode(&[0; 32]), "0".repeat(52));
        assert_eq!(encode(&[0xff; 32]), format!("{}G", "Z".repeat(51)));
        let mut one = [0; 32];
        one[0] = 0b0000_1000;
        assert_eq!(encode(&one)[..2], *"10");
        let (secret, other) = (ChallengeSecret::generate(), ChallengeSecret::generate());
        assert_eq!(secret.text.expose().len(), 52);
        assert!(ChallengeSecret::matches(&secret.text, &secret.hash));
        assert!(!ChallengeSecret::matches(&other.text, &secret.hash));
        let lower = Secret::new(secret.text.expose().to_lowercase() + "0");
        assert!(!ChallengeSecret::matches(&lower, &secret.hash));
    }
}
