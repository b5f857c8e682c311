//! Rules for password texts, and their normalization.

use super::*;

fn default(text: &str) -> Result<NewPassword, Vec<PasswordFault>> {
    NewPassword::parse(text, &PasswordPolicy::default(), Some("marguerite.oyelaran@example.org"))
}

fn faults(text: &str) -> Vec<PasswordFault> {
    default(text).expect_err("a password that is refused")
}

fn prepared(text: &str) -> String {
    prepare(text, MAXIMUM_CODE_POINTS).expect("a text that can be prepared").expose().clone()
}

/// P2
#[test]
fn length_is_counted_in_code_points_after_preparation() {
    let fourteen = "ňäçhtlîch-grün";
    assert_eq!(fourteen.chars().count(), 14);
    assert_eq!(faults(fourteen), [PasswordFault::TooShort { minimum: 15 }]);
    // Decomposed: 19 code points, still 14 characters.
    let decomposed = "n\u{30c}a\u{308}c\u{327}htli\u{302}ch-gru\u{308}n";
    assert_eq!(faults(decomposed), [PasswordFault::TooShort { minimum: 15 }]);
    assert!(default("ňäçhtlîch-grüne").is_ok());
    // Four bytes each, one code point each.
    assert!(default("🐐🦊🐍🐢🦀🐙🦑🐠🐡🦋🐌🐛🐜🐝🐞").is_ok());
}

/// P2
#[test]
fn passwords_up_to_the_maximum_are_not_truncated() {
    let words = "lamp quay tide 7 ".repeat(20);
    let longest: String = format!("start {words}").chars().take(256).collect();
    assert_eq!(default(&longest).expect("256 characters").as_bytes(), longest.as_bytes());
    assert_eq!(faults(&format!("{longest}x")), [PasswordFault::TooLong { maximum: 256 }]);
}

/// P2
#[test]
fn a_huge_text_is_refused_before_normalization() {
    // If it were examined, the control character would be the violation.
    let huge = format!("\u{0}{}", "x".repeat(1 << 20));
    assert_eq!(faults(&huge), [PasswordFault::TooLong { maximum: 256 }]);
    assert!(!TriedPassword::new(&huge).is_possible());
}

/// P2
#[test]
fn the_longest_decomposed_password_is_not_too_long() {
    // One code point that decomposes into four, and twelve bytes.
    let decomposed = "\u{1f82}".repeat(200).replace('\u{1f82}', "\u{3b1}\u{313}\u{300}\u{345}");
    let varied = format!("{decomposed} and then something else");
    assert!(default(&varied).is_ok());
}

/// P3
#[test]
fn composed_and_decomposed_texts_are_the_same_password() {
    for (composed, decomposed) in [
        ("caf\u{e9}", "cafe\u{301}"),
        ("\u{1e69}", "s\u{307}\u{323}"),
        ("\u{ac01}", "\u{1100}\u{1161}\u{11a8}"),
        ("\u{212b}", "A\u{30a}"),
    ] {
        assert_eq!(prepared(composed), prepared(decomposed));
    }
}

/// P3
#[test]
fn compatibility_characters_stay_distinct() {
    assert_ne!(prepared("\u{2460}"), prepared("1"));
    assert_ne!(prepared("\u{ff21}"), prepared("A"));
    assert_ne!(prepared("\u{fb01}"), prepared("fi"));
}

/// P3
#[test]
fn all_kinds_of_spaces_are_equal_and_significant() {
    for space in ['\u{a0}', '\u{1680}', '\u{2003}', '\u{202f}', '\u{3000}'] {
        assert_eq!(prepared(&format!("a{space}b")), "a b");
    }
    assert_eq!(prepared("  a  "), "  a  ");
}

/// P3
#[test]
fn control_invisible_and_unassigned_characters_are_refused() {
    for character in ['\u{0}', '\n', '\t', '\u{7f}', '\u{85}', '\u{200b}', '\u{202e}', '\u{feff}']
        .into_iter()
        .chain(['\u{378}', '\u{e000}', '\u{fdd0}', '\u{fffe}', '\u{e0041}', '\u{200d}'])
    {
        let text = format!("seven lamps over {character} the quay");
        assert_eq!(faults(&text), [PasswordFault::Unusable { character }]);
    }
}

/// P3
#[test]
fn the_message_names_the_refused_character() {
    for (text, message) in [
        (
            "a goat family \u{1f468}\u{200d}\u{1f469} on the quay",
            "must not contain U+200D; control, invisible and unassigned characters are not allowed",
        ),
        (
            "a tab\tand a \u{200d} over the quay",
            "must not contain U+0009; control, invisible and unassigned characters are not allowed",
        ),
        ("seven lamps \u{b7} over the quay", "must not contain U+00B7 (\u{b7}) in this context"),
        // Without a neighbour on one side.
        ("seven lamps over the quay \u{b7}", "must not contain U+00B7 (\u{b7}) in this context"),
        ("\u{5f3} seven lamps over the quay", "must not contain U+05F3 (\u{5f3}) in this context"),
        (
            "\u{200d} seven lamps over the quay",
            "must not contain U+200D; control, invisible and unassigned characters are not allowed",
        ),
        (
            "seven lamps over the quay \u{30fb}",
            "must not contain U+30FB (\u{30fb}) in this context",
        ),
    ] {
        let found: Vec<_> = faults(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, [message], "{text:?}");
    }
    assert!(default("el carrer del paral\u{b7}lel de nit").is_ok());
}

