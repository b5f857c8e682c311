//! Hashes made by Django, passlib, argon2-cffi and Python's bcrypt, at low costs.

use std::collections::BTreeMap;

use super::*;
use crate::testing::{HasherCall, PlainHasher};

const PASSWORD: &[u8] = b"a long walk on a short pier";

/// One hash of the password for each form.
const KNOWN: [&str; 22] = [
    "$2b$04$UVyD6z76wc/qhZdc7PnMh.eYpVPbHUfBPZIiNostKZcSs2X6tasr6",
    "$2a$04$UVyD6z76wc/qhZdc7PnMh.eYpVPbHUfBPZIiNostKZcSs2X6tasr6",
    "$2y$04$UVyD6z76wc/qhZdc7PnMh.eYpVPbHUfBPZIiNostKZcSs2X6tasr6",
    BCRYPT_6,
    "bcrypt$$2b$04$0lo3lbOUSRJ/D1cvFXB06O79VETfXj8RkK7Y3syRmBzePSfGmUATK",
    "bcrypt_sha256$$2b$04$j85Jy/VzB1jko11ChxnTceOWFAuxjEp6Gpia0ayQK9dn5H.WwCKri",
    PBKDF2,
    "pbkdf2_sha1$1000$emi49Y1DBYdQxF8E8UiBmF$XOw3CPMtx03NhSHoQfGZkq7eYf0=",
    "$pbkdf2$1000$0xqjVColRChFSOm9d.7d.w$PgpiR.GSAGN7UeEmJ9WtiDUi4yg",
    "$pbkdf2-sha256$1000$AsBYy/k/xxgjhJBSSglBaA$H/HdVdUwq8hcNVPSC/qUNKocovJun5F4X2c8H7DNgs0",
    "$pbkdf2-sha512$1000$JwSgFIKQMqb0PofQurdWig\
     $L03e1aAHpIgRcVJl6nlw4WwuHcOvVv9a.PrV5jeGfpSLc1gw.1wqALBJWgU4nrYR79ikMfJsznc6yZNWGzKsHw",
    "$pbkdf2-sha1$i=1000,l=20$c29tZXNhbHRzb21lc2FsdA$CGpaGtNAzAbfZcJIQs5/F3OrFj8",
    "$pbkdf2-sha256$i=1000,l=32$c29tZXNhbHRzb21lc2FsdA$RnbboVGtm32YiMkkIwLRQTzTVv2p/ZrFkiZNFxk7FGQ",
    "$pbkdf2-sha512$i=1000,l=64$c29tZXNhbHRzb21lc2FsdA\
     $+V3Q6n3Nbq5mOvN2iJOWuwIY3MSPR+OAMJ6KiCyj2Xtc/Mlpp6g6dVyUzPl1DDacRl5USuJwPfm8BGS6cUU2iQ",
    "$scrypt$ln=4,r=8,p=1$ag0hhNCaU4rROudcSynlfA$leDelLoNNjMxEM10nviWgwjTypHq8O1u+JmCF779ps8",
    SCRYPT,
    ARGON2I,
    "$argon2i$v=16$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$oXU8G3TFpKJiL+frkhlDG77Riy+h8Fo9G6WRsrOlAsM",
    "$argon2d$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$X+CXkp/l8i7SuUaLPnbfyXGhb8oTtoQ3lCd5WDj8gTY",
    "$argon2d$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$DuKLkIYbNz9Jqw7VzgvyCNmqqLqdfo49WP0R6FES3B4",
    "$argon2id$v=16$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$+C0hkoiiGJcoMiLO/5DV9dvbBxcM7KWYWkgZ+eFuzxM",
    "argon2$argon2id$v=19$m=64,t=1,p=1$WmJRMWdJd0R4YWV0MmpaUlJ3cUJubw\
     $tTBRxFvsZ6tVJKaJINK+uXxf2gz0y9NGweRApt2QRAM",
];
const BCRYPT_6: &str = "$2b$06$tYlpReq984Bz/zqhxFes5uFJav8/U53PQPaILq11vAh3k.kItdwi6";
const PBKDF2: &str =
    "pbkdf2_sha256$1000$yzbxDADM5AM1FpdmtbzJUU$zbuVD48d5bQOY3PcbGE1x1/R4M9/t73UXGRmTrALE64=";
