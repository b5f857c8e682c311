//! Real hashes are slow, so these tests are few, and most of them only parse.

use super::*;
use crate::ErrorKind;
use crate::error::Error;
use crate::password::PepperId;
use crate::secret::Secret;

const PASSWORD: &[u8] = b"seven lamps over the quay";

/// Made once with a pepper of 32 bytes `1`; stored hashes must stay verifiable.
const KEPT: &str = "$argon2id$v=19$m=19456,t=2,p=1,keyid=kWisZHOLR34$wUlwN6PwUHSJSVzI3QZ6Bg\
                    $Pz78pFwRUHBGzHJ0MW6kskje2yjiTTWc+ho/uU6kmCg";

fn pepper(byte: u8) -> Secret<Vec<u8>> {
    Secret::new(vec![byte; 32])
}

fn peppered(bytes: impl IntoIterator<Item = u8>) -> Argon2id {
    let peppers = Peppers::new(bytes.into_iter().map(pepper)).expect("good peppers");
    Argon2id::new(Argon2Settings::default(), peppers)
}

fn plain() -> Argon2id {
    Argon2id::new(Argon2Settings::default(), Peppers::none())
}

/// A well-formed hash with these parameters.
fn with_parameters(parameters: &str) -> String {
    format!("$argon2id$v=19${parameters}$c29tZXNhbHRzb21lc2FsdA${}", "A".repeat(43))
}

/// P1
#[test]
fn a_hash_states_its_cost_and_matches_only_its_password() {
    let hasher = plain();
    let stored = hasher.hash(PASSWORD).expect("hashed");
    assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
    assert_eq!(hasher.verify(PASSWORD, &stored).expect("verified"), Verification::Matches);
    assert_eq!(hasher.verify(b"", &stored).expect("verified"), Verification::Differs);
}

/// P2
#[test]
fn passwords_that_differ_only_at_the_end_are_different() {
    let hasher = plain();
    let (first, second) = (format!("{}a", "x".repeat(199)), format!("{}b", "x".repeat(199)));
    let stored = hasher.hash(first.as_bytes()).expect("hashed");
    assert_eq!(hasher.verify(second.as_bytes(), &stored).expect("verified"), Verification::Differs);
}

#[test]
fn the_same_password_hashes_differently_each_time() {
    let hasher = plain();
    assert_ne!(hasher.hash(PASSWORD).expect("hashed"), hasher.hash(PASSWORD).expect("hashed"));
}

/// P5
#[test]
fn a_hash_of_an_earlier_release_still_verifies() {
    let hasher = peppered([1]);
    assert_eq!(hasher.verify(PASSWORD, KEPT).expect("verified"), Verification::Matches);
    // The id of a pepper is part of the stored format.
    assert_eq!(PepperId::of(KEPT), hasher.peppers.newest());
}

/// P5, P6
#[test]
fn an_older_pepper_verifies_and_is_outdated() {
    let hasher = peppered([2, 1]);
    assert_eq!(hasher.verify(PASSWORD, KEPT).expect("verified"), Verification::MatchesOutdated);
    let renewed = hasher.hash(PASSWORD).expect("hashed");
    assert_eq!(PepperId::of(&renewed), hasher.peppers.newest());
    assert_eq!(hasher.verify(PASSWORD, &renewed).expect("verified"), Verification::Matches);
}

/// P5
#[test]
fn a_missing_pepper_is_a_configuration_error_and_not_a_mismatch() {
    for hasher in [peppered([2]), plain()] {
        for refused in [
            hasher.check(KEPT).expect_err("refused"),
            hasher.verify(PASSWORD, KEPT).expect_err("refused"),
        ] {
            assert!(refused.is_missing_pepper());
            assert!(refused.to_string().contains(&PepperId::of(KEPT).expect("an id").to_string()));
            assert_eq!(Error::from(refused).kind(), ErrorKind::Configuration);
        }
    }
    assert!(peppered([2, 1]).check(KEPT).is_ok());
}

/// P5
#[test]
fn a_hash_does_not_match_under_another_pepper() {
    // The same hash under the id of another pepper.
    let hasher = peppered([1, 2]);
    let ids: Vec<_> = hasher.peppers.ids().map(|id| id.to_string()).collect();
    let forged = KEPT.replace(&ids[0], &ids[1]);
    assert_ne!(forged, KEPT);
    assert_eq!(hasher.verify(PASSWORD, &forged).expect("verified"), Verification::Differs);
}

/// P5
#[test]
fn weak_and_repeated_peppers_are_refused() {
    for refused in [
        Peppers::new([Secret::new(vec![7; 31])]),
        Peppers::new([pepper(1), Secret::new(Vec::new())]),
        Peppers::new([pepper(1), pepper(1)]),
    ] {
        assert_eq!(refused.expect_err("refused").kind(), ErrorKind::Configuration);
    }
}

