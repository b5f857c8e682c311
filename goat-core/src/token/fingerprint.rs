//! Fingerprints of tokens: the SHA-256 of their exact bytes.
//!
//! All access tokens of a key begin alike: with its header, then issuer and audience. The hash continues
//! from the state after these blocks, which saves their computation and changes no fingerprint.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::ring::KeyRing;
use super::settings::TokenSettings;
use super::wire;

/// Block size of SHA-256, in bytes.
const BLOCK: usize = 64;

/// The SHA-256 of a token's bytes.
///
/// TIMING: a comparison of fingerprints that ends early reveals nothing about an unknown token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint(pub(super) [u8; 32]);

/// Computes fingerprints.
pub(super) struct Fingerprints(Vec<Beginning>);

/// Whole blocks with which access tokens begin, and the hash state after them.
struct Beginning {
    text: String,
    state: Sha256,
}

impl Fingerprints {
    /// Prepares for the access tokens that these keys sign.
    pub(super) fn new(keys: &KeyRing, settings: &TokenSettings) -> Self {
        let payload = wire::beginning_of_access(settings);
        // Three bytes are four characters; the rest would depend on the bytes that follow.
        let payload = URL_SAFE_NO_PAD.encode(&payload.as_bytes()[..payload.len() / 3 * 3]);
        let beginnings = keys.iter().map(|key| {
            let mut text = format!("{}.{payload}", key.access_header());
            text.truncate(text.len() / BLOCK * BLOCK);
            Beginning { state: Sha256::new_with_prefix(&text), text }
        });
        Self(beginnings.collect())
    }

    pub(super) fn of(&self, token: &str) -> Fingerprint {
        let known = |beginning: &Beginning| {
            token.strip_prefix(&beginning.text).map(|rest| (rest, beginning.state.clone()))
        };
        let (rest, state) = self.0.iter().find_map(known).unwrap_or_else(|| (token, Sha256::new()));
        Fingerprint(state.chain_update(rest).finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::keys::TokenKeys;
    use super::super::service::Tokens;
    use super::super::tests::access_claims;
    use super::*;
    use crate::secret::Secret;

    /// The fingerprint is the hash of the whole token, also of one that begins in another way.
    #[test]
    fn a_fingerprint_is_the_hash_of_the_whole_token() {
        let long = "i".repeat(255);
        let secret = TokenKeys::hs256(vec![Secret::new(vec![7; 32])]).expect("32 bytes");
        for keys in [TokenKeys::generate(), secret] {
            for issuer in ["goat", "a \"quoted\" issuer", long.as_str()] {
                let settings = TokenSettings::new(issuer, "goat-api", Duration::ZERO);
                let settings = settings.expect("good settings");
                let fingerprints = Fingerprints::new(&keys.ring(), &settings);
                let [beginning] = fingerprints.0.as_slice() else { panic!("one key") };
                let token = Tokens::new(keys.clone(), settings).sign_access(&access_claims());
                let token = token.expect("a token");
                assert!(beginning.text.len() >= BLOCK, "{issuer}: {}", beginning.text);
                assert!(token.starts_with(&beginning.text), "{issuer}: {token}");
                for end in 0..=token.len() {
                    let hash: [u8; 32] = Sha256::digest(&token[..end]).into();
                    assert!(fingerprints.of(&token[..end]).0 == hash, "{issuer} {end}");
                }
            }
        }
    }
}
