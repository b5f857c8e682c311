//! Secret values that are redacted and wiped, and the source of randomness.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// A value that `Debug` redacts, and whose memory is wiped on drop.
///
/// ```
/// use goat_core::Secret;
///
/// let pepper = Secret::new(b"thirty-two bytes or more of noise".to_vec());
/// assert_eq!(format!("{pepper:?}"), "[redacted]");
/// assert_eq!(pepper.expose().len(), 33);
/// ```
///
/// Secrets are compared by [`Secret::is_same_as`], in constant time. `==` does not compile:
///
/// ```compile_fail,E0369
/// use goat_core::Secret;
///
/// fn is_known(presented: &Secret<String>, known: &Secret<String>) -> bool {
///     presented == known
/// }
/// ```
#[derive(Clone)]
pub struct Secret<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Secret<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// Returns the value. The explicit name makes every use easy to find.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize + AsRef<[u8]>> Secret<T> {
    /// Whether two secrets are the same, in a time that depends on their lengths only.
    ///
    /// ```
    /// use goat_core::Secret;
    ///
    /// fn is_known(presented: &Secret<String>, known: &Secret<String>) -> bool {
    ///     presented.is_same_as(known)
    /// }
    ///
    /// assert!(is_known(&"a secret".into(), &"a secret".into()));
    /// assert!(!is_known(&"a secret".into(), &"another".into()));
    /// ```
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.expose().as_ref().ct_eq(other.expose().as_ref()).into()
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

impl From<String> for Secret<String> {
    fn from(value: String) -> Self {
        Self::new(value)
    }
}

impl From<&str> for Secret<String> {
    fn from(value: &str) -> Self {
        Self::new(value.to_owned())
    }
}

/// Types that can be generated at random.
pub(crate) trait Random {
    /// Generates a random value.
    fn draw() -> Self;
}

impl<const N: usize> Random for [u8; N] {
    fn draw() -> Self {
        let mut bytes = [0; N];
        #[expect(clippy::expect_used, reason = "no secret may be made without randomness")]
        getrandom::fill(&mut bytes).expect("the operating system provides no randomness");
        bytes
    }
}

impl Random for u128 {
    fn draw() -> Self {
        Self::from_le_bytes(Random::draw())
    }
}

impl Random for u64 {
    fn draw() -> Self {
        Self::from_le_bytes(Random::draw())
    }
}

/// Generates a random value from the operating system's generator.
pub(crate) fn random<T: Random>() -> T {
    T::draw()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// L4
    #[test]
    fn secrets_are_the_same_if_every_byte_is() {
        let secret = |text: &str| Secret::from(text);
        for (one, other, expected) in [
            ("", "", true),
            ("secret", "secret", true),
            ("secret", "Secret", false),
            ("secret", "secreT", false),
            ("secret", "secrets", false),
            ("secret", "", false),
        ] {
            assert_eq!(secret(one).is_same_as(&secret(other)), expected, "{one:?} {other:?}");
        }
    }

    #[test]
    fn debug_output_redacts_secrets() {
        #[derive(Debug)]
        #[expect(dead_code, reason = "only its Debug output is looked at")]
        struct Holder {
            key: Secret<String>,
        }
        let holder = Holder { key: Secret::from("canary") };
        assert!(!format!("{holder:?} {holder:#?}").contains("canary"));
    }
}
