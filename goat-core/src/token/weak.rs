//! Detection of placeholder and pattern secrets.
//!
//! It finds values that are left in configurations, not values that an attacker could guess:
//! passing this check does not make a secret strong. Strong secrets are random.

/// Words of typical placeholders, in lower case.
const PLACEHOLDER_WORDS: [&str; 49] = [
    "a",
    "at",
    "bit",
    "bits",
    "bytes",
    "change",
    "changeit",
    "characters",
    "default",
    "demo",
    "dev",
    "development",
    "dummy",
    "example",
    "for",
    "goat",
    "here",
    "in",
    "insecure",
    "insert",
    "is",
    "jwt",
    "key",
    "least",
    "long",
    "me",
    "must",
    "my",
    "not",
    "password",
    "pepper",
    "placeholder",
    "please",
    "production",
    "prod",
    "random",
    "replace",
    "secret",
    "signing",
    "some",
    "string",
    "super",
    "test",
    "the",
    "this",
    "token",
    "tokens",
    "with",
    "your",
];

/// The longest repeated pattern that is detected, in bytes.
const LONGEST_PATTERN: usize = 8;

/// Returns why a secret is weak, phrased to follow its name; `None` if no weakness is known.
///
/// For token secrets and peppers in production, in addition to their minimum length.
///
/// ```
/// use goat_core::token::weak_secret;
///
/// assert_eq!(weak_secret(&[b'x'; 40]), Some("is one character repeated"));
/// assert_eq!(weak_secret(b"changeme-changeme-changeme-changeme"), Some("is a known placeholder"));
/// assert_eq!(weak_secret(b"yJ2kq0vR8sXw3nTz6bHc1mLf9dGp5aQe"), None);
/// ```
#[must_use]
pub fn weak_secret(secret: &[u8]) -> Option<&'static str> {
    if secret.is_empty() {
        Some("is empty")
    } else if repeats(secret, 1) {
        Some("is one character repeated")
    } else if is_placeholder(secret) {
        Some("is a known placeholder")
    } else if (2..=LONGEST_PATTERN).any(|length| repeats(secret, length)) {
        Some("is a short pattern repeated")
    } else if counts_up(secret) {
        Some("counts up")
    } else {
        None
    }
}

/// Whether it repeats a pattern of that length at least twice, the last time possibly truncated.
fn repeats(secret: &[u8], length: usize) -> bool {
    secret.len() >= 2 * length && secret.iter().zip(&secret[length..]).all(|(a, b)| a == b)
}

/// Whether most of its bytes are the preceding byte plus one, as in `0123456789abcdef`.
fn counts_up(secret: &[u8]) -> bool {
    let steps = secret.windows(2).filter(|pair| pair[1] == pair[0].wrapping_add(1)).count();
    steps * 2 > secret.len()
}

/// Whether it splits into placeholder words and digits, with at least half of it in words.
fn is_placeholder(secret: &[u8]) -> bool {
    if !secret.is_ascii() {
        return false;
    }
    let text: Vec<u8> = secret
        .iter()
        .filter(|byte| byte.is_ascii_alphanumeric())
        .map(u8::to_ascii_lowercase)
        .collect();
    // Maximum letters in words over all ways to split the first n bytes; `None` if there is none.
    let mut best: Vec<Option<usize>> = vec![None; text.len() + 1];
    best[0] = Some(0);
    for end in 1..=text.len() {
        let digit = text[end - 1].is_ascii_digit().then(|| best[end - 1]).flatten();
        let words = PLACEHOLDER_WORDS.iter().filter_map(|word| {
            let rest = text[..end].strip_suffix(word.as_bytes())?;
            Some(best[rest.len()]? + word.len())
        });
        best[end] = words.chain(digit).max();
    }
    best[text.len()].is_some_and(|letters| letters > 0 && letters * 2 >= text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// J6.
    #[test]
    fn placeholders_and_patterns_are_weak() {
        for secret in [
            "secret",
            "secretsecretsecretsecretsecretsecret",
            "your-256-bit-secret",
            "your-256-bit-secretyour-256-bit-secret",
            "change-me-change-me-change-me-32",
            "CHANGE_ME_in_production_please_0123",
            "this-is-my-super-secret-jwt-key-",
            "a-string-secret-at-least-256-bits-long",
            "your-256-bit-secret-for-signing-tokens",
            "replace this with at least 32 random bytes",
            "0123456789abcdef0123456789abcdef",
            "abcdefghijklmnopqrstuvwxyz012345",
            "00000000000000000000000000000000",
            "deadbeefdeadbeefdeadbeefdeadbeef",
            "12345678123456781234567812345678",
            "",
        ] {
            assert!(weak_secret(secret.as_bytes()).is_some(), "{secret}");
        }
        let counting: Vec<u8> = (0..32).collect();
        assert_eq!(weak_secret(&counting), Some("counts up"));
    }

    #[test]
    fn random_secrets_are_not_weak() {
        use base64::Engine;
        for _ in 0..1000 {
            let bytes: [u8; 32] = crate::secret::random();
            assert_eq!(weak_secret(&bytes), None);
            let text = base64::engine::general_purpose::STANDARD.encode(bytes);
            assert_eq!(weak_secret(text.as_bytes()), None);
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(weak_secret(hex.as_bytes()), None);
        }
    }
}
