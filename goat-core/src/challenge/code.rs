//! Typed codes: 40 random bits, as eight characters that people read from a message and type.

use std::fmt;

use zeroize::Zeroizing;

use crate::crockford;
use crate::secret::{Secret, random};

/// The length of a code.
const LENGTH: usize = 8;

/// A code that a message carries and its reader types: 40 bits, eight characters of upper-case Crockford base
/// 32. It works once, with its challenge alone. `Debug` redacts it.
#[derive(Clone)]
pub struct TypedCode(Secret<String>);

impl TypedCode {
    /// Generates a code.
    pub(crate) fn generate() -> Self {
        let bits = Zeroizing::new(random::<[u8; 5]>());
        let encoded = crockford::encode(bits.as_slice(), LENGTH);
        Self(Secret::new(encoded.map(|byte| char::from(byte.to_ascii_uppercase())).collect()))
    }

    /// Parses a code as people type it: in any case, with spaces and hyphens anywhere, and with the letters
    /// that look like digits: `O` for `0`, `I` and `L` for `1`.
    ///
    /// ```
    /// use goat_core::challenge::TypedCode;
    ///
    /// let typed = TypedCode::parse("abcd-efOI").expect("a code");
    /// assert_eq!(typed.text().expose(), "ABCDEF01");
    /// assert!(TypedCode::parse("abcd").is_none());
    /// ```
    #[must_use]
    pub fn parse(typed: &str) -> Option<Self> {
        // With its whole capacity, so that no copy is left behind by an allocation that grows.
        let mut code = Zeroizing::new(String::with_capacity(LENGTH));
        for character in typed.chars().filter(|character| !matches!(character, ' ' | '-')) {
            let folded = match character.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            if code.len() == LENGTH || !is_character(folded) {
                return None;
            }
            code.push(folded);
        }
        (code.len() == LENGTH).then(|| Self(Secret::new(std::mem::take(&mut *code))))
    }

    /// Returns the text, for the message.
    #[must_use]
    pub fn text(&self) -> &Secret<String> {
        &self.0
    }
}

/// Without the code.
impl fmt::Debug for TypedCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TypedCode([redacted])")
    }
}

fn is_character(character: char) -> bool {
    character.is_ascii_digit()
        || character.is_ascii_uppercase() && !matches!(character, 'I' | 'L' | 'O' | 'U')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_parsed_as_people_type_them() {
        let code = TypedCode::generate();
        let text = code.text().expose().clone();
        assert_eq!(text.len(), LENGTH);
        assert_ne!(text, *TypedCode::generate().text().expose());
        let spaced = format!(" {}-{} ", &text[..4], &text[4..]).to_lowercase();
        assert_eq!(*TypedCode::parse(&spaced).expect("a code").text().expose(), text);
        assert_eq!(TypedCode::parse("oil0000o").expect("a code").text().expose(), "01100000");
        for wrong in ["", "1234567", "123456789", "1234567u", "1234567\u{e9}", "1234567!"] {
            assert!(TypedCode::parse(wrong).is_none(), "{wrong}");
        }
        assert!(!format!("{code:?}").contains(&text));
    }
}
