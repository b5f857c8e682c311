//! Crockford base 32 in lower case, most significant bit first.
//!
//! Invariant: a value has one spelling. Upper case, the letters that look like digits, and stray bits are
//! rejected.

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The bits of a character.
const BITS: usize = 5;

/// The value of each byte as a character; [`NONE`] of the others.
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < ALPHABET.len() {
        values[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    values
};
const NONE: u8 = u8::MAX;

/// Returns the first `characters` characters of the bytes; missing bits are zero.
pub(crate) fn encode(bytes: &[u8], characters: usize) -> impl Iterator<Item = u8> {
    let byte = |index: usize| bytes.get(index).copied().unwrap_or(0);
    (0..characters).map(move |place| {
        let (index, bit) = (place * BITS / 8, place * BITS % 8);
        let word = u16::from_be_bytes([byte(index), byte(index + 1)]);
        ALPHABET[usize::from(word >> (16 - BITS - bit)) % ALPHABET.len()]
    })
}

/// Decodes text into exactly `bytes`; the bits beyond them are zero.
pub(crate) fn decode(text: &str, bytes: &mut [u8]) -> Option<()> {
    if text.len() != (bytes.len() * 8).div_ceil(BITS) {
        return None;
    }
    let mut decoded = bytes.iter_mut();
    let (mut pending, mut bits) = (0_u16, 0);
    for character in text.bytes() {
        let value = VALUES[usize::from(character)];
        if value == NONE {
            return None;
        }
        pending = pending << BITS | u16::from(value);
        bits += BITS;
        if bits >= 8 {
            bits -= 8;
            *decoded.next()? = (pending >> bits).to_be_bytes()[1];
            pending &= (1 << bits) - 1;
        }
    }
    (pending == 0).then_some(())
}
