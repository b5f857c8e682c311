//! Hostile tokens: each has exactly one defect.

use super::*;
use crate::token::{MAX_TOKEN_BYTES, strict};

/// J1.
#[test]
fn the_header_cannot_select_the_algorithm() {
    for forge in Forge::both() {
        let names = [
            "none",
            "None",
            "NONE",
            "nOnE",
            "n\\u006fne",
            "",
            "HS256",
            "HS384",
            "HS512",
            "EdDSA",
            "Ed25519",
            "ES256",
            "RS256",
            "hs256",
            "eddsa",
            "HS256 ",
        ];
        let own = format!("{:?}", forge.algorithm);
        for name in names.into_iter().filter(|name| *name != own) {
            let header = forge.header().with("alg", &format!("\"{name}\""));
            forge.assert_refused(&forge.with_header(&header), name);
        }
        for value in [&format!("[\"{own}\"]"), "null", "0", "true", "{}", "[]"] {
            let header = forge.header().with("alg", value);
            forge.assert_refused(&forge.with_header(&header), value);
        }
        forge.assert_refused(&forge.with_header(&forge.header().without("alg")), "no alg");
    }
}

/// J1.
#[test]
fn an_empty_signature_is_refused() {
    for forge in Forge::both() {
        for name in [format!("{:?}", forge.algorithm), "none".to_owned()] {
            let header = forge.header().with("alg", &format!("\"{name}\""));
            let token = forge.with_header(&header);
            let (message, _) = token.rsplit_once('.').unwrap();
            forge.assert_refused(&format!("{message}."), "empty signature");
            forge.assert_refused(message, "no signature");
            forge.assert_refused(&format!("{message}.AA"), "short signature");
        }
    }
}

/// J1: HS256 with the public key as the secret (algorithm confusion).
#[test]
fn the_public_key_is_not_accepted_as_a_shared_secret() {
    let forge = Forge::eddsa();
    let public = ::pem::parse(RFC_8037_PUBLIC).unwrap().into_contents();
    for secret in [&public[12..], &public[..], RFC_8037_PUBLIC.as_bytes()] {
        let attacker = Forge {
            algorithm: Algorithm::HS256,
            key: EncodingKey::from_secret(secret).unwrap(),
            tokens: forge.tokens.clone(),
            verifier: None,
        };
        for name in ["HS256", "EdDSA"] {
            let header = forge.header().with("alg", &format!("\"{name}\""));
            forge.assert_refused(&attacker.with_header(&header), name);
        }
    }
}

/// J1.
#[test]
fn a_signature_by_another_key_is_refused() {
    let forge = Forge::eddsa();
    let der = ::pem::parse(TokenKeys::generate_pem().expose()).unwrap();
    let other = Forge { key: EncodingKey::from_ed_der(der.contents()), ..Forge::eddsa() };
    forge.assert_refused(&other.with_payload(&Forge::payload()), "another EdDSA key");

    let forge = Forge::hs256();
    let other = Forge { key: EncodingKey::from_secret(&[7; 32]).unwrap(), ..Forge::hs256() };
    forge.assert_refused(&other.with_payload(&Forge::payload()), "another secret");
}

/// J2.
#[test]
fn an_unknown_key_id_is_refused() {
    for forge in Forge::both() {
        forge.assert_refused(&forge.with_header(&forge.header().without("kid")), "no kid");
        let own = format!("\"{}\"", forge.tokens.signing_key());
        let nul = format!("\"{}\\u0000\"", forge.tokens.signing_key());
        let list = format!("[{own}]");
        for kid in ["\"\"", "\"unknown\"", "\"../../dev/null\"", "null", "0", &nul, &list] {
            let header = forge.header().with("kid", kid);
            forge.assert_refused(&forge.with_header(&header), kid);
        }
    }
}