const SCRYPT: &str = "scrypt$16$oD34hJpjtP3MHLlT0yHZSm$8$5$Q2szb7acLeuRHgm8cNAULkEGLyCn6W9CW/u0swwb9l2\
                      hxERA6DNTXh+VBP9WzdaibfIqDkkHfYaFByZlMOubgw==";
const ARGON2I: &str = "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA\
                       $+QPKqIg5/tgEfDYK4DV2nhb4onHtLJX7TkbxLwJb63Q";

fn over_plain() -> (ForeignHashes, PlainHasher) {
    let own = PlainHasher::default();
    (ForeignHashes::new(Arc::new(own.clone())), own)
}

fn verify(hasher: &ForeignHashes, password: &[u8], stored: &str) -> Verification {
    hasher.verify(password, stored).expect(stored)
}

/// P6
#[test]
fn hashes_of_other_systems_match_only_their_password_and_are_outdated() {
    let (hasher, _) = over_plain();
    for stored in KNOWN {
        hasher.check(stored).expect(stored);
        assert_eq!(verify(&hasher, PASSWORD, stored), Verification::MatchesOutdated, "{stored}");
        for wrong in [&b"another"[..], b"", &PASSWORD[..26]] {
            assert_eq!(verify(&hasher, wrong, stored), Verification::Differs, "{stored}");
        }
    }
    let own = hasher.hash(PASSWORD).expect("hashed");
    assert_eq!(verify(&hasher, PASSWORD, &own), Verification::Matches, "new hashes are goat's own");
}

/// The system that made the hash ignored the rest too.
#[test]
fn bcrypt_takes_72_bytes_of_a_password() {
    let (hasher, _) = over_plain();
    let stored = "$2b$04$oQvSGSKSHtbRs8DHJ/y.WOrW1jibH3gqPx.lA1355NzjeXJyBKt/m";
    for (length, expected) in [
        (71, Verification::Differs),
        (72, Verification::MatchesOutdated),
        (200, Verification::MatchesOutdated),
    ] {
        assert_eq!(verify(&hasher, "x".repeat(length).as_bytes(), stored), expected, "{length}");
    }
    let stored = "$2b$04$ugFK9RR89r/oHEMbqQIGquVlKqIN7lyQYZnDwskSKWG.Kdx/HYgDS";
    let umlauts = verify(&hasher, "Füße und Wörter".as_bytes(), stored);
    assert_eq!(umlauts, Verification::MatchesOutdated);
}

/// P1
#[test]
fn parameters_above_the_accepted_cost_are_refused_before_any_work() {
    let (hasher, _) = over_plain();
    let pbkdf2 = |rounds: &str| PBKDF2.replace("$1000$", &format!("${rounds}$"));
    let scrypt = |parameters: &str| {
        format!("$scrypt${parameters}$c29tZXNhbHRzb21lc2FsdA${}", "A".repeat(43))
    };
    let argon2 = |parameters: &str| ARGON2I.replace("m=64,t=1,p=1", parameters);
    for stored in [
        BCRYPT_6.replace("$06$", "$16$"),
        BCRYPT_6.replace("$06$", "$31$"),
        pbkdf2("2097153"),
        pbkdf2("4294967295"),
        // Two blocks of output cost the rounds twice.
        format!("$pbkdf2-sha256$i=1048577,l=64$c29tZXNhbHRzb21lc2FsdA${}", "A".repeat(86)),
        scrypt("ln=18,r=8,p=1"),
        scrypt("ln=17,r=8,p=3"),
        scrypt("ln=17,r=9,p=1"),
        scrypt("ln=1,r=33,p=1"),
        scrypt("ln=1,r=1,p=17"),
        scrypt("ln=63,r=4294967295,p=4294967295"),
        argon2("m=131073,t=1,p=1"),
        argon2("m=64,t=11,p=1"),
        argon2("m=128,t=1,p=9"),
    ] {
        // If it were computed, this would exhaust memory or not return.
        for refused in [hasher.check(&stored), hasher.verify(PASSWORD, &stored).map(drop)] {
            let refused = refused.expect_err(&stored);
            assert!(
                !refused.is_unreadable() && !refused.is_missing_pepper(),
                "{stored}: {refused}"
            );
        }
    }
    assert_eq!(hasher.take_work(), BTreeMap::new());
    for stored in [
        BCRYPT_6.replace("$06$", "$15$"),
        pbkdf2("2097152"),
        scrypt("ln=17,r=8,p=2"),
        scrypt("ln=14,r=8,p=5"),
        argon2("m=131072,t=10,p=8"),
    ] {
        hasher.check(&stored).expect(&stored);
    }
}

