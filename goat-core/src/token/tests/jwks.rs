//! Parsing of JWK sets, and the reasons for a refusal.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::*;
use crate::Error;

fn new(document: impl AsRef<[u8]>) -> Result<Verifier, Error> {
    Verifier::new(document, TokenSettings::default())
}

/// The reason for refusing a document, which must not quote it.
fn refusal(document: impl AsRef<[u8]>) -> String {
    let error = new(document).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let shown = format!("{error:?}");
    assert!(!shown.contains("canary"), "L1: {shown}");
    error.to_string()
}

/// The public key of RFC 8037, appendix A.2, as goat publishes it.
fn good() -> Value {
    eddsa().jwks()["keys"][0].clone()
}

fn with(mut key: Value, member: &str, value: Value) -> Value {
    key[member] = value;
    key
}

fn without(mut key: Value, member: &str) -> Value {
    assert!(key.as_object_mut().unwrap().remove(member).is_some());
    key
}

fn set(keys: impl Into<Value>) -> String {
    json!({ "keys": keys.into() }).to_string()
}

#[test]
fn a_set_published_by_goat_is_accepted() {
    let other = TokenKeys::generate_pem();
    let keys = TokenKeys::eddsa(&[other, pem(RFC_8037_PUBLIC)]).unwrap();
    let verifier = new(keys.jwks().to_string()).unwrap();
    assert_eq!(verifier.key_ids(), keys.ids().collect::<Vec<_>>());
    // As an edited file, and as bytes.
    let pretty = serde_json::to_vec_pretty(&keys.jwks()).unwrap();
    assert_eq!(new(pretty).unwrap().key_ids(), verifier.key_ids());
}

/// RFC 7517 §4.2 to §4.4: use, operations and algorithm are optional, and unknown members are
/// ignored.
#[test]
fn optional_and_unknown_members_are_accepted() {
    for key in [
        without(good(), "use"),
        without(good(), "alg"),
        with(good(), "key_ops", json!(["verify"])),
        with(good(), "key_ops", json!(["sign", "verify"])),
        with(good(), "x5t", json!("abc")),
        with(good(), "new", json!({ "list": [1, -2, 2.5, null, true, {}] })),
    ] {
        let verifier = new(set(vec![key])).unwrap();
        assert_eq!(verifier.key_ids(), [eddsa().signing_key()]);
    }
    let more = json!({ "keys": [good()], "new": { "a": [null] } });
    assert!(new(more.to_string()).is_ok());
}

/// RFC 7517 §5.
#[test]
fn keys_of_other_types_and_uses_are_skipped() {
    for (key, reason) in [
        (with(good(), "kty", json!("EC")), "`kty`"),
        (with(good(), "kty", json!("okp")), "`kty`"),
        (with(good(), "kty", json!(1)), "`kty`"),
        (without(good(), "kty"), "`kty`"),
        (json!("canary"), "`kty`"),
        (json!(null), "`kty`"),
        (
            json!({ "kty": "RSA", "n": "canary", "e": "AQAB", "use": "sig", "alg": "RS256" }),
            "`kty`",
        ),
        (with(good(), "crv", json!("X25519")), "`crv`"),
        (with(good(), "crv", json!("Ed448")), "`crv`"),
        (without(good(), "crv"), "`crv`"),
        (with(good(), "use", json!("enc")), "`use`"),
        (with(good(), "use", json!(null)), "`use`"),
        (with(good(), "key_ops", json!(["sign"])), "`key_ops`"),
        (with(good(), "key_ops", json!([])), "`key_ops`"),
        (with(good(), "key_ops", json!("verify")), "`key_ops`"),
        (with(good(), "alg", json!("HS256")), "`alg`"),
        (with(good(), "alg", json!("Ed25519")), "`alg`"),
        (with(good(), "alg", json!(["EdDSA"])), "`alg`"),
    ] {
        let message = refusal(set(vec![key.clone()]));
        assert!(message.contains("no Ed25519 key"), "{message}");
        assert!(message.contains("key 1 ") && message.contains(reason), "{message} for {key}");
        let verifier = new(set(vec![key, good()])).unwrap();
        assert_eq!(verifier.key_ids(), [eddsa().signing_key()]);
    }
}

/// An invalid signing key is not skipped: its tokens would become invalid without an error.
#[test]
fn an_invalid_ed25519_key_is_refused() {
    let x = good()["x"].as_str().unwrap().to_owned();
    for (key, reason) in [
        (without(good(), "x"), "`x`"),
        (with(good(), "x", json!(1)), "`x`"),
        (with(good(), "x", json!("")), "`x`"),
        (with(good(), "x", json!(x[1..])), "`x`"),
        (with(good(), "x", json!(format!("{x}="))), "`x`"),
        (with(good(), "x", json!(format!("{x}AA"))), "`x`"),
        // The same bytes with an extra bit.
        (with(good(), "x", json!(format!("{}p", &x[..42]))), "`x`"),
        (with(good(), "x", json!(x.replace('-', "+").replace('_', "/"))), "`x`"),
        (without(good(), "kid"), "thumbprint"),
        (with(good(), "kid", json!("canary")), "thumbprint"),
        (with(good(), "kid", json!("")), "thumbprint"),
        (with(good(), "kid", json!(1)), "thumbprint"),
        // Another key under a known id.
        (with(good(), "x", json!(URL_SAFE_NO_PAD.encode([9; 32]))), "thumbprint"),
    ] {
        let own = TokenKeys::generate().jwks()["keys"][0].clone();
        let message = refusal(set(vec![own, key.clone()]));
        assert!(message.contains("key 2") && message.contains(reason), "{message} for {key}");
    }
}