/// J2.
#[test]
fn critical_and_key_parameters_are_refused() {
    for forge in Forge::both() {
        for (name, value) in [
            ("crit", r#"["exp"]"#),
            ("crit", r#"["b64"]"#),
            ("crit", "[]"),
            ("crit", "null"),
            ("cri\\u0074", "null"),
            ("jku", "\"https://evil.example/jwks\""),
            ("jwk", r#"{"kty":"OKP","crv":"Ed25519","x":"AA"}"#),
            ("x5u", "\"https://evil.example/chain\""),
            ("x5c", "[\"AA==\"]"),
        ] {
            let header = forge.header().and(name, value);
            forge.assert_refused(&forge.with_header(&header), name);
        }
    }
}

#[test]
fn unknown_parameters_and_claims_are_ignored() {
    for forge in Forge::both() {
        let header = forge.header().and("cty", "\"json\"");
        assert_eq!(forge.access(&forge.with_header(&header)), Ok(()));
        let payload = Forge::payload().and("new", r#"{"sub":"x","list":[1,2.5,null]}"#);
        assert_eq!(forge.access(&forge.with_payload(&payload)), Ok(()));
    }
}

/// J3.
#[test]
fn access_and_refresh_tokens_are_not_interchangeable() {
    for forge in Forge::both() {
        let tokens = &forge.tokens;
        let access = tokens.sign_access(&access_claims()).unwrap();
        let refresh = tokens.sign_refresh(&refresh_claims(), tokens.signing_key()).unwrap();
        assert_eq!(outcome(tokens.verify_refresh(&access, now())), Err(ErrorKind::InvalidToken));
        forge.assert_refused(&refresh, "a refresh token");

        for typ in [
            "\"JWT\"",
            "\"AT+JWT\"",
            "\"application/at+jwt\"",
            "\"rt+jwt\"",
            "\"at+jwt \"",
            "\"\"",
            "null",
            "[\"at+jwt\"]",
        ] {
            let header = forge.header().with("typ", typ);
            forge.assert_refused(&forge.with_header(&header), typ);
        }
        forge.assert_refused(&forge.with_header(&forge.header().without("typ")), "no typ");
    }
}

/// J3.
#[test]
fn a_refresh_token_carries_no_permissions() {
    let forge = Forge::hs256();
    let header = forge.header().with("typ", "\"rt+jwt\"");
    let verify = |payload: &Members| {
        let token = forge.sign(&header.json(), &payload.json());
        outcome(forge.tokens.verify_refresh(&token, now()))
    };
    assert_eq!(verify(&Forge::refresh_payload()), Ok(()));
    let payload = Forge::refresh_payload().and("permissions", "[]");
    assert_eq!(verify(&payload), Err(ErrorKind::InvalidToken));
    for epoch in ["null", "-1", "\"3\"", "3.0", "18446744073709551616"] {
        let payload = Forge::refresh_payload().with("epoch", epoch);
        assert_eq!(verify(&payload), Err(ErrorKind::InvalidToken), "{epoch}");
        let payload = Forge::payload().with("epoch", epoch);
        forge.assert_refused(&forge.with_payload(&payload), epoch);
    }
    let payload = Forge::refresh_payload().without("epoch");
    assert_eq!(verify(&payload), Err(ErrorKind::InvalidToken));
    // An access token without it is older than any replacement.
    let token = forge.with_payload(&Forge::payload().without("epoch"));
    assert_eq!(forge.tokens.verify_access(&token, now()).map(|claims| claims.epoch).ok(), Some(0));
}

/// J9: a refresh token is for its issuer, so that a service that checks `aud` but not `typ` refuses it.
#[test]
fn a_refresh_token_is_for_the_issuer() {
    for forge in Forge::both() {
        let tokens = &forge.tokens;
        let token = tokens.sign_refresh(&refresh_claims(), tokens.signing_key()).unwrap();
        let header = forge.header().with("typ", "\"rt+jwt\"");
        assert_eq!(token, forge.sign(&header.json(), &Forge::refresh_payload().json()));
        // Every other claim and the type of an access token.
        let payload = Forge::payload().with("aud", "\"goat\"");
        forge.assert_refused(&forge.with_payload(&payload), "the audience of a refresh token");
        let payload = Forge::refresh_payload().with("aud", "\"goat-api\"");
        let token = forge.sign(&header.json(), &payload.json());
        let refused = outcome(tokens.verify_refresh(&token, now()));
        assert_eq!(refused, Err(ErrorKind::InvalidToken));
    }
}

/// J4: `rev` may be absent, as in a token of an earlier version.
#[test]
fn every_claim_is_required() {
    for forge in Forge::both() {
        let optional = ["amr", "acr", "rev", "epoch"];
        for (name, _) in optional.into_iter().fold(Forge::payload(), Members::without).0 {
            let name = name.as_str();
            forge.assert_refused(&forge.with_payload(&Forge::payload().without(name)), name);
            let null = Forge::payload().with(name, "null");
            forge.assert_refused(&forge.with_payload(&null), name);
        }
    }
}

/// J4, G8: a token of an earlier version has neither claim, and an unknown assurance counts as none.
#[test]
fn methods_and_assurance_are_optional_and_typed() {
    let forge = Forge::hs256();
    for (name, value) in [
        ("amr", "null"),
        ("amr", "\"pwd\""),
        ("amr", "[1]"),
        ("acr", "null"),
        ("acr", "1"),
        ("acr", "[\"multi\"]"),
    ] {
        let payload = Forge::payload().with(name, value);
        forge.assert_refused(&forge.with_payload(&payload), &format!("{name}: {value}"));
    }
    let before = Forge::payload().without("amr").without("acr");
    let unknown = Forge::payload().with("amr", "[]").with("acr", "\"gold\"");
    for payload in [before, unknown] {
        let claims = forge.tokens.verify_access(&forge.with_payload(&payload), now()).unwrap();
        assert_eq!((&claims.amr, claims.acr), (&Vec::new(), None));
    }
}

/// J4.
#[test]
fn times_are_whole_seconds() {
    let forge = Forge::hs256();
    for name in ["iat", "nbf", "exp", "auth_time"] {
        let good = if name == "exp" { "1767225900" } else { "1767225600" };
        for value in [
            format!("\"{good}\""),
            format!("{good}.0"),
            format!("{good}.5"),
            format!("{good}e0"),
            format!("[{good}]"),
            format!("-{good}"),
            "-1".to_owned(),
            "-0".to_owned(),
            "true".to_owned(),
            "253402300800".to_owned(),
            "18446744073709551615".to_owned(),
            "18446744073709551616".to_owned(),
            "1e400".to_owned(),
        ] {
            let payload = Forge::payload().with(name, &value);
            forge.assert_refused(&forge.with_payload(&payload), &format!("{name}: {value}"));
        }
    }
}

/// J4.
#[test]
fn ids_are_canonical() {
    let forge = Forge::hs256();
    for name in ["sub", "sid", "jti"] {
        for value in [
            "\"\"",
            "\"01kdvdna00a0a0a0a0a0a0a0a1\"",
            "\"O1KDVDNA00A0A0A0A0A0A0A0A1\"",
            "\"81KDVDNA00A0A0A0A0A0A0A0A1\"",
            "\"01KDVDNA00A0A0A0A0A0A0A0A1 \"",
            "\"01KDVDNA00A0A0A0A0A0A0A0A\"",
            "1",
            "[\"01KDVDNA00A0A0A0A0A0A0A0A1\"]",
        ] {
            let payload = Forge::payload().with(name, value);
            forge.assert_refused(&forge.with_payload(&payload), &format!("{name}: {value}"));
        }
    }
}

/// J4.
#[test]
fn issuer_and_audience_are_exact() {
    let forge = Forge::hs256();
    for (name, value) in [
        ("iss", "\"Goat\""),
        ("iss", "\"goat \""),
        ("iss", "\"\""),
        ("iss", "[\"goat\"]"),
        ("aud", "\"goat\""),
        ("aud", "\"goat-api,other\""),
        ("aud", "[\"goat-api\"]"),
        ("aud", "[]"),
        ("client_id", "\"\""),
        ("client_id", "1"),
        ("client_id", "[\"goat\"]"),
    ] {
        let payload = Forge::payload().with(name, value);
        forge.assert_refused(&forge.with_payload(&payload), &format!("{name}: {value}"));
    }
}

/// J4.
#[test]
fn revisions_are_two_counts_or_absent() {
    let forge = Forge::hs256();
    let counts =
        ["null", "12", "[12]", "[12,7,1]", "[-1,7]", "[12,1.5]", "[\"12\",7]", "{}", "\"12\""];
    for value in counts {
        forge.assert_refused(&forge.with_payload(&Forge::payload().with("rev", value)), value);
    }
    let token = forge.with_payload(&Forge::payload().without("rev"));
    let claims = forge.tokens.verify_access(&token, now()).expect("a token of an earlier version");
    assert_eq!(claims.revisions, Revisions::default());
}

/// J4.
#[test]
fn permissions_are_strings_or_absent() {
    let forge = Forge::hs256();
    for value in ["null", "\"report:read\"", "[1]", "[null]", "{}", "[[\"report:read\"]]"] {
        let payload = Forge::payload().and("permissions", value);
        forge.assert_refused(&forge.with_payload(&payload), value);
    }
}

/// J4.
#[test]
fn no_member_appears_twice() {
    for forge in Forge::both() {
        for (name, value) in forge.header().0 {
            forge.assert_refused(&forge.with_header(&forge.header().and(&name, &value)), &name);
        }
        for (name, value) in Forge::payload().0 {
            forge.assert_refused(&forge.with_payload(&Forge::payload().and(&name, &value)), &name);
        }
        // The same name in another spelling.
        let header = forge.header().and("a\\u006cg", "\"none\"");
        forge.assert_refused(&forge.with_header(&header), "alg, escaped");
        let payload = Forge::payload().and("\\u0073ub", "\"01KDVDNA00A0A0A0A0A0A0A0A1\"");
        forge.assert_refused(&forge.with_payload(&payload), "sub, escaped");
        // Also for names without meaning.
        let header = forge.header().and("new", "1").and("new", "1");
        forge.assert_refused(&forge.with_header(&header), "unknown parameter");
        let payload = Forge::payload().and("new", "1").and("\\u006eew", "2");
        forge.assert_refused(&forge.with_payload(&payload), "unknown claim");
    }
}

#[test]
fn a_header_with_too_many_members_is_refused() {
    let forge = Forge::hs256();
    let crowd = |count: usize| {
        (0..count).fold(forge.header(), |header, index| header.and(&format!("m{index}"), "0"))
    };
    assert_eq!(forge.access(&forge.with_header(&crowd(29))), Ok(()));
    let forge = Forge::hs256();
    forge.assert_refused(&forge.with_header(&crowd(30)), "33 members");
}

/// J4.
#[test]
fn both_parts_are_json_objects() {
    for forge in Forge::both() {
        let (header, payload) = (forge.header().json(), Forge::payload().json());
        let array = |members: Members| {
            let values: Vec<_> = members.0.into_iter().map(|member| member.1).collect();
            format!("[{}]", values.join(","))
        };
        for bad in [
            array(forge.header()),
            format!("{header}{header}"),
            format!("{header},"),
            format!("\u{feff}{header}"),
            header.trim_end_matches('}').to_owned(),
            "null".to_owned(),
            "\"\"".to_owned(),
            "[".repeat(4000),
            "{\"a\":".repeat(1000),
        ] {
            forge.assert_refused(&forge.sign(&bad, &payload), &bad);
        }
        for bad in [
            array(Forge::payload()),
            format!("[{payload}]"),
            format!("{payload}x"),
            "null".to_owned(),
            "1".to_owned(),
        ] {
            forge.assert_refused(&forge.sign(&header, &bad), &bad);
        }
        let mut bytes = payload.clone().into_bytes();
        bytes.splice(1..1, *b"\"\xff\":1,");
        let token = forge.seal(&URL_SAFE_NO_PAD.encode(&header), &URL_SAFE_NO_PAD.encode(bytes));
        forge.assert_refused(&token, "not UTF-8");
    }
}

/// J8.
#[test]
fn a_token_has_three_parts() {
    for forge in Forge::both() {
        let token = forge.with_payload(&Forge::payload());
        let [header, payload, signature] =
            <[&str; 3]>::try_from(token.split('.').collect::<Vec<_>>()).unwrap();
        for bad in [
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            "...".to_owned(),
            header.to_owned(),
            format!("{header}.{payload}"),
            format!("{header}..{signature}"),
            format!(".{payload}.{signature}"),
            format!("{token}."),
            format!(".{token}"),
            format!("{token}.{signature}"),
            format!("{header}.{payload}.{payload}.{signature}"),
            format!("{header}.{payload}.{signature}.AA.AA"),
        ] {
            forge.assert_refused(&bad, &bad);
        }
    }
}

/// J8.
#[test]
fn only_canonical_base64url_is_accepted() {
    for forge in Forge::both() {
        let token = forge.with_payload(&Forge::payload());
        let (header, payload) = token.rsplit_once('.').unwrap().0.split_once('.').unwrap();
        // The signature covers the altered text, so that only the encoding is wrong.
        for extra in ["=", "==", "===", "\n", " ", "\r\n", "\0", "%3D", "é"] {
            forge.assert_refused(&forge.seal(&format!("{header}{extra}"), payload), extra);
            forge.assert_refused(&forge.seal(header, &format!("{payload}{extra}")), extra);
            forge.assert_refused(&format!("{token}{extra}"), extra);
            forge.assert_refused(&format!("{extra}{token}"), extra);
        }
        // The alphabet of RFC 4648 §4 differs.
        let payload = URL_SAFE_NO_PAD.encode(Forge::payload().and("new", "\"~~~???\"").json());
        let standard = payload.replace('-', "+").replace('_', "/");
        assert_ne!(payload, standard);
        assert_eq!(forge.access(&forge.seal(header, &payload)), Ok(()));
        forge.assert_refused(&forge.seal(header, &standard), "another alphabet");
    }
}

/// J8.
#[test]
fn bits_after_the_last_byte_are_refused() {
    for forge in Forge::both() {
        // White space after the JSON moves the end of the base64 text to a length with leftover
        // bits.
        for space in ["", " ", "  "] {
            let header = URL_SAFE_NO_PAD.encode(forge.header().json() + space);
            let payload = URL_SAFE_NO_PAD.encode(Forge::payload().json() + space);
            let token = forge.seal(&header, &payload);
            assert_eq!(forge.access(&token), Ok(()));
            for bad in with_stray_bits(&header) {
                forge.assert_refused(&forge.seal(&bad, &payload), "header");
            }
            for bad in with_stray_bits(&payload) {
                forge.assert_refused(&forge.seal(&header, &bad), "payload");
            }
            let (message, signature) = token.rsplit_once('.').unwrap();
            let bad = with_stray_bits(signature);
            assert!(!bad.is_empty());
            for bad in bad {
                let bad = format!("{message}.{bad}");
                forge.assert_refused(&bad, "signature");
                assert!(strict::split(&bad).is_err(), "before any cryptography");
            }
        }
    }
}

/// All other spellings of the same bytes that a lax decoder accepts.
fn with_stray_bits(part: &str) -> Vec<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = part.as_bytes()[part.len() - 1];
    let index = ALPHABET.iter().position(|&character| character == last).unwrap();
    let spellings = match part.len() % 4 {
        2 => 16,
        3 => 4,
        _ => 1,
    };
    assert_eq!(index % spellings, 0, "a canonical spelling has no extra bits");
    (1..spellings)
        .map(|bits| format!("{}{}", &part[..part.len() - 1], char::from(ALPHABET[index + bits])))
        .collect()
}

/// J8.
#[test]
fn a_token_over_8_kib_is_refused() {
    for forge in Forge::both() {
        let longest = (7000..8000).rev().find_map(|length| {
            let filler = format!("\"{}\"", "x".repeat(length * 3 / 4));
            let token = forge.with_payload(&Forge::payload().and("new", &filler));
            (token.len() <= MAX_TOKEN_BYTES).then_some((token, length))
        });
        let (token, length) = longest.unwrap();
        assert!(token.len() > MAX_TOKEN_BYTES - 4);
        assert_eq!(forge.access(&token), Ok(()));
        let filler = format!("\"{}\"", "x".repeat((length + 4) * 3 / 4));
        let token = forge.with_payload(&Forge::payload().and("new", &filler));
        assert!(token.len() > MAX_TOKEN_BYTES && token.len() < MAX_TOKEN_BYTES + 8);
        forge.assert_refused(&token, "too long");
    }
}

/// L1.
#[test]
fn no_error_quotes_the_token() {
    for forge in Forge::both() {
        let own = forge.with_payload(&Forge::payload());
        for bad in [
            format!("{own}canary"),
            forge.with_payload(&Forge::payload().with("sub", "\"canary\"")),
            forge.with_payload(&Forge::payload().with("iss", "\"canary\"")),
            forge.with_payload(&Forge::payload().with("exp", "\"canary\"")),
            forge.with_header(&forge.header().with("kid", "\"canary\"")),
            forge.with_header(&forge.header().with("alg", "\"canary\"")),
            forge.sign("{\"canary\"", "canary"),
        ] {
            let error = forge.tokens.verify_access(&bad, now()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidToken);
            let shown = format!("{error} {error:?} {error:#?}");
            assert!(!shown.contains("canary"), "{shown}");
            for part in bad.split('.') {
                assert!(!shown.contains(part), "{shown}");
            }
        }
    }
}
