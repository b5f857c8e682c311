//! Both cryptography providers in one build, as features of another crate may cause.

#![cfg(all(feature = "aws-lc-rs", feature = "rust-crypto"))]

use goat_core::token::TokenKeys;
use goat_core::{ErrorKind, Secret};
use jsonwebtoken::crypto::{CryptoProvider, aws_lc, rust_crypto};
use jsonwebtoken::jwk::EllipticCurve;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};

#[test]
fn both_providers_in_one_build_do_not_panic() {
    // By itself, jsonwebtoken would select neither and panic at first use.
    let keys = TokenKeys::generate();
    assert_eq!(keys.algorithm(), "EdDSA");
    let again = TokenKeys::hs256(vec![Secret::new(vec![7; 32])]).expect("a second set of keys");
    assert_eq!(again.algorithm(), "HS256");
    // A later installation fails without effect.
    assert!(rust_crypto::DEFAULT_PROVIDER.install_default().is_err());
    assert_eq!(TokenKeys::eddsa(&[]).expect_err("no key").kind(), ErrorKind::Configuration);
}

/// Tokens survive a change of features, so both providers must agree on every byte.
#[test]
fn both_providers_give_the_same_results() {
    let providers: [&CryptoProvider; 2] =
        [&aws_lc::DEFAULT_PROVIDER, &rust_crypto::DEFAULT_PROVIDER];
    let pem = TokenKeys::generate_pem();
    let der = pem::parse(pem.expose()).expect("goat's own PEM").into_contents();
    let public = providers.map(|provider| {
        let derive = provider.key_utils.ed_pub_components_from_private_key;
        derive(&der, &EllipticCurve::Ed25519).expect("the public key of a fresh one")
    });
    assert_eq!(public[0], public[1]);

    let secret = [7; 32];
    for (algorithm, signing, verifying) in [
        (Algorithm::EdDSA, EncodingKey::from_ed_der(&der), DecodingKey::from_ed_der(&public[0])),
        (
            Algorithm::HS256,
            EncodingKey::from_secret(&secret).expect("a key"),
            DecodingKey::from_secret(&secret).expect("a key"),
        ),
    ] {
        let signatures = providers.map(|provider| {
            let signer = (provider.signer_factory)(&algorithm, &signing).expect("a signer");
            signer.try_sign(b"header.payload").expect("a signature")
        });
        assert_eq!(signatures[0], signatures[1]);
        for provider in providers {
            let verifier = (provider.verifier_factory)(&algorithm, &verifying).expect("a verifier");
            assert!(verifier.verify(b"header.payload", &signatures[0]).is_ok());
            assert!(verifier.verify(b"header.payloae", &signatures[0]).is_err());
        }
    }
}
