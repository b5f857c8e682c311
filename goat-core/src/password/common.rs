//! Blocklist of common passwords, shipped with the crate.
//!
//! `data/README.md` documents the sources and licences. The list is one sorted text, searched by
//! bisection: one allocation of 1.4 MB at the first new password, no index, and about seventeen
//! comparisons per lookup. Lookups are rare, and the hash that follows takes ten thousand times as
//! long.

use std::cmp::Ordering;
use std::sync::LazyLock;

use miniz_oxide::inflate::decompress_to_vec_with_limit;

/// Deflate-compressed: case-folded entries, one per line, sorted bytewise.
static PACKED: &[u8] = include_bytes!("../../data/common-passwords.zz");

/// Above the decompressed size; a test checks this.
const UNPACKED_AT_MOST: usize = 4 << 20;

static LIST: LazyLock<String> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "a test unpacks the very bytes that are compiled in")]
    let bytes = decompress_to_vec_with_limit(PACKED, UNPACKED_AT_MOST).expect("the list unpacks");
    #[expect(clippy::expect_used, reason = "as above")]
    String::from_utf8(bytes).expect("the list is text")
});

/// Repeated units of at most this many characters are always common.
const TRIVIAL_UNIT: usize = 4;

/// Whether a case-folded password is listed, repeats a listed entry, or repeats a few characters.
///
/// Users repeat common passwords to reach a minimum length, in too many ways to list.
pub(super) fn is_common(folded: &str) -> bool {
    if is_listed(folded) {
        return true;
    }
    let Some(unit) = repeated_unit(folded) else { return false };
    // The unit includes separators between the repetitions: `password-password-`.
    let word = unit.trim_matches(|character: char| !character.is_alphanumeric());
    unit.chars().count() <= TRIVIAL_UNIT || is_listed(unit) || is_listed(word)
}

/// The shortest text whose repetition gives this one. The last repetition may be truncated; if it
/// is the second, only by its last byte.
fn repeated_unit(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let period = (1..=bytes.len().div_ceil(2))
        .find(|&period| bytes[period..] == bytes[..bytes.len() - period])?;
    // A repeated unit begins, and so also ends, at a character boundary.
    text.get(..period).filter(|unit| unit.len() < text.len())
}

/// Bisects the sorted lines.
fn is_listed(entry: &str) -> bool {
    let mut lines = LIST.as_bytes();
    while !lines.is_empty() {
        let middle = lines.len() / 2;
        let start = lines[..middle].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let end = lines[middle..]
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(lines.len(), |at| middle + at);
        match lines[start..end].cmp(entry.as_bytes()) {
            Ordering::Equal => return true,
            Ordering::Less => lines = lines.get(end + 1..).unwrap_or_default(),
            Ordering::Greater => lines = &lines[..start.saturating_sub(1)],
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::text::fold;
    use super::*;

    #[test]
    fn the_list_is_sorted_and_folded() {
        assert!(PACKED.len() < 400 << 10);
        assert!(LIST.lines().is_sorted_by(|earlier, later| earlier < later));
        for entry in LIST.lines() {
            assert!(!entry.is_empty() && entry.trim() == entry, "{entry:?}");
            assert_eq!(*fold(entry), entry);
        }
    }

    /// P4
    #[test]
    fn thousands_of_listed_passwords_are_long_enough_for_the_default_policy() {
        let long = LIST.lines().filter(|entry| entry.chars().count() >= 15).count();
        assert!(long >= 3000, "{long}");
    }

    #[test]
    fn listed_passwords_are_found_and_their_neighbours_are_not() {
        for entry in LIST.lines().step_by(997).chain(LIST.lines().next()).chain(LIST.lines().last())
        {
            assert!(is_listed(entry), "{entry}");
            assert!(!is_listed(&format!("{entry}\u{1}")), "{entry}");
        }
        assert!(!is_listed(""));
        assert!(!is_listed("\n"));
        assert!(!is_listed("password1\npassword10"));
        assert!(!is_listed("~~~~~~~~~~~~~~~~~~~~ after the last"));
    }

    /// P4
    #[test]
    fn famous_long_passwords_are_common() {
        for famous in [
            "correcthorsebatterystaple",
            "correct horse battery staple",
            "passwordpassword",
            "password1234567",
            "1234567890123456",
            "123456789987654321",
            "qwertyuiopasdfgh",
            "1qaz2wsx3edc4rfv",
            "1qaz2wsx!qaz@wsx",
            "maytheforcebewithyou",
            "to be or not to be",
            "iloveyou iloveyou",
            "abcdefghijklmnopqrstuvwxyz",
            "manchesterunited",
            "p@ssw0rd12345678",
            "thequickbrownfoxjumpsoverthelazydog",
        ] {
            assert!(is_common(famous), "{famous}");
        }
    }

    /// P4
    #[test]
    fn a_repeated_common_password_is_common() {
        for repeated in [
            "aaaaaaaaaaaaaaaaaaaaa",
            "abcabcabcabcabc",
            "letmeinletmeinle",
            "monkeymonkeymonkey",
            "ж1ж1ж1ж1ж1ж1ж1ж1",
        ] {
            assert!(is_common(repeated), "{repeated}");
        }
        for other in
            ["seven lamps over the quay", "grüne tinte, kaltes bad", "tide-tables/tide-tables"]
        {
            assert!(!is_common(other), "{other}");
        }
    }

    #[test]
    fn the_repeated_unit_is_the_shortest() {
        assert_eq!(repeated_unit("abababab"), Some("ab"));
        assert_eq!(repeated_unit("abcabcab"), Some("abc"));
        assert_eq!(repeated_unit("abcab"), Some("abc"));
        assert_eq!(repeated_unit("éèéèé"), Some("éè"));
        assert_eq!(repeated_unit("aa"), Some("a"));
        for none in ["abcd", "abcda", "a", ""] {
            assert_eq!(repeated_unit(none), None, "{none}");
        }
    }
}
