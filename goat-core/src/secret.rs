//! What must not be seen: a wrapper that redacts and wipes, and the one source of randomness.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

/// A value that appears in no log, error or `Debug` output, and whose memory is wiped when it is
/// dropped.
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
    /// Takes the value in.
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// Shows the value. The name is long so that a reader notices where it happens.
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

/// What can be drawn from the operating system's generator.
pub(crate) trait Random {
    /// Draws one.
    fn draw() -> Self;
}

impl<const N: usize> Random for [u8; N] {
    fn draw() -> Self {
        let mut bytes = [0; N];
        #[expect(clippy::expect_used, reason = "without randomness nothing here may go on")]
        getrandom::fill(&mut bytes).expect("the operating system has no randomness to give");
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

/// Draws from the operating system's generator.
pub(crate) fn random<T: Random>() -> T {
    T::draw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_itself_in_no_debug_output() {
        #[derive(Debug)]
        #[expect(dead_code, reason = "only its Debug output is looked at")]
        struct Holder {
            key: Secret<String>,
        }
        let holder = Holder { key: Secret::from("canary") };
        assert!(!format!("{holder:?} {holder:#?}").contains("canary"));
    }
}
