//! Crockford base 32 in lower case, most significant bit first.
//!
//! Invariant: a value has one spelling. Upper case, the letters that look like digits, and stray bits are
//! rejected.

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The bits of a character.
const BITS: usize = 5;

/// Appends the first `characters` characters of the bytes; missing bits are zero.
pub(super) fn encode(bytes: &[u8], characters: usize, text: &mut String) {
    for place in 0..characters {
        let value = (0..BITS).fold(0, |value, bit| {
            let index = place * BITS + bit;
            let byte = bytes.get(index / 8).copied().unwrap_or(0);
            value << 1 | usize::from(byte >> (7 - index % 8) & 1)
        });
        text.push(char::from(ALPHABET[value]));
    }
}

/// Decodes text into exactly `bytes`; the bits beyond them are zero.
pub(super) fn decode(text: &str, bytes: &mut [u8]) -> Option<()> {
    if text.len() != (bytes.len() * 8).div_ceil(BITS) {
        return None;
    }
    for (place, character) in text.bytes().enumerate() {
        let value = ALPHABET.iter().position(|known| *known == character)?;
        for bit in 0..BITS {
            let index = place * BITS + bit;
            let is_set = value >> (BITS - 1 - bit) & 1 == 1;
            match bytes.get_mut(index / 8) {
                Some(byte) => *byte |= u8::from(is_set) << (7 - index % 8),
                None if is_set => return None,
                None => {}
            }
        }
    }
    Some(())
}