/// P3
#[test]
fn characters_newer_than_the_tables_of_precis_are_usable() {
    // Fox (9.0), som sign (14.0), Georgian capital (11.0), combining mark (14.0).
    for newer in ["🦊", "\u{20c0}", "\u{1c90}", "a\u{1acf}"] {
        assert_eq!(prepared(newer), newer);
    }
}

/// P3
#[test]
fn case_is_significant() {
    assert_ne!(prepared("Lamp"), prepared("lamp"));
}

#[test]
fn normalization_is_idempotent() {
    for text in
        ["caf\u{e9}\u{3000}e\u{301}", "\u{1100}\u{1161}\u{11a8}", "\u{344}\u{2000}x", "🦊 ①"]
    {
        let once = prepared(text);
        assert_eq!(prepared(&once), once);
    }
}

/// P4
#[test]
fn common_passwords_are_refused_in_any_case() {
    assert_eq!(faults("CorrectHorseBatteryStaple"), [PasswordFault::Common]);
    assert_eq!(faults("Password Password"), [PasswordFault::Common]);
    assert_eq!(
        faults("password"),
        [PasswordFault::TooShort { minimum: 15 }, PasswordFault::Common]
    );
}

/// P4
#[test]
fn the_users_own_address_is_refused() {
    for own in [
        "marguerite.oyelaran@example.org",
        "Marguerite.Oyelaran@Example.ORG",
        "marguerite.oyelaran",
        "marguerite.oyelaranmarguerite.oyelaran",
    ] {
        assert_eq!(faults(own), [PasswordFault::Email], "{own}");
    }
    assert!(default("marguerite.oyelaran likes tea").is_ok());
    assert!(NewPassword::parse("marguerite.oyelaran", &PasswordPolicy::default(), None).is_ok());
    let composed = NewPassword::parse(
        "ZOE\u{301} DE LA FONTAINE",
        &PasswordPolicy::default(),
        Some("zo\u{e9} de la fontaine@example.org"),
    );
    assert_eq!(composed.expect_err("refused"), [PasswordFault::Email]);
}

/// P4
#[test]
fn repetitions_of_a_forbidden_name_are_refused() {
    assert_eq!(faults("GoatGoatGoatGoat"), [PasswordFault::Common, PasswordFault::Name]);
    let policy = PasswordPolicy::default().with_forbidden_names(["", " Straße & Söhne "]);
    for name in ["STRASSE & SÖHNE", "straße & söhnestraße"] {
        let refused = NewPassword::parse(name, &policy, None).expect_err("refused");
        assert_eq!(refused, [PasswordFault::Name], "{name}");
    }
    assert!(NewPassword::parse("the goat on the quay", &policy, None).is_ok());
}

#[test]
fn a_policy_outside_the_bounds_is_refused() {
    use crate::ErrorKind::Configuration;
    for (minimum, maximum) in [(7, 256), (0, 0), (15, 14), (15, 1025), (8, usize::MAX)] {
        let refused = PasswordPolicy::new(minimum, maximum).expect_err("refused");
        assert_eq!(refused.kind(), Configuration, "{minimum} {maximum}");
    }
    assert!(PasswordPolicy::new(8, 8).is_ok());
    assert!(PasswordPolicy::new(1024, 1024).is_ok());
}

/// E1
#[test]
fn an_impossible_attempt_is_replaced_by_the_stand_in() {
    let over_long = "x".repeat(MAXIMUM_CODE_POINTS + 1);
    for impossible in ["", "\u{0}", "a\u{7}b", &over_long, &"x".repeat(1 << 20)] {
        let tried = TriedPassword::new(impossible);
        assert!(!tried.is_possible());
        assert_eq!(tried.as_bytes(), STAND_IN);
    }
    let tried = TriedPassword::new("short");
    assert!(tried.is_possible());
    assert_eq!(tried.as_bytes(), b"short");
}

/// E1
#[test]
fn the_stand_in_cannot_be_a_password() {
    let stand_in = std::str::from_utf8(STAND_IN).expect("text");
    assert_eq!(faults(stand_in), [PasswordFault::Unusable { character: '\0' }]);
}

#[test]
fn an_unchanged_password_is_detected() {
    let new = default("caf\u{e9} at the old quay").expect("a good password");
    assert!(new.is_same_as(&TriedPassword::new("cafe\u{301} at the old quay")));
    assert!(!new.is_same_as(&TriedPassword::new("Caf\u{e9} at the old quay")));
    assert!(!new.is_same_as(&TriedPassword::new("")));
}

/// L1
#[test]
fn debug_output_redacts_passwords() {
    let new = default("canary over the quay").expect("a good password");
    let tried = TriedPassword::new("canary");
    assert!(!format!("{new:?} {new:#?} {tried:?} {tried:#?}").contains("canary"));
    let faults = faults("canary");
    assert!(!format!("{faults:?} {}", faults[0]).contains("canary"));
}

/// The SHA-1 is that of the normalized text, as lists of breached passwords have it.
#[test]
fn equivalent_spellings_have_one_sha1() {
    let hex = |text: &str| -> String {
        let password =
            NewPassword::parse(text, &PasswordPolicy::default(), None).expect("a password");
        password.sha1().expose().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    assert_eq!(hex("a long walk on a short pier"), "57a98599238f4c4687257bee66c7cc1287caae49");
    for spelling in ["gr\u{fc}ne tinte, kaltes bad", "gru\u{308}ne\u{a0}tinte, kaltes bad"] {
        assert_eq!(hex(spelling), "08aaa5ef4616f164236a60eace3a173d7c6045ae");
    }
}
