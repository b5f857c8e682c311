//! Secret values that are redacted and wiped, and the source of randomness.

use std::fmt;

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
