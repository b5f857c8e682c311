//! Ed25519 keys in PEM: the document forms of RFC 8410 that a key file may contain.
//!
//! Each form has a fixed length and prefix, so the documents are compared instead of parsed, and no
//! ASN.1 reader is needed.

use pem::{EncodeConfig, LineEnding, Pem};
use zeroize::Zeroizing;

use crate::secret::{Secret, random};

/// Prefix of the 32 bytes of a private key: PKCS#8 version 1 (RFC 5208).
const PRIVATE_V1: [u8; 16] =
    [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// Prefix for version 2 (RFC 5958), which also contains the public key, after [`V2_PUBLIC`].
const PRIVATE_V2: [u8; 16] =
    [0x30, 0x51, 2, 1, 1, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// Separates the two keys of version 2.
const V2_PUBLIC: [u8; 3] = [0x81, 0x21, 0];

/// Prefix of the 32 bytes of a public key: SubjectPublicKeyInfo.
const PUBLIC: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

/// The content of a key file.
pub(super) enum Document {
    /// A private key, with its public key if the document contains it.
    Private { der: Zeroizing<Vec<u8>>, public: Option<[u8; 32]> },
    /// A public key.
    Public([u8; 32]),
}

/// Parses a PEM document with exactly one key. The error states the problem, phrased to follow the
/// key's name.
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
        "ENCRYPTED PRIVATE KEY" => Err("is encrypted; goat reads only unencrypted private keys"),
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

/// Encodes a private key as PKCS#8 version 1, the form that all providers read.
fn private_der(seed: &[u8; 32]) -> Zeroizing<Vec<u8>> {
    // Allocated at its final length: growing would leave a copy behind.
    Zeroizing::new([&PRIVATE_V1[..], seed].concat())
}

/// Generates a private key.
pub(super) fn generate_pem() -> Secret<String> {
    let seed = Zeroizing::new(random::<[u8; 32]>());
    let document = Pem::new("PRIVATE KEY", private_der(&seed).to_vec());
    let text = pem::encode_config(&document, EncodeConfig::new().set_line_ending(LineEnding::LF));
    drop(Zeroizing::new(document.into_contents()));
    Secret::new(text)
}
