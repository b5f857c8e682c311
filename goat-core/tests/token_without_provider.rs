//! jsonwebtoken used before goat, without a cryptography provider: an error at startup instead of a
//! panic. The provider is process-wide, so this test is a process of its own.

use std::panic::catch_unwind;

use goat_core::token::TokenKeys;
use goat_core::{ErrorKind, Secret};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};

#[test]
fn keys_without_a_provider_are_an_error() {
    let works = catch_unwind(|| {
        crypto::sign(b"message", &EncodingKey::from_secret(&[7; 32]), Algorithm::HS256).is_ok()
    });
    // With exactly one provider feature, jsonwebtoken selects it by itself.
    let one = cfg!(feature = "aws-lc-rs") != cfg!(feature = "rust-crypto");
    assert_eq!(works.is_ok(), one);

    for keys in [
        TokenKeys::hs256(vec![Secret::new(vec![7; 32])]),
        TokenKeys::eddsa(&[TokenKeys::generate_pem()]),
    ] {
        match keys {
            Ok(_) => assert!(one),
            Err(error) => {
                assert!(!one, "{error}");
                assert_eq!(error.kind(), ErrorKind::Configuration);
                assert!(error.to_string().contains("no cryptography provider"), "{error}");
            }
        }
    }
}