/// P6
#[test]
fn other_parameters_verify_at_their_own_cost_and_are_outdated() {
    let hasher = plain();
    let salt = [7; SALT_BYTES];
    for (memory, passes, lanes, tag_length) in
        [(64, 1, 1, 32), (64, 3, 4, 16), (20_000, 1, 1, 32), (64, 1, 1, 64)]
    {
        let params = Params::new(memory, passes, lanes, None).expect("parameters");
        let mut tag = vec![0; tag_length];
        hasher.compute(PASSWORD, &salt, &params, None, &mut tag).expect("computed");
        let stored = encode(&params, &salt, &tag).expect("encoded");
        let verified = hasher.verify(PASSWORD, &stored).expect("verified");
        assert_eq!(verified, Verification::MatchesOutdated, "{stored}");
        let verified = hasher.verify(b"another", &stored).expect("verified");
        assert_eq!(verified, Verification::Differs, "{stored}");
    }
}

/// P1
#[test]
fn stored_hashes_above_the_accepted_cost_are_refused_before_any_work() {
    let hasher = plain();
    for parameters in [
        "m=4294967295,t=2,p=1",
        "m=131073,t=2,p=1",
        "m=19456,t=4294967295,p=1",
        "m=19456,t=11,p=1",
        "m=19456,t=2,p=9",
        "m=19456,t=2,p=16777215",
        "m=19456,t=0,p=1",
        "m=7,t=2,p=1",
        "m=4294967296,t=2,p=1",
        "m=19456,t=2,p=1,data=AAAA",
        "m=19456,t=2,p=1,x=1",
    ] {
        let stored = with_parameters(parameters);
        // If it were computed, this would exhaust memory or not return.
        assert!(hasher.verify(PASSWORD, &stored).is_err(), "{stored}");
        assert!(hasher.check(&stored).is_err(), "{stored}");
    }
    assert!(hasher.check(&with_parameters("m=131072,t=10,p=8")).is_ok());
}

/// P1
#[test]
fn larger_settings_raise_the_accepted_cost() {
    let large = Argon2Settings::new(1 << 20, 11, 16).expect("settings");
    let stored = with_parameters("m=1048576,t=11,p=16");
    assert!(Argon2id::new(large, Peppers::none()).check(&stored).is_ok());
    assert!(
        !plain().check(&stored).expect_err("refused").is_unreadable(),
        "the configuration can accept it"
    );
    let lowered = Argon2Settings::default().accepting(&large);
    assert!(Argon2id::new(lowered, Peppers::none()).check(&stored).is_ok());
}

#[test]
fn other_hash_formats_are_refused() {
    let hasher = plain();
    let good = with_parameters("m=19456,t=2,p=1");
    assert!(hasher.check(&good).is_ok());
    for stored in [
        "",
        "$",
        "plain",
        "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
        &good.replace("argon2id", "argon2i"),
        &good.replace("argon2id", "argon2d"),
        &good.replace("v=19", "v=16"),
        &good.replace("$v=19", ""),
        &good[..good.len() - 43],
        &good[..good.len() - 25],
        &format!("{good}$"),
        &format!("{good}="),
        &format!(" {good}"),
    ] {
        assert!(hasher.check(stored).expect_err("refused").is_unreadable(), "{stored}");
    }
}

/// P1
#[test]
fn parameters_below_the_floor_are_refused() {
    for (memory, passes, lanes) in
        [(19_455, 2, 1), (19_456, 1, 1), (19_456, 2, 0), (u32::MAX, 2, 1), (19_456, 65, 1)]
    {
        let refused = Argon2Settings::new(memory, passes, lanes).expect_err("refused");
        assert_eq!(refused.kind(), ErrorKind::Configuration, "{memory} {passes} {lanes}");
    }
    assert_eq!(Argon2Settings::new(19_456, 2, 1).expect("the floor"), Argon2Settings::default());
}

/// E1
#[test]
fn the_dummy_hash_has_the_current_parameters_and_matches_nothing() {
    let settings = Argon2Settings::new(20_000, 3, 1).expect("settings");
    let peppers = Peppers::new([pepper(1)]).expect("good peppers");
    let hasher = Argon2id::new(settings, peppers);
    let dummy_hash = hasher.read(hasher.dummy_hash()).expect("a hash like any other");
    assert_eq!(dummy_hash.params, hasher.current);
    assert!(dummy_hash.pepper.is_some());
    assert_eq!((dummy_hash.salt.len(), dummy_hash.tag.len()), (SALT_BYTES, TAG_BYTES));
    assert_eq!(hasher.verify(b"", hasher.dummy_hash()).expect("verified"), Verification::Differs);
    assert_ne!(hasher.dummy_hash(), plain().dummy_hash());
}

/// L1
#[test]
fn debug_output_redacts_peppers() {
    let secret = "canary canary canary canary canary";
    let peppers = Peppers::new([Secret::new(secret.as_bytes().to_vec())]).expect("good peppers");
    let hasher = Argon2id::new(Argon2Settings::default(), peppers);
    let shown = format!("{hasher:?} {hasher:#?}");
    assert!(!shown.contains("canary") && !shown.contains("99, 97, 110"), "{shown}");
}
