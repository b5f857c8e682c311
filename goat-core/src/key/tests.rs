//! Tests of the format, the scopes and the redaction of keys.

use proptest::prelude::*;

use super::*;
use crate::access::{Permission, Rights};

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_347);
const BASE_32: &str = "0123456789abcdefghjkmnpqrstvwxyz";

fn prefix() -> KeyPrefix {
    KeyPrefix::default()
}

fn text() -> String {
    PresentedKey::generate(NOW).text(&prefix()).expose().clone()
}

#[test]
fn the_text_of_a_key_has_prefix_id_secret_and_checksum() {
    let key = PresentedKey::generate(NOW);
    let text = key.text(&prefix()).expose().clone();
    let rest = text.strip_prefix("goat_").expect("the prefix");
    assert_eq!(rest.len(), 26 + 52 + 6);
    assert!(rest.chars().all(|character| BASE_32.contains(character)), "{rest}");
    assert_eq!(rest[..26].to_uppercase(), key.id().to_string());
}

/// A vector that another implementation made, with Python's `hashlib`.
#[test]
fn the_format_of_keys_is_stable() {
    let text = concat!(
        "goat_",
        "01kdvn9z6v7008000000000000",
        "000g40r40m30e209185gr38e1w8124gk2gahc5rr34d1p70x3rfg",
        "e47vp4",
    );
    let key = PresentedKey::parse(&prefix(), text).expect("a key");
    assert_eq!(key.id().to_string(), "01KDVN9Z6V7008000000000000");
    let secret: Vec<u8> = (0..32).collect();
    let secret: [u8; 32] = secret.try_into().expect("32 bytes");
    assert!(key.hash().is_same_as(&KeyHash::of(&secret)));
}

/// K4: every change of one character, and every other length, is malformed.
#[test]
fn a_mistyped_key_is_malformed() {
    let text = text();
    for place in 0..text.len() {
        for other in BASE_32.chars().chain(['_', 'O', 'l', 'A', '-', ' ']) {
            let mut mistyped = text.clone();
            mistyped.replace_range(place..=place, &other.to_string());
            let parsed = PresentedKey::parse(&prefix(), &mistyped);
            assert_eq!(parsed.is_some(), mistyped == text, "{place} {other}");
        }
        assert!(PresentedKey::parse(&prefix(), &text[..place]).is_none());
    }
    assert!(PresentedKey::parse(&prefix(), &format!("{text}0")).is_none());
    assert!(PresentedKey::parse(&prefix(), &text.to_uppercase()).is_none());
    assert!(PresentedKey::parse(&prefix(), &format!(" {text}")).is_none());
}

#[test]
fn a_key_of_another_prefix_is_malformed() {
    let other = KeyPrefix::parse("acme").expect("a prefix");
    assert!(PresentedKey::parse(&other, &text()).is_none());
    let longer = KeyPrefix::parse("goatgoat").expect("a prefix");
    let text = PresentedKey::generate(NOW).text(&longer);
    assert!(PresentedKey::parse(&longer, text.expose()).is_some());
    assert!(PresentedKey::parse(&prefix(), text.expose()).is_none());
}

#[test]
fn a_prefix_is_2_to_12_lower_case_letters() {
    for text in ["ab", "goat", "abcdefghijkl"] {
        assert!(KeyPrefix::parse(text).is_ok(), "{text}");
    }
    for text in ["", "a", "abcdefghijklm", "Goat", "go_at", "go4t", "g\u{f6}at", "goat "] {
        assert_eq!(KeyPrefix::parse(text), Err(InvalidKeyPrefix), "{text}");
    }
}

/// The last character of the secret has four bits that belong to no byte.
#[test]
fn stray_bits_of_the_secret_are_malformed() {
    let text = text();
    let last = text.len() - 7;
    let body = |character: char| {
        let body = format!("{}{character}", &text[..last]);
        format!("{body}{}", String::from_utf8_lossy(&super::format::checksum(&body)))
    };
    let accepted =
        BASE_32.chars().filter(|one| PresentedKey::parse(&prefix(), &body(*one)).is_some());
    assert_eq!(accepted.collect::<String>(), "0g");
}

