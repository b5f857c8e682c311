//! Server keys: secrets of the server under which typed codes are stored.
//!
//! A code has few bits, so that a plain hash of it would be found by trying all of them. Under a key that the
//! database does not hold, a copy of the database gives no code.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::crockford;
use crate::error::{Error, Result};
use crate::id::ChallengeId;
use crate::secret::{Secret, random};

use super::{Purpose, ServerKeyId, TypedCode};

/// The shortest key, in bytes.
const SHORTEST: usize = 32;

/// The length of a key's id: 80 bits.
const ID: usize = 16;

/// The server keys: the first one makes, and all verify, so that a key is replaced without a break. Cheap to
/// clone.
///
/// ```
/// use goat_core::Secret;
/// use goat_core::challenge::ServerKeys;
///
/// let secret = Secret::new(b"thirty-two bytes or more of noise".to_vec());
/// let keys = ServerKeys::new([secret])?;
/// # let _ = keys;
/// # Ok::<(), goat_core::Error>(())
/// ```
#[derive(Clone)]
pub struct ServerKeys(Arc<[ServerKey]>);

struct ServerKey {
    id: ServerKeyId,
    secret: Secret<Vec<u8>>,
}

/// Without the secrets.
impl fmt::Debug for ServerKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

impl ServerKeys {
    /// Takes the keys, the one that makes first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) without a key, for a key of fewer than
    /// 32 bytes and for two keys that are the same.
    pub fn new(keys: impl IntoIterator<Item = Secret<Vec<u8>>>) -> Result<Self> {
        let keys = keys.into_iter().map(ServerKey::new).collect::<Result<Arc<[_]>>>()?;
        if keys.is_empty() {
            return Err(Error::configuration("there is no server key"));
        }
        let is_repeated = |(index, key): (usize, &ServerKey)| {
            keys[..index].iter().any(|other| other.id == key.id)
        };
        if keys.iter().enumerate().any(is_repeated) {
            return Err(Error::configuration("two server keys are the same"));
        }
        Ok(Self(keys))
    }

    /// Generates a key, for tests and for a process that keeps no codes.
    #[must_use]
    pub fn generate() -> Self {
        let secret = Secret::new(random::<[u8; SHORTEST]>().to_vec());
        Self(Arc::new([ServerKey { id: id_of(&secret), secret }]))
    }

    /// Returns the hash of a typed code, and the key that made it.
    pub(crate) fn hash(
        &self,
        challenge: ChallengeId,
        purpose: Purpose,
        code: &TypedCode,
    ) -> (ServerKeyId, [u8; 32]) {
        let key = &self.0[0];
        (key.id.clone(), mac_of(key, challenge, purpose, code).finalize().into_bytes().into())
    }

    /// Whether a presented code is that of a stored hash, in constant time. A hash under a key that is no
    /// longer here matches nothing.
    pub(crate) fn matches(
        &self,
        challenge: ChallengeId,
        purpose: Purpose,
        code: &TypedCode,
        (key, hash): &(ServerKeyId, [u8; 32]),
    ) -> bool {
        let key = self.0.iter().find(|known| known.id == *key);
        key.is_some_and(|key| mac_of(key, challenge, purpose, code).verify_slice(&hash[..]).is_ok())
    }
}

impl ServerKey {
    fn new(secret: Secret<Vec<u8>>) -> Result<Self> {
        if secret.expose().len() < SHORTEST {
            let least = format!("a server key must have at least {SHORTEST} bytes");
            return Err(Error::configuration(least));
        }
        Ok(Self { id: id_of(&secret), secret })
    }
}

/// The id is a hash of the key, so that it stays when keys are added and removed.
fn id_of(secret: &Secret<Vec<u8>>) -> ServerKeyId {
    let hash = mac(secret).chain_update(b"goat server key").finalize().into_bytes();
    let id: String = crockford::encode(&hash, ID).map(char::from).collect();
    ServerKeyId(id)
}

fn mac_of(
    key: &ServerKey,
    challenge: ChallengeId,
    purpose: Purpose,
    code: &TypedCode,
) -> Hmac<Sha256> {
    // Of fixed length before the last part, so that two inputs never read alike.
    mac(&key.secret)
        .chain_update(b"goat typed code")
        .chain_update(challenge.as_u128().to_be_bytes())
        .chain_update(code.text().expose())
        .chain_update(purpose.as_str())
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104 §2)")]
fn mac(secret: &Secret<Vec<u8>>) -> Hmac<Sha256> {
    Hmac::new_from_slice(secret.expose()).expect("a key of any length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::error::ErrorKind;

    fn key(byte: u8) -> Secret<Vec<u8>> {
        Secret::new(vec![byte; SHORTEST])
    }

    /// M3
    #[test]
    fn code_matches_its_own_challenge_purpose_and_key_alone() {
        let keys = ServerKeys::new([key(1), key(2)]).expect("keys");
        let now = Timestamp::from_millis(0);
        let (id, other) = (ChallengeId::generate(now), ChallengeId::generate(now));
        let code = TypedCode::parse("0123ABCD").expect("a code");
        let stored = keys.hash(id, Purpose::SignUp, &code);
        let is_right = |keys: &ServerKeys, id, purpose, code: &str| {
            keys.matches(id, purpose, &TypedCode::parse(code).expect("a code"), &stored)
        };
        assert!(is_right(&keys, id, Purpose::SignUp, "0123ABCD"));
        assert!(!is_right(&keys, id, Purpose::SignUp, "0123ABCE"));
        assert!(!is_right(&keys, other, Purpose::SignUp, "0123ABCD"));
        assert!(!is_right(&keys, id, Purpose::ResetPassword, "0123ABCD"));
        // The order of the keys may change; a key that was removed verifies nothing.
        let swapped = ServerKeys::new([key(2), key(1)]).expect("keys");
        assert!(is_right(&swapped, id, Purpose::SignUp, "0123ABCD"));
        let removed = ServerKeys::new([key(2)]).expect("keys");
        assert!(!is_right(&removed, id, Purpose::SignUp, "0123ABCD"));
    }

    #[test]
    fn weak_missing_and_repeated_keys_are_refused() {
        let short = Secret::new(vec![1; SHORTEST - 1]);
        for keys in [vec![], vec![short], vec![key(1), key(2), key(1)]] {
            let error = ServerKeys::new(keys).expect_err("unusable keys");
            assert_eq!(error.kind(), ErrorKind::Configuration);
        }
        let shown = format!("{:?}", ServerKeys::new([key(7)]).expect("a key"));
        assert!(!shown.contains("7, 7"), "{shown}");
    }
}