#[test]
fn texts_that_are_no_such_hash_are_unreadable() {
    let (hasher, own) = over_plain();
    let bcrypt = BCRYPT_6;
    let spoilt = [
        bcrypt.replace("$2b$", "$2x$"),
        bcrypt.replace("$06$", "$6$"),
        bcrypt.replace("$06$", "$03$"),
        bcrypt.replace("$06$", "$32$"),
        bcrypt.replace("$06$", "$+6$"),
        bcrypt[..59].to_owned(),
        format!("{bcrypt}a"),
        format!("{}é", &bcrypt[..58]),
        format!("bcrypt{bcrypt}"),
        PBKDF2.replace("$1000$", "$0$"),
        PBKDF2.replace("$1000$", "$1e3$"),
        PBKDF2.replace("$1000$", "$99999999999$"),
        PBKDF2.replace("pbkdf2_sha256", "pbkdf2_md5"),
        // A tag that chance could match.
        "pbkdf2_sha256$1000$salt$AAAA".to_owned(),
        SCRYPT.replace("$16$", "$15$"),
        SCRYPT.replace("$16$", "$1$"),
        SCRYPT.replace("$8$5$", "$0$5$"),
        SCRYPT.replace("$16$", "$65536$").replace("$8$5$", "$1$5$"),
        ARGON2I.replace("m=64,", "m=7,"),
        ARGON2I.replace("p=1$", "p=1,keyid=kWisZHOLR34$"),
        ARGON2I.replace("p=1$", "p=1,data=AAAA$"),
        ARGON2I.replace("v=19", "v=18"),
        "$scrypt$ln=4,r=8$c29tZXNhbHRzb21lc2FsdA$leDelLoNNjMxEM10nviWgwjTypHq8O1u+JmCF779ps8".into(),
        "$pbkdf2-sha256$i=1000,l=31$c29tZXNhbHRzb21lc2FsdA$RnbboVGtm32YiMkkIwLRQTzTVv2p/ZrFkiZNFxk7FGQ".into(),
        "$6$saltsalt$abcdefghijklmnopqrstuvwxyz".into(),
        "{SSHA}AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==".into(),
        "5f4dcc3b5aa765d61d8327deb882cf99".into(),
        "$".repeat(400),
        format!("pbkdf2_sha256$1000${}$zbuVD48d5bQOY3PcbGE1x1/R4M9/t73UXGRmTrALE64=", "s".repeat(500)),
        "!".into(),
        String::new(),
    ];
    for stored in spoilt {
        assert!(hasher.check(&stored).expect_err(&stored).is_unreadable(), "{stored}");
        assert!(hasher.verify(PASSWORD, &stored).is_err(), "{stored}");
    }
    assert_eq!((own.verifications(), hasher.take_work()), (0, BTreeMap::new()));
}

/// The work of one attempt: the calls of the own hasher, and the units of each foreign scheme.
fn work_of(
    (hasher, own): &(ForeignHashes, PlainHasher),
    stored: &str,
) -> (Vec<HasherCall>, BTreeMap<&'static str, u64>) {
    drop((own.take_calls(), hasher.take_work()));
    assert_eq!(verify(hasher, b"another", stored), Verification::Differs, "{stored}");
    (own.take_calls(), hasher.take_work())
}

/// E4: by count of work, a failed attempt costs the same for every account and for an unknown address.
#[test]
fn a_failed_attempt_costs_the_dearest_hash_of_each_scheme_in_use() {
    let hashers = over_plain();
    let (hasher, own) = &hashers;
    let dummy = own.dummy_hash();
    let one = vec![HasherCall::Verify { generation: None }];
    assert_eq!(work_of(&hashers, dummy), (one.clone(), BTreeMap::new()), "E1: none is in use");

    let stored = own.hash(PASSWORD).expect("hashed");
    let bcrypt_4 = KNOWN[0];
    hasher.check(bcrypt_4).expect("in use from now on");
    let bcrypt = |cost: u32| BTreeMap::from([("bcrypt", 1 << cost)]);
    assert_eq!(work_of(&hashers, dummy), (one.clone(), bcrypt(4)));
    // An attempt at a dearer hash brings it into use.
    assert_eq!(work_of(&hashers, BCRYPT_6), (one.clone(), bcrypt(6)));
    for stored in [dummy, bcrypt_4, BCRYPT_6, dummy] {
        assert_eq!(work_of(&hashers, stored), (one.clone(), bcrypt(6)), "{stored}");
    }

    // Rounds rise with every release of Django, so that one table has many.
    let dearer = PBKDF2.replace("$1000$", "$2600$");
    hasher.check(&dearer).expect("in use from now on");
    let scheme_work = BTreeMap::from([("bcrypt", 64), ("pbkdf2-sha256", 2600)]);
    for stored in [dummy, bcrypt_4, BCRYPT_6, PBKDF2, dearer.as_str()] {
        assert_eq!(work_of(&hashers, stored), (one.clone(), scheme_work.clone()), "{stored}");
    }
    let own_work = work_of(&hashers, &stored);
    assert_eq!(own_work, (vec![HasherCall::Verify { generation: Some(0) }], scheme_work));
}

