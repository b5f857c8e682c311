//! Token keys: parsing, ids, rotation, export and redaction.

use super::*;
use crate::Error;
use crate::token::weak_secret;

fn configuration_error<T>(result: Result<T, Error>) -> String {
    let error = result.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    error.to_string()
}

/// J6.
#[test]
fn a_secret_under_32_bytes_is_refused() {
    let new = |lengths: &[u8]| {
        let secrets = lengths.iter().map(|&length| {
            Secret::new((0..length).map(|byte| byte.wrapping_mul(37) ^ length).collect())
        });
        TokenKeys::hs256(secrets.collect())
    };
    assert!(new(&[32]).is_ok());
    assert!(new(&[32, 33, 64]).is_ok());
    assert!(configuration_error(new(&[31])).contains("secret 1"));
    assert!(configuration_error(new(&[32, 31])).contains("secret 2"));
    assert!(configuration_error(new(&[0])).contains("secret 1"));
    configuration_error(new(&[]));
    assert!(configuration_error(new(&[32, 40, 32])).contains("1 and 3"));
}

/// J7.
#[test]
fn the_first_secret_signs_and_all_verify() {
    let secret = |byte: u8| Secret::new((byte..byte + 32).rev().collect::<Vec<_>>());
    let keys = |secrets: &[u8]| {
        tokens(TokenKeys::hs256(secrets.iter().map(|&byte| secret(byte)).collect()).unwrap())
    };
    rotates(&keys(&[1]), &keys(&[2, 1]), &keys(&[2]));
}

/// J7.
#[test]
fn the_first_private_key_signs_and_all_verify() {
    let (old, new) = (TokenKeys::generate_pem(), TokenKeys::generate_pem());
    let keys = |pems: &[&Secret<String>]| {
        let pems: Vec<_> = pems.iter().map(|&pem| pem.clone()).collect();
        tokens(TokenKeys::eddsa(&pems).unwrap())
    };
    rotates(&keys(&[&old]), &keys(&[&new, &old]), &keys(&[&new]));
}

/// J7.
fn rotates(before: &Tokens, during: &Tokens, after: &Tokens) {
    let old = before.sign_access(&access_claims()).unwrap();
    let new = during.sign_access(&access_claims()).unwrap();
    assert_eq!(during.signing_key(), after.signing_key());
    assert_ne!(during.signing_key(), before.signing_key());
    assert_eq!(new, after.sign_access(&access_claims()).unwrap());

    let verify = |tokens: &Tokens, token: &str| outcome(tokens.verify_access(token, now()));
    assert_eq!(verify(during, &old), Ok(()));
    assert_eq!(verify(during, &new), Ok(()));
    assert_eq!(verify(after, &new), Ok(()));
    assert_eq!(verify(after, &old), Err(ErrorKind::InvalidToken));
    assert_eq!(verify(before, &new), Err(ErrorKind::InvalidToken));

    // A repeated refresh token keeps its key while that key exists.
    let first = before.sign_refresh(&refresh_claims(), before.signing_key()).unwrap();
    let again = |tokens: &Tokens| tokens.sign_refresh(&refresh_claims(), before.signing_key());
    assert_eq!(again(during).unwrap(), first);
    let fallen_back = again(after).unwrap();
    assert_ne!(fallen_back, first);
    assert_eq!(outcome(after.verify_refresh(&fallen_back, now())), Ok(()));
}

/// J7: a retired key can stay as a public key.
#[test]
fn a_public_key_verifies_and_never_signs() {
    let old = tokens(eddsa());
    let keys = [TokenKeys::generate_pem(), pem(RFC_8037_PUBLIC)];
    let tokens = tokens(TokenKeys::eddsa(&keys).unwrap());
    let token = old.sign_access(&access_claims()).unwrap();
    assert_eq!(outcome(tokens.verify_access(&token, now())), Ok(()));

    let refresh = tokens.sign_refresh(&refresh_claims(), old.signing_key()).unwrap();
    let current = tokens.sign_refresh(&refresh_claims(), tokens.signing_key()).unwrap();
    assert_eq!(refresh, current);
}

#[test]
fn a_key_ring_is_validated() {
    let private = || pem(RFC_8037_PRIVATE);
    let public = || pem(RFC_8037_PUBLIC);
    configuration_error(TokenKeys::eddsa(&[]));
    assert!(configuration_error(TokenKeys::eddsa(&[public()])).contains("private"));
    assert!(configuration_error(TokenKeys::eddsa(&[private(), private()])).contains("same"));
    assert!(configuration_error(TokenKeys::eddsa(&[private(), public()])).contains("same"));
}