#[test]
fn a_duplicate_key_is_refused() {
    let own = TokenKeys::generate().jwks()["keys"][0].clone();
    let message = refusal(set(vec![json!({ "kty": "RSA" }), good(), own, good()]));
    assert!(message.contains("2 and 4"), "{message}");
}

/// L1: for any key type, and before any other error.
#[test]
fn a_set_with_a_secret_is_refused_as_a_whole() {
    for (key, member) in [
        (with(good(), "d", json!("canary")), "`d`"),
        (json!({ "kty": "oct", "k": "canary", "kid": "1" }), "`k`"),
        (json!({ "kty": "RSA", "n": "x", "e": "AQAB", "d": "canary" }), "`d`"),
        (json!({ "kty": "EC", "crv": "P-256", "d": null }), "`d`"),
        (json!({ "d": "canary" }), "`d`"),
    ] {
        for keys in [vec![key.clone()], vec![json!({ "kty": "OKP", "crv": "Ed25519" }), key]] {
            let message = refusal(set(keys.clone()));
            assert!(message.contains("secret") && message.contains(member), "{message}");
            assert!(message.contains(&format!("key {}", keys.len())), "{message}");
        }
    }
}

/// J1: an issuer with shared secrets publishes no keys; the error says so.
#[test]
fn the_error_for_an_empty_set_names_the_remedy() {
    let message = refusal(hs256().jwks().to_string());
    assert!(message.contains("HS256") && message.contains("sign with EdDSA"), "{message}");
}

#[test]
fn malformed_documents_are_refused_with_a_reason() {
    let set = set(vec![good()]);
    for (document, reason) in [
        (String::new(), "not JSON: line 1, column 0"),
        ("canary".to_owned(), "not JSON"),
        ("<html>canary</html>".to_owned(), "not JSON"),
        (format!("{set}{set}"), "not JSON"),
        (format!("\u{feff}{set}"), "not JSON"),
        (set[..set.len() - 1].to_owned(), "not JSON"),
        ("[".repeat(10_000), "not JSON"),
        (format!("[{set}]"), "`keys`"),
        ("{}".to_owned(), "`keys`"),
        ("null".to_owned(), "`keys`"),
        (good().to_string(), "`keys`"),
        (json!({ "keys": good() }).to_string(), "`keys`"),
        (json!({ "KEYS": [good()] }).to_string(), "`keys`"),
        (json!({ "keys": "canary" }).to_string(), "`keys`"),
    ] {
        let message = refusal(&document);
        assert!(message.contains(reason), "{message} for {reason}");
    }
    let message = refusal([b"{\"keys\":[\"".as_slice(), &[0xff], b"\"]}"].concat());
    assert!(message.contains("not JSON"), "{message}");
}

/// J4: some parsers use the first of two members, others the last.
#[test]
fn no_member_appears_twice() {
    let (key, x) = (good().to_string(), good()["x"].to_string());
    let doubled = |member: &str| key.replacen('{', &format!("{{{member},"), 1);
    for document in [
        format!(r#"{{"keys":[{key}],"keys":[]}}"#),
        format!(r#"{{"keys":[],"\u006beys":[{key}]}}"#),
        format!(r#"{{"keys":[{}]}}"#, doubled(&format!("\"x\":{x}"))),
        format!(r#"{{"keys":[{}]}}"#, doubled(&format!("\"\\u0078\":{x}"))),
        format!(r#"{{"keys":[{}]}}"#, doubled(r#""new":{"a":1,"a":1}"#)),
        format!(r#"{{"keys":[{key}, {{"kty":"RSA","kty":"EC"}}]}}"#),
    ] {
        let message = refusal(&document);
        assert!(message.contains("twice"), "{message} for {document}");
    }
}

#[test]
fn a_document_over_64_kib_is_refused() {
    let set = set(vec![good()]);
    let padded = |length: usize| " ".repeat(length - set.len()) + &set;
    assert!(new(padded(64 * 1024)).is_ok());
    assert!(refusal(padded(64 * 1024 + 1)).contains("64 KiB"));
    // A document within the limit is also parsed in bounded time.
    let many =
        format!("{{{}}}", (0..6000).map(|i| format!("\"m{i}\":0")).collect::<Vec<_>>().join(","));
    assert!(refusal(many).contains("too many"));
}

/// For a point of small order, one signature verifies at least one message in eight.
#[test]
fn a_key_of_small_order_is_refused() {
    let last = |bytes: [u8; 32], byte| {
        let mut bytes = bytes;
        bytes[31] = byte;
        bytes
    };
    let of = |first, rest, end| {
        let mut bytes = [rest; 32];
        bytes[0] = first;
        last(bytes, end)
    };
    let eighth = |hex: &str| {
        let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
        std::array::from_fn(byte)
    };
    let points = [
        of(0, 0, 0),
        of(1, 0, 0),
        eighth("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        eighth("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
        // -1, and the other encodings of 0 and 1.
        of(0xec, 0xff, 0x7f),
        of(0xed, 0xff, 0x7f),
        of(0xee, 0xff, 0x7f),
    ];
    for point in points {
        for sign in [0, 0x80] {
            let x = URL_SAFE_NO_PAD.encode(last(point, point[31] | sign));
            let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
            let kid = URL_SAFE_NO_PAD.encode(Sha256::digest(members));
            let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid });
            let said = refusal(set(vec![good(), key]));
            assert!(said.contains("small order"), "{x}: {said}");
        }
    }
}
