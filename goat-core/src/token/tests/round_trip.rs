//! Round trips of claims, and mutations of tokens.

use proptest::prelude::*;

use super::*;

/// Characters of tokens, and some others.
const ALPHABET: &[u8] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n\"\0";

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn claims_round_trip(
        millis in 0..4_000_000_000_000_i64,
        lifetime in 1..100_000_000_i64,
        permissions in proptest::option::of(proptest::collection::vec(".{0,20}", 0..8)),
        ed in any::<bool>(),
        issuer in "[^\\p{Cc}]{1,40}",
        client_id in "[^\\p{Cc}]{1,40}",
        authenticated in 0..4_000_000_000_i64,
        attribute in "[^\\x00]{0,20}",
        (user, roles) in any::<(u64, u64)>(),
        amr in proptest::collection::vec("[a-z]{1,8}", 0..4),
        acr in proptest::sample::select(vec![None, Some(Assurance::Single), Some(Assurance::Multi)]),
    ) {
        let issued = Timestamp::from_millis(millis);
        let claims = AccessClaims {
            user: UserId::generate(issued),
            session: SessionId::generate(issued),
            id: TokenId::generate(issued),
            issued_at: issued.floor_to_second(),
            expires_at: Timestamp::from_seconds(issued.as_seconds() + lifetime),
            client_id: client_id.clone(),
            authenticated_at: Timestamp::from_seconds(authenticated),
            amr,
            acr,
            revisions: Revisions { user, roles },
            epoch: millis.unsigned_abs(),
            permissions,
            attributes: Attributes::parse(serde_json::json!({ "a": attribute })).unwrap(),
        };
        let settings = TokenSettings::new(issuer, "goat-api", Duration::ZERO).unwrap();
        let tokens = Tokens::new(if ed { eddsa() } else { hs256() }, settings);
        // Fractions are dropped, so a new token is valid at once.
        let fractions = AccessClaims {
            issued_at: issued,
            expires_at: claims.expires_at + Duration::from_millis(999),
            ..claims.clone()
        };
        let token = tokens.sign_access(&fractions).unwrap();
        prop_assert_eq!(&*tokens.verify_access(&token, issued).unwrap(), &claims);

        let refresh = RefreshClaims {
            user: claims.user,
            session: claims.session,
            id: claims.id,
            epoch: claims.issued_at.as_millis().unsigned_abs(),
            issued_at: claims.issued_at,
            expires_at: claims.expires_at,
        };
        let token = tokens.sign_refresh(&refresh, tokens.signing_key()).unwrap();
        prop_assert_eq!(tokens.verify_refresh(&token, issued).unwrap(), refresh.clone());
        prop_assert_eq!(tokens.sign_refresh(&refresh, tokens.signing_key()).unwrap(), token);
    }

    /// J1, J8.
    #[test]
    fn a_token_with_one_character_changed_is_refused(
        position in any::<prop::sample::Index>(),
        character in prop::sample::select(ALPHABET),
        change in 0..3_u8,
        ed in any::<bool>(),
    ) {
        let forge = if ed { Forge::eddsa() } else { Forge::hs256() };
        let good = forge.with_payload(&Forge::payload());
        prop_assert_eq!(forge.access(&good), Ok(()));
        let mut bytes = good.clone().into_bytes();
        let position = position.index(bytes.len());
        match change {
            0 => bytes[position] = character,
            1 => bytes.insert(position, character),
            _ => drop(bytes.remove(position)),
        }
        let changed = String::from_utf8(bytes).unwrap();
        prop_assume!(changed != good);
        prop_assert_eq!(forge.access(&changed), Err(ErrorKind::InvalidToken));
    }

    #[test]
    fn arbitrary_input_does_not_panic(text in "\\PC{0,200}", header in "\\PC{0,60}", payload in "\\PC{0,60}") {
        let forge = Forge::hs256();
        forge.assert_refused(&text, "any text");
        forge.assert_refused(&forge.sign(&header, &payload), "any header");
        forge.assert_refused(&forge.sign(&forge.header().json(), &payload), "any payload");
    }
}

/// J8: all last characters of the parts, where a lax decoder is tolerant.
#[test]
fn no_other_last_character_of_a_part_is_accepted() {
    for forge in Forge::both() {
        let good = forge.with_payload(&Forge::payload());
        let dots = good.match_indices('.').map(|(index, _)| index);
        for position in dots.chain([good.len()]).map(|end| end - 1) {
            for &character in ALPHABET {
                let mut bytes = good.clone().into_bytes();
                bytes[position] = character;
                let changed = String::from_utf8(bytes).unwrap();
                if changed != good {
                    forge.assert_refused(&changed, "another last character");
                }
            }
        }
    }
}

/// R3: a client that lost the response receives the same token again.
#[test]
fn signing_is_deterministic() {
    let one = tokens(eddsa()).sign_refresh(&refresh_claims(), "gone").unwrap();
    let two = tokens(eddsa()).sign_refresh(&refresh_claims(), "gone").unwrap();
    assert_eq!(one, two);
    let [header, payload] = [0, 1].map(|part| {
        let part = one.split('.').nth(part).unwrap();
        String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    });
    assert_eq!(
        header,
        r#"{"alg":"EdDSA","typ":"rt+jwt","kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"}"#
    );
    assert_eq!(
        payload,
        r#"{"iss":"goat","aud":"goat","sub":"01KDVDNA00A0A0A0A0A0A0A0A1","sid":"01KDVDNA00B0B0B0B0B0B0B0B2","jti":"01KDVDNA00C0C0C0C0C0C0C0C3","iat":1767225600,"nbf":1767225600,"exp":1767225900,"epoch":3}"#
    );
}

#[test]
fn the_permissions_claim_is_optional() {
    let tokens = tokens(hs256());
    let payload = |permissions| {
        let token = tokens.sign_access(&AccessClaims { permissions, ..access_claims() }).unwrap();
        let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        serde_json::from_slice::<serde_json::Value>(&payload).unwrap()
    };
    assert!(payload(None).get("permissions").is_none());
    assert_eq!(payload(Some(Vec::new()))["permissions"], serde_json::json!([]));
    let some = vec!["report:read".to_owned()];
    assert_eq!(payload(Some(some))["permissions"], serde_json::json!(["report:read"]));
}

/// J8: no token is signed that would be refused.
#[test]
fn permissions_that_exceed_the_token_size_are_an_error() {
    let tokens = tokens(hs256());
    let sign = |count: usize| {
        let permissions = Some((0..count).map(|index| format!("report{index:04}:read")).collect());
        tokens.sign_access(&AccessClaims { permissions, ..access_claims() })
    };
    let token = sign(250).unwrap();
    assert_eq!(outcome(tokens.verify_access(&token, now())), Ok(()));
    assert_eq!(outcome(sign(400)), Err(ErrorKind::Configuration));
}
