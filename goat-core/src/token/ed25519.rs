//! Ed25519 keys in PEM: the few documents of RFC 8410 that a key file may hold.
//!
//! Each has a fixed length and a fixed beginning, so they are compared and not parsed: there is no
//! ASN.1 reader here to get wrong.

use pem::{EncodeConfig, LineEnding, Pem};
use zeroize::Zeroizing;

use crate::secret::{Secret, random};

/// What stands before the 32 bytes of a private key: PKCS#8 version 1 (RFC 5208).
const PRIVATE_V1: [u8; 16] =
    [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// The same for version 2 (RFC 5958), which carries the public key as well, after [`V2_PUBLIC`].
const PRIVATE_V2: [u8; 16] =
    [0x30, 0x51, 2, 1, 1, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// What stands between the two keys of version 2.
const V2_PUBLIC: [u8; 3] = [0x81, 0x21, 0];

/// What stands before the 32 bytes of a public key: SubjectPublicKeyInfo.
const PUBLIC: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

/// What a key file holds.
pub(super) enum Document {
    /// The private key, and the public one where the document has it.
    Private { der: Zeroizing<Vec<u8>>, public: Option<[u8; 32]> },
    /// A public key.
    Public([u8; 32]),
}

/// Reads a PEM with exactly one key. The error says what the key must be, to be read after its
/// name.
pub(super) fn read(text: &str) -> Result<Document, &'static str> {
    let mut documents = pem::parse_many(text).map_err(|_| "is not PEM")?;
    let (Some(document), true) = (documents.pop(), documents.is_empty()) else {
        return Err("must be one PEM document");
    };
    let tag = document.tag().to_owned();
    let der = Zeroizing::new(document.into_contents());
    match tag.as_str() {
        "PRIVATE KEY" => private(&der).ok_or("must be an Ed25519 key in PKCS#8"),
        "PUBLIC KEY" => public(&der).ok_or("must be an Ed25519 key in SubjectPublicKeyInfo"),
        "ENCRYPTED PRIVATE KEY" => Err("is encrypted; goat reads private keys as they are"),
        _ => Err("must be a PRIVATE KEY in PKCS#8 or a PUBLIC KEY"),
    }
}

fn private(der: &[u8]) -> Option<Document> {
    if let Some(seed) = der.strip_prefix(&PRIVATE_V1) {
        return Some(Document::Private { der: private_der(seed.try_into().ok()?), public: None });
    }
    let (seed, rest) = der.strip_prefix(&PRIVATE_V2)?.split_first_chunk()?;
    let public = rest.strip_prefix(&V2_PUBLIC)?.try_into().ok()?;
    Some(Document::Private { der: private_der(seed), public: Some(public) })
}

fn public(der: &[u8]) -> Option<Document> {
    der.strip_prefix(&PUBLIC)?.try_into().ok().map(Document::Public)
}

/// The key as PKCS#8 version 1, the one form that every provider reads.
fn private_der(seed: &[u8; 32]) -> Zeroizing<Vec<u8>> {
    // Of the right length from the start: growing would leave a copy behind.
    Zeroizing::new([&PRIVATE_V1[..], seed].concat())
}

/// A fresh private key.
pub(super) fn generate_pem() -> Secret<String> {
    let seed = Zeroizing::new(random::<[u8; 32]>());
    let document = Pem::new("PRIVATE KEY", private_der(&seed).to_vec());
    let text = pem::encode_config(&document, EncodeConfig::new().set_line_ending(LineEnding::LF));
    drop(Zeroizing::new(document.into_contents()));
    Secret::new(text)
}
