//! jsonwebtoken used before goat, without a cryptography provider: goat installs one, or reports the
//! lack of one at startup instead of a panic. The provider is process-wide, so this test is a process
//! of its own.

use std::panic::catch_unwind;

use goat_core::token::TokenKeys;
use goat_core::{ErrorKind, Secret};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};

#[test]
fn earlier_use_without_a_provider_does_not_prevent_keys() {
    let works = catch_unwind(|| {
        let key = EncodingKey::from_secret(&[7; 32]).expect("a key");
        crypto::sign(b"message", &key, Algorithm::HS256).is_ok()
    });
    // With exactly one provider feature, jsonwebtoken selects it by itself.
    let one = cfg!(feature = "aws-lc-rs") != cfg!(feature = "rust-crypto");
    assert_eq!(works.is_ok(), one);

    let any = cfg!(feature = "aws-lc-rs") || cfg!(feature = "rust-crypto");
    for keys in [
        TokenKeys::hs256(vec![Secret::new(vec![7; 32])]),
        TokenKeys::eddsa(&[TokenKeys::generate_pem()]),
    ] {
        match keys {
            Ok(_) => assert!(any),
            Err(error) => {
                assert!(!any, "{error}");
                assert_eq!(error.kind(), ErrorKind::Configuration);
                assert!(error.to_string().contains("no cryptography provider"), "{error}");
            }
        }
    }
}