/// K3: neither the secret nor its hash is in any `Debug` output.
#[test]
fn debug_output_redacts_keys() {
    let presented = PresentedKey::generate(NOW);
    let secret = presented.text(&prefix());
    let key = Key {
        id: presented.id(),
        owner: UserId::generate(NOW),
        made_by: None,
        name: "backup".to_owned(),
        scopes: Scopes::Role,
        created_at: NOW,
        expires_at: None,
        last_used_at: None,
    };
    let stored = StoredKey { key: key.clone(), hash: presented.hash() };
    let created = CreatedKey { key, secret: secret.clone() };
    let shown = format!("{presented:?} {stored:?} {created:#?} {secret:?}");
    assert!(!shown.contains("goat_"), "{shown}");
    assert!(!shown.contains(&secret.expose()[31..41]), "{shown}");
    let hash = format!("{:?}", presented.hash().as_bytes());
    assert!(!shown.contains(hash.trim_matches(['[', ']'])), "{shown}");
}

#[test]
fn scopes_are_sorted_and_bounded() {
    let one = |number: usize| Permission::parse(&format!("a:b{number:03}")).expect("a permission");
    let scopes = Scopes::only([one(2), one(1), one(2)]).expect("scopes");
    assert_eq!(scopes, Scopes::Only(vec![one(1), one(2)]));
    assert_eq!(scopes.stored(), "a:b001 a:b002");
    assert!(Scopes::only((0..MAX_SCOPES).map(one)).is_ok());
    assert_eq!(Scopes::only((0..=MAX_SCOPES).map(one)), Err(InvalidScopes));
    for text in ["Report:read", "a:b  *", "* a:b", "a"] {
        assert!(Scopes::from_stored(text).is_none(), "{text}");
    }
}

#[test]
fn scopes_that_the_role_lacks_are_named() {
    let held = [Permission::new("user:read"), Permission::new("report:*")];
    let rights: Rights = held.iter().collect();
    let scopes = Scopes::only(
        ["user:read", "user:*", "report:read", "report:*", "full_access"].map(Permission::new),
    );
    let scopes = scopes.expect("scopes");
    let lacking: Vec<_> = scopes.lacking(&rights).map(Permission::as_str).collect();
    assert_eq!(lacking, ["full_access", "user:*"]);
    assert_eq!(Scopes::Role.lacking(&rights).count(), 0);
}

proptest! {
    /// Every key is read back, and no other text with its checksum is.
    #[test]
    fn keys_are_read_back(millis in 0..1_i64 << 47, prefix in "[a-z]{2,12}") {
        let prefix = KeyPrefix::parse(&prefix).expect("a prefix");
        let key = PresentedKey::generate(Timestamp::from_millis(millis));
        let text = key.text(&prefix);
        let parsed = PresentedKey::parse(&prefix, text.expose()).expect("a key");
        prop_assert_eq!(parsed.id(), key.id());
        prop_assert!(parsed.hash().is_same_as(&key.hash()));
        let again = parsed.text(&prefix);
        prop_assert_eq!(again.expose(), text.expose());
    }

    /// K4: arbitrary text is malformed, and never a panic.
    #[test]
    fn arbitrary_text_is_malformed(text in "\\PC*", tail in "[0-9a-z\u{e9}_]{80,90}") {
        prop_assert!(PresentedKey::parse(&KeyPrefix::default(), &text).is_none());
        let text = format!("goat_{tail}");
        prop_assert!(PresentedKey::parse(&KeyPrefix::default(), &text).is_none());
    }

    #[test]
    fn stored_scopes_are_read_back(words in prop::collection::vec("[a-z]{1,4}:[a-z]{1,4}", 0..20)) {
        let permissions = words.iter().map(|word| Permission::parse(word).expect("a permission"));
        let scopes = Scopes::only(permissions).expect("a few");
        prop_assert_eq!(Scopes::from_stored(&scopes.stored()), Some(scopes));
    }
}