/// E4: for parameters of scrypt and Argon2 with a rest that is no power of two.
#[test]
fn padding_of_other_schemes_is_exact_to_the_smallest_piece() {
    let hashers = over_plain();
    let dearer =
        "$scrypt$ln=6,r=8,p=1$ag0hhNCaU4rROudcSynlfA$leDelLoNNjMxEM10nviWgwjTypHq8O1u+JmCF779ps8";
    let dearest = ARGON2I.replace("m=64,t=1", "m=100,t=3");
    for stored in [dearer, &dearest, SCRYPT, KNOWN[14], ARGON2I, KNOWN[21], hashers.1.dummy_hash()]
    {
        hashers.0.check(stored).ok();
    }
    let work = BTreeMap::from([("argon2", 300), ("scrypt", 5 * 16 * 8)]);
    for stored in [dearer, &dearest, SCRYPT, KNOWN[14], ARGON2I, KNOWN[21], hashers.1.dummy_hash()]
    {
        assert_eq!(work_of(&hashers, stored).1, work, "{stored}");
    }
}

#[test]
fn filler_costs_no_more_than_the_rest() {
    let argon2 = |memory, passes, lanes| Kdf::Argon2 {
        algorithm: argon2::Algorithm::Argon2i,
        version: argon2::Version::V0x13,
        memory,
        passes,
        lanes,
    };
    for (dearest, smallest) in [
        (Kdf::Bcrypt { cost: 10 }, 16),
        (Kdf::Pbkdf2 { digest: kdf::Digest::Sha512, rounds: 700, blocks: 2 }, 1),
        (Kdf::Scrypt { log_n: 5, r: 8, p: 3 }, 16),
        (argon2(100, 4, 2), 16),
    ] {
        for units in 0..=dearest.units() {
            let filler = dearest.filler(units);
            let spent: u64 = filler.iter().map(|kdf| kdf.units()).sum();
            assert!(spent <= units && units - spent < smallest, "{dearest:?} {units} {filler:?}");
            assert!(
                filler.iter().all(|kdf| kdf.checked().is_ok()),
                "{dearest:?} {units} {filler:?}"
            );
        }
    }
}

/// E4: a login that succeeds is not padded; the rehash follows.
#[test]
fn a_match_costs_the_stored_hash_alone() {
    let (hasher, own) = over_plain();
    hasher.check(PBKDF2).expect("in use");
    assert_eq!(verify(&hasher, PASSWORD, BCRYPT_6), Verification::MatchesOutdated);
    assert_eq!((own.verifications(), hasher.take_work()), (0, BTreeMap::from([("bcrypt", 64)])));
}

/// P5: the own hasher's errors about its own hashes are not hidden.
#[test]
fn a_missing_pepper_is_reported_and_not_taken_for_a_foreign_hash() {
    let hasher = ForeignHashes::default();
    let peppered = "$argon2id$v=19$m=19456,t=2,p=1,keyid=kWisZHOLR34$wUlwN6PwUHSJSVzI3QZ6Bg\
                    $Pz78pFwRUHBGzHJ0MW6kskje2yjiTTWc+ho/uU6kmCg";
    assert!(hasher.check(peppered).expect_err("no pepper").is_missing_pepper());
    assert!(hasher.verify(PASSWORD, peppered).expect_err("no pepper").is_missing_pepper());
    let costly = peppered.replace(",keyid=kWisZHOLR34", "").replace("t=2", "t=11");
    assert!(!hasher.check(&costly).expect_err("too costly").is_unreadable());
}