/// RFC 8037, appendix A.3.
#[test]
fn the_key_id_is_the_thumbprint_of_the_public_key() {
    assert_eq!(eddsa().signing_key(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

/// A changed id would invalidate every token at an update. Computed by hand: the first 16 bytes of
/// the SHA-256 of the domain and the secret.
#[test]
fn the_id_of_a_shared_secret_stays_the_same() {
    assert_eq!(hs256().signing_key(), "ihUCe8txzpDOjSlm941bgQ");
}

/// RFC 8037, appendix A.2.
#[test]
fn public_keys_are_exported_as_jwks() {
    let keys = TokenKeys::eddsa(&[TokenKeys::generate_pem(), pem(RFC_8037_PUBLIC)]).unwrap();
    let jwks = tokens(keys).jwks();
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 2);
    let expected = serde_json::json!({
        "kty": "OKP",
        "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        "use": "sig",
        "alg": "EdDSA",
    });
    assert_eq!(jwks["keys"][1], expected);
}

/// L1.
#[test]
fn shared_secrets_are_not_exported() {
    assert_eq!(hs256().jwks(), serde_json::json!({ "keys": [] }));
}

/// L1.
#[test]
fn debug_output_and_errors_redact_keys() {
    let seed = &RFC_8037_PRIVATE[28..92];
    for keys in [hs256(), eddsa()] {
        let shown = format!("{keys:?} {keys:#?} {:?}", tokens(keys.clone()));
        assert!(shown.contains(keys.signing_key()));
        assert!(!shown.contains(std::str::from_utf8(SECRET).unwrap()));
        assert!(!shown.contains(&format!("{SECRET:?}")));
        assert!(!shown.contains(seed));
    }
    let broken = RFC_8037_PRIVATE.replace("MC4C", "MC4D");
    let error = TokenKeys::eddsa(&[pem(&broken)]).unwrap_err();
    assert!(!format!("{error:?}").contains(&seed[8..]), "{error:?}");
}

#[test]
fn key_files_of_other_kinds_are_refused_with_a_reason() {
    let wrap = |tag: &str, der: &[u8]| ::pem::encode(&::pem::Pem::new(tag, der));
    let seed = ::pem::parse(RFC_8037_PRIVATE).unwrap().into_contents();
    let public = ::pem::parse(RFC_8037_PUBLIC).unwrap().into_contents();
    let two = format!("{RFC_8037_PRIVATE}{RFC_8037_PUBLIC}");
    for (text, reason) in [
        (String::new(), "one PEM"),
        ("goat".to_owned(), "one PEM"),
        (RFC_8037_PRIVATE.replace("END PRIVATE", "END PUBLIC"), "not PEM"),
        (two, "one PEM"),
        (wrap("ENCRYPTED PRIVATE KEY", &seed), "encrypted"),
        (wrap("EC PRIVATE KEY", &seed), "PKCS#8"),
        (wrap("PRIVATE KEY", &seed[..47]), "PKCS#8"),
        (wrap("PRIVATE KEY", &[&seed[..], &[0]].concat()), "PKCS#8"),
        (wrap("PRIVATE KEY", &public), "PKCS#8"),
        // X25519 differs from Ed25519 in one byte of its object identifier.
        (wrap("PRIVATE KEY", &[&seed[..11], &[0x6e], &seed[12..]].concat()), "PKCS#8"),
        (wrap("PUBLIC KEY", &public[1..]), "SubjectPublicKeyInfo"),
        (wrap("PUBLIC KEY", &[]), "SubjectPublicKeyInfo"),
    ] {
        let message = configuration_error(TokenKeys::eddsa(&[Secret::new(text)]));
        assert!(message.contains(reason), "{message} for {reason}");
    }
}

/// RFC 5958, which some tools write.
#[test]
fn a_private_key_may_include_its_public_key() {
    let seed = ::pem::parse(RFC_8037_PRIVATE).unwrap().into_contents();
    let public = ::pem::parse(RFC_8037_PUBLIC).unwrap().into_contents();
    let document = |public: &[u8]| {
        let mut der = seed.clone();
        (der[1], der[4]) = (0x51, 1);
        der.extend_from_slice(&[0x81, 0x21, 0]);
        der.extend_from_slice(public);
        Secret::new(::pem::encode(&::pem::Pem::new("PRIVATE KEY", der)))
    };
    let keys = TokenKeys::eddsa(&[document(&public[12..])]).unwrap();
    assert_eq!(keys.signing_key(), eddsa().signing_key());
    let message = configuration_error(TokenKeys::eddsa(&[document(&[9; 32])]));
    assert!(message.contains("not its own"), "{message}");
    configuration_error(TokenKeys::eddsa(&[document(&public[13..])]));
}

#[test]
fn fresh_keys_differ_and_can_be_stored() {
    let (one, two) = (TokenKeys::generate_pem(), TokenKeys::generate_pem());
    assert_ne!(one.expose(), two.expose());
    assert!(one.expose().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    assert!(one.expose().ends_with("-----END PRIVATE KEY-----\n"));
    let first = TokenKeys::eddsa(std::slice::from_ref(&one)).unwrap();
    let again = TokenKeys::eddsa(&[one]).unwrap();
    assert_eq!(first.signing_key(), again.signing_key());
    assert_ne!(TokenKeys::generate().signing_key(), TokenKeys::generate().signing_key());
}

#[test]
fn the_algorithm_has_a_name() {
    assert_eq!((hs256().algorithm(), eddsa().algorithm()), ("HS256", "EdDSA"));
}

/// J6: only the length is enforced for every start; the check for weak secrets is for production.
#[test]
fn a_weak_secret_of_sufficient_length_is_accepted() {
    let weak = b"secretsecretsecretsecretsecretsecret".to_vec();
    assert!(weak_secret(&weak).is_some());
    assert!(TokenKeys::hs256(vec![Secret::new(weak)]).is_ok());
}
